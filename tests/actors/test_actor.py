"""The actor loop: lanes, order, backpressure, and what an error or a cancel does."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from engine.actors import Mailbox, serve


def filled(items: range) -> Mailbox[int]:
    """A mailbox that holds the items, and whose senders are closed."""
    mailbox = Mailbox[int]("m", len(items))
    for item in items:
        mailbox.send_nowait(item)
    mailbox.close_sending()
    return mailbox


async def test_one_lane_keeps_the_order(autojump_clock: MockClock) -> None:
    """With one lane items are begun and finished in the order in which they were sent."""
    trace: list[str] = []

    async def handle(item: int) -> None:
        trace.append(f"+{item}")
        await trio.sleep(5 - item)
        trace.append(f"-{item}")

    await serve(filled(range(3)), handle)
    assert trace == ["+0", "-0", "+1", "-1", "+2", "-2"]
    assert trio.current_time() == 5 + 4 + 3


async def test_lanes_bound_the_work_and_begin_in_order(autojump_clock: MockClock) -> None:
    """At most `lanes` items are in work; the next one begins when a lane is free."""
    began: list[int] = []
    working = most = 0

    async def handle(item: int) -> None:
        nonlocal working, most
        began.append(item)
        working += 1
        most = max(most, working)
        await trio.sleep(1 + item / 10)
        working -= 1

    await serve(filled(range(10)), handle, lanes=3)
    assert most == 3
    assert sorted(began[:3]) == [0, 1, 2]
    assert began[3:] == list(range(3, 10))


async def test_full_downstream_makes_every_earlier_one_wait(autojump_clock: MockClock) -> None:
    """A chain of actors holds what its lanes and mailboxes hold, and then the source waits."""
    first, second = Mailbox[int]("first", 2), Mailbox[int]("second", 2)
    sent = 0

    async def produce() -> None:
        nonlocal sent
        for n in range(100):
            await first.send(n)
            sent += 1
        first.close_sending()

    async def pump() -> None:
        await serve(first, second.send)
        second.close_sending()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        nursery.start_soon(pump)
        await wait_all_tasks_blocked()
        # two in `second`, one in the pump's lane, two in `first`
        assert sent == 5
        assert [item async for item in second] == list(range(100))


async def test_error_of_an_item_cancels_the_siblings_and_leaves_as_it_is(
    autojump_clock: MockClock,
) -> None:
    """The first error ends the loop; items that were not begun stay in the mailbox."""
    cancelled: list[int] = []
    error = ValueError("item 1")

    async def handle(item: int) -> None:
        if item == 1:
            await trio.sleep(1)
            raise error
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append(item)
            raise

    mailbox = filled(range(5))
    with pytest.raises(ValueError, match="item 1") as caught:
        await serve(mailbox, handle, lanes=3)
    assert caught.value is error
    assert sorted(cancelled) == [0, 2]
    assert [item async for item in mailbox] == [3, 4]


async def test_errors_at_one_moment_leave_as_a_group(autojump_clock: MockClock) -> None:
    """Several lanes that fail together are told together."""
    signal = trio.Event()

    async def handle(item: int) -> None:
        await signal.wait()
        raise ValueError(str(item))

    async with trio.open_nursery() as nursery:

        async def wake_all_in_one_tick() -> None:
            await wait_all_tasks_blocked()
            signal.set()

        nursery.start_soon(wake_all_in_one_tick)
        with pytest.raises(ExceptionGroup) as caught:
            await serve(filled(range(3)), handle, lanes=3)
    assert sorted(map(str, caught.value.exceptions)) == ["0", "1", "2"]


async def test_unwrapped_error_keeps_cause_and_context(autojump_clock: MockClock) -> None:
    """An error that leaves the nursery alone tells the same story as before."""

    async def handle(item: int) -> None:
        try:
            raise KeyError("context")
        except KeyError as cause:
            raise ValueError("told") from cause

    with pytest.raises(ValueError, match="told") as caught:
        await serve(filled(range(1)), handle)
    assert isinstance(caught.value.__cause__, KeyError)
    assert isinstance(caught.value.__context__, KeyError)


async def test_cancel_leaves_the_waiting_items(autojump_clock: MockClock) -> None:
    """What is in a lane is cancelled; what waits in the mailbox stays; no task is left."""

    async def handle(item: int) -> None:
        await trio.sleep(10)

    before = trio.lowlevel.current_statistics().tasks_living
    mailbox = filled(range(5))
    with trio.move_on_after(1) as scope:
        await serve(mailbox, handle, lanes=2)
    assert scope.cancelled_caught
    assert mailbox.statistics().depth == 3
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_loop_without_lanes_is_refused(autojump_clock: MockClock) -> None:
    """An actor that can never work is a mistake."""

    async def handle(item: int) -> None:
        raise AssertionError("never")

    with pytest.raises(ValueError, match="lane"):
        await serve(filled(range(1)), handle, lanes=0)
