"""Pipelines: what a session does, one for each of the five words."""

from engine.pipelines.generate import GeneratePipeline
from engine.pipelines.interface import AnyPipeline, Pipeline
from engine.pipelines.persona import PersonaPipeline

__all__ = ["AnyPipeline", "GeneratePipeline", "PersonaPipeline", "Pipeline", "all_pipelines"]


def all_pipelines() -> tuple[AnyPipeline, ...]:
    """Give one pipeline for each word."""
    return (GeneratePipeline(), PersonaPipeline())
