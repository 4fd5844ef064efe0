"""Says whether a text is well-formed, by rules alone and without a model.

Its one rule: the same text gives the same faults, in the order of their lines, and no text makes
it crash. Each content type has a parser of its own; this is where they are chosen. Pure; must not
import anything of the engine but this package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from engine.pipelines.content.mcq import check_mcq
from engine.pipelines.content.nmcq import check_nmcq
from engine.pipelines.content.reading import DOCUMENT, Fault, Line, Sheet, read_lines
from engine.pipelines.content.summary import check_summary

ContentType: TypeAlias = Literal["MCQ", "NMCQ", "SUMMARY"]
Check: TypeAlias = Callable[[Sequence[Line], int, Sheet], None]

MAX_CHARACTERS = 200_000
"""The longest text that is read, so that a model that never stops cannot hold up the event loop.
Twenty questions with all their sections have about 60,000."""
MAX_FAULTS = 100
"""Faults that are reported one by one; what comes after them is counted in a last one."""

CHECKS: dict[ContentType, Check] = {"MCQ": check_mcq, "NMCQ": check_nmcq, "SUMMARY": check_summary}


def validate(content_type: ContentType, text: str, num_questions: int) -> tuple[Fault, ...]:
    """Give all that is wrong with a text; nothing means that it is well-formed.

    Args:
        content_type: whose rules hold.
        text: plain text; lines are counted after trimming it.
        num_questions: how many questions have to be there (not counted for summaries).
    """
    text = text.strip()
    if not text:
        return (Fault(1, DOCUMENT, "The text is empty"),)
    if len(text) > MAX_CHARACTERS:
        message = f"The text has {len(text):,} characters, and {MAX_CHARACTERS:,} are the most"
        return (Fault(1, DOCUMENT, message),)
    lines = read_lines(text)
    sheet = Sheet()
    CHECKS[content_type](lines, num_questions, sheet)
    faults = sheet.faults()
    if len(faults) > MAX_FAULTS:
        more = len(faults) - MAX_FAULTS
        last = Fault(lines[-1].number, DOCUMENT, f"There are {more} more faults")
        return (*faults[:MAX_FAULTS], last)
    return faults
