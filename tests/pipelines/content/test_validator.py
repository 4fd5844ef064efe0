"""The validator against contract 2, rule by rule."""

from __future__ import annotations

import pytest

from engine.pipelines.content.reading import Fault
from engine.pipelines.content.validator import MAX_CHARACTERS, MAX_FAULTS, ContentType, validate
from tests.pipelines.content.malformed import MALFORMED, Q1_ANALYSIS, Malformed
from tests.pipelines.content.samples import MCQ, NMCQ, SUMMARY, edited, line_of

SAMPLES: dict[ContentType, tuple[str, int]] = {
    "MCQ": (MCQ, 2),
    "NMCQ": (NMCQ, 5),
    "SUMMARY": (SUMMARY, 5),
}


@pytest.mark.parametrize("content_type", SAMPLES)
def test_a_well_formed_sample_has_no_faults(content_type: ContentType) -> None:
    """The forms that the contract allows are all allowed."""
    text, num_questions = SAMPLES[content_type]
    assert validate(content_type, text, num_questions) == ()


@pytest.mark.parametrize("content_type", SAMPLES)
@pytest.mark.parametrize("text", ["", " ", "\n\n \t\n", "\u2028"])
def test_empty_output_is_never_valid(content_type: ContentType, text: str) -> None:
    """Empty output is never valid."""
    assert validate(content_type, text, 1) == (Fault(1, "Document", "The text is empty"),)


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: f"{case.content_type}-{case.name}")
def test_a_malformed_text_has_one_fault_with_line_and_section(case: Malformed) -> None:
    """Each error has line, section and message; one slip is one error."""
    text, num_questions = SAMPLES[case.content_type]
    text = edited(text, *case.edits).strip()

    faults = validate(case.content_type, text, num_questions)

    line = line_of(text + "\n", case.at) if case.at else len(text.split("\n"))
    assert [(fault.line, fault.section) for fault in faults] in [
        [(line, section)] for section in case.section.split("|")
    ], faults
    assert case.says in faults[0].message


def test_there_are_enough_kinds_of_malformed_texts() -> None:
    """Line and section are named for at least 40 kinds of malformed ones."""
    assert len({(case.content_type, case.name) for case in MALFORMED}) == len(MALFORMED) >= 40


@pytest.mark.parametrize("content_type", ["MCQ", "NMCQ"])
@pytest.mark.parametrize("off_by", [-1, 1])
def test_a_wrong_number_of_questions_is_the_documents_fault(
    content_type: ContentType, off_by: int
) -> None:
    """Exactly `num_questions` questions; NMCQ: the total is `num_questions`."""
    text, there = SAMPLES[content_type]
    faults = validate(content_type, text, there + off_by)
    assert {fault.section for fault in faults} <= {"Document", "Item"}
    assert (
        Fault(
            len(text.strip().split("\n")),
            "Document",
            f"{there + off_by} questions are wanted, and {there} are there",
        )
        in faults
    )


def test_the_number_of_blocks_is_free() -> None:
    """The contract counts the questions of MCQ and NMCQ alone."""
    assert validate("SUMMARY", SUMMARY, 1) == validate("SUMMARY", SUMMARY, 20) == ()


@pytest.mark.parametrize(
    "answer", ["A", "a", "A.", "A)", "a.", "Artesunate", "artesunate.", "A) Artesunate"]
)
def test_a_drop_downs_answer_is_an_option_by_letter_or_text(answer: str) -> None:
    """The answer is one of them."""
    text = edited(NMCQ, ("Answer: A\n", f"Answer: {answer}\n"))
    assert validate("NMCQ", text, 5) == ()


@pytest.mark.parametrize("answer", ["False", "false", "FALSE.", "True", "true."])
def test_an_answer_of_its_kind_may_end_with_a_full_stop(answer: str) -> None:
    """The answer is of the item's kind (a full stop after it is fine)."""
    assert validate("NMCQ", edited(NMCQ, ("False.", answer)), 5) == ()


@pytest.mark.parametrize("answer", ["A", "a", "C", "d"])
def test_an_answers_letter_may_have_either_case(answer: str) -> None:
    """One letter among the options, either case."""
    others = "".join(f"{letter}) No.\n" for letter in "ABCD" if letter != answer.upper())
    text = edited(MCQ, ("Correct Answer: A", f"Correct Answer: {answer}"), (Q1_ANALYSIS, others))
    assert validate("MCQ", text, 2) == ()


