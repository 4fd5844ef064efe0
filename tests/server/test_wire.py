"""The wire over streams in memory, on the virtual clock: order, bounds, stalling, cancelling."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import (
    MockClock,
    lockstep_stream_one_way_pair,
    wait_all_tasks_blocked,
)

from server.wire import Wire


class Rig:
    """A wire, what its peer receives, and what the wire says of its end."""

    def __init__(self, nursery: trio.Nursery, pending_bytes: int, stall_s: float) -> None:
        send, self.receive = lockstep_stream_one_way_pair()
        self.nursery = nursery
        self.over = 0
        self.aborted = 0
        self.wire = Wire(
            send,
            nursery.start_soon,
            self._over,
            self._abort,
            pending_bytes=pending_bytes,
            stall_s=stall_s,
        )

    def _over(self) -> None:
        self.over += 1

    def _abort(self) -> None:
        self.aborted += 1

    async def read(self, count: int) -> bytes:
        data = b""
        with trio.fail_after(60):
            while len(data) < count:
                data += await self.receive.receive_some(count - len(data))
        return data


@asynccontextmanager
async def rigged(pending_bytes: int = 100, stall_s: float = 30.0) -> AsyncIterator[Rig]:
    async with trio.open_nursery() as nursery:
        yield Rig(nursery, pending_bytes, stall_s)
        nursery.cancel_scope.cancel()


async def test_wire_that_is_not_open() -> None:
    """Frames are taken after `open` and before `shut`, and the public path at any time."""
    async with rigged() as rig:
        assert not rig.wire.write_frames([b"no"])
        assert not await rig.wire.room()
        rig.wire.put_nowait(b"head")
        rig.wire.open()
        assert rig.wire.is_open
        assert rig.wire.write_frames([b"one", b"two"])
        rig.wire.shut()
        assert not rig.wire.write_frames([b"late"])
        rig.wire.put_nowait(b"last")
        assert await rig.read(14) == b"headonetwolast"
        await rig.wire.drained()


async def test_wire_that_is_full(autojump_clock: MockClock) -> None:
    """A full wire takes nothing, not even a part; there is room when the peer has read."""
    async with rigged(pending_bytes=100) as rig:
        rig.wire.open()
        assert rig.wire.write_frames([b"a" * 60, b"b" * 60])
        assert not rig.wire.write_frames([b"c"])
        assert rig.wire.pending_bytes == 120
        found: list[bool] = []

        async def wait() -> None:
            found.append(await rig.wire.room())

        rig.nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert found == []
        assert await rig.read(120) == b"a" * 60 + b"b" * 60
        await wait_all_tasks_blocked()
        assert found == [True]
        assert rig.wire.write_frames([b"c"])
        assert await rig.read(1) == b"c"


async def test_put_while_the_wire_is_full(autojump_clock: MockClock) -> None:
    """The public path waits when too much is pending; a cancel leaves the bytes taken, whole."""
    async with rigged(pending_bytes=10) as rig:
        with trio.move_on_after(1) as scope:
            await rig.wire.put(b"x" * 20)
        assert scope.cancelled_caught
        rig.wire.put_nowait(b"after")
        assert await rig.read(25) == b"x" * 20 + b"after"


async def test_peer_that_stalls(autojump_clock: MockClock) -> None:
    """After the stall time without progress the wire is stalled, then dead; who waits learns."""
    async with rigged(stall_s=30) as rig:
        rig.wire.open(farewell=b"bye")
        began = trio.current_time()
        assert rig.wire.write_frames([b"a" * 200])
        assert not await rig.wire.room()
        assert trio.current_time() - began == pytest.approx(30)
        assert rig.wire.stalled
        await wait_all_tasks_blocked()
        assert rig.wire.dead
        assert rig.wire.pending_bytes == 0
        assert rig.aborted == 1
        assert rig.over >= 1
        with pytest.raises(trio.BrokenResourceError):
            await rig.wire.put(b"more")
        assert not rig.wire.write_frames([b"more"])


async def test_peer_that_makes_progress(autojump_clock: MockClock) -> None:
    """A peer of which progress is told within the stall time is kept, however slow it is."""
    async with rigged(stall_s=30) as rig:
        rig.wire.open()
        assert rig.wire.write_frames([b"a" * 200])
        for _ in range(10):
            await trio.sleep(20)
            rig.wire.progressed()
        assert not rig.wire.stalled
        assert await rig.read(200) == b"a" * 200


async def test_writer_that_is_cancelled() -> None:
    """A cancelled writer may leave half a frame: the wire is dead and wakes everybody."""
    async with trio.open_nursery() as nursery:
        rig = Rig(nursery, 100, 30)
        rig.wire.open()
        assert rig.wire.write_frames([b"a" * 200])
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert rig.wire.dead
    assert rig.aborted == 1
    await rig.wire.drained()
    assert not await rig.wire.room()


async def test_room_that_is_cancelled() -> None:
    """A cancelled wait for room changes nothing."""
    async with rigged(pending_bytes=1) as rig:
        rig.wire.open()
        assert rig.wire.write_frames([b"abc"])
        with trio.CancelScope() as scope:
            scope.cancel()
            await rig.wire.room()
        assert scope.cancelled_caught
        assert await rig.read(3) == b"abc"
        assert await rig.wire.room()


async def test_peer_that_leaves() -> None:
    """A write that finds the peer gone ends the connection and raises nothing."""
    async with rigged() as rig:
        rig.wire.open()
        await rig.receive.aclose()
        assert rig.wire.write_frames([b"abc"])
        await wait_all_tasks_blocked()
        assert rig.wire.dead
        assert not rig.wire.stalled


@pytest.mark.parametrize("seed", range(20))
async def test_several_writers(seed: int) -> None:
    """What several writers hand over in one order leaves in that order, whole, by both paths."""
    chance = random.Random(seed)
    taken: list[bytes] = []
    async with rigged(pending_bytes=200) as rig:
        rig.wire.open()

        async def write(name: bytes) -> None:
            for number in range(60):
                size = chance.choice((1, 10, 90, 400))
                frames = [
                    b"<%b%d.%d%b>" % (name, number, part, b"." * size)
                    for part in range(chance.randint(1, 3))
                ]
                if chance.random() < 0.3:
                    taken.append(frames[0])
                    await rig.wire.put(frames[0])
                else:
                    while not rig.wire.write_frames(frames):
                        assert await rig.wire.room()
                    taken.extend(frames)
                if chance.random() < 0.3:
                    await trio.lowlevel.checkpoint()

        received = bytearray()

        async def read(stream: trio.abc.ReceiveStream) -> None:
            while not received.endswith(b"<end>"):
                received.extend(await stream.receive_some(chance.choice((1, 50, 5000))))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, rig.receive)
            async with trio.open_nursery() as writers:
                for name in (b"a", b"b", b"c"):
                    writers.start_soon(write, name)
            rig.wire.shut()
            await rig.wire.put(b"<end>")
        assert bytes(received) == b"".join(taken) + b"<end>"
