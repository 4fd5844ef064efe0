"""The validator against texts that nobody thought of: it never crashes, and good ones pass."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.pipelines.content.validator import MAX_FAULTS, ContentType, validate
from tests.pipelines.content.samples import MCQ, NMCQ, SUMMARY

TYPES = st.sampled_from(["MCQ", "NMCQ", "SUMMARY"])
SAMPLE_LINES = sorted({*MCQ.split("\n"), *NMCQ.split("\n"), *SUMMARY.split("\n")})
PIECES = st.one_of(
    st.sampled_from(SAMPLE_LINES),
    st.sampled_from(
        [
            "Question 99999999999999999999",
            "Question ٣",
            "**Question 2**",
            "1. Drop Down:",
            "Options:",
            "Options: ;|,",
            "Answer:",
            "A)",
            "A.",
            "Option :",
            "Key Insights",
            "1.",
            "0",
        ]
    ),
    st.text(max_size=30),
)


@given(TYPES, st.text(), st.integers(1, 20))
def test_no_text_crashes_it(content_type: ContentType, text: str, num_questions: int) -> None:
    """Property tests never crash it."""
    validate(content_type, text, num_questions)


@given(TYPES, st.lists(PIECES, max_size=40).map("\n".join), st.integers(1, 20))
def test_no_mixture_of_its_own_lines_crashes_it(
    content_type: ContentType, text: str, num_questions: int
) -> None:
    """Each fault names a line that is there, a section and a message, in the order of the lines."""
    faults = validate(content_type, text, num_questions)

    last = text.strip().count("\n") + text.strip().count("\r") + 1
    assert all(1 <= fault.line <= last and fault.section and fault.message for fault in faults)
    assert [fault.line for fault in faults] == sorted(fault.line for fault in faults)
    assert len(faults) <= MAX_FAULTS + 1
    assert validate(content_type, text, num_questions) == faults


@given(TYPES, st.data())
def test_a_sample_without_one_of_its_lines_does_not_crash_it(
    content_type: ContentType, data: st.DataObject
) -> None:
    """Half-written output of a model is a fault, never an error of ours."""
    text = {"MCQ": MCQ, "NMCQ": NMCQ, "SUMMARY": SUMMARY}[content_type]
    cut = data.draw(st.integers(0, len(text)))
    validate(content_type, text[:cut], 3)
    validate(content_type, text[cut:], 3)


# ---- texts from a valid model -------------------------------------------------------------------

# A sentence that could be no heading: it begins with "the", and has no colon.
WORDS = st.lists(
    st.text(st.characters(categories=["Ll", "Nd"], max_codepoint=0x17F), min_size=1, max_size=9),
    min_size=3,
    max_size=8,
)
SENTENCE = WORDS.map(lambda words: "the cause of " + " ".join(words))
SENTENCES = st.lists(SENTENCE, min_size=1, max_size=3).map("\n".join)
GAP = st.sampled_from(["\n", "\n\n", "\n \n\n"])


@st.composite
def mcq_texts(draw: st.DrawFn) -> tuple[str, int]:
    number = draw(st.integers(1, 4))
    return "\n\n".join(draw(mcq_questions(index)) for index in range(1, number + 1)), number


@st.composite
def mcq_questions(draw: st.DrawFn, number: int) -> str:
    letters = "ABCDE"[: draw(st.integers(4, 5))]
    correct = draw(st.sampled_from(letters))
    title = f"Question {number}" + draw(st.sampled_from(["", " - the heart", " – a", "—b"]))
    option_mark = draw(st.sampled_from([")", "."]))
    options = "".join(f"{letter}{option_mark} {draw(SENTENCE)}{draw(GAP)}" for letter in letters)
    answer = draw(st.sampled_from(["Correct Answer: ", "Answer: ", "Answer:"]))
    letter = draw(st.sampled_from([correct, correct.lower()]))
    explanation = draw(st.sampled_from(["Explanation\n", "Explanation:\n", "Explanation: "]))
    analysis = draw(
        st.sampled_from(
            ["Analysis of Other Options\n", "Analysis of Other Options:\n", "Distractors:\n"]
        )
    )
    paragraphs = ""
    for wrong in letters.replace(correct, ""):
        start = draw(st.sampled_from([f"{wrong}) ", f"{wrong}. ", f"Option {wrong}: "]))
        paragraphs += start + draw(SENTENCES) + draw(GAP)
    return (
        f"{title}{draw(GAP)}{draw(SENTENCES)}{draw(GAP)}{options}{answer}{letter}{draw(GAP)}"
        f"{explanation}{draw(SENTENCES)}{draw(GAP)}{analysis}{paragraphs}"
        f"Key Insights:\n{draw(SENTENCES)}"
    )


@st.composite
def nmcq_texts(draw: st.DrawFn) -> tuple[str, int]:
    text, total = "", 0
    for number in range(1, draw(st.integers(1, 3)) + 1):
        text += f"Clinical Vignette {number}: {draw(SENTENCE)}{draw(GAP)}{draw(SENTENCES)}\n\n"
        for item in range(1, draw(st.integers(1, 4)) + 1):
            text += draw(nmcq_items(item)) + draw(GAP)
            total += 1
    return text, total


@st.composite
def nmcq_items(draw: st.DrawFn, number: int) -> str:
    kind = draw(st.sampled_from(["True/False", "Yes/No", "Drop Down"]))
    options = ""
    if kind == "Drop Down":
        letters = "ABCDEF"[: draw(st.integers(2, 6))]
        texts = [draw(SENTENCE) for _ in letters]
        marks = draw(st.sampled_from(["{})", "{}.", "-", "*", ""]))
        rows = [
            f"{marks.format(letter)} {text}" for letter, text in zip(letters, texts, strict=True)
        ]
        options = draw(st.sampled_from(["", "Options:\n"])) + "\n".join(rows) + draw(GAP)
        place = draw(st.integers(0, len(letters) - 1))
        names = [texts[place], rows[place].strip()]
        if "{}" in marks:
            names += [letters[place], letters[place].lower()]
        answer = draw(st.sampled_from(names))
    else:
        answer = draw(st.sampled_from(kind.split("/")))
    stop = draw(st.sampled_from(["", "."]))
    return (
        f"{number}. {kind}: {draw(SENTENCE)}{draw(GAP)}{options}Answer: {answer}{stop}\n"
        f"Explanation: {draw(SENTENCES)}"
    )


@st.composite
def summary_texts(draw: st.DrawFn) -> tuple[str, int]:
    number = draw(st.integers(1, 4))
    blocks = []
    for index in range(1, number + 1):
        title = draw(st.sampled_from([f"{index}. the heart", f"Block {index}: the heart"]))
        points = draw(st.lists(SENTENCE.map(lambda text: text + " and the rest"), min_size=1))
        mark = draw(st.sampled_from(["- ", "* ", "", "{}. "]))
        listed = "\n".join(f"{mark.format(i)}{point}" for i, point in enumerate(points, start=1))
        high_yield = draw(st.sampled_from(["High Yield", "High Yield:", "High Yield Points:"]))
        insight = draw(st.sampled_from(["Key Insight: ", "Key Insights:\n", "Key Insight\n"]))
        blocks.append(f"{title}\n\n{high_yield}\n{listed}\n\n{insight}{points[0]}")
    return draw(GAP).join(blocks), number


@given(mcq_texts())
def test_every_well_formed_set_of_questions_passes(sample: tuple[str, int]) -> None:
    """Text that is generated from a valid model always passes."""
    assert validate("MCQ", *sample) == ()


@given(nmcq_texts())
def test_every_well_formed_set_of_vignettes_passes(sample: tuple[str, int]) -> None:
    """Text that is generated from a valid model always passes."""
    assert validate("NMCQ", *sample) == ()


@given(summary_texts())
def test_every_well_formed_summary_passes(sample: tuple[str, int]) -> None:
    """Text that is generated from a valid model always passes."""
    assert validate("SUMMARY", *sample) == ()
