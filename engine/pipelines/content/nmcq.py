"""Reads vignettes with items of three kinds by the contract's rules and reports what breaks them.

    Clinical Vignette 1: Fever in a traveller     numbered from 1 in order; the title is required
    A body …
    1. True/False: text                           items are numbered from 1 in order
    Answer: True                                  of the item's kind; a full stop after it is fine
    Explanation: …                                not empty
    2. Drop Down: text
    A) … B) …                                     2 or more options, one a line (or "Options: a; b")
    Answer: B                                     one of the options, by its letter or its text

In a later vignette the items begin at 1 again or count on. The total is the number of questions.
Pure; must not import anything of the engine but this package.
"""

from __future__ import annotations

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

TITLE = "Clinical Vignette"
BODY = "Body"
ITEM = "Item"
OPTIONS = "Options"
ANSWER = Heading("Answer", ("Correct Answer", "Answer"))
EXPLANATION = Heading("Explanation", ("Explanation",), needs_colon=False)
ORDER = (ANSWER, EXPLANATION)

KINDS = {"true/false": ("true", "false"), "yes/no": ("yes", "no"), "drop down": ()}
"""Each kind of item, and the answers that it allows; a Drop Down brings its own."""

_TITLE = re.compile(r"Clinical Vignette ([0-9]{1,6}):\s*(\S.*)")
_NEARLY_TITLE = re.compile(
    r"clinical vignette(?:\s*#?\s*([0-9]{1,6}))?\s*(?:[-–—:.)]\s*(.*))?", re.IGNORECASE
)
_ITEM = re.compile(r"([0-9]{1,6})\. (True/False|Yes/No|Drop Down):\s*(.*)")
_NEARLY_ITEM = re.compile(
    r"(?:(?:item|question)\s*)?([0-9]{1,6})\s*[.):-]?\s*"
    r"(true\s*(?:/|or)\s*false|yes\s*(?:/|or)\s*no|drop[\s-]?down)\b\s*[.:–—-]?\s*(.*)",
    re.IGNORECASE,
)
_UNNUMBERED_ITEM = re.compile(r"(True/False|Yes/No|Drop Down):\s*(.*)")
_OTHER_KIND = re.compile(r"([0-9]{1,6})[.)]\s*([A-Za-z][A-Za-z /-]{0,30}):.*")
_MARKED = re.compile(r"(?:\(?([A-Za-z])(?:\)|\.(?=\s|$))|[-*•])\s*(.*)")


class Item(msgspec.Struct):
    """One question of a vignette, as it is read."""

    number: int | None
    kind: str
    line: Line
    text: str
    lines: list[Line]


class Vignette(msgspec.Struct):
    """One vignette, as it is read."""

    number: int | None
    line: Line
    body: list[Line]
    items: list[Item]


class Choice(msgspec.Struct, frozen=True):
    """One option of a Drop Down: its letter, where it has one, and its text."""

    letter: str | None
    text: str
    whole: str

    def is_named_by(self, answer: str) -> bool:
        """Whether an answer names this option, by its letter, its text, or both."""
        plain = _plain(answer)
        if plain in (_plain(self.whole), _plain(self.text)):
            return True
        if self.letter is None:
            return False
        return plain in {
            self.letter,
            f"{self.letter})",
            f"{self.letter}) {_plain(self.text)}",
            f"{self.letter}. {_plain(self.text)}",
        }


def check_nmcq(lines: Sequence[Line], num_questions: int, sheet: Sheet) -> None:
    """Report all that keeps a text from being vignettes with `num_questions` items in all."""
    vignettes, others = _read_vignettes(lines, sheet)
    _check_numbers(vignettes, sheet)
    for index, vignette in enumerate(vignettes, start=1):
        where = f"Clinical Vignette {vignette.number or index}"
        if not any(line.has_words for line in vignette.body):
            sheet.add(vignette.line, BODY, f"{where} has no body")
        if not vignette.items:
            sheet.add(vignette.line, ITEM, f"{where} has no items")
        for item in vignette.items:
            _check_item(f"{where}, item {item.number or '?'}", item, sheet)
    total = sum(len(vignette.items) for vignette in vignettes)
    if total != num_questions:
        for line, kind in others:
            sheet.add(
                line, ITEM, f'"{kind}" is no kind of item: True/False, Yes/No and Drop Down are'
            )
        sheet.add(
            lines[-1], DOCUMENT, f"{num_questions} questions are wanted, and {total} are there"
        )


def _read_vignettes(
    lines: Sequence[Line], sheet: Sheet
) -> tuple[list[Vignette], list[tuple[Line, str]]]:
    """Divide the text into vignettes and items; give the lines that look like other items as well.

    Those may be a numbered list in an explanation, so they are faults only where items are missing.
    """
    vignettes: list[Vignette] = []
    others: list[tuple[Line, str]] = []
    for line in lines:
        if (number := _read_title(line, sheet)) is not None:
            vignettes.append(Vignette(number or None, line, [], []))
            continue
        item = _read_item(line, sheet)
        if not vignettes:
            if line is lines[0]:
                message = 'The text does not begin with "Clinical Vignette 1: <title>"'
                sheet.add(line, TITLE, message)
            if item is not None:  # so that each item's own faults are reported all the same
                vignettes.append(Vignette(None, line, [line], []))
        if item is not None:
            vignettes[-1].items.append(item)
            continue
        if match := _OTHER_KIND.fullmatch(undecorated(line.text)):
            others.append((line, match[2]))
        if vignettes:
            items = vignettes[-1].items
            (items[-1].lines if items else vignettes[-1].body).append(line)
    return vignettes, others


