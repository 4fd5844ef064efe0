"""What all client commands share: a session here or on a server, its messages, Ctrl-C, exit codes.

The messages are the wire's own in either case, so what is shown does not depend on where it runs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import httpx2
import trio
from trio_websocket import ConnectionRejected, HandshakeError

from engine import (
    JSON,
    AntiphonError,
    Engine,
    Entry,
    MemoryJournal,
    all_pipelines,
    open_engine,
    open_sources,
)
from server.client import Client, Refused, Stream, Unreachable, is_terminal
from server.protocols import all_codecs
from server.protocols.encoding import Encoder, refusal, tell
from server.serving import open_providers, open_services
from server.settings import Settings

DONE, FAILED, CANCELLED = 0, 1, 130
"""Exit codes (contract 6); 2 is a wrong use."""


SOCKETS = frozenset({"/stream", "/ws"})
"""The paths at which a session is started over a WebSocket; at all others by a POST."""

START_S = 30.0
"""The longest that a server may take to begin its answer to a POST."""

CLOSE_S = 1.0
"""The longest that closing it may take."""


class Messages(Protocol):
    """One session's messages."""

    def __aiter__(self) -> AsyncIterator[JSON]:
        """Give them in order, the terminal one last."""
        ...

    async def cancel(self) -> None:
        """Ask for the session's cancel."""
        ...


class Show(Protocol):
    """What a command makes of messages."""

    def show(self, message: JSON) -> None:
        """Take the next message."""
        ...

    def close(self) -> None:
        """Tidy up the terminal."""
        ...


def stream(settings: Settings, *, protocol: str, path: str, request: JSON, show: Show) -> int:
    """Run a session and show it; gives the exit code.

    Args:
        settings: where it runs.
        protocol: the pipeline's word.
        path: the protocol's own on a server: a WebSocket's, or one that takes a POST.
        request: what to run.
        show: what is made of its messages.
    """
    return in_terminal(_stream, settings, protocol, path, request, show)


def in_terminal(main: Callable[..., Awaitable[int]], *args: Any) -> int:
    """Run what a command does; a reader that has gone, as `head` has, is no traceback."""
    try:
        return trio.run(main, *args)
    except* BrokenPipeError:  # whoever read us has enough, as `head` has
        with open(os.devnull, "wb") as nowhere:  # for what is flushed at the very end
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return FAILED


async def _stream(settings: Settings, protocol: str, path: str, request: JSON, show: Show) -> int:
    code = FAILED
    try:
        async with open_desk(settings) as desk:
            code = exit_code(await attend(desk, protocol, path, request, show))
    except* (Unreachable, AntiphonError) as failed:
        print(f"antiphon: {_leaf(failed)}", file=sys.stderr)
    return code


async def attend(desk: Desk, protocol: str, path: str, request: JSON, show: Show) -> JSON:
    """Run one session and show it; Ctrl-C cancels it. Gives its last message.

    Raises:
        Unreachable, AntiphonError: it could not be run; perhaps in a group.
    """
    last: JSON = {}
    try:
        async with (
            desk.start(protocol, path, request) as messages,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_cancel_on_interrupt, messages, nursery.cancel_scope)
            async for message in messages:
                show.show(message)
                last = message
            nursery.cancel_scope.cancel()
    except* Refused as refused:
        last = _leaf(refused).message  # type: ignore[attr-defined]
        show.show(last)
    finally:
        show.close()
    return last


def exit_code(last: JSON) -> int:
    """Say on stderr how a session ended, unless well, and give the exit code."""
    if last.get("type") == "cancelled":
        print(f"cancelled; receipt: {json.dumps(last['receipt'])}", file=sys.stderr)
        return CANCELLED
    if not is_terminal(last) or last.get("type") == "error":
        if last.get("type") == "error":
            text = last.get("error") or last.get("message")
            print(f"antiphon: {text} ({last.get('code')})", file=sys.stderr)
        return FAILED
    return FAILED if last.get("success") is False else DONE


