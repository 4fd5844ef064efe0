"""Turns source notes into exam-ready text: a draft, its layout, and a check of the layout."""

from engine.pipelines.content.pipeline import ContentPipeline
from engine.pipelines.content.templates import Template, Templates

__all__ = ["ContentPipeline", "Template", "Templates"]
