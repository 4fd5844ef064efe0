"""Writes the answer to a request."""

from __future__ import annotations

import random

from engine.providers.interface import GenerationRequest
from engine.providers.simulation.answer import Answer
from engine.providers.simulation.words import join_words, key_phrases


def write(request: GenerationRequest, key: bytes) -> Answer:
    """Write the whole answer to a request."""
    rng = random.Random(key)
    user = next((m.content for m in reversed(request.messages) if m.role == "user"), "")
    phrases = key_phrases(user) or ["this"]
    text = f"Let us look at {join_words(phrases[:3])}."
    more = tuple(
        f" What matters next is {p}, and how it meets {rng.choice(phrases)}." for p in phrases
    )
    return Answer(text + "".join(more[:4]), more=more)
