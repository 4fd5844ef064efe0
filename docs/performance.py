"""Writes the figures and plots of explanation/performance.md from the latest recorded results.

    python docs/performance.py           # after `make bench ARGS=--record`

Nothing here is measured, and nothing is written by hand afterwards: a figure that nobody has
recorded is left out, with the command that records it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks" / "results"
PAGE = HERE / "explanation" / "performance_figures.md"
PLOTS = HERE / "explanation" / "plots"
COLOURS = {
    "ours": "#c2410c",
    "fastapi": "#3366cc",
    "websockets": "#7c93b8",
    "node": "#3f8f5f",
    "quart": "#9a7fb0",
}
Result = dict[str, Any]
Figure = Callable[[dict[str, Result]], float | None]


def latest() -> dict[str, Result]:
    """Give the newest result of each question."""
    found: dict[str, Result] = {}
    for path in RESULTS.glob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        before = found.get(result["name"])
        if before is None or before["measured_at"] < result["measured_at"]:
            found[result["name"]] = result
    return found


def bars(title: str, rows: list[tuple[str, float, str]], unit: str) -> str:
    """Draw horizontal bars; a bar is (name, value, colour)."""
    height, left, width = 46 + 24 * len(rows), 130, 640
    highest = max((value for _, value, _ in rows), default=1.0) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="13" fill="#1a1a1a">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, value, colour) in enumerate(rows):
        y, length = 36 + 24 * number, (width - left - 110) * value / highest
        parts += [
            f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{left}" y="{y}" width="{max(1.0, length):.1f}" height="18" '
            f'fill="{colour}"/>',
            f'<text x="{left + length + 6:.1f}" y="{y + 14}">{value:g} {escape(unit)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def plots(results: dict[str, Result]) -> dict[str, str]:
    """Draw every plot that there are results for: file name and SVG."""
    drawn = {}
    beside = results.get("side_by_side", {}).get("medians", {})
    for workload, servers in beside.items():
        rows = [
            (name, each["cpu_us_per_delta"], COLOURS[name])
            for name, each in sorted(servers.items(), key=lambda item: item[1]["cpu_us_per_delta"])
        ]
        name = workload.lower().replace(" ", "-")
        drawn[f"{name}.svg"] = bars(f"{workload}: server CPU for each delta", rows, "µs")
    scale = results.get("scale", {}).get("rows", [])
    if scale:
        for figure, title, unit in (
            ("steady_us_per_delta", "CPU for each delta, by live sessions", "µs"),
            ("kb_per_session", "Resident memory for each live session", "KB"),
        ):
            rows = [(f"{row['sessions']}", row[figure], COLOURS["ours"]) for row in scale]
            drawn[f"scale-{figure.split('_')[0]}.svg"] = bars(title, rows, unit)
    return drawn


def side(workload: str, figure: str) -> Figure:
    """Find a figure of ours in a workload."""

    def found(results: dict[str, Result]) -> float | None:
        medians = results.get("side_by_side", {}).get("medians", {})
        value: float | None = medians.get(workload, {}).get("ours", {}).get(figure)
        return value

    return found


def cancel_closed(results: dict[str, Result]) -> float | None:
    """The slowest order's p99 at 500 sessions."""
    rows = results.get("cancel", {}).get("rows", [])
    values = [row["closed_ms"]["p99"] for row in rows if row["sessions"] == 500]
    return max(values, default=None)


def added_first_token(results: dict[str, Result]) -> float | None:
    rows = results.get("first_token_beside", {}).get("rows", [])
    return next((row["first_ms"]["p99"] for row in rows if row["beside"] == 500), None)


def memory(results: dict[str, Result]) -> float | None:
    rows = results.get("scale", {}).get("rows", [])
    values = {row["sessions"]: row["kb_per_session"] for row in rows}
    return values[max(values)] if values else None


def alone(name: str) -> Figure:
    return lambda results: results.get("engine_alone", {}).get("ratios", {}).get(name)


def flat(results: dict[str, Result]) -> float | None:
    value: float | None = results.get("scale", {}).get("spreads", {}).get("all")
    return value


def two(results: dict[str, Result]) -> float | None:
    return results.get("two_processes", {}).get("ratio")


