"""The persona pipeline: voices that answer one another, in conversations that are kept."""

from engine.pipelines.persona.conversations import Conversations, exchange_turns
from engine.pipelines.persona.pipeline import PersonaPipeline
from engine.pipelines.persona.registry import Personas

__all__ = ["Conversations", "PersonaPipeline", "Personas", "exchange_turns"]
