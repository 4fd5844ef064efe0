"""The ranking's formulas, as contract 1 has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.commands.generate import RankingWeights
from engine.pipelines.generate.ranking import (
    length_score,
    rank,
    semantic_score,
    temperature_score,
    token_score,
)

DEFAULT = RankingWeights()
ONE = RankingWeights(semantic=1, temperature=0, token=0, length=0)


@pytest.mark.parametrize(
    ("temperature", "score"),
    [(0.7, 1.0), (0.0, 0.0), (0.35, 0.5), (1.05, 0.5), (1.4, 0.0), (2.0, 0.0)],
)
def test_temperature_score(temperature: float, score: float) -> None:
    """1 − |t − 0.7| / 0.7, not below 0."""
    assert temperature_score(temperature) == pytest.approx(score)


@pytest.mark.parametrize(
    ("length", "score"),
    [(0, 0.0), (1, 0.01), (99, 0.99), (100, 1.0), (2_000, 1.0), (2_001, 2e3 / 2_001), (4_000, 0.5)],
)
def test_token_score(length: int, score: float) -> None:
    """Length in characters; under 100: n/100; over 2,000: 2,000/n; else 1."""
    assert token_score("x" * length) == pytest.approx(score)


def test_length_score_is_shorter_by_longer() -> None:
    assert length_score("x" * 10, "y" * 40) == length_score("x" * 40, "y" * 10) == 0.25
    assert length_score("", "") == 1.0


@pytest.mark.parametrize(
    ("vector", "score"), [([2.0, 0.0], 1.0), ([0.0, 3.0], 0.5), ([-1.0, 0.0], 0.0)]
)
def test_semantic_score_of_embeddings_is_mapped_to_0_and_1(
    vector: list[float], score: float
) -> None:
    """Cosine of embeddings, mapped to 0–1."""
    assert semantic_score([1.0, 0.0], vector) == score


def test_the_score_is_the_weighted_sum() -> None:
    """0.4 semantic, 0.2 temperature, 0.2 token, 0.2 length."""
    (ranking,) = rank(
        "a" * 50, [("p", "b" * 200)], semantics=[0.3], temperature=0.35, weights=DEFAULT
    )
    assert ranking.semantic_score == 0.3
    assert ranking.score == pytest.approx(0.4 * 0.3 + 0.2 * 0.5 + 0.2 * 1 + 0.2 * 0.25)


def test_the_best_comes_first_and_equals_keep_their_order() -> None:
    prompts = [("a", "whale"), ("b", "fox"), ("c", "whale"), ("d", "fox")]
    rankings = rank("x", prompts, semantics=[0, 1, 0, 1], temperature=0.7, weights=ONE)
    assert [ranking.prompt_id for ranking in rankings] == ["b", "d", "a", "c"]


def test_weights_are_normalised() -> None:
    weights = RankingWeights(semantic=6, temperature=0, token=2, length=0)
    (ranking,) = rank("x", [("a", "y" * 50)], semantics=[0.4], temperature=0.7, weights=weights)
    assert ranking.score == pytest.approx(0.75 * 0.4 + 0.25 * 0.5)


@given(
    text=st.text(max_size=50),
    prompts=st.lists(st.tuples(st.text(max_size=300), st.floats(0, 1)), max_size=6),
    temperature=st.floats(0, 2),
    weights=st.tuples(*[st.floats(0, 1000)] * 4),
)
def test_every_score_lies_between_0_and_1(
    text: str, prompts: list[tuple[str, float]], temperature: float, weights: tuple[float, ...]
) -> None:
    semantic, temperature_, token, length = weights
    rankings = rank(
        text,
        [(str(i), prompt) for i, (prompt, _) in enumerate(prompts)],
        semantics=[semantic for _, semantic in prompts],
        temperature=temperature,
        weights=RankingWeights(
            semantic=semantic, temperature=temperature_, token=token, length=length
        ),
    )
    assert sorted(ranking.prompt_id for ranking in rankings) == sorted(
        str(i) for i in range(len(prompts))
    )
    for ranking in rankings:
        scores = (ranking.semantic_score, ranking.temperature_score, ranking.token_score)
        for score in (*scores, ranking.length_score, ranking.score):
            assert -1e-9 <= score <= 1 + 1e-9
    assert [r.score for r in rankings] == sorted((r.score for r in rankings), reverse=True)
