"""Two engines, one service: what any process can do with a session of another."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from engine.callers import Options
from engine.errors import Conflict, InvalidRequest, NotFound, RateLimited, Unreachable
from engine.events import Attempt, Cancelled, Completed, Delta, PartCancelled, Selected
from engine.limits import Limits
from engine.sessions.run import Run
from engine.sessions.view import View
from tests.cluster.rig import (
    LEASE_S,
    PART,
    TEXT,
    open_cluster,
    read_to_end,
    read_until,
    text_of,
)

DETACHED = Options(detached=True)


async def test_any_process_reads_what_another_runs(autojump_clock: MockClock) -> None:
    """A reader at the other process gets everything, live, at most a moment later."""
    async with open_cluster() as (_, (a, b)):
        session = await a.engine.start("test", {})
        subscription = await b.engine.subscribe(session.session_id)
        delays: list[float] = []
        entries = []
        with subscription:
            while batch := await subscription.receive():
                entries += batch
                delays.append(b.engine.now() - batch[-1].at)  # type: ignore[union-attr]
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))  # type: ignore[union-attr]
        assert text_of(entries) == TEXT  # type: ignore[arg-type]
        assert isinstance(entries[-1].event, Completed)  # type: ignore[union-attr]
        assert max(delays) < 0.3
        assert b.engine.sessions == {}


async def test_readers_of_all_processes_agree(autojump_clock: MockClock) -> None:
    """A late reader there and the reader here hold the same log."""
    async with open_cluster() as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(2.0)
        logs: list[list[object]] = []

        async def read(engine: object) -> None:
            subscription = await engine.subscribe(session.session_id)  # type: ignore[attr-defined]
            entries = await read_to_end(subscription)
            logs.append([each for entry in entries for each in [entry.event]])
            assert text_of(entries) == TEXT

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, a.engine)
            nursery.start_soon(read, b.engine)
        assert logs[0][-1] == logs[1][-1]


async def test_picture_and_list_are_the_same_everywhere(autojump_clock: MockClock) -> None:
    """Another process shows a running session with its state, its parts and its text so far."""
    async with open_cluster() as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(2.0)
        picture = await b.engine.picture(session.session_id)
        assert picture.record.state == "running"
        assert TEXT.startswith(picture.view.parts["p"].text)
        assert len(picture.view.parts["p"].text) > len(TEXT) / 3
        (listed,), _ = await b.engine.list()
        assert (listed.session_id, listed.state) == (session.session_id, "running")


async def test_picture_of_an_ended_session_has_its_end(autojump_clock: MockClock) -> None:
    """State and terminal event agree at another process, though its own log lags behind."""
    async with open_cluster() as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await session.ended.wait()
        await trio.sleep(1.0)
        behind = b.engine.open_log(await b.engine.record(session.session_id), View())
        b.engine.logs[session.session_id] = behind
        picture = await b.engine.picture(session.session_id)
        assert behind.view.terminal is None
        assert picture.record.state == "completed"
        assert isinstance(picture.view.terminal, Completed)
        assert picture.view.parts["p"].text == TEXT


async def test_picture_whose_log_is_ahead_of_its_record(autojump_clock: MockClock) -> None:
    """The end came between the reading of the record and that of the log: it has ended."""
    async with open_cluster() as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(1.0)
        early = await b.engine.record(session.session_id)
        assert early.state == "running"
        await session.ended.wait()

        async def record(*_: object) -> object:
            return early

        b.engine.record = record  # type: ignore[method-assign, assignment]
        picture = await b.engine.picture(session.session_id)
        assert picture.view.terminal is not None
        assert picture.record.state == "completed"


async def test_cancel_reaches_the_owner(autojump_clock: MockClock) -> None:
    """A cancel at another process stops the session at once, with its receipt in the log."""
    async with open_cluster() as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(1.0)
        record = await b.engine.cancel(session.session_id, message="enough")
        assert record.state == "running"
        with trio.fail_after(0.1):
            await session.ended.wait()
        assert session.state == "cancelled"
        entries = await read_to_end(await b.engine.subscribe(session.session_id))
        end = entries[-1].event
        assert isinstance(end, Cancelled)
        assert (end.reason, end.message) == ("client", "enough")
        again = await b.engine.cancel(session.session_id)
        assert again.state == "cancelled"


async def test_cancel_of_a_part_reaches_the_owner(autojump_clock: MockClock) -> None:
    """A target is cancelled alone; one that there is none of is refused by its owner's word."""
    async with open_cluster() as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(1.0)
        with pytest.raises(NotFound, match="no part"):
            await b.engine.cancel(session.session_id, target={"prompt_id": "other"})
        await b.engine.cancel(session.session_id, target=PART.target)
        await b.engine.wait_ended(session.session_id, PART.target)
        entries = await read_to_end(await b.engine.subscribe(session.session_id))
        assert any(isinstance(entry.event, PartCancelled) for entry in entries)


