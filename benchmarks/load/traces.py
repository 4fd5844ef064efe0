"""Read a recorded trace: CSV or JSON lines with one offset a row, in seconds.

A CSV has a header with a column `offset_s`, or a first column of numbers alone; a line of JSON is
a number, or an object with `offset_s`. Offsets need not be sorted, and may start anywhere: the
first one becomes 0.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load.limits import MAX_REQUESTS

COLUMN = "offset_s"


class BadTrace(ValueError):
    """A trace cannot be read; the message names file, line and what is allowed."""


def read_trace(path: Path, *, speed: float = 1.0) -> tuple[float, ...]:
    """Give a trace's offsets from 0, ascending.

    Args:
        path: the file; what ends in `.csv` is CSV, everything else JSON lines.
        speed: 2 plays it in half of the time.

    Raises:
        BadTrace: a row has no number, there are none, or too many.
        OSError: it cannot be read.
    """
    with path.open(encoding="utf-8", newline="") as lines:
        rows = _csv(lines) if path.suffix.lower() == ".csv" else _json_lines(lines)
        found: list[float] = []
        for number, value in rows:
            try:
                offset_s = float(value)  # type: ignore[arg-type]  # whatever stands there
            except (TypeError, ValueError):
                raise BadTrace(
                    f"{path}, line {number}: {value!r} is no offset; a row holds a number of "
                    f"seconds, alone or as {COLUMN}"
                ) from None
            if not 0 <= offset_s < 1e12:
                raise BadTrace(f"{path}, line {number}: {offset_s} is no offset from 0 on")
            found.append(offset_s)
            if len(found) > MAX_REQUESTS:
                raise BadTrace(f"{path} has more than {MAX_REQUESTS:,} rows")
    if not found:
        raise BadTrace(f"{path} has no rows")
    found.sort()
    return tuple((offset_s - found[0]) / speed for offset_s in found)


def _csv(lines: Iterator[str]) -> Iterator[tuple[int, object]]:
    column = 0
    for number, row in enumerate(csv.reader(lines), start=1):
        if number == 1 and COLUMN in row:
            column = row.index(COLUMN)
        elif row:
            yield number, row[column] if column < len(row) else None


def _json_lines(lines: Iterator[str]) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            value = line.strip()
        yield number, value.get(COLUMN) if isinstance(value, dict) else value
