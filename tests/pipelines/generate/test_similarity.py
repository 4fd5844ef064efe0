"""How alike texts and vectors are."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from engine.pipelines.generate.similarity import cosine, likenesses, most_similar

VECTOR = st.lists(st.floats(-1e150, 1e150), min_size=3, max_size=3)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 0], [1, 0], 1.0),
        ([1, 0], [0, 1], 0.0),
        ([1, 0], [-2, 0], -1.0),
        ([0, 0], [1, 0], 0.0),
        ([3, 4], [4, 3], 0.96),
    ],
)
def test_cosine(a: list[float], b: list[float], expected: float) -> None:
    assert cosine(a, b) == pytest.approx(expected)


@given(VECTOR, VECTOR)
def test_cosine_stays_in_its_range(a: list[float], b: list[float]) -> None:
    assert -1.0 <= cosine(a, b) <= 1.0


def test_vectors_of_different_lengths_are_a_defect() -> None:
    with pytest.raises(ValueError, match="2 and 1 numbers"):
        cosine([1.0, 2.0], [1.0])


async def test_words_are_compared_without_case_and_punctuation() -> None:
    same, other, half = await likenesses("The red fox!", ["FOX, red: the", "blue", "the whale"])
    assert same == pytest.approx(1.0)
    assert other == 0.0
    assert half == pytest.approx(1 / 6**0.5)
    assert await likenesses("", ["blue"]) == [0.0]


async def test_words_of_any_script_count() -> None:
    assert await likenesses("Füchse лиса 狐", ["狐 лиса füchse"]) == [pytest.approx(1.0)]


async def test_the_most_similar_come_first_and_unlike_ones_not_at_all() -> None:
    others = ["whale song", "fox", "a red fox", "red fox", "fox"]
    assert await most_similar("red fox", others, 3) == ["red fox", "a red fox", "fox"]
    assert await most_similar("red fox", others, 9) == ["red fox", "a red fox", "fox", "fox"]
    assert await most_similar("tree", others, 5) == []


async def test_a_long_history_does_not_hold_up_others() -> None:
    """The loop is never blocked: it yields between two texts."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await likenesses("text", ["other"])
    assert scope.cancelled_caught
