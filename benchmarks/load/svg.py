"""Small plots as SVG: lines over an even or a percentile axis. Pure; no script in what it makes.

A percentile axis spreads the high end evenly by its nines (90, 99, 99.9 …): there lies what users
remember.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from math import ceil, floor, log10

import msgspec

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 32, 16, 56

COLOURS = ("#3366cc", "#dc3912", "#109618", "#ff9900", "#990099", "#0099c6")
"""Told apart by dash as well, for whoever does not tell them apart by colour."""

DASHES = ("", "6 3", "2 3", "8 3 2 3", "12 4", "1 4")

SMALLEST = 1e-6
"""What is below this is drawn as nothing: a nanosecond, where the unit is ms."""

NINES = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One line."""

    name: str
    points: Sequence[tuple[float, float]]


def percentile_plot(title: str, series: Sequence[Series], unit: str) -> str:
    """Draw values over percentiles; what lies beyond 99.99 is drawn at its end."""
    marks = [(_nines(each), f"{each:g} %") for each in NINES]
    moved = [
        Series(name=each.name, points=[(_nines(x), y) for x, y in each.points]) for each in series
    ]
    return _plot(title, moved, marks, unit)


def line_plot(title: str, series: Sequence[Series], unit: str, x_unit: str) -> str:
    """Draw values over an even axis from 0."""
    last = max((x for each in series for x, _ in each.points), default=0.0) or 1.0
    marks = [(mark, f"{mark:g} {x_unit}") for mark in ticks(last)]
    return _plot(title, series, marks, unit)


def ticks(highest: float, *, most: int = 6) -> list[float]:
    """Give round numbers from 0 to at least `highest`: steps of 1, 2 or 5 times a power of ten."""
    if highest < SMALLEST:
        return [0.0, 1.0]
    power = 10.0 ** floor(log10(highest / (most - 1)))
    step = next(power * each for each in (1, 2, 5, 10, 20) if ceil(highest / (power * each)) < most)
    return [round(number * step, 10) for number in range(ceil(highest / step) + 1)]


def _nines(percentile: float) -> float:
    """Place a percentile: 0 at 0, and one further for each nine from 90 on, 99.99 at the end."""
    return -log10(max(1e-4, 1 - percentile / 100))


def _plot(
    title: str, series: Sequence[Series], x_marks: Sequence[tuple[float, str]], unit: str
) -> str:
    y_marks = ticks(max((y for each in series for _, y in each.points), default=0.0))
    x_last = max(max(mark for mark, _ in x_marks), 1e-9)

    def x_of(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, value / x_last)

    def y_of(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / y_marks[-1]

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" '
        'xmlns="http://www.w3.org/2000/svg">',
        f"<title>{escape(title)}</title>",
        *_grid(x_marks, y_marks, x_of, y_of, unit),
        *_lines(series, x_of, y_of),
        *_legend(series),
        "</svg>",
    ]
    return "\n".join(parts)


Place = Callable[[float], float]


def _grid(
    x_marks: Sequence[tuple[float, str]],
    y_marks: Sequence[float],
    x_of: Place,
    y_of: Place,
    unit: str,
) -> Iterator[str]:
    for mark in y_marks:
        y = y_of(mark)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        label = f"{mark:g} {escape(unit)}"
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    for mark, label in x_marks:
        x, y = x_of(mark), HEIGHT - BOTTOM + 16
        yield f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{escape(label)}</text>'


def _lines(series: Sequence[Series], x_of: Place, y_of: Place) -> Iterator[str]:
    for number, each in enumerate(series):
        points = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in each.points)
        yield f'<polyline fill="none" points="{points}" {_stroke(number)}/>'


def _legend(series: Sequence[Series]) -> Iterator[str]:
    x = float(LEFT)
    for number, each in enumerate(series):
        y = HEIGHT - 14
        yield f'<line x1="{x:.1f}" x2="{x + 22:.1f}" y1="{y - 4}" y2="{y - 4}" {_stroke(number)}/>'
        yield f'<text x="{x + 28:.1f}" y="{y}">{escape(each.name)}</text>'
        x += 44 + 7 * len(each.name)


def _stroke(number: int) -> str:
    place = number % len(COLOURS)
    dash = f' stroke-dasharray="{DASHES[place]}"' if DASHES[place] else ""
    return f'stroke="{COLOURS[place]}" stroke-width="2"{dash}'
