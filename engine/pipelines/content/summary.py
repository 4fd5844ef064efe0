"""Reads summaries (numbered blocks of points and insights) and reports what breaks the rules.

    1. Heart failure                 blocks are numbered from 1 in order ("Block 1: …" is fine too)
    High Yield                       "High Yield Points:" too; 20 characters or more under it
    - …
    Key Insight: …                   or "Key Insights"; 20 characters or more

Points may be numbered as well, so a numbered line is a block's title only where a heading makes it
one (`_find_titles`). Pure; must not import anything of the engine but this package.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.pipelines.content.reading import (
    Heading,
    Line,
    Section,
    Sheet,
    check_order,
    split_sections,
    undecorated,
)

BLOCK = "Block"
HIGH_YIELD = Heading(
    "High Yield",
    (
        "High Yield Points",
        "High Yield Point",
        "High Yield",
        "High-Yield Points",
        "High-Yield Point",
        "High-Yield",
    ),
    needs_colon=False,
)
INSIGHT = Heading("Key Insight", ("Key Insights", "Key Insight"), needs_colon=False)
ORDER = (HIGH_YIELD, INSIGHT)
MIN_CHARACTERS = 20

_TITLE = re.compile(
    r"(?:(?:summary )?(?:block|summary|section|topic|concept)\s*#?\s*)?"
    r"([0-9]{1,6})\s*(?:[.):–—-](?=\s|$)\s*.*)?",
    re.IGNORECASE,
)
_MARKER = re.compile(r"(?:[-*•–—]|[0-9]{1,6}[.)])\s+")


def check_summary(lines: Sequence[Line], num_questions: int, sheet: Sheet) -> None:
    """Report all that keeps a text from being numbered blocks; their number is free."""
    del num_questions
    titles = _find_titles(lines)
    if not titles or titles[0][0] != 0:
        sheet.add(lines[0], BLOCK, 'The text does not begin with the numbered block "1. <title>"')
    if not titles:
        _check_block("The text", lines[0], lines, sheet)
        return
    expected = 1
    bounds = [index for index, _ in titles[1:]] + [len(lines)]
    for (index, number), end in zip(titles, bounds, strict=True):
        title = lines[index]
        if number != expected:
            sheet.add(title, BLOCK, f"Block {number} stands where {expected} is expected")
        expected = number + 1
        _check_block(f"Block {number}", title, lines[index + 1 : end], sheet)


def _check_block(where: str, title: Line, lines: Sequence[Line], sheet: Sheet) -> None:
    _, sections = split_sections(lines, ORDER, sheet, where)
    first = check_order(sections, ORDER, sheet, where, lines[-1] if lines else title)
    for section in first.values():
        characters = _count_characters(section)
        if characters < MIN_CHARACTERS:
            sheet.add(
                section.line,
                section.name,
                f"{where}: {section.name} has {characters} characters, and {MIN_CHARACTERS} "
                "are the least",
            )


def _count_characters(section: Section) -> int:
    """Count what a section says, without the marks of its lists."""
    words = [_MARKER.sub("", line.text, count=1) for line in section.lines if line.has_words]
    return len(" ".join(words))


def _find_titles(lines: Sequence[Line]) -> list[tuple[int, int]]:
    """Give (index, number) of each block's title.

    A numbered line is a title if it begins the text; if it is the last one before a heading that
    the present block has already, or before "High Yield"; if it has the next block's number and a
    heading follows at once; or if it ends the text with the next block's number and is no further
    point of a list.
    """
    headings = [_heading_of(line) for line in lines]
    numbers = [_number_of(line) for line in lines]
    titles: list[tuple[int, int]] = []
    seen: set[Heading] = set()
    last_point = 0
    for index, number in enumerate(numbers):
        if (heading := headings[index]) is not None:
            seen.add(heading)
            last_point = 0
        if number is None:
            continue
        expected = titles[-1][1] + 1 if titles else 1
        ahead, is_next = _look_ahead(index, headings, numbers)
        is_point = bool(seen) and number == last_point + 1
        is_next_block = number == expected and not (is_point and last_point)
        if ahead is None:
            is_title = is_next_block and len(seen) == len(ORDER)
        else:
            is_title = ahead in seen or ahead is HIGH_YIELD or (is_next_block and is_next)
        if is_title or index == 0:
            titles.append((index, number))
            seen.clear()
            last_point = 0
        elif is_point:
            last_point = number
    return titles


def _look_ahead(
    index: int, headings: Sequence[Heading | None], numbers: Sequence[int | None]
) -> tuple[Heading | None, bool]:
    """Give the heading that follows with no numbered line between, and whether it is next."""
    for ahead in range(index + 1, len(headings)):
        if numbers[ahead] is not None:
            return None, False
        if headings[ahead] is not None:
            return headings[ahead], ahead == index + 1
    return None, False


def _heading_of(line: Line) -> Heading | None:
    _, sections = split_sections([line], ORDER, Sheet(), "")
    return sections[0].heading if sections else None


def _number_of(line: Line) -> int | None:
    match = _TITLE.fullmatch(undecorated(line.text))
    return int(match[1]) if match else None
