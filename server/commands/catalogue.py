"""`antiphon catalogue import`: museums' open data into the embedded catalogue, with a bar."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import trio
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from engine import AntiphonError, ImportProgress, ImportReport, import_csv, open_sources
from server.commands.streaming import CANCELLED, DONE, FAILED, is_terminal_device
from server.settings import Settings

SHOWN_REASONS = 5
"""Reasons for skipped rows that are printed; the report as JSON has all."""


def run(settings: Settings, files: Sequence[Path], *, as_json: bool) -> int:
    """Import the files one after the other; gives the exit code."""
    return trio.run(_run, settings, files, as_json)


async def _run(settings: Settings, files: Sequence[Path], as_json: bool) -> int:
    code = DONE
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_on_interrupt, nursery.cancel_scope)
        code = await _import_all(settings, files, as_json)
        finished = not nursery.cancel_scope.cancel_called
        nursery.cancel_scope.cancel()
    if not finished:
        print("cancelled; what was committed stays: run it again to go on", file=sys.stderr)
        return CANCELLED
    return code


async def _cancel_on_interrupt(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel(reason="interrupted")
            return


async def _import_all(settings: Settings, files: Sequence[Path], as_json: bool) -> int:
    code = DONE
    limits = settings.limits()
    offline = msgspec.structs.replace(settings.sources(), offline=True)
    async with open_sources(offline, limits) as sources:
        for path in files:
            try:
                with _bar(path, as_json) as bar:
                    report = await import_csv(sources.catalogue, path, limits=limits, progress=bar)
            except (AntiphonError, OSError) as error:
                print(f"antiphon: {path}: {_said(error)}", file=sys.stderr)
                code = FAILED
                continue
            _show(report, path, as_json)
    return code


class _Bar:
    """A bar on a terminal; nothing in a pipe."""

    def __init__(self, path: Path, bar: Progress | None) -> None:
        self._bar = bar
        self._task = bar.add_task(path.name, total=None, rows="") if bar is not None else None

    def __call__(self, progress: ImportProgress) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                completed=progress.bytes_read,
                total=progress.bytes_total,
                rows=f"{progress.rows:,} rows",
            )


@contextmanager
def _bar(path: Path, as_json: bool):  # type: ignore[no-untyped-def]
    if as_json or not is_terminal_device():
        yield _Bar(path, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console()) as bar:
        yield _Bar(path, bar)


def _show(report: ImportReport, path: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"file": str(path), **msgspec.to_builtins(report)}), flush=True)
        return
    print(
        f"{path.name}: {report.layout}, {report.rows:,} rows; "
        f"{report.changed_artists:,} artists and {report.changed_artworks:,} works are new or "
        f"changed, {report.skipped:,} rows skipped",
        flush=True,
    )
    for reason, count in list(report.reasons.items())[:SHOWN_REASONS]:
        print(f"  {count:,} skipped: {reason}", flush=True)


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
