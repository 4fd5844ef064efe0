"""Columns on a terminal: what several voices write, side by side, each with its state and pace.

The one rule: the picture is never higher than the terminal, for what has left its top cannot be
drawn again. Each column shows the end of its text while it is written, and the whole at last.
"""

from __future__ import annotations

import time

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine import JSON

REFRESHES_PER_S = 12
LEAST_WIDTH = 30
"""Of a column, in characters, frame included: narrower ones cannot be read. More go below."""
LEAST_LINES = 1
"""Of a text. Where a terminal is too low even for that, `Live` leaves out the last rows."""
FRAME = 4
"""Characters of a panel's borders and padding, left and right."""


def title_of(message: JSON) -> str:
    """Give a column's name: the persona, and of a debate the round."""
    number = message.get("round")
    name = str(message.get("persona_id"))
    return f"{name}, round {number}" if number is not None else name


class LiveColumns:
    """A column for each persona, written at once; then the whole answers.

    Args:
        console: where to draw; the terminal unless given.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._columns: dict[str, Column] = {}
        self._live = Live(
            Grid(self._columns),
            console=self._console,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
        )
        self._live.start()

    def show(self, message: JSON) -> None:
        """Move a column; at the end print the answers, or what there is of them."""
        if message["type"] in ("response", "cancelled"):
            self._live.stop()
            for column in self._columns.values():
                column.end()
                self._console.print(column.panel())
        elif "persona_id" in message:
            key = title_of(message)
            self._columns.setdefault(key, Column(key)).take(message)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._live.stop()


class Grid:
    """Columns side by side, as many as there is room for, all of one width."""

    def __init__(self, columns: dict[str, Column]) -> None:
        self._columns = columns

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw them as they are at this moment."""
        columns = list(self._columns.values())
        if not columns:
            return
        beside = max(1, min(len(columns), options.max_width // LEAST_WIDTH))
        rows = -(-len(columns) // beside)
        lines = max(LEAST_LINES, (console.height - 1) // rows - 2)
        width = options.max_width // beside
        for first in range(0, len(columns), beside):
            grid = Table.grid(expand=True)
            for _ in range(beside):
                grid.add_column(ratio=1)
            row = columns[first : first + beside]
            grid.add_row(*(each.tail(console, width - FRAME, lines) for each in row))
            yield grid


class Column:
    """One persona's answer, its state and its pace."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._state = ""
        self._text = ""
        self._began_at = time.monotonic()
        self._first_s: float | None = None

    def take(self, message: JSON) -> None:
        """Take a message about this persona."""
        match message["type"]:
            case "status":
                self._state = message["status"]
            case "chunk":
                if self._first_s is None:
                    self._first_s = time.monotonic() - self._began_at
                self._text += message["chunk"]
            case "attempt":
                self._text, self._state = "", f"attempt {message['attempt']}"
            case "persona_response":
                self._text, self._state = message["response"], "done"
            case "part_cancelled":
                self._state = "cancelled"
            case "error":
                self._state = f"failed: {message['message']}"

    def end(self) -> None:
        """Nothing more comes: an answer that is not whole was cut."""
        if self._state != "done" and not self._state.startswith("failed"):
            self._state = "cancelled"

    def panel(self) -> Panel:
        """Give the whole answer."""
        return self._framed(Text(self._text))

    def tail(self, console: Console, width: int, lines: int) -> Panel:
        """Give the end of the answer, in as many lines of this width."""
        written = Text(self._text[-width * lines :]).wrap(console, max(1, width))
        shown = Text("\n").join(written[-lines:])
        return self._framed(shown)

    def _framed(self, text: Text) -> Panel:
        first = "" if self._first_s is None else f", first word {self._first_s:.1f} s"
        return Panel(text, title=self._title, title_align="left", subtitle=f"{self._state}{first}")
