"""Length rules of texts, and what is done with one that breaks them."""

from __future__ import annotations

import pytest

from engine.pipelines.exhibition.texts import (
    RULES,
    cut_chars,
    cut_words,
    fault_of,
    settled,
    undressed,
)

TITLE, SUBTITLE, STATEMENT, RATIONALE, AUDIENCE, LEVEL = RULES


@pytest.mark.parametrize(
    ("rule", "text", "is_fault"),
    [
        (TITLE, "x" * 50, False),
        (TITLE, "x" * 51, True),
        (TITLE, "two\nlines", True),
        (TITLE, "", True),
        (STATEMENT, "word " * 200, False),
        (STATEMENT, "word " * 250, False),
        (STATEMENT, "word " * 199, True),
        (STATEMENT, "word " * 251, True),
        (RATIONALE, "word " * 150, False),
        (RATIONALE, "word " * 201, True),
        (LEVEL, "intermediate", False),
        (LEVEL, "easy", True),
    ],
)
def test_bounds(rule, text: str, is_fault: bool) -> None:  # type: ignore[no-untyped-def]
    """Title 50 characters, statement 200 to 250 words, rationale 150 to 200, a known level."""
    assert bool(fault_of(text, rule)) is is_fault


@pytest.mark.parametrize(
    ("rule", "said", "taken"),
    [
        (TITLE, '**"Dreams in Chains"**\n', "Dreams in Chains"),
        (TITLE, "# Dreams", "Dreams"),
        (TITLE, "“What is a dream?”", "What is a dream?"),
        (STATEMENT, '  "Dreams" are old.\n', '"Dreams" are old.'),
        (LEVEL, "Intermediate.", "intermediate"),
        (LEVEL, "The level is advanced, I think.", "advanced"),
    ],
)
def test_what_stands_around_a_text(rule, said: str, taken: str) -> None:  # type: ignore[no-untyped-def]
    """Quotes, marks and space around a line are no part of it."""
    assert undressed(said, rule) == taken


def test_cut_at_a_sentence() -> None:
    """What is too long ends with the last sentence that leaves enough words."""
    text = "One two three. Four five six! Seven eight nine."
    assert cut_words(text, 4, 8) == "One two three. Four five six!"
    assert cut_words(text, 1, 9) == text


def test_cut_without_a_sentence() -> None:
    """Where no sentence ends in time, the cut shows."""
    assert cut_words("one two, three four", 1, 2) == "one two…"


@pytest.mark.parametrize("most", range(1, 30))
def test_a_cut_line_is_short_enough(most: int) -> None:
    """At most so many characters, the ellipsis included."""
    assert len(cut_chars("The Shape of Dreams and Time", most)) <= most


def test_too_short_is_said_and_not_filled() -> None:
    """Nothing is added to a text that is too short, and the note says how short."""
    text, note = settled("Far too short.", STATEMENT)
    assert text == "Far too short."
    assert note == "The curatorial statement has 3 words, fewer than the 200 asked for."


def test_an_unknown_level_is_left_open() -> None:
    """A level that is none of the three is not guessed."""
    assert settled("easy", LEVEL)[0] == ""
