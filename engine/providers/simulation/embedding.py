"""Vectors of a text's words: texts that share words are near, whatever their length.

The hashing trick: each word and each pair of neighbours counts in one of `DIMENSIONS` places, with
a sign, by a hash that is the same in every process (Weinberger et al., Feature Hashing for Large
Scale Multitask Learning, 2009). Pure.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from hashlib import blake2b

from engine.providers.simulation.words import STOPWORDS, stem

DIMENSIONS = 256
MAX_CHARS = 20_000
"""What is read of a text: enough to know what it is about, and the event loop is not blocked."""

_WORD = re.compile(r"\w+")


@lru_cache(maxsize=20_000)
def _place(feature: str) -> tuple[int, float]:
    digest = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "big")
    return digest % DIMENSIONS, 1.0 if digest >> 63 else -1.0


def embed_text(text: str) -> list[float]:
    """Give a text's vector: of length 1, or all zeros for a text without words."""
    words = [stem(word) for word in _WORD.findall(text[:MAX_CHARS].lower())]
    vector = [0.0] * DIMENSIONS
    for index, word in enumerate(words):
        place, sign = _place(word)
        vector[place] += sign * (0.2 if word in STOPWORDS else 1.0)
        if index:
            place, sign = _place(f"{words[index - 1]} {word}")
            vector[place] += sign * 0.3
    norm = math.sqrt(sum(value * value for value in vector))
    return [value / norm for value in vector] if norm else vector
