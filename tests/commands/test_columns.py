"""Columns of several voices on terminals of any size."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from engine import JSON
from server.commands.columns import Column, Grid, LiveColumns

LONG = "A sentence that goes on for a while and says nothing. " * 80


def column(name: str, text: str) -> Column:
    made = Column(name)
    made.take({"type": "status", "status": "streaming"})
    made.take({"type": "chunk", "chunk": text})
    return made


def drawn(width: int, height: int, *columns: Column) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
    with console.capture() as capture:
        console.print(Grid({str(place): each for place, each in enumerate(columns)}))
    return capture.get().rstrip("\n").splitlines()


@pytest.mark.parametrize(("width", "height"), [(100, 30), (80, 24), (59, 24), (200, 12)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_picture_is_never_higher_than_the_terminal(width: int, height: int, count: int) -> None:
    """What has left the terminal's top cannot be drawn again: long texts show their ends."""
    lines = drawn(width, height, *(column(f"voice{n}", LONG + f"End{n}") for n in range(count)))
    assert len(lines) < height
    for n in range(count):
        assert f"End{n}" in "\n".join(lines)


@pytest.mark.parametrize(("width", "beside"), [(100, 3), (70, 2), (40, 1)])
def test_columns_stand_side_by_side_where_there_is_room(width: int, beside: int) -> None:
    """However long their texts are; narrower ones than can be read go below."""
    lines = drawn(width, 60, *(column(f"voice{n}", LONG) for n in range(3)))
    assert lines[0].count("╭") == beside
    assert sum(line.count("╭") for line in lines) == 3


def test_nothing_is_drawn_before_anybody_speaks() -> None:
    """An empty picture has no line."""
    assert drawn(80, 24) == []


def test_state_of_a_column_follows_its_messages() -> None:
    """Its state, and how long the first word took; an attempt voids the text."""
    shown = column("ada", "first")
    assert "first word 0.0 s" in drawn(80, 24, shown)[-1]
    shown.take({"type": "attempt", "attempt": 2})
    assert "first" not in "".join(drawn(80, 24, shown)[:-1])
    assert "attempt 2" in drawn(80, 24, shown)[-1]
    shown.take({"type": "persona_response", "response": "whole"})
    shown.end()
    assert "done" in drawn(80, 24, shown)[-1]


def test_cut_answers_are_kept_on_the_screen() -> None:
    """After a cancel what was written stands there, marked; others keep how they ended."""
    console = Console(file=io.StringIO(), width=80, height=24)
    columns = LiveColumns(console)
    about: dict[str, JSON] = {name: {"persona_id": name} for name in ("ada", "bo", "cy")}
    columns.show({"type": "chunk", "chunk": "half an ans", **about["ada"]})
    columns.show({"type": "persona_response", "response": "all of it", **about["bo"]})
    columns.show({"type": "error", "message": "it broke", **about["cy"]})
    columns.show({"type": "cancelled"})
    columns.close()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    last = text[text.rindex("─ ada ─") :]
    assert "half an ans" in last
    assert last.count("cancelled") == 1
    assert "all of it" in last
    assert "failed: it broke" in last
