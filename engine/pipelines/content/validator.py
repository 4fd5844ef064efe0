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
    lines = read_lines(text.strip())
    if not lines:
        return (Fault(1, DOCUMENT, "The text is empty"),)
    sheet = Sheet()
    CHECKS[content_type](lines, num_questions, sheet)
    faults = sheet.faults()
    if len(faults) > MAX_FAULTS:
        more = len(faults) - MAX_FAULTS
        last = Fault(lines[-1].number, DOCUMENT, f"There are {more} more faults")
        return (*faults[:MAX_FAULTS], last)
    return faults
