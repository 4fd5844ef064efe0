"""The exhibition: from a curator's brief to a proposal, with people choosing in between."""

from engine.pipelines.exhibition.pipeline import ExhibitionPipeline
from engine.pipelines.exhibition.proposal import proposal_of

__all__ = ["ExhibitionPipeline", "proposal_of"]