def _read_title(line: Line, sheet: Sheet) -> int | None:
    """Give a vignette's number, 0 where it has none, None where the line is no title."""
    if match := _TITLE.fullmatch(line.text):
        return int(match[1])
    match = _NEARLY_TITLE.fullmatch(undecorated(line.text))
    if match is None:
        return None
    if match[1] is None:
        sheet.add(line, TITLE, "The vignette has no number")
    elif not match[2]:
        sheet.add(line, TITLE, f"Clinical Vignette {int(match[1])} has no title")
    else:
        sheet.add(line, TITLE, f'Write "Clinical Vignette {int(match[1])}: <title>" exactly so')
    return int(match[1] or 0)


def _read_item(line: Line, sheet: Sheet) -> Item | None:
    if match := _ITEM.fullmatch(line.text):
        return Item(int(match[1]), match[2].casefold(), line, match[3], [])
    plain = undecorated(line.text)
    if match := _NEARLY_ITEM.fullmatch(plain):
        kind = _kind(match[2])
        sheet.add(line, ITEM, f'Write "{int(match[1])}. {kind.title()}: <text>" exactly so')
        return Item(int(match[1]), kind, line, match[3], [])
    if match := _UNNUMBERED_ITEM.fullmatch(plain):
        sheet.add(line, ITEM, f"The {match[1]} item has no number")
        return Item(None, match[1].casefold(), line, match[2], [])
    return None


def _kind(words: str) -> str:
    """Give the kind that was meant by "True or False", "Dropdown" and the like."""
    first = words[:1].casefold()
    return {"t": "true/false", "y": "yes/no"}.get(first, "drop down")


def _check_numbers(vignettes: Sequence[Vignette], sheet: Sheet) -> None:
    expected_vignette = 1
    last_item = 0
    for vignette in vignettes:
        if vignette.number is not None:
            if vignette.number != expected_vignette:
                sheet.add(
                    vignette.line,
                    TITLE,
                    f"Clinical Vignette {vignette.number} stands where {expected_vignette} "
                    "is expected",
                )
            expected_vignette = vignette.number
        expected_vignette += 1
        allowed = {1, last_item + 1}
        for item in vignette.items:
            if item.number is not None and item.number not in allowed:
                wanted = " or ".join(str(number) for number in sorted(allowed))
                message = f"Item {item.number} stands where {wanted} is expected"
                sheet.add(item.line, ITEM, message)
            last_item = max(allowed) if item.number is None else item.number
            allowed = {last_item + 1}


def _check_item(where: str, item: Item, sheet: Sheet) -> None:
    if not Line(item.line.number, item.text).has_words:
        sheet.add(item.line, ITEM, f"{where} has no text")
    before, sections = split_sections(item.lines, ORDER, sheet, where)
    end = item.lines[-1] if item.lines else item.line
    first = check_order(sections, ORDER, sheet, where, end)
    choices: tuple[Choice, ...] = ()
    if item.kind == "drop down":
        choices = _read_choices(before)
        if len(choices) < 2:
            sheet.add(
                before[-1] if before else item.line,
                OPTIONS,
                f"{where}: a Drop Down has 2 or more options before its answer, "
                f"and {len(choices)} are there",
            )
    if answer := first.get(ANSWER.section):
        _check_answer(where, item, answer, choices, sheet)
    explanation = first.get(EXPLANATION.section)
    if explanation is not None and not explanation.has_words:
        sheet.add(explanation.line, explanation.name, f"{where}: the explanation is empty")


def _read_choices(lines: Sequence[Line]) -> tuple[Choice, ...]:
    """Give a Drop Down's options: each line is one, and "Options: a; b; c" holds several."""
    choices: list[Choice] = []
    for line in lines:
        text = line.text
        label = re.match(r"(?:dropdown |drop down )?options\s*:\s*", text, re.IGNORECASE)
        texts = [text] if label is None else _split_inline(text[label.end() :])
        for whole in texts:
            match = _MARKED.fullmatch(whole)
            letter = match[1].casefold() if match and match[1] else None
            words = match[2] if match else whole
            if words:
                choices.append(Choice(letter, words, whole))
    return tuple(choices)


def _split_inline(text: str) -> list[str]:
    """Divide options on one line at their letters, else at the strongest mark between them."""
    if len(re.findall(r"(?<!\w)[A-Z]\)", text)) > 1:
        parts = re.split(r"(?<!\w)(?=[A-Z]\))", text)
    else:
        mark = next((mark for mark in (";", "|", " / ", ",") if mark in text), "\n")
        parts = text.split(mark)
    return [part.strip(" ,;|/") for part in parts if part.strip(" ,;|/")]


def _check_answer(
    where: str, item: Item, section: Section, choices: Sequence[Choice], sheet: Sheet
) -> None:
    words = [line for line in section.lines if line.has_words]
    if not words:
        sheet.add(section.line, section.name, f"{where}: the answer is empty")
        return
    for line in words[1:]:
        message = f"{where}: nothing may stand between the answer and the explanation"
        sheet.add(line, section.name, message)
    answer = words[0].text
    if item.kind != "drop down":
        if _plain(answer) not in KINDS[item.kind]:
            allowed = " or ".join(word.title() for word in KINDS[item.kind])
            sheet.add(words[0], section.name, f"{where}: the answer is {allowed}")
    elif len(choices) >= 2 and not any(choice.is_named_by(answer) for choice in choices):
        sheet.add(words[0], section.name, f"{where}: the answer is none of the options")


def _plain(text: str) -> str:
    """Give a text for comparison: no full stop at its end, one space between words, no case."""
    return " ".join(text.split()).removesuffix(".").strip().casefold()
