"""The generate pipeline: one idea, refined into prompts by lanes in phases."""

from engine.pipelines.generate.pipeline import GeneratePipeline

__all__ = ["GeneratePipeline"]
