"""`python -m benchmarks`: answer all questions, or those that are named.

`--list` names them; `--record` answers those of docs/explanation/performance.md, in some 25
minutes on an otherwise quiet machine, and writes that page's figures and plots anew.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

RECORDED = (
    ("side_by_side", "--rounds", "2"),
    ("scale",),
    ("first_token_beside",),
    ("two_processes",),
    ("cancel", "--sessions", "500"),
    ("engine_alone", "--rounds", "5"),
)
"""The questions of the page, each with its arguments."""


def questions() -> dict[str, str]:
    """Give each benchmark's name and the first line of what it asks."""
    found = {}
    for path in sorted(HERE.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        if 'if __name__ == "__main__"' in source and not path.name.startswith("_"):
            found[path.stem] = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return found


def record(known: dict[str, str]) -> int:
    """Answer the page's questions, then write its figures."""
    worst = 0
    for name, *arguments in RECORDED:
        print(f"\n== {name}: {known[name]}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        worst = max(worst, subprocess.call(command))
    page = HERE.parent / "docs" / "performance.py"
    return max(worst, subprocess.call([sys.executable, str(page)]))


def main() -> int:
    known = questions()
    wanted = [name for name in sys.argv[1:] if not name.startswith("-")] or list(known)
    if "--list" in sys.argv:
        for name, question in known.items():
            print(f"{name:16} {question}")
        return 0
    if "--record" in sys.argv:
        return record(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    worst = 0
    for name in wanted:
        print(f"\n== {name}: {known[name]}", flush=True)
        worst = max(worst, subprocess.call([sys.executable, "-m", f"benchmarks.{name}"]))
    return worst


sys.exit(main())
