"""A full process hands new sessions to others, and serves them as if they were its own."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest
import trio
from trio.testing import MockClock

from engine.callers import Options
from engine.errors import InvalidRequest, Overloaded, RateLimited, ShuttingDown
from engine.events import Cancelled, Completed, Delta
from engine.limits import Limits
from tests.cluster.rig import (
    LEASE_S,
    TEXT,
    Cluster,
    Process,
    open_cluster,
    read_to_end,
    read_until,
    text_of,
    write_slowly,
)

DETACHED = Options(detached=True)
ONE = Limits(lease_s=LEASE_S, take_s=0.25, max_sessions=1)


def open_small(
    *names: str, limits: Limits = ONE
) -> AbstractAsyncContextManager[tuple[Cluster, list[Process]]]:
    """A cluster of processes that may run one session each."""
    return open_cluster(write_slowly, *names, limits=limits)


async def fill(*processes: Process) -> None:
    """Have each process run as many sessions as it may."""
    for process in processes:
        while process.engine.room:
            await process.engine.start("test", {}, options=DETACHED)


async def test_session_beyond_the_limit_runs_elsewhere(autojump_clock: MockClock) -> None:
    """Its client is served by the process that it asked, whole and at once."""
    async with open_small() as (_, (a, b)):
        await fill(a)
        await trio.sleep(LEASE_S)  # by then they know of each other
        began = trio.current_time()
        record = await a.engine.start_anywhere("test", {})
        subscription = await a.engine.subscribe(record.session_id)
        first = await read_until(subscription, lambda entry: isinstance(entry.event, Delta))
        assert trio.current_time() - began < 0.1
        assert list(b.engine.sessions) == [record.session_id]
        entries = first + await read_to_end(subscription)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        assert text_of(entries) == TEXT
        assert isinstance(entries[-1].event, Completed)


async def test_process_with_room_keeps_its_sessions(autojump_clock: MockClock) -> None:
    """Nothing is handed where there is a place: that is the quick way."""
    async with open_small() as (_, (a, b)):
        record = await a.engine.start_anywhere("test", {})
        assert list(a.engine.sessions) == [record.session_id]
        assert len(record.epochs) == 1
        await trio.sleep(1.0)
        assert b.engine.sessions == {}


async def test_full_cluster_refuses(autojump_clock: MockClock) -> None:
    """Nothing is started that nobody has a place for, and nothing of it is left."""
    async with open_small() as (cluster, (a, b)):
        await fill(a, b)
        for process in (a, b):
            with pytest.raises(Overloaded, match="all processes") as refused:
                await process.engine.start_anywhere("test", {}, options=DETACHED)
            assert refused.value.retry_after_s
        records, _ = await a.engine.list()
        assert len(records) == len(cluster.shared.holders) == 2
        await trio.sleep(5.0)
        await a.engine.start_anywhere("test", {})


async def test_process_alone_refuses_as_ever(autojump_clock: MockClock) -> None:
    """In a cluster of one there is nobody to hand to."""
    async with open_small("a") as (_, (a,)):
        await fill(a)
        with pytest.raises(Overloaded):
            await a.engine.start_anywhere("test", {})


async def test_burst_fills_all_processes_and_no_more(autojump_clock: MockClock) -> None:
    """Of many asked for at one process as many begin as all may run together."""
    limits = Limits(lease_s=LEASE_S, take_s=0.25, max_sessions=4)
    async with open_small("a", "b", "c", limits=limits) as (_, processes):
        a = processes[0]
        ids: list[str] = []
        refused: list[Overloaded] = []

        async def start() -> None:
            try:
                record = await a.engine.start_anywhere("test", {}, options=DETACHED)
                ids.append(record.session_id)
            except Overloaded as error:
                refused.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(start)
        await trio.sleep(1.0)
        assert (len(ids), len(refused)) == (12, 8)
        assert [len(process.engine.sessions) for process in processes] == [4, 4, 4]
        for session_id in ids:
            entries = await read_to_end(await a.engine.subscribe(session_id))
            assert text_of(entries) == TEXT


async def test_refused_request_is_refused_by_a_full_process(autojump_clock: MockClock) -> None:
    """Bad input is not sent on; it takes no place from anybody."""
    async with open_small() as (cluster, (a, _)):
        await fill(a)

        def parse(data: object) -> object:
            raise InvalidRequest("no", [("input", "is required")])

        a.engine.pipelines["test"].parse = parse  # type: ignore[method-assign, assignment]
        with pytest.raises(InvalidRequest):
            await a.engine.start_anywhere("test", {})
        assert len(cluster.shared.holders) == 1


async def test_cancel_reaches_a_session_that_was_handed(autojump_clock: MockClock) -> None:
    """Right after its start, while it is on its way, and later alike."""
    for pause_s in (0.0, 1.0):
        async with open_small() as (_, (a, b)):
            await fill(a)
            record = await a.engine.start_anywhere("test", {}, options=DETACHED)
            await trio.sleep(pause_s)
            with trio.fail_after(0.5):
                await a.engine.cancel(record.session_id, message="enough")
                await a.engine.wait_ended(record.session_id)
            assert b.engine.sessions == {}
            entries = await read_to_end(await b.engine.subscribe(record.session_id))
            end = entries[-1].event
            assert isinstance(end, Cancelled)
            assert end.message == "enough"


async def test_client_that_goes_has_its_session_cancelled(autojump_clock: MockClock) -> None:
    """What only one caller waited for does not go on elsewhere without it."""
    async with open_small() as (_, (a, b)):
        await fill(a)
        record = await a.engine.start_anywhere("test", {}, options=DETACHED)
        await trio.sleep(1.0)
        a.engine.abandon(record.session_id)
        await trio.sleep(0.1)
        assert b.engine.sessions == {}
        entries = await read_to_end(await b.engine.subscribe(record.session_id))
        assert isinstance(entries[-1].event, Cancelled)
        assert entries[-1].event.reason == "disconnect"


async def test_attached_session_is_ended_without_its_reader(autojump_clock: MockClock) -> None:
    """The grace time holds at the other process, from there or from here."""
    async with open_small() as (_, (a, b)):
        await fill(a)
        never_read = await a.engine.start_anywhere("test", {})
        await trio.sleep(6.0)
        assert b.engine.sessions == {}
        entries = await read_to_end(await b.engine.subscribe(never_read.session_id))
        assert isinstance(entries[-1].event, Cancelled)
        assert text_of(entries) == ""
        await fill(a)
        left = await a.engine.start_anywhere("test", {})
        with await a.engine.subscribe(left.session_id) as subscription:
            await read_until(subscription, lambda entry: isinstance(entry.event, Delta))
        await trio.sleep(6.0)
        assert b.engine.sessions == {}


async def test_one_key_is_handed_once(autojump_clock: MockClock) -> None:
    """A repeat, at whichever process and at the same moment, gives the first one's session."""
    async with open_small("a", "b", "c") as (_, (a, b, c)):
        await fill(a, b)
        ids: set[str] = set()

        async def start(process: Process) -> None:
            record = await process.engine.start_once("k", "test", {}, options=DETACHED)
            ids.add(record.session_id)

        async with trio.open_nursery() as nursery:
            for process in (a, b, a, b):
                nursery.start_soon(start, process)
        await trio.sleep(0.5)
        assert set(c.engine.sessions) == ids
        assert len(ids) == 1


