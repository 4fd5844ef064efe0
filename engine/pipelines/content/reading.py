"""What the validator's parsers read: lines, headings, and the faults that they report.

Its one rule: a heading that is nearly right (bold, in capitals, without its colon) is taken for
that heading and reported once, so that one slip does not bring five faults after it. Pure; must
not import anything of the engine but this package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

DOCUMENT = "Document"
"""The section of a fault that belongs to no section."""


class Fault(msgspec.Struct, frozen=True, order=True):
    """One thing that breaks a rule."""

    line: int
    """Counted from 1 in the trimmed text."""
    section: str
    message: str


class Line(msgspec.Struct, frozen=True):
    """A line that is not blank: its words, with one space between them."""

    number: int
    text: str

    @property
    def has_words(self) -> bool:
        """Whether it says anything: a rule of dashes does not."""
        return any(character.isalnum() for character in self.text)


class Heading(msgspec.Struct, frozen=True):
    """A section's heading: how it is called in faults, and the forms in which it may be written."""

    section: str
    forms: tuple[str, ...]
    needs_colon: bool = True


class Section(msgspec.Struct, frozen=True):
    """A heading that was found, and what stands under it."""

    heading: Heading
    line: Line
    lines: tuple[Line, ...]
    """The rest of the heading's own line, where there is any, and the lines below."""

    @property
    def name(self) -> str:
        """The section's name in faults."""
        return self.heading.section

    @property
    def has_words(self) -> bool:
        """Whether anything stands in it."""
        return any(line.has_words for line in self.lines)


def read_lines(text: str) -> tuple[Line, ...]:
    """Give the lines that are not blank, with single spaces between their words.

    Line feeds alone end a line, as in an editor. The single spaces keep every pattern that looks
    for "some space" linear, whatever a model writes.
    """
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    numbered = ((number, line.split()) for number, line in enumerate(unified.split("\n"), start=1))
    return tuple(Line(number, " ".join(words)) for number, words in numbered if words)


def undecorated(text: str) -> str:
    """Give a line without the marks with which models decorate headings."""
    return re.sub(r"[*_#`>]+", "", text).strip()


class Sheet:
    """Collects the faults of one text."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, line: Line | int, section: str, message: str) -> None:
        """Report a fault at a line."""
        number = line if isinstance(line, int) else line.number
        self._faults.append(Fault(number, section, message))

    def faults(self) -> tuple[Fault, ...]:
        """Give all faults in the order of their lines."""
        return tuple(sorted(self._faults, key=lambda fault: fault.line))


def split_sections(
    lines: Sequence[Line], headings: Iterable[Heading], sheet: Sheet, where: str
) -> tuple[tuple[Line, ...], tuple[Section, ...]]:
    """Divide lines at their headings; give what precedes the first one, and the sections.

    Args:
        lines: the lines of one question, item or block, without its title.
        headings: the headings that may stand there.
        sheet: gets a fault for each heading that is not written as it has to be.
        where: "Question 2", for the faults.
    """
    before: list[Line] = []
    found: list[tuple[Heading, Line, list[Line]]] = []
    headings = tuple(headings)
    for line in lines:
        match = _find_heading(line, headings)
        if match is None:
            (found[-1][2] if found else before).append(line)
            continue
        heading, form, rest, is_exact = match
        if not is_exact:
            proper = form + (":" if heading.needs_colon else "")
            sheet.add(line, heading.section, f'{where}: write the heading "{proper}" exactly so')
        found.append((heading, line, [Line(line.number, rest)] if rest else []))
    return tuple(before), tuple(
        Section(heading, line, tuple(under)) for heading, line, under in found
    )


def _find_heading(line: Line, headings: Sequence[Heading]) -> tuple[Heading, str, str, bool] | None:
    """Give (heading, its form, the rest of the line, whether it is written as it has to be)."""
    plain = undecorated(line.text)
    for heading in headings:
        for form in heading.forms:
            if plain[: len(form)].casefold() != form.casefold():
                continue
            match = re.match(r"\s*([:–—-]|$)\s*(.*)", plain[len(form) :], re.DOTALL)
            if match is None:
                continue
            mark, rest = match.groups()
            good_mark = mark == ":" or (mark == "" and not heading.needs_colon)
            return heading, form, rest, good_mark and line.text.startswith(form)
    return None


def check_order(
    sections: Sequence[Section], headings: Sequence[Heading], sheet: Sheet, where: str, end: Line
) -> dict[str, Section]:
    """Report sections that are missing, doubled or out of order; give the first one of each name.

    Args:
        sections: as they were found.
        headings: all that have to be there, in their order.
        sheet: gets the faults.
        where: "Question 2", for the faults.
        end: the last line of the question, item or block.
    """
    first: dict[str, Section] = {}
    latest: Section | None = None
    ranks = {heading.section: rank for rank, heading in enumerate(headings)}
    for section in sections:
        if section.name in first:
            line = first[section.name].line.number
            sheet.add(
                section.line,
                section.name,
                f"{where}: {section.name} stands twice; the first one is in line {line}",
            )
            continue
        first[section.name] = section
        if latest is not None and ranks[section.name] < ranks[latest.name]:
            sheet.add(
                section.line, section.name, f"{where}: {section.name} stands after {latest.name}"
            )
        else:
            latest = section
    for heading in headings:
        if heading.section not in first:
            later = [
                section.line
                for section in first.values()
                if ranks[section.name] > ranks[heading.section]
            ]
            at = min(later, key=lambda line: line.number, default=end)
            sheet.add(at, heading.section, f"{where}: {heading.section} is missing")
    return first
