"""Reads multiple-choice questions by the rules of the contract and reports what breaks them.

    Question 1 - Chest pain          the title; numbered from 1 in order; dash and text optional
    A vignette …
    A) … to D) or E)                 one line each, in order; blank lines between them allowed
    Correct Answer: C                or "Answer:"; one letter among the options, either case
    Explanation                      and at least one line
    Analysis of Other Options        or "Distractors:"; a paragraph for each wrong letter
    Key Insights:                    and at least one line

Pure; must not import anything of the engine but this package.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import msgspec

from engine.pipelines.content.reading import (
    DOCUMENT,
    Heading,
    Line,
    Section,
    Sheet,
    check_order,
    split_sections,
    undecorated,
)

TITLE = "Title"
VIGNETTE = "Vignette"
OPTIONS = "Options"
ANSWER = Heading("Correct Answer", ("Correct Answer", "Answer"))
EXPLANATION = Heading("Explanation", ("Explanation",), needs_colon=False)
ANALYSIS = Heading("Analysis of Other Options", ("Analysis of Other Options",), needs_colon=False)
DISTRACTORS = Heading("Analysis of Other Options", ("Distractors",))
INSIGHTS = Heading("Key Insights", ("Key Insights",))

HEADINGS = (ANSWER, EXPLANATION, ANALYSIS, DISTRACTORS, INSIGHTS)
ORDER = (ANSWER, EXPLANATION, ANALYSIS, INSIGHTS)
LETTERS = "ABCDE"

_TITLE = re.compile(r"Question ([0-9]{1,6})(?:\s*[-–—]\s*(\S.*))?")
_NEARLY_TITLE = re.compile(r"question\s*#?\s*([0-9]{1,6})\s*(?:[-–—:.)].*)?", re.IGNORECASE)
_TITLE_WITH_TEXT = re.compile(r"question\s+([0-9]{1,6})\b.*", re.IGNORECASE)
_INSIGHTS = re.compile(r"key insights\s*(?::|$)", re.IGNORECASE)
_OPTION = re.compile(r"([A-Z])(?:\)|\.(?![A-Za-z]\.))\s*(.*)")
_PARAGRAPH = re.compile(r"(?:([A-Z])(\)|\.(?![A-Za-z]\.))|Option ([A-Z]):)\s*(.*)")


class Option(msgspec.Struct, frozen=True):
    """One option: its letter, and the line on which it stands."""

    letter: str
    line: Line


def check_mcq(lines: Sequence[Line], num_questions: int, sheet: Sheet) -> None:
    """Report all that keeps a text from being exactly `num_questions` well-formed questions."""
    questions = _split_questions(lines, sheet)
    for (number, title), body in questions:
        _check_question(f"Question {number}", title, body, sheet)
    if len(questions) != num_questions:
        sheet.add(
            lines[-1],
            DOCUMENT,
            f"{num_questions} questions are wanted, and {len(questions)} are there",
        )


def _split_questions(
    lines: Sequence[Line], sheet: Sheet
) -> list[tuple[tuple[int, Line], list[Line]]]:
    """Divide the text at the titles; report titles that are odd, and text before the first."""
    questions: list[tuple[tuple[int, Line], list[Line]]] = []
    may_end = True  # before the first question, and once Key Insights have begun
    expected = 1
    for line in lines:
        number = _read_title(line, sheet, may_end)
        if number is not None:
            if number != expected:
                sheet.add(line, TITLE, f"Question {number} stands where {expected} is expected")
            expected = number + 1
            questions.append(((number, line), []))
            may_end = False
        elif questions:
            questions[-1][1].append(line)
            may_end = may_end or bool(_INSIGHTS.match(undecorated(line.text)))
        elif line is lines[0]:
            sheet.add(line, TITLE, 'The text does not begin with the title "Question 1"')
    return questions


def _read_title(line: Line, sheet: Sheet, may_begin: bool) -> int | None:
    """Give a title's number, or None where the line is no title."""
    if match := _TITLE.fullmatch(line.text):
        return int(match[1])
    plain = undecorated(line.text)
    match = _NEARLY_TITLE.fullmatch(plain)
    if match is None and may_begin:
        match = _TITLE_WITH_TEXT.fullmatch(plain)
    if match is None:
        return None
    number = int(match[1])
    sheet.add(line, TITLE, f'Write the title "Question {number}" or "Question {number} - text"')
    return number


def _check_question(where: str, title: Line, body: Sequence[Line], sheet: Sheet) -> None:
    before, sections = split_sections(body, HEADINGS, sheet, where)
    end = body[-1] if body else title
    first = check_order(sections, ORDER, sheet, where, end)
    letters = _check_stem(where, title, before, sections[0].line if sections else end, sheet)
    correct = None
    if answer := first.get(ANSWER.section):
        correct = _check_answer(where, answer, letters, sheet)
    for heading in (EXPLANATION, INSIGHTS):
        section = first.get(heading.section)
        if section is not None and not section.has_words:
            sheet.add(section.line, section.name, f"{where}: {section.name} is empty")
    if analysis := first.get(ANALYSIS.section):
        _check_analysis(where, analysis, letters, correct, sheet)


def _check_stem(
    where: str, title: Line, before: Sequence[Line], end: Line, sheet: Sheet
) -> tuple[str, ...]:
    """Check vignette and options; give the options' letters in their order."""
    start = _find_options(before)
    vignette, rest = before[:start], before[start:]
    if not any(line.has_words for line in vignette):
        sheet.add(title, VIGNETTE, f"{where}: there is no vignette under the title")
    if not rest:
        sheet.add(end, OPTIONS, f"{where}: there are no options")
        return ()
    return _check_options(where, rest, sheet)


