"""The Redis journal keeps the contract of all journals, on a real Redis."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from engine.errors import JournalFailed
from engine.events import Delta
from engine.journal.interface import Document, Journal
from engine.journal.redis import RedisJournal
from engine.journal.redis_keys import Keys
from engine.journal.redis_scripts import WRITES
from engine.journal.redis_writes import Append, pack
from engine.limits import Limits
from engine.redis.address import parse_address
from engine.redis.link import Link
from engine.testing.journal_suite import (
    PART,
    JournalSuite,
    batch,
    entry,
    read_all,
    record,
)
from tests.system.certificate import make_certificate
from tests.system.cutting_proxy import CuttingProxy
from tests.system.redis_server import RedisServer, free_port, redis_server

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RedisServer, None, None]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@asynccontextmanager
async def running(
    url: str, folder: Path, limits: Limits | None = None
) -> AsyncGenerator[RedisJournal, None]:
    """Run a journal of a test's own for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        journal = RedisJournal(parse_address(url), limits, prefix=f"test:{folder}")
        await nursery.start(journal.run)
        yield journal
        nursery.cancel_scope.cancel()


class TestContract(JournalSuite):
    @pytest.fixture(autouse=True)
    def _keep(self, server: RedisServer) -> None:
        self.url = server.url

    @asynccontextmanager
    async def open_journal(self, folder: Path) -> AsyncGenerator[Journal, None]:
        async with running(self.url, folder) as journal:
            yield journal


# ---- Redis goes away ----------------------------------------------------------------------------

QUICK = Limits(redis_retry_s=0.01, redis_max_retry_s=0.05, journal_probe_s=0.05)


async def write_numbered(journal: Journal, session_id: str, count: int, pace_s: float) -> int:
    """Append batches of one, two and three entries, each noted; gives the last offset."""
    seq = 0
    for size in (1 + index % 3 for index in range(count)):
        entries = [entry(seq + place) for place in range(1, size + 1)]
        seq += size
        await journal.append_nowait(
            batch(*entries, session_id=session_id, notes={"seq": seq}, opened={"p": seq})
        ).wait()
        await trio.sleep(pace_s)
    return seq


async def wait_until_well(journal: Journal) -> None:
    with trio.fail_after(5):
        while journal.problem:  # noqa: ASYNC110 - a state to be read, with no event to wait for
            await trio.sleep(0.01)


async def check_whole(journal: Journal, session_id: str, seq: int) -> None:
    """See that a log holds each offset once, and that its record is as new as the log."""
    assert await read_all(journal, session_id) == [entry(each) for each in range(1, seq + 1)]
    held = await journal.load(session_id)
    assert held is not None
    assert (held.notes, held.opened) == ({"seq": seq}, {"p": seq})


