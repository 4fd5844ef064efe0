"""Loading museums' open data into the catalogue: what `antiphon catalogue import` does.

The one rule: a file of any size goes through in batches. A batch is read and committed in the
catalogue's thread; between two of them the trio thread reports progress, can be cancelled, and lets
the catalogue answer questions. A row is known by the museum's own id, so that importing a file
again changes nothing, and an import that was cancelled goes on by being started again.

Must not import a connector, sessions, pipelines or providers.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import msgspec
import trio

from engine.errors import InvalidRequest
from engine.knowledge.catalogue import Catalogue
from engine.knowledge.interface import ArtistFound, ArtworkFound
from engine.knowledge.layouts import LAYOUTS, Finding, Layout, RowSkipped, detect
from engine.knowledge.shelves import Shelves
from engine.limits import Limits

SKIPPED_SHOWN = 100
"""Skipped rows that a report names; the others are only counted, by reason."""


class ImportProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an import is."""

    rows: int
    """Rows that are read and committed, the header not counted."""
    bytes_read: int
    bytes_total: int


class SkippedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that gave nothing."""

    row: int
    """Its number as a spreadsheet shows it: the header is row 1."""
    reason: str


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did."""

    layout: str
    """The file that it was found to be: "MoMA Artworks.csv"."""
    museum: str
    rows: int
    changed_artists: int
    """Artists that are new, or other than before."""
    changed_artworks: int
    skipped: int
    reasons: dict[str, int]
    """Why rows were skipped, the most frequent first: {reason: rows}."""
    skipped_rows: tuple[SkippedRow, ...]
    """The first of them."""


async def import_csv(
    catalogue: Catalogue,
    path: Path,
    *,
    limits: Limits,
    progress: Callable[[ImportProgress], None] | None = None,
) -> ImportReport:
    """Load one of the museums' files into the catalogue.

    Args:
        catalogue: an open one.
        path: a CSV file in one of the layouts of `layouts`, told by its header.
        limits: `import_batch_rows` are committed together.
        progress: called in the trio thread after each batch; must not block.

    Raises:
        InvalidRequest: the file is empty, or has none of the known headers: the caller's.
        OSError: the file cannot be read.
        SourceFailed: the catalogue cannot be written.

    Cancellation: between two batches; what is committed stays, and the same import may be repeated.
    Memory: one batch, whatever the file's size.
    """
    run = await trio.to_thread.run_sync(_Run, path)
    with closing(run):
        while await catalogue.run(lambda shelves: run.work_batch(shelves, limits)):
            if progress is not None:
                progress(run.progress())
        return run.report()


class _Run:
    """One import under way; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._bytes_total = path.stat().st_size
        self._file = path.open("rb")
        try:
            # utf-8-sig: MoMA's and The Met's files begin with a byte order mark.
            text = io.TextIOWrapper(self._file, "utf-8-sig", errors="replace", newline="")
            self._reader = csv.reader(text)
            self._header = self._read_header(path)
            self._layout = _layout_of(self._header, path)
        except BaseException:
            self._file.close()
            raise
        self._rows = 0
        self._changed_artists = self._changed_artworks = 0
        self._reasons: Counter[str] = Counter()
        self._skipped_rows: list[SkippedRow] = []
        self._findings = self._read()

    def close(self) -> None:
        self._file.close()

    def work_batch(self, shelves: Shelves, limits: Limits) -> bool:
        """Read and commit one batch; False: the file is at its end."""
        before = self._rows
        artists: dict[str, ArtistFound] = {}
        artworks: list[ArtworkFound] = []
        for findings in islice(self._findings, limits.import_batch_rows):
            for finding in findings:
                if isinstance(finding, ArtistFound):
                    artists.setdefault(finding.source_id, finding)
                else:
                    artworks.append(finding)
        # An artist in a file of works is said once for each work, not always in the same words:
        # the first word stands, else a repeated import would change it to and fro.
        changed = shelves.put(artists.values(), artworks, keep_artists=bool(artworks))
        self._changed_artists += changed[0]
        self._changed_artworks += changed[1]
        return self._rows > before

    def progress(self) -> ImportProgress:
        # The text layer reads ahead by 8 KiB; the last report says all.
        return ImportProgress(
            rows=self._rows, bytes_read=self._file.tell(), bytes_total=self._bytes_total
        )

    def report(self) -> ImportReport:
        return ImportReport(
            layout=self._layout.name,
            museum=self._layout.museum,
            rows=self._rows,
            changed_artists=self._changed_artists,
            changed_artworks=self._changed_artworks,
            skipped=self._reasons.total(),
            reasons=dict(self._reasons.most_common()),
            skipped_rows=tuple(self._skipped_rows),
        )

    def _read_header(self, path: Path) -> list[str]:
        try:
            return next(self._reader)
        except StopIteration:
            raise InvalidRequest(f"{path.name} is empty") from None
        except csv.Error as error:
            raise InvalidRequest(f"{path.name} is no CSV file: {error}") from error

    def _read(self) -> Iterator[list[Finding]]:
        """Read row by row; gives one list for each, empty for a skipped one."""
        width = len(self._header)
        while True:
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                # A cell above csv's 128 KiB, most often because a quote is never closed.
                self._rows += 1
                yield self._skip(f"not readable as CSV: {error}")
                continue
            if not cells:
                continue  # an empty line is no row
            self._rows += 1
            if len(cells) != width:
                yield self._skip(f"another number of columns than the header's {width}")
                continue
            try:
                yield list(self._layout.read(dict(zip(self._header, cells, strict=True))))
            except RowSkipped as skipped:
                yield self._skip(str(skipped))

    def _skip(self, reason: str) -> list[Finding]:
        self._reasons[reason] += 1
        if len(self._skipped_rows) < SKIPPED_SHOWN:
            self._skipped_rows.append(SkippedRow(row=self._rows + 1, reason=reason))
        return []


def _layout_of(header: list[str], path: Path) -> Layout:
    layout = detect(header)
    if layout is None:
        known = ", ".join(each.name for each in LAYOUTS)
        raise InvalidRequest(f"{path.name} has the header of none of these: {known}")
    return layout
