"""`antiphon sessions`, `tail`, `cancel` and `replay`: look at sessions, follow one, end it.

With `--url` on a running server, else on the journal in the data folder. A journal has one owner at
a time: while a server runs on it, these commands say so and ask for `--url`.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Awaitable, Callable

import trio

from engine import JSON, AntiphonError, JournalFailed
from server.client import Refused, Unreachable, is_terminal
from server.commands.places import Failed, Place, open_place
from server.settings import Settings

DONE, FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes (contract 6); 2 is a wrong use."""

LONGEST_PAUSE_S = 5.0
"""A replay waits no longer than this: what happened in a night is not worth a night."""

Action = Callable[[Place], Awaitable[int]]


def list_sessions(settings: Settings, query: dict[str, str], *, as_json: bool) -> int:
    """List sessions, newest first; gives the exit code."""

    async def act(place: Place) -> int:
        page = await place.sessions(query)
        for session in page["sessions"]:
            print(json.dumps(session) if as_json else _line_of(session), flush=True)
        if page["cursor"] is not None and not as_json:
            print(f"more: --cursor {page['cursor']}", file=sys.stderr)
        return DONE

    return _run(settings, act)


def cancel(settings: Settings, session_id: str, *, as_json: bool) -> int:
    """Cancel a session; gives the exit code."""

    async def act(place: Place) -> int:
        answer = await place.cancel(session_id)
        print(json.dumps(answer) if as_json else f"{session_id} {answer['state']}", flush=True)
        return DONE

    return _run(settings, act)


def tail(settings: Settings, session_id: str, after: str | None, *, as_json: bool) -> int:
    """Show a session's messages, and follow it to its end; gives the exit code."""

    async def act(place: Place) -> int:
        return await _show(place, session_id, after, as_json, _at_once)

    return _run(settings, act)


def replay(settings: Settings, session_id: str, speed: float, *, as_json: bool) -> int:
    """Show a session again, at the pace at which it was written; gives the exit code.

    Args:
        settings: where it is.
        session_id: which one.
        speed: 2 is twice as fast; 0 is without a pause.
        as_json: one JSON message a line.
    """

    async def act(place: Place) -> int:
        return await _show(place, session_id, None, as_json, _Pace(speed))

    return _run(settings, act)


# ---- showing -------------------------------------------------------------------------------------


async def _show(
    place: Place,
    session_id: str,
    after: str | None,
    as_json: bool,
    wait_turn: Callable[[float], Awaitable[None]],
) -> int:
    last: JSON = {}
    async with place.reading(session_id, after) as messages:
        async for message, at in messages:
            await wait_turn(at)
            print(json.dumps(message) if as_json else _line(message), flush=True)
            last = message
    if is_terminal(last):
        return FAILED if last["type"] == "error" else DONE
    if last.get("type") == "snapshot":
        return DONE
    print(
        "antiphon: this session has not ended; it goes on when a server starts here",
        file=sys.stderr,
    )
    return FAILED


async def _at_once(at: float) -> None:
    await trio.lowlevel.checkpoint()


class _Pace:
    """Waits as long as the writing took, divided by the speed."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._before: float | None = None

    async def __call__(self, at: float) -> None:
        pause_s = 0.0
        if self._before is not None and self._speed:
            pause_s = min(max(0.0, at - self._before) / self._speed, LONGEST_PAUSE_S)
        self._before = at
        await trio.sleep(pause_s)


def _line(message: JSON) -> str:
    """Give a message as one line: its offset, type, place and text."""
    where = message.get("phase") or message.get("stage") or ""
    part = message.get("prompt_id") or message.get("persona_id") or ""
    text = next(
        (
            str(message[key])
            for key in ("content", "token", "chunk", "error", "message", "reason")
            if isinstance(message.get(key), str)
        ),
        "",
    )
    offset = str(message.get("seq", ""))
    if "first_seq" in message:
        offset = f"{message['first_seq']}-{offset}"
    fields = [f"{offset:>9}", message["type"], where, part[:8], json.dumps(text)[1:-1]]
    return " ".join(field for field in fields if field)


def _line_of(session: JSON) -> str:
    return (
        f"{session['session_id']}  {session['state']:<9}  {session['protocol']:<10}  "
        f"{session['created_at']}"
    )


# ---- running -------------------------------------------------------------------------------------


def _run(settings: Settings, act: Action) -> int:
    try:
        return trio.run(_act, settings, act)
    except* (Failed, AntiphonError, Refused, Unreachable) as group:
        error = _leaf(group)
        text = str(error)
        if isinstance(error, JournalFailed) and "in use" in text:
            text = f"a server is using the journal in {settings.data}; ask it with --url"
        print(f"antiphon: {text}", file=sys.stderr)
    except* BrokenPipeError:  # the reader of our output has gone: `antiphon tail … | head`
        sys.stderr.close()
    return FAILED


async def _act(settings: Settings, act: Action) -> int:
    """Do it; Ctrl-C ends the command, and never the session."""
    code = INTERRUPTED
    async with trio.open_nursery() as nursery:
        await nursery.start(_end_on_interrupt, nursery.cancel_scope)
        async with open_place(settings) as place:
            code = await act(place)
        nursery.cancel_scope.cancel(reason="done")
    return code


async def _end_on_interrupt(
    scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel(reason="interrupted")


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
