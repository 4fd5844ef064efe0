"""The actor loop: receive items and work on up to `lanes` of them at once.

Its one rule: an item leaves the mailbox only when a lane is free for it. So when `handle` waits for
what lies downstream, the mailbox fills and the producers wait in their turn: backpressure reaches
from the last actor to the first with no code of its own. An actor is an async function; this is the
loop inside most of them, and a supervisor runs it. Must not import supervision.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from engine.actors.mailbox import Mailbox
from engine.actors.unwrapping import single_error

T = TypeVar("T")


async def serve(
    mailbox: Mailbox[T], handle: Callable[[T], Awaitable[object]], *, lanes: int = 1
) -> None:
    """Handle every item of a mailbox, up to `lanes` at once, until its senders are closed.

    Items are begun in the order in which they were sent. With one lane they are also finished in
    that order; with more, each is finished when it is finished.

    Args:
        mailbox: where items come from; it stays open, and remains the caller's to close.
        handle: the work on one item; what it returns is not looked at.
        lanes: how many items are worked on at once, from 1.

    Raises:
        ValueError: there is no lane.
        trio.ClosedResourceError: the mailbox was closed under the loop.
        Exception: what `handle` raised, as it is; a group only where several lanes failed at once.
            The other lanes are cancelled first.

    Cancellation: items in the lanes are cancelled and gone; what waits in the mailbox stays there.
    Backpressure: a handler that waits makes the mailbox fill, and then its senders wait.
    """
    if lanes < 1:
        raise ValueError(f"an actor has at least one lane, not {lanes}")
    with single_error():
        async with trio.open_nursery() as nursery:
            for _ in range(lanes):
                nursery.start_soon(_lane, mailbox, handle)


async def _lane(mailbox: Mailbox[T], handle: Callable[[T], Awaitable[object]]) -> None:
    async for item in mailbox:
        await handle(item)
