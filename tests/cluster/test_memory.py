"""The board in memory keeps the contract of all boards, and is bounded."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from engine.cluster.memory import INBOX_MESSAGES, MemoryBoard, SharedBoard
from engine.testing.board_suite import BoardSuite, Room


class TestContract(BoardSuite):
    @pytest.fixture(autouse=True)
    def _virtual(self, autojump_clock: MockClock) -> None:
        """Leases cost no time."""

    @asynccontextmanager
    async def open_room(self) -> AsyncGenerator[Room, None]:
        shared = SharedBoard(lease_s=self.lease_s)
        yield lambda name: MemoryBoard(shared, name)


async def test_inbox_is_bounded() -> None:
    """Of a flood that nobody hears in time the newest messages are dropped, and counted."""
    shared = SharedBoard(lease_s=1.0)
    board = MemoryBoard(shared, "a")
    heard: list[bytes] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(board.run, heard.append)
        inbox = shared.inboxes["a"]
        for number in range(INBOX_MESSAGES + 1):  # one goes to the waiting listener itself
            inbox.send_nowait(b"%d" % number)
        with pytest.raises(trio.WouldBlock):
            inbox.send_nowait(b"one more")
        await trio.testing.wait_all_tasks_blocked()
        assert len(heard) == INBOX_MESSAGES + 1
        nursery.cancel_scope.cancel()
    assert "a" not in shared.inboxes


async def test_nothing_is_left_of_processes_that_come_and_go(autojump_clock: MockClock) -> None:
    """A board that has seen a thousand processes holds only those that live or hold something."""
    shared = SharedBoard(lease_s=1.0)
    for number in range(1000):
        board = MemoryBoard(shared, f"p{number}")
        await board.beat(capacity=10)
        await board.own("s", user="ann", limit=1)
        await board.release("s")
        await trio.sleep(0.5)
    await trio.sleep(2.0)
    last = MemoryBoard(shared, "last")
    await last.beat(capacity=10)
    assert set(shared.leases) == {"last"}
    assert set(shared.by_process) <= {"", "last"}
    assert not shared.counts
    assert not shared.users
