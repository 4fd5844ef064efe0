"""One connection: Hypercorn's HTTP/1.1 protocol between a socket and the application.

The one rule: whatever a peer sends, or stops taking, ends at most its own connection, and in a
bounded time. It takes the place of Hypercorn's TCPServer, whose faults are listed in
docs/project/upstream.md; what is behind it, `H11Protocol` and its streams, is Hypercorn's own. It
stands between server/listening.py, which accepts, and the ASGI application, which finds the wire
in `scope["extensions"]`. Must not import the engine or Quart.

Who does what: the connection's own task reads and feeds the protocol; the application's task is
spawned by the protocol; everything that is sent goes through the wire (server/wire.py), whose
writer's task exists only once a write had to wait. Keep-alive, silence and pings have no task and
no timer of their own: `tick` is called for all connections by one task (server/connections.py).

An empty binary message reaches the application as None through Quart (it takes `b""` for absent):
whoever receives treats None as empty.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState

from server.dialect import OVER, Http11, Rfc6455
from server.frames import CLOSE_OPCODE, PING, close_frame
from server.line import READ_BYTES, Line
from server.wire import LINGER_S, PENDING_BYTES, STALL_S, WIRE, Wire

KIB = 1024
MIB = 1024 * KIB

TOO_SLOW = 4008
"""Close code of a reader whose socket accepted no byte for the stall time."""

SENDS_A_TURN = 16
"""Sends between two checkpoints. Sending directly needs none, and Hypercorn drops what is sent
after the end without one: a loop that only sends would never let another task run."""

_Send = Callable[[Any], Awaitable[None]]

log = logging.getLogger("antiphon.connection")


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of every connection."""

    pending_bytes: int = PENDING_BYTES
    """Bytes that wait for one peer, beside the kernel's buffer; then its writers wait."""
    stall_s: float = STALL_S
    """A peer that accepts no byte for so long is disconnected, with 4008 where it can be."""
    linger_s: float = LINGER_S
    """How long an ending connection may take: the last bytes, the peer's goodbye, the handler."""
    keep_alive_s: float = 15.0
    """How long a connection may take for (the rest of) a request's head, the first or the next."""
    handshake_s: float = 10.0
    """How long TLS may take to begin."""
    ping_interval_s: float = 20.0
    """WebSocket pings from the server (contract 0, Liveness)."""
    silence_s: float = 50.0
    """A WebSocket from which nothing came for so long, no pong either, is dropped: two pings were
    not answered, and 10 s more."""
    message_bytes: int = MIB
    """A longer WebSocket message is answered with 1009. Text is counted in characters, as
    Hypercorn does."""
    head_bytes: int = 16 * KIB
    """A longer request head is answered with 431."""

    def tick_s(self) -> float:
        """How often connections are looked at: late by at most a quarter of the shortest time."""
        return min(1.0, self.keep_alive_s / 4, self.ping_interval_s / 4, self.silence_s / 4)


def hypercorn_config(limits: ConnectionLimits) -> Config:
    """Give Hypercorn's settings, as far as its protocol looks at them."""
    config = Config()
    config.h11_max_incomplete_size = limits.head_bytes
    config.websocket_max_message_size = limits.message_bytes
    config.include_server_header = False
    # No handler and no file of Hypercorn's: its reports go to the logger of that name.
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = None
    return config


