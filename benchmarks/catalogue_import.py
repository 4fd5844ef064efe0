"""How fast does a museum's file go into the catalogue, and how much memory does it take?

A file of 100,000 rows in MoMA's layout is made and imported twice: into an empty catalogue, and
again with nothing changed. Rows a second, and the process's peak memory above what it held before;
a file of a tenth of the size is imported too, so that two peaks show whether memory grows.

    python -m benchmarks.catalogue_import            # prints a table, writes benchmarks/results/
"""

from __future__ import annotations

import csv
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import trio

from benchmarks.results import write_result
from engine.knowledge.catalogue import open_catalogue
from engine.knowledge.importing import import_csv
from engine.limits import Limits

ROWS = 100_000
HEADER = (
    *("Title", "Artist", "ConstituentID", "ArtistBio", "Nationality", "BeginDate", "EndDate"),
    *("Gender", "Date", "Medium", "Dimensions", "CreditLine", "AccessionNumber"),
    *("Classification", "Department", "DateAcquired", "Cataloged", "ObjectID", "URL", "ImageURL"),
    *("OnView", "Circumference (cm)", "Depth (cm)", "Diameter (cm)", "Height (cm)"),
    *("Length (cm)", "Weight (kg)", "Width (cm)", "Seat Height (cm)", "Duration (sec.)"),
)
WORDS = (
    *("River", "Night", "Study", "Untitled", "Composition", "Portrait", "City", "Garden"),
    *("Machine", "Blue", "Figure"),
)


def make_file(path: Path, rows: int) -> None:
    """Write a file whose rows are about as long as the real ones."""
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for n in range(rows):
            title = f"{WORDS[n % 11]} and {WORDS[n // 11 % 11]}, plate {n}"
            artist = f"Given{n % 5000} Family{n % 4999}"
            row = dict.fromkeys(HEADER, "")
            row |= {
                "Title": title,
                "Artist": artist,
                "ConstituentID": str(n % 5000),
                "ArtistBio": "(French, 1880–1950)",
                "Nationality": "(French)",
                "Date": f"{1880 + n % 70}, published later",
                "Medium": "Lithograph on wove paper",
                "Dimensions": 'composition: 9 x 12" (22.9 x 30.5 cm)',
                "CreditLine": "Gift of the artist and friends",
                "AccessionNumber": f"{n}.1950",
                "Classification": "Print",
                "Department": "Drawings & Prints",
                "ObjectID": str(n + 1),
                "URL": f"https://www.moma.org/collection/works/{n + 1}",
                "Height (cm)": "22.9",
                "Width (cm)": "30.5",
            }
            writer.writerow(row.values())


async def measure(directory: Path, rows: int) -> dict[str, Any]:
    path = directory / f"{rows}.csv"
    make_file(path, rows)
    async with open_catalogue(directory / f"{rows}.sqlite") as catalogue:
        await catalogue.size()
        held_bytes = peak_bytes()
        found: dict[str, Any] = {"rows": rows, "file_bytes": path.stat().st_size}
        for name in ("first", "repeated"):
            began = time.perf_counter()
            report = await import_csv(catalogue, path, limits=Limits())
            took_s = time.perf_counter() - began
            found[f"{name}_rows_per_s"] = round(rows / took_s)
            found[f"{name}_changed"] = report.changed_artworks
        found["memory_above_start_bytes"] = peak_bytes() - held_bytes
        found["peak_memory_bytes"] = peak_bytes()
    return found


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_apart(rows: int) -> dict[str, Any]:
    """Measure in a process of its own: a peak is the process's, and never sinks."""
    command = [sys.executable, "-m", "benchmarks.catalogue_import", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


def main() -> None:
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as directory:
            found = trio.run(measure, Path(directory), int(sys.argv[1]))
        print(msgspec.json.encode(found).decode())
        return
    results = [measure_apart(rows) for rows in (ROWS // 10, ROWS)]
    print(f"{'rows':>8} {'rows/s':>8} {'repeated':>9} {'peak MiB':>9} {'above start':>12}")
    for row in results:
        print(
            f"{row['rows']:>8} {row['first_rows_per_s']:>8} {row['repeated_rows_per_s']:>9}"
            f" {row['peak_memory_bytes'] / 2**20:>9.1f}"
            f" {row['memory_above_start_bytes'] / 2**20:>12.1f}"
        )
    question = "How fast does a museum's file go into the catalogue, and in how much memory?"
    print(write_result("catalogue_import", {"question": question, "results": results}))


if __name__ == "__main__":
    main()
