"""The write side of one connection: one queue, and one writer that empties it.

The one rule: bytes leave in the order in which they were taken, whole frames only, and nobody else
writes. The connection (server/connection.py) puts in what Hypercorn produces; an application that
finds the wire in its ASGI scope writes its own frames between, by a plain function. So no lock is
needed, and no task, timer or cancel scope is touched where the socket takes the bytes at once.
Must not import Hypercorn, Quart, or of the server more than the line.

How an application uses it, once it has accepted the WebSocket or begun a chunked response:

    wire = scope["extensions"].get(WIRE)
    while not wire.write_frames(frames):    # nothing was taken
        if not await wire.room():
            break                           # over: stalled, closing or gone
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

import trio

from server.line import Line

WIRE = "antiphon.wire"
"""The wire's name in `scope["extensions"]`, of WebSockets and of HTTP requests."""

CORK_S = 0.002
"""A write that comes sooner after the last one goes to the writer's task, which joins what has
gathered by its turn: a `send` for each of 64 frames costs 50 times one `send` of them all."""

LINGER_S = 2.0
"""How long a reader that took nothing for the stall time may take to accept its goodbye."""

PENDING_BYTES = 16 * 1024
"""Bytes that wait for one peer, beside the kernel's own buffer. 64 KiB was no faster."""

STALL_S = 30.0
"""The longest time in which a peer may accept no byte at all (contract 0, Slow readers)."""