async def _cancel_on_interrupt(messages: Messages, scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            await messages.cancel()
            break
        async for _ in signals:  # a second one does not wait for the receipt
            scope.cancel()


class Desk(Protocol):
    """Where sessions are started: on a server, or in this process."""

    def start(
        self, protocol: str, path: str, request: JSON
    ) -> AbstractAsyncContextManager[Messages]:
        """Start a session and read it.

        Raises:
            Refused: the request was not taken. Unreachable: there is no server.
        """
        ...


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """Open the server that the settings name, else an engine that lives as long as the block."""
    if settings.url:
        yield _OnServer(settings)
        return
    limits = settings.limits()
    journal = MemoryJournal(limits)
    async with (
        open_providers(settings, limits) as providers,
        open_sources(settings.sources(), limits) as sources,
        open_engine(
            providers=providers,
            pipelines=all_pipelines(templates=settings.data / "templates"),
            journal=journal,
            limits=limits,
            services={**open_services(settings, journal), "sources": sources},
        ) as engine,
    ):
        yield _InProcess(engine)


class _OnServer:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = Client(settings.url, token=settings.token)

    @asynccontextmanager
    async def start(self, protocol: str, path: str, request: JSON) -> AsyncIterator[Messages]:
        client = self._client
        if path in SOCKETS:
            await _check_reachable(client, path)
            async with client.start(path, request) as messages:
                yield messages
        else:
            async with _posted(client, self._settings, path, request) as posted:
                yield posted


class _InProcess:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def start(self, protocol: str, path: str, request: JSON) -> AsyncIterator[Messages]:
        codec = next(codec for codec in all_codecs() if codec.protocol == protocol)
        try:
            word, data = codec.decode(request)
            session = await self._engine.start(word, data)
        except AntiphonError as error:
            raise Refused(json.loads(refusal(codec, error))) from error
        with await self._engine.subscribe(session.session_id) as subscription:
            yield Here(self._engine, session, Encoder(codec, tell(session.record)), subscription)


async def _check_reachable(client: Client, path: str) -> None:
    """Tell of a wrong address at once; the client's patience is for servers that were there."""
    try:
        async with client.connect(path):
            pass
    except ConnectionRejected as error:
        hint = "; set ANTIPHON_TOKEN" if error.status_code == 401 else ""
        raise Unreachable(f"{client.url} answered {error.status_code}{hint}") from error
    except (OSError, HandshakeError, trio.TooSlowError) as error:
        raise Unreachable(f"{client.url} cannot be reached") from error


@asynccontextmanager
async def _posted(
    client: Client, settings: Settings, path: str, request: JSON
) -> AsyncIterator[Messages]:
    """Start a session by HTTP, and read it over a WebSocket, which resumes by itself."""
    headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
    async with httpx2.AsyncClient(headers=headers, timeout=START_S) as http:
        try:
            opening = http.build_request("POST", client.url + path, json=request)
            response = await http.send(opening, stream=True)
        except httpx2.HTTPError as error:
            raise Unreachable(f"{client.url} cannot be reached: {error}") from None
        try:
            if response.is_error:
                raise Refused(_refusal(response.status_code, await response.aread()))
            session_id = response.headers["X-Session-Id"]
            async with client.follow("/stream", session_id) as messages:
                yield _Posted(messages, response)
        finally:
            with trio.move_on_after(CLOSE_S, shield=True):
                await response.aclose()


def _refusal(status: int, body: bytes) -> JSON:
    try:
        problem = json.loads(body)
    except ValueError:
        problem = {}
    detail = problem.get("detail", f"it answered {status}")
    return {**problem, "type": "error", "error": detail, "refused": True}


class _Posted:
    """A session that was started by HTTP; its first reader stays until the second one is there."""

    def __init__(self, messages: Stream, response: httpx2.Response) -> None:
        self._messages = messages
        self._response = response

    async def __aiter__(self) -> AsyncIterator[JSON]:
        async for message in self._messages:
            if not self._response.is_closed:
                await self._response.aclose()
            yield message

    async def cancel(self) -> None:
        await self._messages.cancel()


class Here:
    """A session of an engine in this process."""

    def __init__(self, engine: Engine, session: Any, encoder: Encoder, subscription: Any) -> None:
        self.engine = engine
        self.session_id: str = session.session_id
        self._encoder = encoder
        self._subscription = subscription
        self._messages: deque[JSON] = deque()

    def __aiter__(self) -> Here:
        return self

    async def __anext__(self) -> JSON:
        while not self._messages:
            batch = await self._subscription.receive()
            if not batch:
                raise StopAsyncIteration
            entries = (entry for entry in batch if isinstance(entry, Entry))
            self._messages.extend(map(self._encoder.fields, entries))
        return self._messages.popleft()

    async def cancel(self) -> None:
        """Ask for the session's cancel."""
        await self.engine.cancel(self.session_id)


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class JsonLines:
    """Shows each message as a line of JSON."""

    def show(self, message: JSON) -> None:
        """Print it."""
        print(json.dumps(message, ensure_ascii=False), flush=True)

    def close(self) -> None:
        """Nothing is left to do."""


def is_terminal_device() -> bool:
    """Whether stdout is a terminal that a person looks at."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
