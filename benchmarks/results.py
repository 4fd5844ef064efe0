"""Where benchmarks put what they found: dated JSON with machine and versions, never edited by hand.

write_result("journal", {"question": …, "rows": […]})
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
PACKAGES = ("trio", "msgspec", "hypercorn", "quart", "quart-trio", "pydantic", "wsproto", "openai")


def write_result(name: str, data: dict[str, Any], *, now: datetime | None = None) -> Path:
    """Write a result as `results/DATE-NAME.json`, and give its path.

    A second result of one name on one day gets its time of day too: no result replaces another.

    Args:
        name: the benchmark's file without its suffix.
        data: what was found, as JSON; by custom `question`, then the settings, then the numbers.
        now: when it was measured; the present, unless a test says otherwise.
    """
    now = now or datetime.now(UTC)
    result = {
        "name": name,
        "measured_at": now.isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": machine(),
        "versions": versions(),
        **data,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d}-{name}.json"
    if path.exists():
        path = RESULTS / f"{now:%Y-%m-%d-%H%M%S}-{name}.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return path


def machine() -> dict[str, Any]:
    """Describe the machine, without its name: what a reader needs to compare numbers."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Name the versions that count."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    """Name the commit that was measured, with a + where files differ from it."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()
