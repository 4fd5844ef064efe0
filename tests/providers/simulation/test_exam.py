"""Exam texts pass the content pipeline's validator, whatever the notes are."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.pipelines.content.validator import ContentType, validate
from engine.providers.interface import GenerationRequest, Message
from engine.providers.simulation import exam
from engine.providers.simulation.reading import read_request

NOTES = """The text states that acute kidney injury is a sudden fall of the filtration rate.
Prerenal causes are the commonest: volume depletion, heart failure and sepsis.
According to the passage, "muddy brown casts" point to acute tubular necrosis.
Hyperkalaemia is the most dangerous complication and needs an electrocardiogram at once.
Answer: this line begins like a heading.
Key Insights: and so does this one.
A) This one looks like an option.
Nephrotoxic drugs such as gentamicin should be stopped."""
LAYOUTS = {"MCQ": exam.format_mcq, "NMCQ": exam.format_nmcq, "SUMMARY": exam.format_summary}
KINDS: tuple[ContentType, ...] = ("MCQ", "NMCQ", "SUMMARY")


def notes(text: str, seed: int = 1) -> exam.Notes:
    request = GenerationRequest(
        messages=(Message(role="user", content=f"Lay it out.\n<draft>\n{text}\n</draft>"),),
        model="",
    )
    return exam.Notes(read_request(request), random.Random(seed))


@pytest.mark.parametrize("count", range(1, 21))
@pytest.mark.parametrize("kind", KINDS)
def test_a_layout_passes_the_validator_for_every_count(kind: ContentType, count: int) -> None:
    """The simulated provider writes text that passes."""
    text = LAYOUTS[kind](notes(NOTES, count), count)
    assert validate(kind, text, count) == ()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(text=st.text(min_size=1, max_size=400), count=st.integers(1, 20))
@example(text="0 0 0 0", count=1)
def test_a_layout_passes_the_validator_for_any_notes(
    kind: ContentType, text: str, count: int
) -> None:
    """Whatever the notes are: other scripts, marks, nothing but headings."""
    made = LAYOUTS[kind](notes(text), count)
    assert validate(kind, made, count) == ()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(
        st.sampled_from(
            [*NOTES.splitlines(), "Question 1", "1. True/False: x y z w", "Explanation", "2. Title",
             "Option C: wrong here as well", "High Yield", "Clinical Vignette 2: no", "* * *"]
        ),
        min_size=1,
    )
)  # fmt: skip
def test_a_layout_passes_the_validator_for_notes_like_a_layout(
    kind: ContentType, lines: list[str]
) -> None:
    """Lines that would be read as headings of the layout are not taken over."""
    made = LAYOUTS[kind](notes("\n".join(lines)), 4)
    assert validate(kind, made, 4) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_layout_of_a_draft_passes_and_keeps_the_facts(kind: ContentType) -> None:
    """The formatter lays out what the generator wrote."""
    drafted = exam.draft(notes(NOTES), kind, 4)
    made = LAYOUTS[kind](notes(drafted), 4)
    assert validate(kind, made, 4) == ()
    assert "sudden fall of the filtration rate" in made
    assert "The point to test" not in made


@pytest.mark.parametrize("kind", KINDS)
def test_a_layout_has_no_quotation_marks_and_no_source_attribution(kind: ContentType) -> None:
    """No quotation marks and no talk of "the text"."""
    made = LAYOUTS[kind](notes(NOTES), 6)
    assert not re.search(r"[\"“”]", made)
    assert not re.search(r"the (text|passage) states|according to the passage", made, re.IGNORECASE)


def test_the_right_letters_vary() -> None:
    """A set of questions does not have all answers at one letter."""
    made = exam.format_mcq(notes(NOTES), 20)
    assert len(set(re.findall(r"^Correct Answer: (\w)$", made, re.MULTILINE))) >= 3
