"""The process's log: lines for people, or JSON for machines; with session ids, without text.

The one rule: what people and models write is not logged unless the operator asks for it. A defect's
traceback is, but not its message, which may quote either. Sessions' starts and ends are logged at
`info`, from the engine's reports. structlog renders; whoever logs uses the standard library, and
names the session with `extra={"session_id": …}`.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType
from typing import Any, Literal, TextIO, get_args

import structlog

from engine import AttemptStarted, CallEnded, Report, SessionEnded, SessionStarted

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
FORMATS: tuple[str, ...] = get_args(LogFormat)
LEVELS: tuple[str, ...] = get_args(LogLevel)

_logger = logging.getLogger("antiphon.sessions")


def configure_logging(
    format_: LogFormat, level: LogLevel, *, shows_text: bool = False, stream: TextIO | None = None
) -> None:
    """Send everything that is logged in this process to one stream.

    Args:
        format_: `text`, a line for people; `json`, one object a line.
        level: what is less than this is left out.
        shows_text: keep the messages of exceptions, which may quote prompts and answers.
        stream: where it goes; stderr unless given.
    """
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _Tracebacks(shows_text),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if format_ == "json"
        else structlog.dev.ConsoleRenderer(colors=False, timestamp_key="at")
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class _Tracebacks:
    """Writes out where an exception came from, and what it says only where that is wanted."""

    def __init__(self, shows_text: bool) -> None:
        self._shows_text = shows_text

    def __call__(self, logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
        found = event.pop("exc_info", None)
        if found is True:
            found = sys.exc_info()
        if isinstance(found, BaseException):
            found = (type(found), found, found.__traceback__)
        if found and found[1] is not None:
            event["exception"] = self._written(*found)
        return event

    def _written(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> str:
        if self._shows_text:
            return "".join(traceback.format_exception(kind, error, trace)).rstrip()
        lines = [f"{type(each).__name__}:\n{_frames(each)}" for each in _all(error)]
        return "\n".join(lines).rstrip()


def _frames(error: BaseException) -> str:
    # Without the source lines of a program that was made of text (eval): files and lines suffice.
    return "".join(
        f"  {frame.filename}:{frame.lineno} in {frame.name}\n"
        for frame in traceback.extract_tb(error.__traceback__)
    )


def _all(error: BaseException) -> list[BaseException]:
    """Give an exception, what it was raised from, and what groups hold."""
    found = [error]
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            found += _all(inner)
    if error.__cause__ is not None:
        found += _all(error.__cause__)
    return found


def log_report(report: Report) -> None:
    """Log what is worth a line of the engine's reports; for its telemetry."""
    match report:
        case SessionStarted():
            _say(
                logging.INFO,
                "session started",
                session_id=report.session_id,
                protocol=report.protocol,
                is_recovered=report.is_recovered,
            )
        case SessionEnded():
            level = logging.WARNING if report.state == "failed" else logging.INFO
            _say(
                level,
                "session ended",
                session_id=report.session_id,
                protocol=report.protocol,
                state=report.state,
                reason=report.reason,
                duration_s=round(report.duration_s, 3),
                input_tokens=report.usage.input_tokens,
                output_tokens=report.usage.output_tokens,
            )
        case AttemptStarted():
            _say(
                logging.INFO,
                "attempt",
                session_id=report.session_id,
                part_id=report.part_id,
                attempt=report.attempt,
                reason=report.reason,
                code=report.code,
            )
        case CallEnded(outcome="failed"):
            _say(
                logging.WARNING,
                "provider call failed",
                session_id=report.session_id,
                part_id=report.part_id,
                provider=report.provider,
                model=report.model,
                code=report.code,
                duration_s=round(report.duration_s, 3),
            )
        case _:
            pass


def _say(level: int, message: str, **fields: object) -> None:
    if _logger.isEnabledFor(level):
        shown = {key: value for key, value in fields.items() if value not in (None, "")}
        _logger.log(level, message, extra=shown)