@pytest.mark.parametrize(
    "title", ["Question 1", "Question 1 – Heart", "Question 1-Heart", "Question 1 — a - b"]
)
def test_a_titles_dash_and_text_are_optional(title: str) -> None:
    """`Question <n>` (optional dash and text)."""
    assert validate("MCQ", edited(MCQ, ("Question 1 - Chest pain", title)), 2) == ()


def test_items_may_count_on_in_a_later_vignette() -> None:
    """Items are numbered from 1, in each vignette or through the text."""
    text = edited(
        NMCQ, ("1. Drop Down: The", "4. Drop Down: The"), ("2. Drop Down: O", "5. Drop Down: O")
    )
    assert validate("NMCQ", text, 5) == ()


def test_an_unknown_kind_is_named_where_items_are_missing() -> None:
    """Items are True/False, Yes/No or Drop Down."""
    text = edited(NMCQ, ("2. Drop Down: Options", "2. Matching: Options"))
    faults = validate("NMCQ", text, 5)
    named = [fault for fault in faults if '"Matching" is no kind' in fault.message]
    assert [(fault.line, fault.section) for fault in named] == [(line_of(text, "Matching"), "Item")]


@pytest.mark.parametrize(
    ("end", "is_short"), [("1234567890123456789", True), ("12345678901234567890", False)]
)
def test_twenty_characters_are_enough(end: str, is_short: bool) -> None:
    """20 characters or more."""
    text = edited(SUMMARY, ("Rate control comes before rhythm control.", f"- {end}"))
    assert bool(validate("SUMMARY", text, 5)) is is_short


def test_a_vignette_may_have_a_line_that_looks_like_an_option() -> None:
    """A name or a species at the beginning of a line is no option."""
    text = edited(MCQ, ("A 30-year-old woman", "A. Smith came in.\nC. difficile grew.\nA woman"))
    assert validate("MCQ", text, 2) == ()


def test_an_analysis_may_have_a_line_that_looks_like_a_paragraph() -> None:
    """A species at the beginning of a line is no second paragraph."""
    text = edited(
        MCQ,
        ("It slows the ventricle", "E. coli is no matter.\nB. cereus neither. It slows"),
        ("C. Verapamil", "C) Verapamil"),
    )
    assert validate("MCQ", text, 2) == ()


def test_no_space_is_needed_after_a_letters_mark() -> None:
    """`A)`, `A.`; an abbreviation at the beginning of a line is no letter of an option."""
    text = edited(
        MCQ,
        ("A) Aspirin", "A)Aspirin"),
        ("B) Digoxin\n", "B.Digoxin\n"),
        ("C. Verapamil", "C.Verapamil"),
        ("Aspirin irreversibly", "B.N.P. is high. Aspirin irreversibly"),
        ("It slows the ventricle", "C.H.F. is no matter. It slows"),
    )
    assert validate("MCQ", text, 2) == ()


def test_a_text_that_never_ends_is_refused_and_not_read() -> None:
    """A model that never stops must not hold up the event loop."""
    faults = validate("MCQ", MCQ * (MAX_CHARACTERS // len(MCQ) + 1), 2)
    assert [(fault.line, fault.section) for fault in faults] == [(1, "Document")]
    assert "200,000 are the most" in faults[0].message


def test_lines_are_counted_in_the_trimmed_text() -> None:
    """Lines count from 1; `output` and `partial_output` are trimmed."""
    text = "\n\n  " + edited(MCQ, ("Question 1 - Chest pain", "Question 1:"))
    assert [fault.line for fault in validate("MCQ", text, 2)] == [1]


@pytest.mark.parametrize("end", ["\r\n", "\r"])
@pytest.mark.parametrize("content_type", SAMPLES)
def test_every_kind_of_line_end_is_one(content_type: ContentType, end: str) -> None:
    """Lines are those of an editor."""
    text, num_questions = SAMPLES[content_type]
    assert validate(content_type, text.replace("\n", end), num_questions) == ()


def test_no_end_of_faults_is_cut_short_and_counted() -> None:
    """A hostile text has room for ten thousand faults; the rest is counted, never silent."""
    faults = validate("MCQ", "Question 7\n" * 500, 1)
    assert len(faults) == MAX_FAULTS + 1
    assert "more faults" in faults[-1].message
