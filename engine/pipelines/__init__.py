"""Pipelines: what a session does, one for each of the five words."""

from pathlib import Path

from engine.pipelines.content import ContentPipeline, Template, Templates
from engine.pipelines.exhibition import ExhibitionPipeline, proposal_of
from engine.pipelines.generate import GeneratePipeline
from engine.pipelines.interface import AnyPipeline, Pipeline
from engine.pipelines.persona import PersonaPipeline
from engine.pipelines.rater import RaterPipeline

__all__ = [
    "AnyPipeline",
    "ContentPipeline",
    "ExhibitionPipeline",
    "GeneratePipeline",
    "PersonaPipeline",
    "Pipeline",
    "RaterPipeline",
    "Template",
    "Templates",
    "all_pipelines",
    "proposal_of",
]


def all_pipelines(*, templates: Path | None = None) -> tuple[AnyPipeline, ...]:
    """Give one pipeline for each word.

    Args:
        templates: the folder of an operator's own prompt templates; None: the packaged ones count.
    """
    return (
        GeneratePipeline(),
        ContentPipeline(Templates(templates)),
        RaterPipeline(),
        PersonaPipeline(),
        ExhibitionPipeline(),
    )
