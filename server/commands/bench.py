"""`antiphon bench`: the load tool. The tool itself (benchmarks/load) is imported when it is run."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import click
import trio

from server.commands.bench_flags import with_flags
from server.commands.streaming import CANCELLED, DONE, FAILED

if TYPE_CHECKING:
    from benchmarks.load.report import Report
    from benchmarks.load.run import Bench

PIPE_WIDTH = 120
"""Columns of a table that no terminal bounds."""


@click.command()
@with_flags
def bench(**flags: Any) -> None:
    """Put load on a server of yours, and judge it.

    Exit codes: 0 it passed, 1 something was found or the run is invalid, 2 wrong use, 130
    interrupted.
    """
    try:
        from benchmarks.load.run import Bench
        from benchmarks.load.table import Screen
        from server.commands.bench_plan import make_plan, make_setting

        plan, setting = make_plan(flags), make_setting(flags)
        screen = Screen(is_terminal=sys.stderr.isatty())
        try:
            made = Bench(plan, setting, screen)
            code, report = trio.run(_run, made)
        finally:
            screen.close()
        if report is not None:
            _write(report, flags)
    except KeyboardInterrupt:  # before anybody listened for it
        sys.exit(CANCELLED)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    sys.exit(code)


async def _run(made: Bench) -> tuple[int, Report | None]:
    """Run it beside a listener for Ctrl-C; gives the exit code."""
    from benchmarks.load.crew import WorkerFailed
    from benchmarks.load.server_process import NoServer

    report: Report | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_interrupt_when_told, made, nursery.cancel_scope)
            report = await made.run()
            nursery.cancel_scope.cancel(reason="it is done")
    except BaseExceptionGroup as group:
        reason = _leaf(group)
        if isinstance(reason, KeyboardInterrupt):
            return CANCELLED, None
        if not isinstance(reason, NoServer | WorkerFailed | ValueError | OSError):
            raise
        print(f"antiphon: {reason}", file=sys.stderr)
        return FAILED, None
    if report is None or report.outcome == "interrupted":
        return CANCELLED, report
    return DONE if report.outcome == "passed" else FAILED, report


async def _interrupt_when_told(made: Bench, scope: trio.CancelScope) -> None:
    """End it in order at the first Ctrl-C, and at once at the second."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        count = 0
        async for _ in signals:
            count += 1
            if count > 1:
                scope.cancel(reason="interrupted twice")
                return
            await made.interrupt()


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _write(report: Report, flags: dict[str, Any]) -> None:
    from rich.console import Console

    from benchmarks.load.page import to_html
    from benchmarks.load.report import to_json
    from benchmarks.load.sheet import to_csv
    from benchmarks.load.table import show

    to_stdout = str(flags["json_path"]) == "-"
    if to_stdout:
        sys.stdout.write(to_json(report).decode())
    elif flags["json_path"] is not None:
        flags["json_path"].write_bytes(to_json(report))
    if flags["csv_path"] is not None:
        flags["csv_path"].write_text(to_csv(report), encoding="utf-8")
    if flags["html_path"] is not None:
        flags["html_path"].write_text(to_html(report), encoding="utf-8")
    if not to_stdout:
        show(report, Console(width=None if sys.stdout.isatty() else PIPE_WIDTH))
