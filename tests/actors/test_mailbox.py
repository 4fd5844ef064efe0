"""A mailbox: bounded, in order, and clear about what a cancel leaves behind."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from engine.actors import Mailbox
from engine.limits import Limits


async def test_full_mailbox_makes_the_sender_wait(autojump_clock: MockClock) -> None:
    """A sender waits for room, in the order of the calls; nothing is lost or overtaken."""
    mailbox = Mailbox[int]("m", 2)
    async with trio.open_nursery() as nursery:
        for n in range(4):
            nursery.start_soon(mailbox.send, n)
            await wait_all_tasks_blocked()
        now = mailbox.statistics()
        assert (now.name, now.depth, now.size, now.senders_waiting) == ("m", 2, 2, 2)
        with pytest.raises(trio.WouldBlock):
            mailbox.send_nowait(9)
        assert [await mailbox.receive() for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(trio.WouldBlock):
        mailbox.receive_nowait()


def test_size_has_a_default_and_is_never_unbounded() -> None:
    """The default is the limit's; infinity, fractions and negatives are refused."""
    assert Mailbox[int]("m").size == Limits().mailbox_size
    for size in (float("inf"), -1, 1.5, True):
        with pytest.raises(ValueError, match="whole number"):
            Mailbox[int]("m", size)  # type: ignore[arg-type]  # the wrong types are what is tested


async def test_cancelled_send_sent_nothing(autojump_clock: MockClock) -> None:
    """After a cancelled send the item is not in the mailbox, and nobody waits."""
    mailbox = Mailbox[str]("m", 1)
    await mailbox.send("first")
    with trio.move_on_after(1) as scope:
        await mailbox.send("second")
    assert scope.cancelled_caught
    assert mailbox.statistics().senders_waiting == 0
    assert mailbox.receive_nowait() == "first"
    with pytest.raises(trio.WouldBlock):
        mailbox.receive_nowait()


async def test_cancelled_receive_took_nothing(autojump_clock: MockClock) -> None:
    """After a cancelled receive the next item is still there for the next receiver."""
    mailbox = Mailbox[str]("m")
    with trio.move_on_after(1) as scope:
        await mailbox.receive()
    assert scope.cancelled_caught
    mailbox.send_nowait("item")
    with trio.CancelScope() as scope:
        scope.cancel()
        await mailbox.receive()
    assert mailbox.statistics().depth == 1
    assert await mailbox.receive() == "item"


async def test_mailbox_ends_when_the_last_producer_has_closed(autojump_clock: MockClock) -> None:
    """Receivers drain what was sent, and their iteration ends with the last sender."""
    mailbox = Mailbox[str]("m")
    async with mailbox.clone() as one:
        with one.clone() as two:
            mailbox.close_sending()
            await one.send("a")
            two.send_nowait("b")
            assert mailbox.statistics().senders_open == 2
        with pytest.raises(trio.ClosedResourceError):
            await two.send("late")
        await one.send("c")
    assert [item async for item in mailbox] == ["a", "b", "c"]
    with pytest.raises(trio.EndOfChannel):
        await mailbox.receive()
    with pytest.raises(trio.ClosedResourceError):
        mailbox.clone()


async def test_closed_mailbox_breaks_its_producers(autojump_clock: MockClock) -> None:
    """An actor that is gone makes no producer wait for ever."""
    mailbox = Mailbox[str]("m", 0)
    sender = mailbox.clone()
    broken: list[str] = []

    async def produce() -> None:
        try:
            await sender.send("item")
        except trio.BrokenResourceError:
            broken.append("waiting")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        await wait_all_tasks_blocked()
        mailbox.close()
    with pytest.raises(trio.BrokenResourceError):
        sender.send_nowait("item")
    assert broken == ["waiting"]
    with pytest.raises(trio.ClosedResourceError):
        await mailbox.receive()


async def test_aclose_closes_though_it_is_cancelled(autojump_clock: MockClock) -> None:
    """Closing is done before the checkpoint."""
    mailbox = Mailbox[str]("m")
    with trio.CancelScope() as scope:
        scope.cancel()
        await mailbox.aclose()
    assert scope.cancelled_caught
    with pytest.raises(trio.ClosedResourceError):
        mailbox.send_nowait("item")


async def test_each_item_has_one_receiver(autojump_clock: MockClock) -> None:
    """Several receivers share a mailbox, and no item comes twice."""
    mailbox = Mailbox[int]("m", 3)
    seen: list[int] = []

    async def take() -> None:
        async for item in mailbox:
            seen.append(item)
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(take)
        async with trio.open_nursery() as producers:
            for n in range(0, 30, 10):
                producers.start_soon(partial(_produce, mailbox, range(n, n + 10)))
        mailbox.close_sending()
    assert sorted(seen) == list(range(30))


async def _produce(mailbox: Mailbox[int], items: range) -> None:
    with mailbox.clone() as sender:
        for item in items:
            await sender.send(item)


def test_repr_shows_live_state() -> None:
    """Name, depth and size, and how many may still send."""
    mailbox = Mailbox[int]("drafts", 4)
    mailbox.send_nowait(1)
    assert repr(mailbox) == "<Mailbox 'drafts' 1/4, 1 senders>"
    assert repr(mailbox.clone()) == "<Sender to mailbox 'drafts'>"
