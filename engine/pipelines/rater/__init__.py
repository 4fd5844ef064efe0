"""Has a plot point judged by raters: an opinion and suggestions from each, as they are written."""

from engine.pipelines.rater.pipeline import RaterPipeline

__all__ = ["RaterPipeline"]
