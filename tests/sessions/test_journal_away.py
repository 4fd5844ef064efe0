"""A journal that goes away and comes back: sessions wait for it, and a cancel does not."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from engine.callers import Options
from engine.errors import JournalFailed, Overloaded
from engine.events import Cancelled, Completed, PartCompleted
from engine.journal.memory import MemoryJournal
from engine.providers.interface import Delta
from engine.sessions.run import Run
from engine.testing.faulty_journal import FaultyJournal
from engine.testing.scripted_provider import Hang, ScriptedProvider
from tests.sessions.doubles import open_test_engine, part, read_all, request


class AwayJournal(FaultyJournal):
    """Takes nothing from one moment to another; whoever can wait has to.

    Args:
        since: when it goes away, on trio's clock.
        until: when it is back.
    """

    def __init__(self, *, since: float, until: float, patience_s: float = math.inf) -> None:
        def delay_s() -> float:
            now = trio.current_time()
            return until - now if since <= now < until else 0.0

        super().__init__(MemoryJournal(), delay_s=delay_s, patience_s=patience_s)


async def test_session_waits_at_its_next_milestone_and_goes_on(autojump_clock: MockClock) -> None:
    """Away for minutes, longer than any shield: nothing fails, and nothing is seen too early."""
    now = trio.current_time()
    journal = AwayJournal(since=now + 1, until=now + 600)

    async def script(run: Run) -> Completed:
        await trio.sleep(2)
        await run.emit(PartCompleted(part=part(), text="done"))
        return Completed(data={"text": "done"})

    async with open_test_engine(script, journal=journal) as engine:
        session = await engine.start("test", {}, options=None)
        with await engine.subscribe(session.session_id) as reader:
            with trio.move_on_after(500):
                pytest.fail(f"{await reader.receive()} was seen before it was durable")
        events = [entry.event for entry in await read_all(engine, session.session_id)]
        assert [type(event) for event in events] == [PartCompleted, Completed]
        assert trio.current_time() - now == pytest.approx(600, abs=1)


async def test_no_provider_is_asked_while_the_journal_is_away(autojump_clock: MockClock) -> None:
    """A phase that begins then waits with its milestone, not with an open stream."""
    now = trio.current_time()
    journal = AwayJournal(since=now + 1, until=now + 600)
    provider = ScriptedProvider([Delta(text="text", tokens=1), Delta(finish="stop")])

    async def script(run: Run) -> Completed:
        await trio.sleep(2)
        journal.problem = "it is away"
        await run.start_phase("solutio", soon=True)
        assert trio.current_time() >= now + 600
        answer = await run.generate(part(), request(), provider)
        return Completed(data={"text": answer.text})

    async with open_test_engine(script, journal=journal) as engine:
        session = await engine.start("test", {}, options=Options(detached=True))
        await trio.sleep(300)
        assert provider.calls == []
        await session.ended.wait()
        assert session.state == "completed"
        assert len(provider.calls) == 1


async def test_cancel_closes_upstreams_at_once_though_the_journal_is_away(
    autojump_clock: MockClock,
) -> None:
    """I4: what costs money ends now; the terminal event, with its whole partial, comes later."""
    now = trio.current_time()
    journal = AwayJournal(since=now + 1, until=now + 600)
    provider = ScriptedProvider([Delta(text="one two "), Hang()])

    async def script(run: Run) -> Completed:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.generate, part("a"), request(), provider)
            await trio.sleep(2)
            await run.emit(PartCompleted(part=part("b"), text="three"))  # waits for the journal
        return Completed(data={})

    async with open_test_engine(script, journal=journal) as engine:
        session = await engine.start("test", {})
        with await engine.subscribe(session.session_id) as reader:
            await reader.receive()
            await trio.sleep(5)
            assert provider.open_calls == 1
            await engine.cancel(session.session_id)
            await trio.testing.wait_all_tasks_blocked()
            assert provider.open_calls == 0
            entries = await read_all(engine, session.session_id)
        assert trio.current_time() - now == pytest.approx(600, abs=1)
        terminal = entries[-1].event
        assert isinstance(terminal, Cancelled)
        assert terminal.partial == {"a": "one two ", "b": "three"}
        assert terminal.receipt.upstream_closed_ms == 0.0


async def test_journal_without_patience_ends_the_session(autojump_clock: MockClock) -> None:
    """A disk that does not answer for its patience counts as broken, as ever."""
    now = trio.current_time()
    journal = AwayJournal(since=now + 1, until=now + 600, patience_s=5.0)

    async def script(run: Run) -> Completed:
        await trio.sleep(2)
        with pytest.raises(JournalFailed, match="in time"):
            await run.emit(PartCompleted(part=part(), text="done"))
        assert trio.current_time() - now == pytest.approx(7, abs=0.1)
        return Completed(data={})

    async with open_test_engine(script, journal=journal) as engine:
        session = await engine.start("test", {})
        with trio.move_on_after(20):
            await session.ended.wait()
        assert session.state == "failed"


async def test_new_session_is_refused_while_the_journal_is_away(
    autojump_clock: MockClock,
) -> None:
    """At once, to be tried again: nobody can be told of a session that cannot be kept."""
    now = trio.current_time()
    journal = AwayJournal(since=now + 1, until=now + 600)

    async def script(run: Run) -> Completed:
        return Completed(data={})

    async with open_test_engine(script, journal=journal) as engine:
        journal.problem = "away"
        with pytest.raises(Overloaded, match="away") as refused:
            await engine.start("test", {})
        assert refused.value.retry_after_s
        journal.problem = ""
        session = await engine.start("test", {})
        await session.ended.wait()
