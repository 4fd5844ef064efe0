"""A mailbox: a named, bounded channel from any number of producers to an actor.

Its one rule: a mailbox is never unbounded, and when it is full the sender waits. It is a thin coat
around `trio.open_memory_channel`: items are received in the order in which they were sent, and each
by one receiver. Cancelling is never a message in a mailbox, for it would queue behind data: cancel
the actor's scope. Must not import supervision, nor anything that knows of sessions.
"""

from __future__ import annotations

from types import TracebackType
from typing import Generic, TypeVar

import msgspec
import trio

from engine.actors.roster import Place
from engine.limits import Limits

T = TypeVar("T")

DEFAULT_SIZE = Limits().mailbox_size


class MailboxStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A mailbox at one moment."""

    name: str
    depth: int
    """Items that are sent and not yet received."""
    size: int
    """Items that it holds before senders wait."""
    senders_open: int
    senders_waiting: int
    receivers_waiting: int


class Sender(Generic[T]):
    """A producer's end. Each producer closes its own; the mailbox ends when the last one is closed.

    As a context manager (plain or async) it closes itself at the end of the block.
    """

    def __init__(self, name: str, channel: trio.MemorySendChannel[T]) -> None:
        self.name = name
        self._channel = channel

    async def send(self, item: T) -> None:
        """Send an item, waiting for room.

        Raises:
            trio.ClosedResourceError: this end is closed: the producer's fault.
            trio.BrokenResourceError: the receiving end is closed: the actor is gone.

        Cancellation: the item was not sent.
        Backpressure: waits while the mailbox is full, in the order of the calls.
        """
        await self._channel.send(item)

    def send_nowait(self, item: T) -> None:
        """Send an item if there is room.

        Raises:
            trio.WouldBlock: the mailbox is full; the item was not sent.
            trio.ClosedResourceError: this end is closed: the producer's fault.
            trio.BrokenResourceError: the receiving end is closed: the actor is gone.
        """
        self._channel.send_nowait(item)

    def clone(self) -> Sender[T]:
        """Make another end for another producer, open until it is closed itself.

        Raises:
            trio.ClosedResourceError: this end is closed.
        """
        return Sender(self.name, self._channel.clone())

    def close(self) -> None:
        """Close this end; sends that wait on it raise ClosedResourceError. Twice is once."""
        self._channel.close()

    async def aclose(self) -> None:
        """Close this end, as `close` does.

        Cancellation: the end is closed all the same.
        """
        await self._channel.aclose()

    def __enter__(self) -> Sender[T]:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Sender[T]:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Sender to mailbox {self.name!r}>"


class Mailbox(Generic[T]):
    """A bounded channel with a name, held by the actor that receives.

    The mailbox itself is the first producer: while its own sending side is open, receivers wait for
    more. Give other producers a `clone()`, and close this side with `close_sending()`.

    Args:
        name: for logs and the observer's page.
        size: items that it holds before senders wait; 0 hands each item over directly.

    Raises:
        ValueError: the size is negative or not a whole number.
    """

    def __init__(self, name: str, size: int = DEFAULT_SIZE) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ValueError(f"a mailbox's size is a whole number from 0, not {size!r}")
        self.name = name
        self.size = size
        send, self._receive = trio.open_memory_channel[T](size)
        self._sender = Sender(name, send)
        self._place = Place(self)

    async def send(self, item: T) -> None:
        """Send an item, waiting for room; as `Sender.send`.

        Cancellation: the item was not sent.
        Backpressure: waits while the mailbox is full, in the order of the calls.
        """
        await self._sender.send(item)

    def send_nowait(self, item: T) -> None:
        """Send an item if there is room; as `Sender.send_nowait`, with the same errors."""
        self._sender.send_nowait(item)

    async def receive(self) -> T:
        """Take the oldest item, waiting for one.

        Raises:
            trio.EndOfChannel: every sender is closed and nothing is left: the normal end.
            trio.ClosedResourceError: the mailbox is closed: the receiver's fault.

        Cancellation: no item was taken.
        """
        return await self._receive.receive()

    def receive_nowait(self) -> T:
        """Take the oldest item if there is one.

        Raises:
            trio.WouldBlock: nothing is there at present.
            trio.EndOfChannel: every sender is closed and nothing is left.
            trio.ClosedResourceError: the mailbox is closed.
        """
        return self._receive.receive_nowait()

    def __aiter__(self) -> Mailbox[T]:
        return self

    async def __anext__(self) -> T:
        """Take the oldest item; the iteration ends when every sender is closed.

        Cancellation: no item was taken.
        """
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    def clone(self) -> Sender[T]:
        """Make a sending end for another producer.

        Raises:
            trio.ClosedResourceError: this side's sending is closed.
        """
        return self._sender.clone()

    def close_sending(self) -> None:
        """Close this side's sending: receivers end once the clones are closed and all is taken."""
        self._sender.close()

    def close(self) -> None:
        """Close both sides. What was not received is dropped, and senders meet BrokenResourceError.

        An actor that ends early closes its mailbox so that its producers do not wait for ever.
        """
        self._sender.close()
        self._receive.close()
        self._place.leave()

    async def aclose(self) -> None:
        """Close both sides, as `close` does.

        Cancellation: the mailbox is closed all the same.
        """
        self.close()
        await trio.lowlevel.checkpoint()

    def statistics(self) -> MailboxStatistics:
        """Give a frozen view of the mailbox at this moment."""
        now = self._receive.statistics()
        return MailboxStatistics(
            name=self.name,
            depth=now.current_buffer_used,
            size=self.size,
            senders_open=now.open_send_channels,
            senders_waiting=now.tasks_waiting_send,
            receivers_waiting=now.tasks_waiting_receive,
        )

    def __repr__(self) -> str:
        now = self.statistics()
        return f"<Mailbox {now.name!r} {now.depth}/{now.size}, {now.senders_open} senders>"
