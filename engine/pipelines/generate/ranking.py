"""The ranking: four scores for each prompt of the last phase, weighed and sorted.

    score             1.0 where                                    falls
    semantic_score    it means what the input means                with the cosine
    temperature_score it was written at 0.7                        to 0 at 0 and from 1.4 on
    token_score       it has 100 to 2,000 characters               n/100 below, 2,000/n above
    length_score      it is as long as the input                   with shorter/longer

Each lies between 0 and 1, and so does their weighted sum. The source of the formulas is contract 1.
Pure: no model is asked here. Must not import sessions or providers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.commands.generate import RankingWeights
from engine.pipelines.generate.similarity import cosine

BEST_TEMPERATURE: Final = 0.7
SHORT_CHARS: Final = 100
LONG_CHARS: Final = 2_000


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt's scores, each from 0 to 1."""

    prompt_id: str
    score: float
    """The weighted sum of the others."""
    semantic_score: float
    temperature_score: float
    token_score: float
    length_score: float


def semantic_score(a: Sequence[float], b: Sequence[float]) -> float:
    """Score two embeddings by their cosine, mapped from -1 … 1 to 0 … 1.

    Where there are no embeddings, the score is the likeness of the words, which is never negative.
    """
    return (cosine(a, b) + 1) / 2


def temperature_score(temperature: float) -> float:
    """Score a temperature by its distance from the one that writes best."""
    return max(0.0, 1 - abs(temperature - BEST_TEMPERATURE) / BEST_TEMPERATURE)


def token_score(text: str) -> float:
    """Score a prompt's own length in characters."""
    length = len(text)
    if length < SHORT_CHARS:
        return length / SHORT_CHARS
    return LONG_CHARS / length if length > LONG_CHARS else 1.0


def length_score(text: str, prompt: str) -> float:
    """Score a prompt's length beside that of the input."""
    shorter, longer = sorted((len(text), len(prompt)))
    return shorter / longer if longer else 1.0


def rank(
    text: str,
    prompts: Sequence[tuple[str, str]],
    *,
    semantics: Sequence[float],
    temperature: float,
    weights: RankingWeights,
) -> list[Ranking]:
    """Rank prompts, best first; equals keep their order.

    Args:
        text: the input that they were made from.
        prompts: an id and the content of each.
        semantics: the semantic score of each.
        temperature: what they were written at.
        weights: how much each score counts; normalised here.
    """
    share = weights.normalised()
    by_temperature = temperature_score(temperature)
    rankings = []
    for (prompt_id, content), semantic in zip(prompts, semantics, strict=True):
        tokens, length = token_score(content), length_score(text, content)
        rankings.append(
            Ranking(
                prompt_id=prompt_id,
                score=share.semantic * semantic
                + share.temperature * by_temperature
                + share.token * tokens
                + share.length * length,
                semantic_score=semantic,
                temperature_score=by_temperature,
                token_score=tokens,
                length_score=length,
            )
        )
    return sorted(rankings, key=lambda ranking: -ranking.score)