class Wire:
    """Everything that one connection sends.

    Args:
        stream: takes the bytes.
        spawn: starts the writer's task, at the first write that cannot go out at once.
        over: called when the peer has stalled, and when the connection is gone: it has to be
            closed. May be called twice.
        abort: closes the stream at once.
        line: the stream itself where it is a plain socket, which can send without waiting. None
            where it is not (TLS): then the writer's task sends everything, and a peer that stalls
            gets no close code, for nothing can follow half a record.
        pending_bytes: how much may wait; a single write may be larger, so the true bound is this
            and one write.
        stall_s: seconds without progress after which the connection ends.
    """

    __slots__ = (
        "_abort",
        "_busy",
        "_dead",
        "_farewell",
        "_half",
        "_line",
        "_open",
        "_over",
        "_patience",
        "_pending",
        "_pending_bytes",
        "_queue",
        "_room",
        "_running",
        "_sent_at",
        "_spawn",
        "_stall_s",
        "_stalled",
        "_stream",
        "_work",
    )

    def __init__(
        self,
        stream: trio.abc.SendStream,
        spawn: Callable[[Callable[[], Awaitable[None]]], object],
        over: Callable[[], object],
        abort: Callable[[], object],
        *,
        line: Line | None = None,
        pending_bytes: int = PENDING_BYTES,
        stall_s: float = STALL_S,
    ) -> None:
        self._stream = stream
        self._spawn = spawn
        self._over = over
        self._abort = abort
        self._line = line
        self._pending_bytes = pending_bytes
        self._stall_s = stall_s
        self._queue: list[bytes] = []
        self._pending = 0
        self._sent_at = 0.0
        self._farewell = b""
        self._open = self._stalled = self._dead = False
        self._running = self._busy = False  # the writer's task: it exists; it is sending
        self._half = False  # the queue's first item is the rest of a frame that is half out
        self._patience: trio.CancelScope | None = None
        self._room = trio.lowlevel.ParkingLot()
        self._work = trio.lowlevel.ParkingLot()

    def __repr__(self) -> str:
        state = "dead" if self._dead else "stalled" if self._stalled else "shut"
        return f"<Wire {'open' if self._open else state} pending_bytes={self._pending}>"

    # -- for the application

    @property
    def is_open(self) -> bool:
        """Whether frames are taken: the WebSocket is accepted, or the chunked body has begun, and
        neither has ended.
        """
        return self._open

    @property
    def stalled(self) -> bool:
        """Whether the peer accepted no byte for the stall time. The wire says 4008 by itself, if
        the peer still takes it, and then ends the connection.
        """
        return self._stalled

    @property
    def dead(self) -> bool:
        """Whether the connection is gone, for whatever reason."""
        return self._dead

    @property
    def pending_bytes(self) -> int:
        """Bytes taken that the kernel has not got yet."""
        return self._pending

    def write_frames(self, frames: Sequence[bytes]) -> bool:
        """Write whole frames (server/frames.py), all of them or none.

        Not for close frames: `websocket.close` is what tells the peer's and our own state machine.

        Args:
            frames: in order; about as many bytes as `PENDING_BYTES` at most, for that bounds
                the memory.

        Returns:
            True: all are taken, and leave in this order after everything taken before.
            False: none is taken, because the wire is full or not open: `await room()`.
        """
        if not self._open:
            return False
        if self._line is not None and not self._queue and not self._busy:
            now = monotonic()
            if now - self._sent_at >= CORK_S:
                self._sent_at = now
                return self._write_directly(frames)
        if self._pending >= self._pending_bytes:
            return False
        for frame in frames:
            self._pending += len(frame)
        self._queue += frames
        self._wake()
        return True

    async def room(self) -> bool:
        """Wait until `write_frames` may succeed again. Always a checkpoint.

        Returns:
            False when it never will: stalled, closing or gone.

        Cancellation: nothing happens.
        Backpressure: this is where an application waits for a slow peer.
        """
        await trio.lowlevel.checkpoint()
        while self._open and self._pending >= self._pending_bytes:
            await self._room.park()
        return self._open

    # -- for the connection

    def open(self, farewell: bytes = b"") -> None:
        """Take frames from now on, until `shut`.

        Args:
            farewell: the last frame for a peer that stalls; empty where the protocol has none.
        """
        self._open = not (self._dead or self._stalled)
        self._farewell = farewell

    def shut(self) -> None:
        """Take no further frames: what comes next by `put` is the last."""
        self._open = False
        self._farewell = b""
        self._room.unpark_all()

    def put_nowait(self, data: bytes) -> None:
        """Send what the protocol has produced: one frame or more, whole. It is always taken, for
        the protocol's state machine counts it as sent.

        Raises:
            trio.BrokenResourceError: the connection is gone, or its peer has stalled.
        """
        if self._dead or self._stalled:
            raise trio.BrokenResourceError("nobody reads this connection")
        if not data:  # h11's end of a body with Content-Length
            return
        if self._line is not None and not self._queue and not self._busy:
            if not self._write_directly((data,)):
                raise trio.BrokenResourceError("the peer has gone")
        else:
            self._pending += len(data)
            self._queue.append(data)
            self._wake()

    async def put(self, data: bytes) -> None:
        """Send as `put_nowait` does, and wait while too much is pending. No checkpoint else.

        Raises:
            trio.BrokenResourceError: as in `put_nowait`.

        Cancellation: the bytes are taken all the same; only the wait for room ends.
        Backpressure: waits for the peer while more is pending than the bound.
        """
        self.put_nowait(data)
        while self._pending > self._pending_bytes:
            await self._room.park()

    async def drained(self) -> None:
        """Wait until everything is with the kernel, or the connection is gone."""
        while self._pending:
            await self._room.park()

    def progressed(self) -> None:
        """Note that the peer took something: it may be slow, but it reads."""
        if self._patience is not None:
            self._patience.deadline = trio.current_time() + self._stall_s

    def abort(self) -> None:
        """End the connection at once. What is pending is lost."""
        if self._dead:
            return
        self._dead = True
        self._open = False
        self._queue.clear()
        self._pending = 0
        self._abort()
        self._over()
        self._room.unpark_all()
        self._work.unpark_all()

    # -- the writer

    def _write_directly(self, frames: Sequence[bytes]) -> bool:
        assert self._line is not None
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        try:
            sent = self._line.send_nowait(data)
        except trio.BrokenResourceError:
            self.abort()
            return False
        if sent != len(data):
            for number, frame in enumerate(frames):
                if sent < len(frame):
                    self._half = sent > 0
                    self._queue = [frame[sent:], *frames[number + 1 :]]
                    break
                sent -= len(frame)
            self._pending = sum(map(len, self._queue))
            self._wake()
        return True

    def _wake(self) -> None:
        if self._running:
            self._work.unpark()
        elif not self._dead:
            self._running = True
            self._spawn(self._write)

    async def _write(self) -> None:
        try:
            while not self._dead:
                if not self._queue:
                    await self._work.park()
                    continue
                frames, self._queue = self._queue, []
                half, self._half = self._half, False
                self._busy = True
                size = await self._send(frames, half)
                self._busy = False
                self._pending -= size
                self._room.unpark_all()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            # Gone, stalled or cancelled: half a frame may be out, so nothing may follow.
            self.abort()

    async def _send(self, frames: list[bytes], half: bool) -> int:
        """Send these frames, the first of them perhaps the rest of one; give their size."""
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        sent, before = 0, 0
        if self._line is not None:
            before = self._line.sent_bytes
            sent = self._line.send_nowait(data)
        self._sent_at = monotonic()
        if sent == len(data):
            return sent
        deadline = trio.current_time() + self._stall_s
        with trio.CancelScope(deadline=deadline) as self._patience:
            await self._stream.send_all(memoryview(data)[sent:])
        stalled, self._patience = self._patience.cancelled_caught, None
        if stalled:
            self._queue.clear()
            self._pending = len(data)
            self._stalled = True
            sent = 0 if self._line is None else self._line.sent_bytes - before
            await self._say_goodbye(_half_out(frames, sent, half))
        return len(data)

    async def _say_goodbye(self, half_frame: bytes) -> None:
        """Finish the frame that is half out and send the farewell, if the peer reads at last."""
        farewell = self._farewell
        self.shut()
        self._over()
        if self._line is None:
            raise trio.BrokenResourceError("half a record is out")
        with trio.move_on_after(LINGER_S) as scope:
            await self._line.send_all(half_frame + farewell)
        if scope.cancelled_caught:
            raise trio.BrokenResourceError("stalled")


def _half_out(frames: Sequence[bytes], sent: int, half: bool) -> bytes:
    """Give the rest of the frame that is neither wholly unsent nor wholly sent, if there is one.

    Args:
        frames: what was to be sent.
        sent: how many bytes of it left.
        half: whether the first one had begun before.
    """
    for frame in frames:
        if sent < len(frame):
            return frame[sent:] if sent or half else b""
        sent -= len(frame)
        half = False
    return b""
