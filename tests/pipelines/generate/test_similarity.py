"""How alike texts and vectors are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pipelines.generate.similarity import cosine, likeness, most_similar

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
    with pytest.raises(ValueError, match="shorter"):
        cosine([1.0, 2.0], [1.0])


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert likeness("The red fox!", "FOX, red: the") == pytest.approx(1.0)
    assert likeness("red", "blue") == 0.0
    assert likeness("", "blue") == 0.0


def test_words_of_any_script_count() -> None:
    assert likeness("Füchse лиса 狐", "狐 лиса füchse") == pytest.approx(1.0)


def test_the_most_similar_come_first_and_unlike_ones_not_at_all() -> None:
    others = ["whale song", "fox", "a red fox", "red fox", "fox"]
    assert most_similar("red fox", others, 3) == ["red fox", "a red fox", "fox"]
    assert most_similar("red fox", others, 9) == ["red fox", "a red fox", "fox", "fox"]
    assert most_similar("tree", others, 5) == []