async def test_handed_session_counts_once_for_its_user(autojump_clock: MockClock) -> None:
    """A user's limit is neither widened by a full process nor used up twice."""
    limits = Limits(lease_s=LEASE_S, take_s=0.25, max_sessions=1, max_sessions_per_owner=2)
    async with open_small("a", "b", "c", limits=limits) as (cluster, (a, _, _)):
        for _ in range(2):
            await a.engine.start_anywhere("test", {}, owner="ann", options=DETACHED)
        with pytest.raises(RateLimited):
            await a.engine.start_anywhere("test", {}, owner="ann", options=DETACHED)
        await a.engine.start_anywhere("test", {}, owner="bob", options=DETACHED)
        assert cluster.shared.counts == {"ann": 2, "bob": 1}
        await trio.sleep(5.0)
        assert not cluster.shared.counts


async def test_starter_that_dies_at_once_loses_nothing(autojump_clock: MockClock) -> None:
    """What was accepted begins after the lease, though nobody was told of it in time."""
    async with open_small() as (_, (a, b)):
        await fill(a)
        b.board.is_cut = True  # so that it does not take the session at once
        record = await a.engine.start_anywhere("test", {}, options=DETACHED)
        a.kill()
        b.board.is_cut = False
        await trio.sleep(2 * LEASE_S + 1.0)
        entries = await read_to_end(await b.engine.subscribe(record.session_id))
        assert text_of(entries) == TEXT


async def test_taker_that_dies_is_succeeded(autojump_clock: MockClock) -> None:
    """A handed session goes on like any other, and its reader sees it all once."""
    async with open_small("a", "b", "c") as (_, (a, b, c)):
        await fill(a, c)
        record = await a.engine.start_anywhere("test", {}, options=DETACHED)
        subscription = await a.engine.subscribe(record.session_id)
        before = await read_until(subscription, lambda entry: entry.seq >= 10)
        assert list(b.engine.sessions) == [record.session_id]
        b.kill()
        after = await read_to_end(subscription)
        assert isinstance(after[-1].event, Completed)
        assert [each.seq for each in before + after] == list(range(1, after[-1].seq + 1))
        assert after[-1].event.data == {}


async def test_board_that_goes_away_delays_the_handing(autojump_clock: MockClock) -> None:
    """What is durable was accepted: it waits here until the board can be told of it."""
    async with open_small() as (_, (a, b)):
        await fill(a)
        create = a.engine.journal.create

        async def create_and_cut(record: object) -> None:
            await create(record)  # type: ignore[arg-type]
            a.board.is_cut = True

        a.engine.journal.create = create_and_cut  # type: ignore[method-assign, assignment]
        record = await a.engine.start_anywhere("test", {}, options=DETACHED)
        await trio.sleep(LEASE_S / 2)
        assert b.engine.sessions == {}
        a.board.is_cut = False
        await trio.sleep(1.0)
        assert list(b.engine.sessions) == [record.session_id]
        entries = await read_to_end(await a.engine.subscribe(record.session_id))
        assert text_of(entries) == TEXT


async def test_draining_process_is_handed_nothing(autojump_clock: MockClock) -> None:
    """It says so at once, and not with its next beat; and it hands nothing on itself."""
    async with open_small() as (_, (a, b)):
        await fill(a)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(b.engine.drain, 10.0)
            await trio.sleep(0.05)
            with pytest.raises(Overloaded):
                await a.engine.start_anywhere("test", {}, options=DETACHED)
            with pytest.raises(ShuttingDown):
                await b.engine.start_anywhere("test", {}, options=DETACHED)
            nursery.cancel_scope.cancel()
