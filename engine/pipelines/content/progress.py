"""How far the bar is while a draft is written.

The one rule: progress never goes down. Nobody knows how long a text will be, so the bar nears its
end without reaching it: at the length that is usual it has gone four fifths of the way. Shown at
most once in a while, before it is numbered. Must not import providers.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

from engine.pipelines.content.validator import ContentType

USUAL_CHARACTERS: dict[ContentType, int] = {"MCQ": 1_800, "NMCQ": 700, "SUMMARY": 900}
"""Characters of a draft for each question (or block) that is asked for."""


class Meter:
    """Follows the length of a text and moves the bar between two marks.

    Args:
        start: the bar's percentage at the text's beginning.
        end: the percentage that it nears.
        usual_characters: the length at which it has gone four fifths of the way.
        show: gives a percentage to the readers.
    """

    def __init__(
        self,
        start: float,
        end: float,
        usual_characters: int,
        show: Callable[[float], Awaitable[None]],
    ) -> None:
        self._start = start
        self._end = end
        self._usual = max(1, usual_characters)
        self._show = show
        self._characters = 0
        self._shown = start

    def take(self, text: str) -> None:
        """Count a piece of text."""
        self._characters += len(text)

    @property
    def progress_percent(self) -> float:
        """Where the bar is, in whole per cents."""
        share = 1 - math.exp(-1.6 * self._characters / self._usual)
        return math.floor(self._start + share * (self._end - self._start))

    async def keep_showing(self, each_s: float) -> None:
        """Show the bar whenever it has moved, at most once in `each_s` seconds; never returns.

        Cancellation: nothing is half shown.
        """
        while True:
            await trio.sleep(each_s)
            percent = self.progress_percent
            if percent > self._shown:
                self._shown = percent
                await self._show(percent)
