"""Progress bars from 0 to 100 on a terminal, and the newest text under them."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

SHOWN = 600
"""Characters of the text that are shown while it is written."""


class Bars:
    """One bar for each of several things.

    Args:
        names: what the bars say at first.
    """

    def __init__(self, names: list[str]) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        self._tasks = [self._progress.add_task(name, total=100) for name in names]
        self._live = Live(self._progress, console=Console(), refresh_per_second=12)
        self._live.start()

    def move(self, place: int, percent: float, text: str) -> None:
        """Move a bar, and change what it says."""
        self._progress.update(self._tasks[place], completed=percent, description=text)

    def show_text(self, text: str) -> None:
        """Show the end of a text under the bars."""
        self._live.update(Group(self._progress, Panel(Text(text[-SHOWN:]))))

    def stop(self) -> None:
        """Leave the bars as they are, and the terminal as it was; stopping twice is fine."""
        self._live.update(self._progress)
        self._live.stop()