class Connection:
    """One accepted connection, from its first byte to its last.

    Args:
        app: the application, wrapped by `hypercorn.utils.wrap_app`.
        config: from `hypercorn_config`.
        context: shared by all connections; its `terminated` ends idle ones after their request.
        state: the lifespan's state, to be copied into each scope.
        stream: as a listener gives it: a socket, or any stream in a test.
        limits: the bounds.
        tls: where given, the peer has to begin with TLS.
    """

    __slots__ = (
        "_app",
        "_config",
        "_context",
        "_ending",
        "_h11",
        "_heard_at",
        "_idle_since",
        "_limits",
        "_line",
        "_pinged_at",
        "_protocol",
        "_reading",
        "_scope",
        "_sends",
        "_state",
        "_stream",
        "_tasks",
        "_websocket",
        "_why",
        "wire",
    )

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: dict[str, Any],
        stream: trio.abc.Stream,
        limits: ConnectionLimits,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._app = app
        self._config = config
        self._context = context
        self._state = state
        self._limits = limits
        self._line = Line(stream) if isinstance(stream, trio.SocketStream) else None
        self._stream: trio.abc.Stream = self._line or stream
        if tls is not None:
            # Not https_compatible: so that closing says close_notify.
            self._stream = trio.SSLStream(self._stream, tls, server_side=True)
        self._tasks = TaskGroup()
        self.wire = Wire(
            self._stream,
            self._tasks.spawn,
            self._lost,
            self._abort,
            line=None if tls else self._line,
            pending_bytes=limits.pending_bytes,
            stall_s=limits.stall_s,
        )
        """What sends."""
        self._scope = trio.CancelScope()
        self._reading = trio.CancelScope()
        self._websocket = False
        self._ending = False
        self._why = ""
        self._sends = 0
        self._idle_since: float | None = trio.current_time()
        self._heard_at = self._pinged_at = trio.current_time()

    def __repr__(self) -> str:
        kind = "websocket" if self._websocket else "http"
        state = f"ending: {self._why}" if self._ending else "idle" if self._idle else "active"
        return f"<Connection {kind} {state} {self.wire!r}>"

    @property
    def _idle(self) -> bool:
        return self._idle_since is not None

    @property
    def is_websocket(self) -> bool:
        """Whether it has been upgraded."""
        return self._websocket

    @property
    def sent_bytes(self) -> int:
        """Bytes that the kernel has taken from it."""
        return 0 if self._line is None else self._line.sent_bytes

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait for its peer, beside the kernel's buffer."""
        return self.wire.pending_bytes

    @property
    def stalled(self) -> bool:
        """Whether its peer stopped reading for the stall time."""
        return self.wire.stalled

    async def run(self) -> None:
        """Serve the connection until it ends. Raises nothing but a cancel from outside.

        Cancellation: the socket is closed at once; the application's task is cancelled.
        """
        try:
            with self._scope:
                await self._serve()
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            # The peer left, at whatever moment: nobody's fault.
            log.debug("the peer left", exc_info=True)
        except* Exception:
            # The firewall between connections: what a peer or the parser under us got wrong may
            # end this connection and no other.
            log.warning("a connection broke and was closed", exc_info=True)
        finally:
            await trio.aclose_forcefully(self._line or self._stream)

    def end(self, why: str = "", *, code: int | None = None) -> None:
        """Have the connection end, in at most twice the linger time. A plain function.

        Args:
            why: for the log.
            code: the close code, should it be a WebSocket that has not said goodbye yet.
        """
        if self._ending:
            return
        self._ending = True
        self._why = why
        if code is not None and self._websocket and self.wire.is_open:
            self.wire.write_frames([close_frame(code)])
            self.wire.shut()
        self._reading.cancel(reason=why or None)

    def tick(self, now: float) -> None:
        """Look at the clock: keep-alive, pings, silence. Called about every `limits.tick_s()`."""
        limits = self._limits
        if self._idle_since is not None:
            if self._context.terminated.is_set() or now - self._idle_since >= limits.keep_alive_s:
                self.end("idle")
        elif self._websocket and not self._ending:
            if now - self._heard_at >= limits.silence_s:
                self.end("silent")
            elif now - self._pinged_at >= limits.ping_interval_s:
                self._pinged_at = now
                # Refused while the peer does not read: then the stall time decides.
                self.wire.write_frames([PING])

    # -- the connection's own task

    async def _serve(self) -> None:
        if isinstance(self._stream, trio.SSLStream):
            with trio.fail_after(self._limits.handshake_s):
                await self._stream.do_handshake()
        async with self._tasks:
            self._plug()
            await self._protocol.initiate()
            with self._reading:
                await self._read()
            await self._finish()

    def _plug(self) -> None:
        """Make Hypercorn's protocol, and put our state machine into it."""
        peer, ours = (None, None)
        if self._line is not None:
            self._line.watch(self.wire.progressed)
            peer, ours = self._line.addresses()
        self._protocol = H11Protocol(
            self._call_app,
            self._config,
            self._context,
            self._tasks,
            ConnectionState(self._state),
            isinstance(self._stream, trio.SSLStream),
            peer,
            ours,
            self._handle,
        )
        self._h11 = Http11(self._limits.head_bytes, self._upgraded, self._streaming)
        self._protocol.connection = self._h11

    async def _read(self) -> None:
        while True:
            try:
                data = await self._stream.receive_some(READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            self._heard_at = trio.current_time()
            await self._protocol.handle(RawData(bytes(data)))
            # After bytes that came too early, or a handshake refused, Hypercorn has answered but
            # leaves the connection as it is.
            if not data or self._h11.our_state in OVER:
                return

    async def _finish(self) -> None:
        """Tell the handler, get the last bytes away, close; the handler has as long as that."""
        self._ending = True
        self._scope.deadline = trio.current_time() + self._limits.linger_s
        self.wire.shut()
        await self._protocol.handle(Closed())
        await self.wire.drained()
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._stream.aclose()
        self.wire.abort()

    def _lost(self) -> None:
        self.end("stalled" if self.wire.stalled else "gone")

    def _abort(self) -> None:
        if self._line is not None:
            self._line.abort()

    # -- what the protocol calls

    async def _handle(self, event: Event) -> None:
        """Do what Hypercorn's protocol asks for.

        Only data may wait. The rest must not: it is called from inside a handler that is being
        cancelled (quart-trio leaves its nursery at the `http.disconnect` which comes before), so
        an `await` would end here and the connection would neither close nor be reused.
        """
        match event:
            case RawData(data=data):
                if self._websocket and data and data[0] == CLOSE_OPCODE:
                    self._closing()
                try:
                    await self.wire.put(data)
                except trio.BrokenResourceError:
                    self.end("gone")
            case Closed():
                self.end("closed")
            case Updated(idle=True):
                self._idle_since = trio.current_time()
                if self._context.terminated.is_set():
                    self.end("draining")
            case Updated(idle=False):
                self._idle_since = None

    def _upgraded(self) -> None:
        """The answer is 101: from its bytes on, frames may follow."""
        stream = self._protocol.stream
        assert isinstance(stream, WSStream)
        stream.connection = Rfc6455(self._violated)
        self._websocket = True
        self._heard_at = self._pinged_at = trio.current_time()
        self.wire.open(farewell=close_frame(TOO_SLOW, "too slow"))

    def _streaming(self, chunked: bool) -> None:
        """A response's body begins, or ends: chunks may be written directly in between."""
        if chunked:
            self.wire.open()
        else:
            self.wire.shut()

    def _violated(self, frame: bytes) -> None:
        self._closing()
        try:
            self.wire.put_nowait(frame)
        except trio.BrokenResourceError:
            self.end("gone")

    def _closing(self) -> None:
        """Let our close frame be the last; the peer has the linger time to answer it."""
        self.wire.shut()
        self._reading.deadline = trio.current_time() + self._limits.linger_s

    async def _call_app(
        self, scope: Any, receive: Any, send: _Send, sync_spawn: Any, call_soon: Any
    ) -> None:
        """Call the application, with the wire in its scope and a send that lets others run."""
        scope["extensions"][WIRE] = self.wire

        async def send_and_yield(message: Any) -> None:
            # Afterwards: so that a message takes its place in the order when it is sent.
            await send(message)
            self._sends += 1
            if self.wire.dead or self._sends % SENDS_A_TURN == 0:
                await trio.lowlevel.checkpoint()

        await self._app(scope, receive, send_and_yield, sync_spawn, call_soon)
