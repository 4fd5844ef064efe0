"""How alike texts are: the cosine of two vectors, or of two texts' word counts.

The one rule: whoever compares one text with many yields between them, so that a long history or a
hundred long prompts hold up no other session. Must not import anything of the engine.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import mul
from typing import Final

import trio

_WORD: Final = re.compile(r"\w+")


def word_counts(text: str) -> Counter[str]:
    """Count a text's words, without regard to case."""
    return Counter(_WORD.findall(text.casefold()))


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Give the cosine of two vectors of one length, from -1 to 1; 0 where one of them is zero.

    Raises:
        ValueError: their lengths differ.
    """
    if len(a) != len(b):
        raise ValueError(f"vectors of {len(a)} and {len(b)} numbers have no cosine")
    dot = sum(map(mul, a, b))
    return _bounded(dot, math.hypot(*a) * math.hypot(*b))


def count_cosine(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Give the cosine of two word counts, from 0 to 1; 0 where one of them is empty."""
    if len(a) > len(b):
        a, b = b, a
    dot = sum(count * b.get(word, 0) for word, count in a.items())
    return _bounded(dot, math.hypot(*a.values()) * math.hypot(*b.values()))


async def likenesses(text: str, others: Sequence[str]) -> list[float]:
    """Give how alike the words of a text and of each other text are, from 0 to 1.

    Cancellation: between two texts.
    """
    counts = word_counts(text)
    found = []
    for other in others:
        await trio.lowlevel.checkpoint()
        found.append(count_cosine(counts, word_counts(other)))
    return found


async def most_similar(text: str, others: Sequence[str], limit: int) -> list[str]:
    """Give the texts that are most like `text`, the likest first, at most `limit`.

    Texts that share no word with it are left out. Of equals the earlier one comes first.

    Cancellation: between two texts.
    """
    scored = [(score, -i) for i, score in enumerate(await likenesses(text, others)) if score > 0]
    return [others[-i] for _, i in heapq.nlargest(limit, scored)]


def _bounded(dot: float, norms: float) -> float:
    """Divide, and keep rounding errors inside the range."""
    return 0.0 if norms == 0 or not math.isfinite(norms) else max(-1.0, min(1.0, dot / norms))
