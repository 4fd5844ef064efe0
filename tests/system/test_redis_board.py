"""The board in Redis keeps the contract of all boards, on a real Redis."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from engine.cluster.redis import RedisBoard
from engine.errors import Unreachable
from engine.limits import Limits
from engine.redis.address import parse_address
from engine.testing.board_suite import BoardSuite, Room
from tests.system.redis_server import RedisServer, redis_server

pytestmark = pytest.mark.system

QUICK = Limits(lease_s=0.5, redis_retry_s=0.01, redis_max_retry_s=0.05, redis_block_s=0.2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RedisServer, None, None]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


class TestContract(BoardSuite):
    @pytest.fixture(autouse=True)
    def _keep(self, server: RedisServer) -> None:
        self.address = parse_address(server.url)

    @asynccontextmanager
    async def open_room(self) -> AsyncGenerator[Room, None]:
        prefix = f"test:{uuid.uuid4()}"
        yield lambda name: RedisBoard(self.address, name, QUICK, prefix=prefix)


async def test_board_goes_on_after_redis_was_away(tmp_path: Path) -> None:
    """Killed and started again: calls say Unreachable in time; then all is as it was."""
    heard: list[bytes] = []
    with redis_server(tmp_path) as server:
        board = RedisBoard(parse_address(server.url), "a", QUICK)
        async with trio.open_nursery() as nursery:
            await nursery.start(board.run, heard.append)
            await board.beat(capacity=10)
            await board.own("s1", user="ann", limit=1)
            server.kill()
            began = trio.current_time()
            with pytest.raises(Unreachable, match=r"away|lost"):
                while True:
                    await board.members()
            assert trio.current_time() - began < QUICK.lease_s
            await trio.to_thread.run_sync(server.start)
            with trio.fail_after(5):
                while True:
                    try:
                        assert await board.owned() == {"s1"}
                        break
                    except Unreachable:
                        pass
                while not heard:
                    await board.post("a", b"still there?")
                    await trio.sleep(0.02)
            nursery.cancel_scope.cancel()


async def test_nothing_is_left_of_processes_that_come_and_go(server: RedisServer) -> None:
    """Keys of the dead go: those that held nothing with the next beat, inboxes with time."""
    address = parse_address(server.url)
    limits = Limits(lease_s=0.1, redis_block_s=0.05)
    async with trio.open_nursery() as nursery:
        for number in range(5):
            async with trio.open_nursery() as life:
                board = RedisBoard(address, f"p{number}", limits, prefix="gone")
                await life.start(board.run, lambda _: None)
                await board.beat(capacity=10)
                await board.own("s", user="ann", limit=1)
                await board.release("s")
                life.cancel_scope.cancel()
        await trio.sleep(0.3)
        last = RedisBoard(address, "last", limits, prefix="gone")
        await nursery.start(last.run, lambda _: None)
        await last.beat(capacity=10)
        left = server.ask("KEYS", "gone:*").decode().split()[2::2]
        assert set(left) == {"gone:leases", "gone:capacities", "gone:turn", "gone:inbox:last"}
        assert server.ask("HLEN", "gone:capacities") == b":1\r\n"
        nursery.cancel_scope.cancel()


async def test_inbox_is_bounded(server: RedisServer) -> None:
    """A process that hangs costs Redis so many messages and no more."""
    address = parse_address(server.url)
    async with trio.open_nursery() as nursery:
        board = RedisBoard(address, "sender", QUICK, prefix="full")
        await nursery.start(board.run, lambda _: None)
        server.ask("XADD", "full:inbox:hangs", "*", "m", "")
        for number in range(3 * QUICK.board_inbox):
            await board.post("hangs", b"%d" % number)
        (length,) = server.ask("XLEN", "full:inbox:hangs").decode().strip(":\r\n").split()
        assert QUICK.board_inbox <= int(length) < 2 * QUICK.board_inbox
        nursery.cancel_scope.cancel()