def _find_options(before: Sequence[Line]) -> int:
    """Give the index at which the options begin; the number of lines where there are none.

    A vignette may have a line like "A. Smith, 45, …" or "E. coli grew …", so the options are the
    last lines where those are in order, else they begin at the first "A", else at any letter.
    """
    matches = [_OPTION.fullmatch(line.text) for line in before]
    begins = [index for index, match in enumerate(matches) if match and match[1] == "A"]
    for count in (5, 4):
        letters = [match[1] if match else "" for match in matches[-count:]]
        if "".join(letters) == LETTERS[:count]:
            return len(before) - count
    any_letter = [index for index, match in enumerate(matches) if match]
    return (begins or any_letter or [len(before)])[0]


def _check_options(where: str, lines: Sequence[Line], sheet: Sheet) -> tuple[str, ...]:
    options: list[Option] = []
    for line in lines:
        match = _OPTION.fullmatch(line.text)
        if match is None:
            match = _OPTION.fullmatch(line.text[:1].upper() + line.text[1:])
            if match is None:
                message = f"{where}: an option is one line, and this one begins with no letter"
                sheet.add(line, OPTIONS, message)
                continue
            sheet.add(line, OPTIONS, f"{where}: write option {match[1]} with a capital letter")
        letter, text = match.groups()
        if not text:
            sheet.add(line, OPTIONS, f"{where}: option {letter} is empty")
        if any(option.letter == letter for option in options):
            sheet.add(line, OPTIONS, f"{where}: option {letter} stands twice")
            continue
        expected = chr(ord(options[-1].letter) + 1) if options else "A"
        if letter != expected:
            sheet.add(
                line, OPTIONS, f"{where}: option {letter} stands where {expected} is expected"
            )
        options.append(Option(letter, line))
    if not 4 <= len(options) <= 5:
        sheet.add(
            options[-1].line if options else lines[0],
            OPTIONS,
            f"{where}: 4 or 5 options are wanted, and {len(options)} are there",
        )
    return tuple(option.letter for option in options)


def _check_answer(where: str, section: Section, letters: Sequence[str], sheet: Sheet) -> str | None:
    """Give the answer's letter in upper case, or None where it is none of the options'."""
    own, below = section.lines[:1], section.lines[1:]
    if own and own[0].number != section.line.number:
        own, below = (), section.lines
    if not own:
        sheet.add(section.line, section.name, f'{where}: no letter follows "{section.line.text}"')
        return None
    for line in below:
        sheet.add(line, section.name, f"{where}: nothing may stand between answer and Explanation")
    match = re.fullmatch(r"([A-Za-z])[).]?", own[0].text)
    if match is None:
        sheet.add(
            section.line,
            section.name,
            f'{where}: the answer is one letter, not "{_short(own[0].text)}"',
        )
        return None
    letter = match[1].upper()
    if letters and letter not in letters:
        sheet.add(section.line, section.name, f"{where}: answer {letter} is none of the options")
        return None
    return letter


def _check_analysis(
    where: str, section: Section, letters: Sequence[str], correct: str | None, sheet: Sheet
) -> None:
    if not section.has_words:
        sheet.add(section.line, section.name, f"{where}: {section.name} is empty")
        return
    wrong = [letter for letter in letters if letter != correct]
    paragraphs: dict[str, Line] = {}
    for letter, line, has_words in _split_paragraphs(section, wrong):
        if letter in paragraphs:
            sheet.add(line, section.name, f"{where}: {letter} has two paragraphs")
        elif letter == correct:
            sheet.add(line, section.name, f"{where}: {letter} is the answer, not a wrong option")
        elif letters and letter not in letters:
            sheet.add(line, section.name, f"{where}: there is no option {letter}")
        elif not has_words:
            sheet.add(line, section.name, f"{where}: the paragraph for {letter} is empty")
        paragraphs[letter] = line
    if correct is None:
        return  # which letters are wrong is not known; the answer's own fault is reported
    for letter in wrong:
        if letter not in paragraphs:
            sheet.add(
                section.line,
                section.name,
                f'{where}: no paragraph for {letter}; it begins "{letter})", "{letter}." or '
                f'"Option {letter}:"',
            )


def _split_paragraphs(section: Section, wrong: Sequence[str]) -> list[tuple[str, Line, bool]]:
    """Give (letter, first line, whether anything stands in it) of each paragraph.

    "E. coli is resistant" begins no paragraph where E has one in another form, or where E is no
    wrong option and other paragraphs are written otherwise.
    """
    starts = {
        index: match
        for index, line in enumerate(section.lines)
        if (match := _PARAGRAPH.fullmatch(line.text))
    }
    marked = {match[1] or match[3] for match in starts.values() if match[2] != "."}
    for index, match in list(starts.items()):
        if match[2] == "." and (match[1] in marked or (marked and match[1] not in wrong)):
            del starts[index]
    paragraphs: list[tuple[str, Line, bool]] = []
    bounds = [*starts, len(section.lines)]
    for begin, end in itertools.pairwise(bounds):
        match = starts[begin]
        own = Line(section.lines[begin].number, match[4])
        has_words = any(line.has_words for line in (own, *section.lines[begin + 1 : end]))
        paragraphs.append((match[1] or match[3], section.lines[begin], has_words))
    return paragraphs


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
