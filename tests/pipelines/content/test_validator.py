"""The validator against contract 2, rule by rule."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from engine.pipelines.content.reading import Fault
from engine.pipelines.content.validator import MAX_FAULTS, ContentType, validate
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


class Malformed(NamedTuple):
    """One way to spoil a sample, and the one fault that has to be found."""

    name: str
    content_type: ContentType
    edits: tuple[tuple[str, str], ...]
    at: str
    """Something in the line that is to be named; "" for the last line."""
    section: str
    says: str


Q1_OPTIONS = "A) Aspirin\nB) Digoxin\n\nC) Verapamil\nD) Warfarin\n"
Q1_ANALYSIS = """\
B) Digoxin has no place here.
It slows the ventricle and changes nothing else.
C. Verapamil is a choice for spasm.
Option D: Warfarin acts within days.
"""

MALFORMED = [
    # -- MCQ: titles and their number
    Malformed(
        "text before", "MCQ", (("Question 1", "Here it is:\nQuestion 1"),), "Here", "Title", "begin"
    ),
    Malformed(
        "number too high",
        "MCQ",
        (("Question 2", "Question 3"),),
        "Question 3",
        "Title",
        "where 2 is",
    ),
    Malformed(
        "number again",
        "MCQ",
        (("Question 2", "Question 1"),),
        "Question 1\n",
        "Title",
        "where 2 is",
    ),
    Malformed(
        "numbered from 0",
        "MCQ",
        (("Question 1 -", "Question 0 -"), ("Question 2", "Question 1")),
        "Question 0",
        "Title",
        "where 1 is",
    ),
    Malformed(
        "title with a colon",
        "MCQ",
        (("Question 2", "Question 2:"),),
        "Question 2:",
        "Title",
        "Write the title",
    ),
    Malformed(
        "title in bold",
        "MCQ",
        (("Question 2", "**Question 2**"),),
        "**Question 2",
        "Title",
        "Write the title",
    ),
    Malformed(
        "title in capitals",
        "MCQ",
        (("Question 2", "QUESTION 2"),),
        "QUESTION 2",
        "Title",
        "Write the title",
    ),
    Malformed(
        "title's dash without text",
        "MCQ",
        (("Question 2", "Question 2 -"),),
        "Question 2 -",
        "Title",
        "Write the title",
    ),
    Malformed(
        "title's text without dash",
        "MCQ",
        (("Question 2", "Question 2 Zinc"),),
        "Question 2 Z",
        "Title",
        "Write the title",
    ),
    # -- MCQ: vignette and options
    Malformed(
        "no vignette",
        "MCQ",
        (("A 30-year-old woman tires easily.\n", ""),),
        "Question 2",
        "Vignette",
        "no vignette",
    ),
    Malformed(
        "vignette of dashes",
        "MCQ",
        (("A 30-year-old woman tires easily.", "-----"),),
        "Question 2",
        "Vignette",
        "no vignette",
    ),
    Malformed(
        "three options",
        "MCQ",
        (("D) Warfarin\n", ""), ("Option D: Warfarin acts within days.\n", "")),
        "C) Verapamil",
        "Options",
        "3 are there",
    ),
    Malformed(
        "six options",
        "MCQ",
        (("E. Zinc\n", "E. Zinc\nF. Tin\n"), ("D. Copper would", "F. Tin no.\nD. Copper would")),
        "F. Tin",
        "Options",
        "6 are there",
    ),
    Malformed(
        "a letter left out",
        "MCQ",
        (
            ("D. Copper\nE.", "E. Copper\nF."),
            ("Answer: e", "Answer: f"),
            ("D. Copper would", "E. Copper would"),
        ),
        "E. Copper",
        "Options",
        "where D is",
    ),
    Malformed(
        "options begin at B",
        "MCQ",
        (
            (
                "A. Iron\nB. Folate\nC. Cobalamin\nD. Copper\nE. Zinc",
                "B. Iron\nC. Folate\nD. Cobalamin\nE. Copper",
            ),
            ("A. Iron would", "B. Iron would"),
            ("B. Folate as well", "C. Folate as well"),
            ("C. Cobalamin as well", "D. Cobalamin as well"),
            ("D. Copper would change her gait.\n", ""),
        ),
        "B. Iron",
        "Options",
        "where A is",
    ),
    Malformed(
        "a letter twice",
        "MCQ",
        (("B. Folate\n", "B. Folate\nB. Biotin\n"),),
        "B. Biotin",
        "Options",
        "stands twice",
    ),
    Malformed("an empty option", "MCQ", (("B. Folate\n", "B.\n"),), "B.", "Options", "is empty"),
    Malformed(
        "text between options",
        "MCQ",
        (("B) Digoxin\n", "B) Digoxin\nor rather\n"),),
        "or rather",
        "Options",
        "one line",
    ),
    Malformed(
        "small letters",
        "MCQ",
        (("D) Warfarin", "d) Warfarin"),),
        "d) Warfarin",
        "Options",
        "capital letter",
    ),
    # -- MCQ: the answer
    Malformed(
        "answer missing",
        "MCQ",
        (("Correct Answer: A\n", ""),),
        "Explanation",
        "Correct Answer",
        "is missing",
    ),
    Malformed(
        "answer without letter",
        "MCQ",
        (("Correct Answer: A", "Correct Answer:"),),
        "Correct Answer:",
        "Correct Answer",
        "no letter follows",
    ),
    Malformed(
        "two letters",
        "MCQ",
        (("Correct Answer: A", "Correct Answer: A and B"),),
        "Correct Answer",
        "Correct Answer",
        "one letter",
    ),
    Malformed(
        "a word",
        "MCQ",
        (("Correct Answer: A", "Correct Answer: Aspirin"),),
        "Correct Answer",
        "Correct Answer",
        "one letter",
    ),
    Malformed(
        "a digit",
        "MCQ",
        (("Correct Answer: A", "Correct Answer: 1"),),
        "Correct Answer",
        "Correct Answer",
        "one letter",
    ),
    Malformed(
        "no such option",
        "MCQ",
        (("Correct Answer: A", "Correct Answer: E"),),
        "Correct Answer: E",
        "Correct Answer",
        "none of the options",
    ),
    Malformed(
        "answer twice",
        "MCQ",
        (("Answer: e\n", "Answer: e\nCorrect Answer: E\n"),),
        "Correct Answer: E",
        "Correct Answer",
        "twice",
    ),
    Malformed(
        "text after the answer",
        "MCQ",
        (("Answer: e\n", "Answer: e\nbecause of it\n"),),
        "because",
        "Correct Answer",
        "nothing may stand",
    ),
    Malformed(
        "answer without colon",
        "MCQ",
        (("Correct Answer: A", "Correct Answer - A"),),
        "Correct Answer - A",
        "Correct Answer",
        "exactly so",
    ),
    # -- MCQ: explanation, analysis, insights
    Malformed(
        "explanation missing",
        "MCQ",
        (("Explanation: Her nails and her taste point to zinc.\n", ""),),
        "Distractors",
        "Explanation",
        "is missing",
    ),
    Malformed(
        "explanation empty",
        "MCQ",
        (("Explanation: Her nails and her taste point to zinc.", "Explanation:\n---"),),
        "Explanation:\n",
        "Explanation",
        "is empty",
    ),
    Malformed(
        "explanation twice",
        "MCQ",
        (("Explanation: Her", "Explanation: Yes.\nExplanation: Her"),),
        "Explanation: Her",
        "Explanation",
        "twice",
    ),
    Malformed(
        "explanation in bold",
        "MCQ",
        (("Explanation: Her", "**Explanation:** Her"),),
        "**Expl",
        "Explanation",
        "exactly so",
    ),
    Malformed(
        "analysis missing",
        "MCQ",
        ((Q1_ANALYSIS, ""), ("Analysis of Other Options\n", "")),
        "Key Insights",
        "Analysis of Other Options",
        "is missing",
    ),
    Malformed(
        "analysis empty",
        "MCQ",
        ((Q1_ANALYSIS, ""),),
        "Analysis",
        "Analysis of Other Options",
        "is empty",
    ),
    Malformed(
        "analysis twice",
        "MCQ",
        (("Key Insights: Taste", "Analysis of Other Options: no\nKey Insights: Taste"),),
        "Options: no",
        "Analysis of Other Options",
        "twice",
    ),
    Malformed(
        "a paragraph missing",
        "MCQ",
        (("C. Verapamil is a choice for spasm.\n", ""),),
        "Analysis",
        "Analysis of Other Options",
        "no paragraph for C",
    ),
    Malformed(
        "the last paragraph missing",
        "MCQ",
        (("D. Copper would change her gait.\n", ""),),
        "Distractors",
        "Analysis of Other Options",
        "no paragraph for D",
    ),
    Malformed(
        "a paragraph without text",
        "MCQ",
        (("Option D: Warfarin acts within days.", "Option D:"),),
        "Option D:",
        "Analysis of Other Options",
        "for D is empty",
    ),
    Malformed(
        "a paragraph twice",
        "MCQ",
        (("Option D:", "C) It is slow.\nOption C: It is slow.\nOption D:"),),
        "Option C:",
        "Analysis of Other Options",
        "two paragraphs",
    ),
    Malformed(
        "a paragraph for the answer",
        "MCQ",
        (("Option D:", "A) It is right.\nOption D:"),),
        "A) It is",
        "Analysis of Other Options",
        "is the answer",
    ),
    Malformed(
        "a paragraph for no option",
        "MCQ",
        (("Option D:", "F) It is not there.\nOption D:"),),
        "F) It",
        "Analysis of Other Options",
        "no option F",
    ),
    Malformed(
        "distractors without colon",
        "MCQ",
        (("Distractors:", "Distractors"),),
        "Distractors",
        "Analysis of Other Options",
        "exactly so",
    ),
    Malformed(
        "insights missing",
        "MCQ",
        (("Key Insights: Taste is a clue.\n", ""),),
        "",
        "Key Insights",
        "is missing",
    ),
    Malformed(
        "insights empty",
        "MCQ",
        (("- Give aspirin at once.\n", "-\n"),),
        "Key Insights:",
        "Key Insights",
        "is empty",
    ),
    Malformed(
        "insights twice",
        "MCQ",
        (("Key Insights: Taste is a clue.", "Key Insights: Taste.\nKey Insights: Clue."),),
        "Insights: Clue",
        "Key Insights",
        "twice",
    ),
    Malformed(
        "insights without colon",
        "MCQ",
        (("Key Insights:\n", "Key Insights\n"),),
        "Key Insights",
        "Key Insights",
        "exactly so",
    ),
    Malformed(
        "insights in small letters",
        "MCQ",
        (("Key Insights:\n", "Key insights:\n"),),
        "Key insights",
        "Key Insights",
        "exactly so",
    ),
    Malformed(
        "sections out of order",
        "MCQ",
        (
            ("Explanation: Her nails and her taste point to zinc.\n", ""),
            ("Key Insights: Taste", "Explanation: Her nails.\nKey Insights: Taste"),
        ),
        "Explanation: Her",
        "Explanation",
        "stands after",
    ),
    # -- NMCQ
    Malformed(
        "text before",
        "NMCQ",
        (("Clinical Vignette 1", "Sure!\nClinical Vignette 1"),),
        "Sure",
        "Clinical Vignette",
        "begin",
    ),
    Malformed(
        "vignette's number",
        "NMCQ",
        (("Clinical Vignette 2", "Clinical Vignette 3"),),
        "Vignette 3",
        "Clinical Vignette",
        "where 2 is",
    ),
    Malformed(
        "vignette without number",
        "NMCQ",
        (("Clinical Vignette 2: A cough", "Clinical Vignette: A cough"),),
        "Vignette: A",
        "Clinical Vignette",
        "no number",
    ),
    Malformed(
        "vignette without title",
        "NMCQ",
        (("Clinical Vignette 2: A cough", "Clinical Vignette 2:"),),
        "Vignette 2:",
        "Clinical Vignette",
        "no title",
    ),
    Malformed(
        "vignette in bold",
        "NMCQ",
        (("Clinical Vignette 2: A cough", "**Clinical Vignette 2: A cough**"),),
        "**Clin",
        "Clinical Vignette",
        "exactly so",
    ),
    Malformed(
        "vignette with a dash",
        "NMCQ",
        (("Clinical Vignette 2: A cough", "Clinical Vignette 2 - A cough"),),
        "2 - A",
        "Clinical Vignette",
        "exactly so",
    ),
    Malformed(
        "no body", "NMCQ", (("An old woman coughs.\n", ""),), "Vignette 2", "Body", "no body"
    ),
    Malformed(
        "no items",
        "NMCQ",
        (
            (
                "Clinical Vignette 2: A cough",
                "Clinical Vignette 2: A cold\nHe sneezes.\nClinical Vignette 3: A cough",
            ),
        ),
        "A cold",
        "Item",
        "no items",
    ),
    Malformed("item left out", "NMCQ", (("3. Drop", "4. Drop"),), "4. Drop", "Item", "where 3 is"),
    Malformed(
        "item numbered from 2",
        "NMCQ",
        (
            ("1. Drop Down: The likely", "2. Drop Down: The likely"),
            ("2. Drop Down: Options;", "3. Drop Down: Options;"),
        ),
        "2. Drop Down: The likely",
        "Item",
        "where 1 or 4 is",
    ),
    Malformed(
        "item without number",
        "NMCQ",
        (("3. Drop Down", "Drop Down"),),
        "Drop Down: The first",
        "Item",
        "no number",
    ),
    Malformed(
        "item in bold",
        "NMCQ",
        (("3. Drop Down:", "**3. Drop Down:**"),),
        "**3.",
        "Item",
        "exactly so",
    ),
    Malformed(
        "kind misspelt",
        "NMCQ",
        (("1. True/False:", "1. True or False:"),),
        "True or",
        "Item",
        "exactly so",
    ),
    Malformed(
        "item without text",
        "NMCQ",
        (("1. True/False: A single negative smear excludes malaria.", "1. True/False:"),),
        "1. True",
        "Item",
        "no text",
    ),
    Malformed(
        "true for yes",
        "NMCQ",
        (("Correct Answer: No", "Correct Answer: True"),),
        "Correct Answer",
        "Answer",
        "is Yes or No",
    ),
    Malformed(
        "yes for true",
        "NMCQ",
        (("Answer: False.", "Answer: No."),),
        "Answer: No.",
        "Answer",
        "is True or False",
    ),
    Malformed(
        "answer with a comment",
        "NMCQ",
        (("Answer: False.", "Answer: False, since"),),
        "since",
        "Answer",
        "is True or False",
    ),
    Malformed(
        "item's answer missing",
        "NMCQ",
        (("Answer: False.\n", ""),),
        "Explanation: Smears",
        "Answer",
        "is missing",
    ),
    Malformed(
        "item's answer empty",
        "NMCQ",
        (("Answer: False.", "Answer:"),),
        "Answer:\n",
        "Answer",
        "is empty",
    ),
    Malformed(
        "item's answer twice",
        "NMCQ",
        (("Answer: False.", "Answer: False.\nCorrect Answer: False"),),
        "Correct Answer: False",
        "Answer",
        "twice",
    ),
    Malformed(
        "explanation missing",
        "NMCQ",
        (("Explanation: Smears are repeated.\n", ""),),
        "Answer: False",
        "Explanation",
        "is missing",
    ),
    Malformed(
        "explanation empty",
        "NMCQ",
        (("Explanation: Smears are repeated.", "Explanation:"),),
        "Explanation:\n",
        "Explanation",
        "is empty",
    ),
    Malformed(
        "explanation first",
        "NMCQ",
        (
            (
                "Answer: False.\nExplanation: Smears are repeated.",
                "Explanation: Smears are repeated.\nAnswer: False.",
            ),
        ),
        "Answer: False",
        "Answer|Explanation",
        "stands after",
    ),
    Malformed(
        "one option",
        "NMCQ",
        (("B) Doxycycline\nC) Chloroquine\n", ""),),
        "A) Artesunate",
        "Options",
        "1 are there",
    ),
    Malformed(
        "no option",
        "NMCQ",
        (("A) Artesunate\nB) Doxycycline\nC) Chloroquine\n", ""),),
        "3. Drop",
        "Options",
        "0 are there",
    ),
    Malformed(
        "answer none of the options",
        "NMCQ",
        (("Answer: Two", "Answer: four"),),
        "Answer: four",
        "Answer",
        "none of the options",
    ),
    Malformed(
        "letter and text disagree",
        "NMCQ",
        (("Answer: A\n", "Answer: B) Artesunate\n"),),
        "Answer: B)",
        "Answer",
        "none of the options",
    ),
    # -- SUMMARY
    Malformed(
        "text before",
        "SUMMARY",
        (("1. Heart", "Of course:\n1. Heart"),),
        "Of course",
        "Block",
        "begin",
    ),
    Malformed(
        "block left out", "SUMMARY", (("Block 3", "Block 4"),), "Block 4", "Block", "where 3 is"
    ),
    Malformed(
        "blocks from 0",
        "SUMMARY",
        (("1. Heart", "0. Heart"), ("2. Valves", "1. Valves"), ("Block 3", "Block 2")),
        "0. Heart",
        "Block",
        "where 1 is",
    ),
    Malformed(
        "no high yield",
        "SUMMARY",
        (("High Yield\n- Aortic stenosis is heard at the base.\n", ""),),
        "Key Insights:",
        "High Yield",
        "is missing",
    ),
    Malformed(
        "no insight",
        "SUMMARY",
        (("Key Insight: Treat the cause as well as the fluid.\n", ""),),
        "2. Beta",
        "Key Insight",
        "is missing",
    ),
    Malformed(
        "no insight at the end",
        "SUMMARY",
        (("Key Insight\nRate control comes before rhythm control.\n", ""),),
        "",
        "Key Insight",
        "is missing",
    ),
    Malformed(
        "high yield of 19 characters",
        "SUMMARY",
        (("* Anticoagulate by the score.", "* 1234567890123456789"),),
        "High-Yield",
        "High Yield",
        "has 19",
    ),
    Malformed(
        "insight of 19 characters",
        "SUMMARY",
        (("Rate control comes before rhythm control.", "1234567890123456789"),),
        "Key Insight\n",
        "Key Insight",
        "has 19",
    ),
    Malformed(
        "empty insight",
        "SUMMARY",
        (("Rate control comes before rhythm control.", ""),),
        "Key Insight\n",
        "Key Insight",
        "has 0",
    ),
    Malformed(
        "high yield twice",
        "SUMMARY",
        (("Key Insight\nRate", "High Yield: again, and for long.\nKey Insight\nRate"),),
        "again",
        "High Yield",
        "twice",
    ),
    Malformed(
        "insight twice",
        "SUMMARY",
        (("Rate control", "Rate control it is, not rhythm.\nKey Insight: rate control"),),
        "Insight: rate",
        "Key Insight",
        "twice",
    ),
    Malformed(
        "heading in bold",
        "SUMMARY",
        (("High Yield\n", "**High Yield**\n"),),
        "**High",
        "High Yield",
        "exactly so",
    ),
]


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