GOALS: tuple[tuple[str, Figure, float, str], ...] = (
    ("W2 500, CPU for a delta, × FastAPI", side("W2 500", "ratio"), 0.8, "side_by_side"),
    ("W2 1000, p99 lateness, ms", side("W2 1000", "late_ms_p99"), 10, "side_by_side"),
    ("W1, × FastAPI", side("W1", "ratio"), 0.33, "side_by_side"),
    ("S1, × FastAPI", side("S1", "ratio"), 0.33, "side_by_side"),
    ("F1, × FastAPI", side("F1", "ratio"), 0.1, "side_by_side"),
    ("cancel accepted → upstream closed, p99 at 500, ms", cancel_closed, 20, "cancel"),
    ("added to the first token, p99 beside 500, ms", added_first_token, 5, "first_token_beside"),
    ("memory of a live session with one WebSocket, KB", memory, 64, "scale"),
    ("engine alone, a delta, × LangGraph", alone("a delta, sqlite / langgraph"), 1, "engine_alone"),
    (
        "engine alone, a session of three phases, × LangGraph",
        alone("a session, sqlite / langgraph"),
        0.5,
        "engine_alone",
    ),
    ("cost of a delta, dearest ÷ cheapest of 10 to 5,000 sessions", flat, 1.5, "scale"),
    ("two processes ÷ one (at least)", two, 1.8, "two_processes"),
)


def unsound(result: Result, words: str) -> bool:
    """Whether a goal's figure comes from runs in which the server was not the limit."""
    for workload, servers in result.get("medians", {}).items():
        if words.startswith(f"{workload}, "):
            return any(not servers[each]["sound"] for each in ("ours", "fastapi"))
    return any(row.get("doubts") for row in result.get("rows", ()) if isinstance(row, dict))


def page(results: dict[str, Result]) -> Iterator[str]:
    """Write the page, a block of lines at a time."""
    yield "<!-- Written by docs/performance.py from benchmarks/results: record, do not edit. -->\n"
    yield "# Figures on record\n\nHow to read them: [performance](performance.md).\n"
    yield "## Goals\n\n| goal | at most | found | | measured |\n| --- | --- | --- | --- | --- |"
    for words, figure, goal, question in GOALS:
        value = figure(results)
        if value is None:
            yield f"| {words} | {goal:g} | not recorded | | `benchmarks.{question}` |"
            continue
        met = value >= goal if words.endswith("(at least)") else value <= goal
        verdict = "met" if met else "**not met**"
        if unsound(results[question], words):
            verdict += " (no sound run)"
        when = f"{results[question]['measured_at'][:16]}, {results[question]['commit']}"
        yield f"| {words} | {goal:g} | {value:g} | {verdict} | {when} |"
    beside = results.get("side_by_side")
    if beside:
        yield from _beside(beside)
    if "scale" in results:
        yield "\n## By live sessions\n\n![cost](plots/scale-steady.svg)\n"
        yield "![memory](plots/scale-kb.svg)"


def _beside(result: Result) -> Iterator[str]:
    machine = result["machine"]
    yield (
        f"\n## Side by side\n\n{result['measured_at'][:10]}, commit {result['commit']}, "
        f"{machine['cores']} × {machine['processor']}. Medians; *sound* are the runs in which "
        "neither the client nor a stranger was the limit."
    )
    for workload, servers in result["medians"].items():
        name = workload.lower().replace(" ", "-")
        yield f"\n### {workload}\n\n![{workload}](plots/{name}.svg)\n"
        yield "| server | µs a delta | × FastAPI | steady µs | late p50/p99 ms | cancel p99 ms |"
        yield "| --- | --- | --- | --- | --- | --- |"
        for server, each in servers.items():
            late = _both(each, "late_ms_p50", "late_ms_p99")
            doubt = "" if each["sound"] else " (no sound run)"
            yield (
                f"| {server}{doubt} | {each['cpu_us_per_delta']:g} | {_one(each, 'ratio')} | "
                f"{_one(each, 'steady_us_per_delta')} | {late} | {_one(each, 'cancel_ms_p99')} |"
            )


def _one(each: dict[str, float], figure: str) -> str:
    return f"{each[figure]:g}" if figure in each else "–"


def _both(each: dict[str, float], one: str, two: str) -> str:
    return f"{each[one]:g} / {each[two]:g}" if one in each else "–"


def main() -> None:
    results = latest()
    PLOTS.mkdir(exist_ok=True)
    for name, drawing in plots(results).items():
        (PLOTS / name).write_text(drawing, encoding="utf-8")
    PAGE.write_text("\n".join(page(results)) + "\n", encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