async def test_kill_9_of_redis_in_mid_run_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Redis is killed again and again; writers wait, `problem` says why, and all goes on."""
    with redis_server(tmp_path) as server:
        async with running(server.url, tmp_path, QUICK) as journal:
            last: dict[str, int] = {}

            async def write(session_id: str) -> None:
                await journal.create(record(session_id))
                last[session_id] = await write_numbered(journal, session_id, 100, 0.005)

            problems = []
            async with trio.open_nursery() as nursery:
                for index in range(5):
                    nursery.start_soon(write, f"s{index}")
                for _ in range(4):
                    await trio.sleep(0.1)
                    server.kill()
                    await trio.sleep(0.1)
                    problems.append(journal.problem)
                    await trio.to_thread.run_sync(server.start)
            assert all("away" in problem for problem in problems), problems
            await wait_until_well(journal)
            for session_id, seq in last.items():
                await check_whole(journal, session_id, seq)


async def test_answer_that_is_lost_is_asked_for_again_and_nothing_is_done_twice(
    tmp_path: Path, server: RedisServer
) -> None:
    """I13: the connection is cut after a write reached Redis and before its answer came."""
    writes = 0

    def every_third_write(data: bytes) -> bool:
        nonlocal writes
        writes += b"EVALSHA" in data
        return b"EVALSHA" in data and writes % 3 == 0

    async with trio.open_nursery() as nursery:
        proxy = CuttingProxy(server.port, every_third_write)
        await nursery.start(proxy.run)
        async with running(f"redis://127.0.0.1:{proxy.port}", tmp_path, QUICK) as journal:
            for turn in range(4):
                session_id = f"s{turn}"
                await journal.create(record(session_id))
                seq = await write_numbered(journal, session_id, 12, 0.0)
                begun = await journal.begin_epoch(session_id, "e2")
                assert [epoch.name for epoch in begun.epochs] == ["e1", "e2"]
                assert begun.epochs[-1].after_seq == seq
                await check_whole(journal, session_id, seq)
        assert proxy.cuts >= 10
        nursery.cancel_scope.cancel()


async def test_late_write_does_not_bring_back_an_older_state(
    tmp_path: Path, server: RedisServer
) -> None:
    """What a broken connection delivers late has no effect, though no offset tells of it."""
    keys = Keys(f"test:{tmp_path}")
    link = Link(parse_address(server.url), name="test", limits=QUICK, scripts=WRITES)
    async with running(server.url, tmp_path) as journal, trio.open_nursery() as nursery:
        await nursery.start(link.run)
        await journal.create(record())
        sent = []
        for number, state in enumerate(("running", "completed"), start=1):
            write = Append(keys, "another life", batch(state=state, notes={"n": number}))
            write.number = number
            write.words = write.command()
            sent.append(write)
        assert await link.ask(*pack([*sent, sent[0]])) == [[b"done"]] * 3
        held = await journal.load("s1")
        assert held is not None
        assert (held.state, held.notes) == ("completed", {"n": 2})
        nursery.cancel_scope.cancel()


async def test_redis_that_hangs_is_given_up_and_asked_again(tmp_path: Path) -> None:
    """It keeps its connections and answers nothing: after `redis_timeout_s` that is a problem."""
    limits = Limits(redis_timeout_s=0.2, redis_connect_s=0.2, journal_probe_s=0.05)
    with redis_server(tmp_path) as server:
        async with running(server.url, tmp_path, limits) as journal:
            await journal.create(record())
            server.hang()
            commit = journal.append_nowait(batch(entry(1), notes={"n": 1}))
            with pytest.raises(JournalFailed, match=r"away|not answer"):
                await journal.load("s1")
            with trio.fail_after(5):
                while not journal.problem:  # noqa: ASYNC110 - a state without an event
                    await trio.sleep(0.01)
            assert not commit.is_done
            server.go_on()
            await commit.wait()
            assert await read_all(journal) == [entry(1)]


async def test_cancelled_callers_leave_nothing_behind(tmp_path: Path, server: RedisServer) -> None:
    """A thousand questions whose askers are cancelled: the connections stay, and so do answers."""
    async with running(server.url, tmp_path) as journal:
        await journal.create(record())
        await journal.append_nowait(batch(*map(entry, range(1, 101)))).wait()

        async def ask(index: int) -> None:
            with trio.move_on_after(0.0002 * (index % 10)):
                if index % 2:
                    await journal.read("s1", 0)
                else:
                    await journal.put(
                        Document(collection="c", key="k", owner="", value={}, updated_at=0.0)
                    )

        for begin in range(0, 1000, 100):
            async with trio.open_nursery() as nursery:
                for index in range(begin, begin + 100):
                    nursery.start_soon(ask, index)
        with trio.fail_after(5):
            assert len(await journal.read("s1", 0)) == 100
            assert await journal.get("c", "k") is not None
        names = server.ask("CLIENT", "LIST").decode().splitlines()
        assert sum("name=antiphon" in name for name in names) == 2


async def test_create_that_nobody_waits_for_is_taken_back(tmp_path: Path) -> None:
    """A client gives up while Redis is away: later there is no session that is nobody's.

    One of that id that somebody else made stays.
    """
    with redis_server(tmp_path) as server:
        async with running(server.url, tmp_path, QUICK) as journal:
            await journal.create(record("theirs"))
            server.kill()
            for name in ("ours", "theirs"):
                with trio.move_on_after(0.1):
                    await journal.create(record(name))
            await trio.to_thread.run_sync(server.start)
            await journal.create(record("next"))
            found, _ = await journal.sessions()
            assert {each.session_id for each in found} == {"theirs", "next"}


async def test_scripts_that_were_flushed_are_loaded_again(
    tmp_path: Path, server: RedisServer
) -> None:
    """SCRIPT FLUSH, as an operator may do: writes and questions go on, in order."""
    async with running(server.url, tmp_path) as journal:
        await journal.create(record())
        for seq in range(1, 40):
            if seq % 4 == 0:
                server.ask("SCRIPT", "FLUSH")
            commit = journal.append_nowait(batch(entry(seq), notes={"n": seq}))
            if seq % 3 == 0:
                assert await journal.load("s1") is not None
        await commit.wait()
        assert await read_all(journal) == [entry(seq) for seq in range(1, 40)]
        held = await journal.load("s1")
        assert held is not None
        assert held.notes == {"n": 39}


async def test_full_memory_is_waited_out(tmp_path: Path) -> None:
    """Redis is there and takes nothing: a problem with its reason, and no write is lost."""
    with redis_server(tmp_path) as server:
        async with running(server.url, tmp_path, QUICK) as journal:
            await journal.create(record())
            server.ask("CONFIG", "SET", "maxmemory", "1")
            commit = journal.append_nowait(batch(entry(1)))
            with trio.fail_after(5):
                while "takes no writes: OOM" not in journal.problem:  # noqa: ASYNC110
                    await trio.sleep(0.01)
            server.ask("CONFIG", "SET", "maxmemory", "0")
            await commit.wait()
            assert journal.problem == ""
            assert await read_all(journal) == [entry(1)]


async def test_closing_while_redis_is_away_takes_no_time(tmp_path: Path) -> None:
    """Cancellation of `run`: what cannot be written now is refused, and the process may end."""
    with redis_server(tmp_path) as server:
        with trio.fail_after(2):
            async with running(server.url, tmp_path, QUICK) as journal:
                await journal.create(record())
                server.kill()
                commit = journal.append_nowait(batch(entry(1)))
                await trio.sleep(0.2)
        with pytest.raises(JournalFailed, match="closed"):
            _ = commit.is_done


async def test_closing_writes_what_was_appended(tmp_path: Path, server: RedisServer) -> None:
    """Cancellation of `run` in the middle of a group: all of it is written, and is durable."""
    for begin in range(1, 6000, 1000):
        async with running(server.url, tmp_path) as journal:
            if begin == 1:
                await journal.create(record())
            commits = [
                journal.append_nowait(batch(entry(seq), notes={"n": seq}))
                for seq in range(begin, begin + 1000)
            ]
            with trio.move_on_after(0.0005 * (begin // 1000)):
                await commits[-1].wait()  # that it is wanted begins the writing
        assert all(commit.is_done for commit in commits)
        with pytest.raises(JournalFailed, match="not running"):
            journal.append_nowait(batch(entry(begin)))
    async with running(server.url, tmp_path) as journal:
        assert await read_all(journal) == [entry(seq) for seq in range(1, 6001)]


async def test_queue_is_bounded_while_redis_is_away(tmp_path: Path) -> None:
    """Backpressure: there is no room, `wait_room` waits, and far above the bound it refuses."""
    text = "x" * 1000
    limits = Limits(journal_pending_bytes=10_000, redis_retry_s=0.01, redis_max_retry_s=0.05)
    with redis_server(tmp_path) as server:
        async with running(server.url, tmp_path, limits) as journal:
            await journal.create(record())
            server.kill()
            seq = 0
            while not journal.is_full:
                seq += 1
                journal.append_nowait(batch(entry(seq, Delta(part=PART, text=text))))
            with trio.move_on_after(0.1) as waited:
                await journal.wait_room()
            assert waited.cancelled_caught
            with pytest.raises(JournalFailed, match="queue is full"):
                for more in range(seq + 1, 100):
                    journal.append_nowait(batch(entry(more, Delta(part=PART, text=text))))
            await trio.to_thread.run_sync(server.start)
            with trio.fail_after(5):
                await journal.wait_room()
            assert len(await read_all(journal)) >= seq


# ---- the start ----------------------------------------------------------------------------------


async def start(url: str) -> None:
    """Try to run a journal."""
    failure: JournalFailed | None = None
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(RedisJournal(parse_address(url)).run)
        except JournalFailed as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def test_start_says_what_is_wrong(tmp_path: Path) -> None:
    """No Redis, a wrong password, one that throws data away: a sentence without the password."""
    with redis_server(tmp_path, "--requirepass", "right") as server:
        host = f"127.0.0.1:{server.port}"
        for url, why in [
            (f"redis://:wrong@{host}", "password"),
            (f"redis://{host}", "asks for a password"),
            ("redis://127.0.0.1:1", "refused"),
            (f"unix://{tmp_path}/none", "No such file"),
            (f"rediss://:right@{host}", "cannot be used"),
            (f"redis://:right@{host}/99", "DB index is out of range"),
        ]:
            with pytest.raises(JournalFailed, match=why) as failed:
                await start(url)
            assert "right" not in failed.value.message
        await start(f"redis://:right@{host}")
        server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", password="right")
        with pytest.raises(JournalFailed, match="noeviction instead of allkeys-lru"):
            await start(f"redis://:right@{host}")


async def test_start_warns_where_redis_may_lose_data(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without an append-only file a kill loses sessions: the log says so."""
    with redis_server(tmp_path) as server:
        await start(server.url)
        assert not caplog.messages
        server.ask("CONFIG", "SET", "appendonly", "no")
        await start(server.url)
        assert "appendonly no" in caplog.messages[-1]


async def test_redis_is_reached_over_tls(tmp_path: Path) -> None:
    """rediss:// checks the certificate: one of an authority that is not named is refused."""
    certificate, key = make_certificate(tmp_path)
    options = ["--tls-port", "0", "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    with redis_server(tmp_path, *options) as server:
        tls_port = free_port()
        server.ask("CONFIG", "SET", "tls-port", str(tls_port))
        async with running(f"rediss://localhost:{tls_port}?ca={certificate}", tmp_path) as journal:
            await journal.create(record())
            assert await journal.load("s1") == record()
        with pytest.raises(JournalFailed, match="certificate verify failed"):
            await start(f"rediss://localhost:{tls_port}")
        with pytest.raises(JournalFailed, match=r"ca .* cannot be used"):
            await start(f"rediss://localhost:{tls_port}?ca={tmp_path}/none")


async def test_redis_is_reached_over_its_socket(tmp_path: Path) -> None:
    """unix:// and a database number."""
    path = tmp_path / "redis.sock"
    with redis_server(tmp_path, "--unixsocket", str(path)):
        async with running(f"unix://{path}?db=3", tmp_path) as journal:
            await journal.create(record())
            assert await journal.load("s1") == record()