async def test_selection_reaches_the_owner(autojump_clock: MockClock) -> None:
    """A choice made at another process is durable when it is answered; a wrong one is refused."""

    async def ask(run: Run) -> Completed:
        chosen = await run.wait_selection("artists", [{}, {}], expires_in_s=60.0, best=[0])
        return Completed(data={"chosen": chosen})

    async with open_cluster(ask) as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(0.5)
        with pytest.raises(InvalidRequest, match="beyond the last") as refused:
            await b.engine.select(session.session_id, "artists", [7])
        assert refused.value.details
        with pytest.raises(Conflict, match="does not wait"):
            await b.engine.select(session.session_id, "works", [1])
        assert await b.engine.select(session.session_id, "artists", [1]) == [1]
        entries = await read_to_end(await b.engine.subscribe(session.session_id))
        assert any(isinstance(entry.event, Selected) for entry in entries)
        with pytest.raises(Conflict, match="has ended"):
            await b.engine.select(session.session_id, "artists", [1])


async def test_delete_at_another_process(autojump_clock: MockClock) -> None:
    """A session that runs elsewhere is cancelled first, and then it is gone everywhere."""
    async with open_cluster() as (cluster, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(1.0)
        await b.engine.delete(session.session_id)
        assert session.has_ended
        for process in (a, b):
            with pytest.raises(NotFound):
                await process.engine.record(session.session_id)
        await trio.sleep(1.0)
        assert cluster.shared.holders == {}


async def test_far_reader_keeps_an_attached_session_alive(autojump_clock: MockClock) -> None:
    """It counts as a reader for as long as it is there, and its leaving starts the grace."""

    async def never_end(run: Run) -> Completed:
        await trio.sleep_forever()
        raise AssertionError

    async with open_cluster(never_end) as (_, (a, b)):
        session = await a.engine.start("test", {})
        with await b.engine.subscribe(session.session_id):
            await trio.sleep(60.0)
            assert not session.has_ended
        await trio.sleep(a.engine.limits.grace_s + 1.0)
        assert session.state == "cancelled"


async def test_reader_of_a_dead_process_counts_as_gone(autojump_clock: MockClock) -> None:
    """Nobody runs for a client whose process has died, longer than a lease and the grace."""

    async def never_end(run: Run) -> Completed:
        await trio.sleep_forever()
        raise AssertionError

    async with open_cluster(never_end) as (_, (a, b)):
        session = await a.engine.start("test", {})
        with await b.engine.subscribe(session.session_id):
            await trio.sleep(20.0)
            b.kill()
            await trio.sleep(LEASE_S * 1.5 + a.engine.limits.grace_s + 1.0)
            assert session.state == "cancelled"


async def test_attached_session_waits_for_its_far_reader(autojump_clock: MockClock) -> None:
    """It never runs further ahead than the window, and goes on as the reader does."""

    async def write_fast(run: Run) -> Completed:
        await run.start_phase("work")
        for number in range(200):
            await run.write(PART, f"{number} ")
        return Completed(data={})

    limits = Limits(lease_s=LEASE_S, window_events=20)
    async with open_cluster(write_fast, limits=limits) as (_, (a, b)):
        session = await a.engine.start("test", {})
        with await b.engine.subscribe(session.session_id) as subscription:
            await trio.sleep(10.0)
            assert session.log.head <= 20 + 2
            entries = await read_until(subscription, lambda entry: entry.seq >= 15)
            await trio.sleep(1.0)
            assert entries[-1].seq < session.log.head <= entries[-1].seq + 20 + 2
            rest = await read_to_end(subscription)
        assert text_of(entries + rest) == "".join(f"{number} " for number in range(200))


async def test_session_of_a_dead_process_goes_on(autojump_clock: MockClock) -> None:
    """Within a lease and a moment another takes it; its reader sees an attempt and all the text."""
    async with open_cluster() as (cluster, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        subscription = await b.engine.subscribe(session.session_id)
        before = await read_until(subscription, lambda entry: entry.seq > 10)
        epoch = subscription.epoch
        killed_at = trio.current_time()
        a.kill()
        entries = await read_to_end(subscription)
        attempt = next(entry for entry in entries if isinstance(entry.event, Attempt))
        assert attempt.event.reason == "restart"  # type: ignore[union-attr]
        assert attempt.at - b.engine.now() + trio.current_time() - killed_at < LEASE_S + 1.0
        assert text_of([entry for entry in entries if entry.seq > attempt.seq]) == TEXT
        seqs = [entry.seq for entry in before + entries]
        assert seqs == list(range(1, len(seqs) + 1))
        assert subscription.epoch != epoch
        await trio.sleep(0.1)
        assert cluster.shared.holders == {}


async def test_start_does_not_grab_what_the_living_run(autojump_clock: MockClock) -> None:
    """A process that starts leaves alone what runs elsewhere, however long it lives."""
    async with open_cluster() as (cluster, (a, _)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(0.5)
        c = await cluster.start("c")
        assert c.engine.sessions == {}
        entries = await read_to_end(await c.engine.subscribe(session.session_id))
        assert not any(isinstance(entry.event, Attempt) for entry in entries)
        assert len((await c.engine.record(session.session_id)).epochs) == 1


async def test_drain_moves_sessions_on_at_once(autojump_clock: MockClock) -> None:
    """What outlasts the grace is taken by another within a moment, without waiting for a lease."""
    async with open_cluster() as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(1.0)
        await a.engine.drain(0.1)
        await trio.sleep(0.3)
        assert session.session_id in b.engine.sessions
        entries = await read_to_end(await b.engine.subscribe(session.session_id))
        assert isinstance(entries[-1].event, Completed)


async def test_readers_of_a_draining_process_are_moved(autojump_clock: MockClock) -> None:
    """A connection that is still open there follows the session to its new process."""
    async with open_cluster() as (_, (a, _)):
        session = await a.engine.start("test", {})
        subscription = await a.engine.subscribe(session.session_id)
        before = await read_until(subscription, lambda entry: entry.seq > 10)
        await a.engine.drain(0.1)
        after = await read_to_end(subscription)
        assert isinstance(after[-1].event, Completed)
        attempt = next(entry for entry in after if isinstance(entry.event, Attempt))
        assert text_of([entry for entry in after if entry.seq > attempt.seq]) == TEXT
        seqs = [entry.seq for entry in before + after]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_stale_owner_is_fenced_and_its_readers_move_on(autojump_clock: MockClock) -> None:
    """A process that was cut off for longer than its lease shows no failure: its session goes on
    elsewhere, and a reader that was connected to it all the time holds the whole text.
    """
    async with open_cluster() as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        subscription = await a.engine.subscribe(session.session_id)
        texts: dict[int, str] = {1: "", 2: ""}
        ends: list[object] = []

        async def read() -> None:
            with subscription:
                while batch := await subscription.receive():
                    for item in batch:
                        event = item.event  # type: ignore[union-attr]
                        if isinstance(event, Delta):
                            texts[event.part.attempt] += event.text
                        ends.append(event)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.sleep(0.5)
            a.board.is_cut = True
            await trio.sleep(LEASE_S + 1.0)
            assert session.session_id in b.engine.sessions
            a.board.is_cut = False
        assert texts[2] == TEXT
        assert isinstance(ends[-1], Completed)
        assert session.is_set_aside
        assert not session.has_ended


async def test_cancel_at_a_stale_owner_reaches_the_new_one(autojump_clock: MockClock) -> None:
    """A cancel that was accepted where the session no longer is counts where it is."""
    async with open_cluster() as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(0.5)
        a.board.is_cut = True
        for _ in range(1000):
            await trio.sleep(0.005)
            if session.session_id in b.engine.sessions:
                break
        assert session.cancel("client")  # it has not noticed yet
        await trio.sleep(0.1)
        a.board.is_cut = False
        await trio.sleep(1.5)
        assert (await b.engine.record(session.session_id)).state == "cancelled"


@pytest.mark.parametrize("is_alone", [True, False])
async def test_reader_from_the_new_owner_tells_a_stale_one(
    is_alone: bool, autojump_clock: MockClock
) -> None:
    """A cursor of a life that the stale owner does not know is placed there, without a gap."""

    async def pause(run: Run) -> Completed:
        await run.write(PART, "one ")
        await trio.sleep(8.0)  # nothing is written, so nothing is refused
        await run.complete_part(PART, "one ")
        return Completed(data={})

    async with open_cluster(pause) as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(0.5)
        other = await a.engine.subscribe(session.session_id)
        if is_alone:
            other.close()
        a.board.is_cut = True
        for _ in range(1000):
            await trio.sleep(0.005)
            if session.session_id in b.engine.sessions:
                break
        with await b.engine.subscribe(session.session_id) as subscription:
            before = await read_until(subscription, lambda entry: isinstance(entry.event, Attempt))
            cursor = f"{subscription.epoch}:{subscription.cursor}"
        assert session.session_id in a.engine.sessions  # it has not noticed yet
        a.board.is_cut = False
        after = await read_to_end(await a.engine.subscribe(session.session_id, after=cursor))
        seqs = [entry.seq for entry in before + after]
        assert seqs == list(range(1, len(seqs) + 1))
        assert isinstance(after[-1].event, Completed)


async def test_board_that_was_away_kills_nobody(autojump_clock: MockClock) -> None:
    """When everybody's lease has lapsed because the board was away, the living renew first."""
    async with open_cluster() as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(0.5)
        a.board.is_cut = b.board.is_cut = True
        await trio.sleep(LEASE_S * 1.2)
        b.board.is_cut = False  # the other one finds it first, with all leases lapsed
        await trio.sleep(LEASE_S * 0.4)
        a.board.is_cut = False
        await trio.sleep(LEASE_S)
        assert b.engine.sessions == {}
        with trio.move_on_after(2.0):
            await session.ended.wait()
        assert session.state == "completed"


async def test_cancel_without_an_owner_is_refused_in_time(autojump_clock: MockClock) -> None:
    """Who asks for a session that nobody can take is told so, and may ask again."""
    limits = Limits(lease_s=LEASE_S, ask_s=3.0, max_sessions=1)
    async with open_cluster(limits=limits) as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await b.engine.start("test", {}, options=DETACHED)  # b is full now
        a.kill()
        with pytest.raises(Unreachable) as refused:
            await b.engine.cancel(session.session_id)
        assert refused.value.retry_after_s


async def test_user_limit_counts_everywhere(autojump_clock: MockClock) -> None:
    """A user has as many sessions as allowed in all processes together, and slots come back."""
    limits = Limits(lease_s=LEASE_S, max_sessions_per_owner=2)
    async with open_cluster(limits=limits) as (_, (a, b)):
        first = await a.engine.start("test", {}, owner="ann", options=DETACHED)
        await b.engine.start("test", {}, owner="ann", options=DETACHED)
        for process in (a, b):
            with pytest.raises(RateLimited):
                await process.engine.start("test", {}, owner="ann")
        await b.engine.cancel(first.session_id)
        await b.engine.wait_ended(first.session_id)
        await trio.sleep(0.1)
        await b.engine.start("test", {}, owner="ann", options=DETACHED)


async def test_one_key_makes_one_session_in_all_processes(autojump_clock: MockClock) -> None:
    """Two requests with one key at the same moment, at two processes, start one session."""
    async with open_cluster() as (_, (a, b)):
        ids: list[str] = []

        async def start(process: object) -> None:
            record = await process.engine.start_once("k", "test", {}, options=DETACHED)  # type: ignore[attr-defined]
            ids.append(record.session_id)

        async with trio.open_nursery() as nursery:
            for process in (a, b, a, b):
                nursery.start_soon(start, process)
        assert len(set(ids)) == 1
        assert len(a.engine.sessions) + len(b.engine.sessions) == 1


async def test_cursor_of_one_process_is_good_at_another(autojump_clock: MockClock) -> None:
    """A client that was ahead of what is durable misses and sees nothing twice elsewhere."""
    async with open_cluster() as (_, (a, b)):
        session = await a.engine.start("test", {}, options=DETACHED)
        with await a.engine.subscribe(session.session_id) as subscription:
            before = await read_until(subscription, lambda entry: entry.seq >= 15)
            cursor = f"{subscription.epoch}:{subscription.cursor}"
        after = await read_to_end(await b.engine.subscribe(session.session_id, after=cursor))
        assert text_of(before + after) == TEXT


async def test_session_that_nobody_holds_is_rescued(autojump_clock: MockClock) -> None:
    """One that the journal says is running and that is not on the board is taken at the start."""
    async with open_cluster() as (cluster, (a, _)):
        session = await a.engine.start("test", {}, options=DETACHED)
        await trio.sleep(0.5)
        a.kill()
        cluster.shared.remove(session.session_id)
        c = await cluster.start("c")
        assert session.session_id in c.engine.sessions
        entries = await read_to_end(await c.engine.subscribe(session.session_id))
        assert isinstance(entries[-1].event, Completed)


async def test_failure_in_a_far_session_is_told(autojump_clock: MockClock) -> None:
    """Whatever ends a session ends its readers everywhere, with the same event."""

    async def fail(run: Run) -> Completed:
        await trio.sleep(0.5)
        raise Conflict("no")

    async with open_cluster(fail) as (_, (a, b)):
        session = await a.engine.start("test", {})
        entries = await read_to_end(await b.engine.subscribe(session.session_id))
        assert entries[-1].event == session.log.view.terminal


def test_rig_writes_for_four_seconds() -> None:
    """The times in these tests rest on it."""
    assert len(TEXT.split()) == 40
