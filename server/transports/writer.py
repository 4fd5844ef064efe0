"""The write side of one client: its sessions' messages, fairly, with answers ahead of data.

The one rule: an idle connection is written from the numbering step itself and wakes nobody; as soon
as something waits, the writer task has it, and serves the sessions in turn by bytes (deficit round
robin: Shreedhar and Varghese, 1996) so that no request waits behind another's backlog. Knows
sessions only as feeds of messages, and of the wire only how a message is framed: WebSockets and SSE
share it. Must not import Quart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import trio

from engine import Entry, Gap, Subscription
from server.wire import Wire

QUANTUM_BYTES = 4 * 1024
"""What a session may send in its turn: a merged message of a lagging one, or many small ones."""

Send = Callable[[bytes], Awaitable[None]]


class Feed:
    """One session on this connection.

    Args:
        encode: gives the frame of an entry: what the wire takes whole, or, where there is no wire,
            the message.
        encode_gap: gives the frame of a gap.
    """

    __slots__ = ("deficit", "encode", "encode_gap", "is_ready", "subscription")

    def __init__(
        self, encode: Callable[[Entry], bytes], encode_gap: Callable[[Gap], bytes]
    ) -> None:
        self.encode = encode
        self.encode_gap = encode_gap
        self.subscription: Subscription
        self.deficit = 0
        self.is_ready = False


class Writer:
    """Writes everything that one client gets.

    Args:
        send: the public way, one message at a time; None where there is a wire for certain.
        wire: the fast way, where the server offers it.
        frame: makes an answer into what the wire takes whole. Feeds make their own frames.
        max_control: answers that may wait; see `wait_room`.
        on_end: told when a feed's terminal message was written.
    """

    def __init__(
        self,
        send: Send | None,
        wire: Wire | None,
        *,
        frame: Callable[[bytes], bytes],
        max_control: int,
        on_end: Callable[[Feed], None],
    ) -> None:
        self._send_public = send
        self._wire = wire
        self._frame = frame
        self._max_control = max_control
        self._on_end = on_end
        self._control: deque[bytes] = deque()
        self._ready: deque[Feed] = deque()
        self._held: Sequence[bytes] = ()  # frames taken from a log that the wire had no room for
        self._is_busy = False
        self._work = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()

    # ---- what others say -------------------------------------------------------------------------

    def say(self, message: bytes) -> None:
        """Send an answer ahead of all data."""
        wire = self._wire
        if wire is not None:
            message = self._frame(message)
            if self._is_idle and wire.write_frames((message,)):
                return
        self._control.append(message)
        self._work.unpark()

    async def wait_room(self) -> None:
        """Wait until few enough answers wait: a client that does not read is not read either."""
        while len(self._control) >= self._max_control:
            await self._room.park()

    def follow(self, feed: Feed) -> None:
        """Send what a feed has now and what will come."""
        self._queue(feed)

    def wake(self, feed: Feed, _: Subscription | None = None) -> None:
        """Take what an idle feed has, from the numbering step; a plain function."""
        if self._is_busy or self._ready or self._held or self._control or self._wire is None:
            self._queue(feed)
            return
        subscription = feed.subscription
        newest = subscription.take_newest()
        frames: Sequence[bytes]
        if newest is not None:  # each delta comes alone
            frames = (feed.encode(newest),)
        elif subscription.is_behind:
            self._queue(feed)
            return
        else:
            frames = [feed.encode(entry) for entry in subscription.take_nowait()]
        if not self._wire.write_frames(frames):
            self._held = frames
            self._queue(feed)
        elif not subscription.arm():
            self._on_end(feed)

    async def wait_written(self) -> None:
        """Wait until everything that there is to write was handed to the connection."""
        while not self._is_idle:
            await self._room.park()

    @property
    def _is_idle(self) -> bool:
        return not (self._is_busy or self._held or self._control or self._ready)

    # ---- the task --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write until the connection is over.

        Cancellation: what was taken from a log and not written is lost with the connection; the
        client's cursor tells where it goes on.
        """
        while True:
            while self._is_idle:
                await self._work.park()
            self._is_busy = True
            try:
                while self._held or self._control or self._ready:
                    if not await self._turn():
                        return
            finally:
                self._is_busy = False
            self._room.unpark_all()

    async def _turn(self) -> bool:
        if self._held:
            frames, self._held = self._held, ()
            return await self._send(frames)
        if self._control:
            frames = list(self._control)
            self._control.clear()
            self._room.unpark_all()
            return await self._send(frames)
        feed = self._ready.popleft()
        feed.is_ready = False
        feed.deficit += QUANTUM_BYTES
        if feed.deficit <= 0 and self._ready:  # it had more than its turn: the others first
            self._queue(feed)
            return True
        feed.deficit = max(feed.deficit, QUANTUM_BYTES)
        batch = await feed.subscription.take(feed.deficit)
        frames = [
            feed.encode_gap(item) if isinstance(item, Gap) else feed.encode(item) for item in batch
        ]
        feed.deficit -= sum(map(len, frames))
        if frames and not await self._send(frames):
            return False
        self._after(feed)
        return True

    def _after(self, feed: Feed) -> None:
        if feed.subscription.has_more:
            self._queue(feed)
            return
        feed.deficit = 0
        if not feed.subscription.arm():
            self._on_end(feed)

    def _queue(self, feed: Feed) -> None:
        if not feed.is_ready:
            feed.is_ready = True
            self._ready.append(feed)
            self._work.unpark()

    def forget(self, feed: Feed) -> None:
        """Send nothing more of a feed."""
        if feed.is_ready:
            self._ready.remove(feed)
            feed.is_ready = False

    async def _send(self, frames: Sequence[bytes]) -> bool:
        if self._wire is None:
            assert self._send_public is not None, "a writer needs a way out"
            for message in frames:
                await self._send_public(message)
                await trio.lowlevel.checkpoint()  # a closed connection's send has none
            return True
        while not self._wire.write_frames(frames):
            if not await self._wire.room():
                return False
        return True
