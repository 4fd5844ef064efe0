"""Names, years and words as sources write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.knowledge.themes import expanded, related, stem, stems
from engine.knowledge.wording import (
    is_same_person,
    life_years,
    person_key,
    plain,
    positive_number,
    whole_number,
    years_in,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Vincent van Gogh", "Gogh, Vincent van"),
        ("Salvador Dalí", "SALVADOR DALI"),
        ("Rembrandt", "Rembrandt (Rembrandt van Rijn)"),
        ("Rembrandt van Rijn", "Rembrandt"),
        ("Vincent Willem van Gogh", "Vincent van Gogh"),
        ("Hokusai", "Katsushika Hokusai"),
        ("Picasso", "Pablo Picasso"),
        ("Turner, Joseph Mallord William", "J. M. W. Turner"),
        ("Søren Kierkegaard", "Soren Kierkegaard"),
    ],
)
def test_spellings_of_one_person(one: str, other: str) -> None:
    """Order, accents, second names and the usual short forms do not matter, either way."""
    assert is_same_person(one, other)
    assert is_same_person(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Paul", "Paul Klee"),
        ("Michelangelo", "Caravaggio"),
        ("Rembrandt Peale", "Rembrandt"),
        ("Hans Holbein", "Hans Holbein the Younger"),
        ("Workshop of Rembrandt van Rijn", "Rembrandt"),
        ("After Vincent van Gogh", "Vincent van Gogh"),
        ("Orazio Gentileschi", "Artemisia Gentileschi"),
        ("", ""),
        ("…", "?"),
    ],
)
def test_different_people(one: str, other: str) -> None:
    """First names alone, relatives, copyists and nobody are somebody else."""
    assert not is_same_person(one, other)
    assert not is_same_person(other, one)


@given(st.text(max_size=40), st.text(max_size=40))
def test_sameness_is_symmetric_and_plain_is_idempotent(one: str, other: str) -> None:
    """Who asks does not matter; folding twice is folding once."""
    assert is_same_person(one, other) == is_same_person(other, one)
    assert plain(plain(one)) == plain(one)
    assert is_same_person(one, one) == bool(person_key(one))


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("Spanish surrealist artist (1904–1989)", (1904, 1989)),
        ("Dutch painter (c. 1450–1516)", (1450, 1516)),
        ("painter (15 July 1606 – 4 October 1669)", (1606, 1669)),
        ("American photographer (born 1954)", (1954, None)),
        ("movement (1920s–1950s)", (None, None)),
        ("a painter of 1850", (None, None)),
    ],
)
def test_life_years_are_read_only_where_they_are_certain(
    text: str, years: tuple[int | None, int | None]
) -> None:
    """A description's brackets say birth and death; other years do not."""
    assert life_years(text) == years


def test_numbers_are_read_or_none() -> None:
    """What is no number, not positive or absurd is not known."""
    assert years_in("c. 1907–08, printed 1965") == [1907, 1965]
    assert years_in("inv. 12345") == []
    assert [whole_number(text) for text in ("1889", " 1889.0 ", "", "x", None, "inf")] == (
        [1889, 1889, None, None, None, None]
    )
    assert [positive_number(text) for text in ("73.7", "0", "-1", "nan", "", "1e9")] == (
        [73.7, None, None, None, None, None]
    )


@pytest.mark.parametrize(
    ("word", "same"),
    [("dreams", "dream"), ("dreaming", "dream"), ("cities", "city"), ("waves", "wave")],
)
def test_derived_words_have_one_stem(word: str, same: str) -> None:
    """Plurals and derived forms are compared as one word."""
    assert stem(word) == stem(same)


def test_related_words_are_the_families() -> None:
    """A concept is related to its family, and never to itself; unknown words have none."""
    assert "sleep" in related("Dreams")
    assert not any(stems(word) <= stems("dreams") for word in related("dreams"))
    assert related("quantum macramé") == ()
    assert expanded(("dreams", "night"))[:2] == ("dreams", "night")
