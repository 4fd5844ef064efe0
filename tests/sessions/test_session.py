"""A session's life: one terminal event, cancel with a receipt, attempts, the firewall."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from engine.callers import Options, Viewer
from engine.errors import InvalidRequest, NotFound, Overloaded, ProviderRefused, ProviderUnavailable
from engine.events import (
    Attempt,
    Cancelled,
    Completed,
    Delta,
    Entry,
    Failed,
    PartCancelled,
    PartCompleted,
    PhaseStarted,
    Usage,
)
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.providers.interface import Delta as ProviderDelta
from engine.sessions.outcomes import PartCut, PartLost
from engine.sessions.run import Run
from engine.testing.faulty_journal import FaultyJournal
from engine.testing.scripted_provider import Fail, Hang, ScriptedProvider, Sleep, say
from tests.sessions.doubles import open_test_engine, part, read_all, request


def kinds(entries: list[Entry]) -> list[str]:
    return [type(entry.event).__name__ for entry in entries]


def text(entries: list[Entry], part_id: str = "p") -> str:
    """Fold a log as a client does."""
    folded = ""
    for entry in entries:
        event = entry.event
        if isinstance(event, Attempt) and event.part.id == part_id:
            folded = ""
        elif isinstance(event, Delta) and event.part.id == part_id:
            folded += event.text
    return folded


def writes(provider: ScriptedProvider, part_id: str = "p"):  # type: ignore[no-untyped-def]
    async def script(run: Run) -> Completed:
        answer = await run.generate(part(part_id), request(), provider)
        await run.complete_part(answer.part, answer.text, usage=answer.usage)
        return Completed(data={"text": answer.text})

    return script


async def test_a_session_streams_completes_its_part_and_ends_once(
    autojump_clock: MockClock,
) -> None:
    """I3: exactly one terminal event, nothing after it."""
    provider = ScriptedProvider(say("Hello ", "world", pace_s=0.1))
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        entries = await read_all(engine, session.session_id)
        assert kinds(entries) == ["Delta", "Delta", "PartCompleted", "Completed"]
        assert [entry.seq for entry in entries] == [1, 2, 3, 4]
        terminal = entries[-1].event
        assert isinstance(terminal, Completed)
        assert terminal.usage["by_part"][0]["prompt_id"] == "p"
        assert (await engine.record(session.session_id)).state == "completed"


async def test_an_ended_session_reads_the_same_again(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider(say("Hello ", "world", pace_s=0.1))
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        first = await read_all(engine, session.session_id)
        again = await read_all(engine, session.session_id)
        assert text(again) == text(first) == "Hello world"
        picture = await engine.picture(session.session_id)
        assert picture.view.parts["p"].text == "Hello world"
        assert picture.usage["output_tokens"] > 0


async def test_cancel_closes_the_upstream_before_the_terminal_event_and_proves_it(
    autojump_clock: MockClock,
) -> None:
    """I4; the receipt says when it was accepted and when the upstream was closed."""
    provider = ScriptedProvider([ProviderDelta(text="one two "), Hang()], close_s=0.05)
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        with await engine.subscribe(session.session_id) as reader:
            await reader.receive()
            await engine.cancel(session.session_id)
            (last,) = await reader.receive()
            assert provider.open_calls == 0
        event = last.event  # type: ignore[union-attr]
        assert isinstance(event, Cancelled)
        assert event.reason == "client"
        assert event.partial == {"p": "one two "}
        assert event.receipt.accepted_at_seq == 1
        assert event.receipt.upstream_closed_ms == pytest.approx(50, abs=1)
        assert event.receipt.tokens_after_accept == 0
        assert event.usage["estimated"] is True


async def test_cancel_numbers_what_was_delivered_and_drops_what_comes_after(
    autojump_clock: MockClock,
) -> None:
    """`partial` is never more than was streamed."""
    provider = ScriptedProvider(
        [ProviderDelta(text="a"), ProviderDelta(text="b"), ProviderDelta(text="c"), Hang()]
    )
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        reader = await engine.subscribe(session.session_id)
        await trio.testing.wait_all_tasks_blocked()
        await engine.cancel(session.session_id)
        entries = [entry async for entry in rest(reader)]
        terminal = entries[-1].event
        assert isinstance(terminal, Cancelled)
        assert terminal.partial == {"p": "abc"}
        assert text(await read_all(engine, session.session_id)) == "abc"


async def rest(reader):  # type: ignore[no-untyped-def]
    while batch := await reader.receive():
        for entry in batch:
            yield entry


async def test_cancel_before_the_first_token_has_no_text_and_an_upstream(
    autojump_clock: MockClock,
) -> None:
    provider = ScriptedProvider([Hang()])
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        await trio.testing.wait_all_tasks_blocked()
        await engine.cancel(session.session_id)
        (entry,) = await read_all(engine, session.session_id)
        assert isinstance(entry.event, Cancelled)
        assert entry.event.partial == {}
        assert entry.event.receipt.upstream_closed_ms == 0


async def test_cancel_before_the_session_has_begun_never_calls_the_provider(
    autojump_clock: MockClock,
) -> None:
    provider = ScriptedProvider(say("x"))
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        await engine.cancel(session.session_id)
        (entry,) = await read_all(engine, session.session_id)
        assert isinstance(entry.event, Cancelled)
        assert entry.event.receipt.upstream_closed_ms is None
        assert provider.calls == []
        assert (await engine.record(session.session_id)).state == "cancelled"


async def test_cancel_twice_and_after_the_end_changes_nothing(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider([ProviderDelta(text="x"), Hang()])
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        reader = await engine.subscribe(session.session_id)
        await reader.receive()
        await engine.cancel(session.session_id, message="first")
        await engine.cancel(session.session_id, reason="admin", message="second")
        await session.ended.wait()
        record = await engine.cancel(session.session_id)
        assert record.state == "cancelled"
        entries = await read_all(engine, session.session_id)
        assert kinds(entries) == ["Delta", "Cancelled"]
        assert entries[-1].event.message == "first"  # type: ignore[union-attr]


async def test_cancel_during_a_retrys_wait_ends_at_once(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider([Fail(ProviderUnavailable("down", retry_after_s=30))])
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        reader = await engine.subscribe(session.session_id)
        (entry,) = await reader.receive()
        assert isinstance(entry.event, Attempt)  # type: ignore[union-attr]
        before = trio.current_time()
        await engine.cancel(session.session_id)
        (entry,) = await reader.receive()
        assert isinstance(entry.event, Cancelled)  # type: ignore[union-attr]
        assert trio.current_time() == before
        assert entry.event.receipt.upstream_closed_ms is None  # type: ignore[union-attr]


async def test_a_failure_in_mid_stream_starts_a_new_attempt_and_text_is_not_doubled(
    autojump_clock: MockClock,
) -> None:
    """I9."""
    provider = ScriptedProvider(
        [ProviderDelta(text="half an ans"), Fail(ProviderUnavailable("dropped"))],
        say("a whole answer"),
    )
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        entries = await read_all(engine, session.session_id)
        assert kinds(entries) == ["Delta", "Attempt", "Delta", "PartCompleted", "Completed"]
        attempt = entries[1].event
        assert isinstance(attempt, Attempt)
        assert (attempt.part.attempt, attempt.reason, attempt.code) == (
            2,
            "provider",
            "provider_unavailable",
        )
        assert text(entries) == "a whole answer"


async def test_a_part_is_lost_after_its_last_attempt(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider([Fail(ProviderUnavailable("down"))])
    async with open_test_engine(writes(provider), limits=Limits(max_attempts=3)) as engine:
        session = await engine.start("test", {})
        entries = await read_all(engine, session.session_id)
        assert kinds(entries) == ["Attempt", "Attempt", "Failed"]
        failed = entries[-1].event
        assert isinstance(failed, Failed)
        assert (failed.code, failed.message) == ("provider_unavailable", "down")
        assert len(provider.calls) == 3


async def test_a_refusal_is_not_tried_again(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider([Fail(ProviderRefused("no"))])
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        entries = await read_all(engine, session.session_id)
        assert kinds(entries) == ["Failed"]
        assert len(provider.calls) == 1


async def test_a_part_cancelled_alone_leaves_the_others(autojump_clock: MockClock) -> None:
    slow = ScriptedProvider([ProviderDelta(text="slow "), Hang()])
    quick = ScriptedProvider(say("quick ", "answer", pace_s=1.0))

    async def script(run: Run) -> Completed:
        outcome: dict[str, str] = {}

        async def one(name: str, provider: ScriptedProvider) -> None:
            try:
                outcome[name] = (await run.generate(part(name), request(), provider)).text
            except PartCut:
                outcome[name] = "cut"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, "a", slow)
            nursery.start_soon(one, "b", quick)
        return Completed(data=outcome)

    async with open_test_engine(script) as engine:
        session = await engine.start("test", {})
        await trio.sleep(0.5)
        await engine.cancel(session.session_id, target={"prompt_id": "a"})
        entries = await read_all(engine, session.session_id)
        (cut,) = [entry.event for entry in entries if isinstance(entry.event, PartCancelled)]
        assert cut.partial == "slow "
        assert slow.open_calls == 0
        final = entries[-1].event
        assert isinstance(final, Completed)
        assert final.data == {"a": "cut", "b": "quick answer"}


async def test_cancelling_a_phase_cuts_its_parts_now_and_later(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider([Hang()])

    async def script(run: Run) -> Completed:
        await run.start_phase("solutio")
        cut = []
        for name in ("a", "b"):
            try:
                await run.generate(part(name), request(), provider)
            except PartCut:
                cut.append(name)
        return Completed(data={"cut": cut})

    async with open_test_engine(script) as engine:
        session = await engine.start("test", {})
        await trio.testing.wait_all_tasks_blocked()
        await engine.cancel(session.session_id, target={"phase": "solutio"})
        entries = await read_all(engine, session.session_id)
        assert entries[-1].event.data == {"cut": ["a", "b"]}  # type: ignore[union-attr]
        assert len(provider.calls) == 1


async def test_cancelling_an_unknown_part_says_so(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider([Hang()])
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        with pytest.raises(NotFound, match="prompt_id 'nope'"):
            await engine.cancel(session.session_id, target={"prompt_id": "nope"})


async def test_a_crash_in_one_session_touches_no_other(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """I5: whatever breaks in one ends that one with its terminal event."""
    provider = ScriptedProvider(say("fine", pace_s=1.0))

    async def script(run: Run) -> Completed:
        if run.owner == "bad":
            raise ZeroDivisionError("planted")
        return await writes(provider)(run)  # type: ignore[no-any-return]

    async with open_test_engine(script) as engine:
        bad = await engine.start("test", {}, owner="bad")
        good = await engine.start("test", {}, owner="good")
        failed = (await read_all(engine, bad.session_id))[-1].event
        assert isinstance(failed, Failed)
        assert failed.code == "internal"
        assert "planted" not in failed.message
        assert kinds(await read_all(engine, good.session_id))[-1] == "Completed"
    assert "planted" in caplog.text


async def test_an_attached_session_is_cancelled_when_nobody_reads_for_the_grace_time(
    autojump_clock: MockClock,
) -> None:
    provider = ScriptedProvider([ProviderDelta(text="x"), Hang()])
    async with open_test_engine(writes(provider), limits=Limits(grace_s=5)) as engine:
        session = await engine.start("test", {})
        with await engine.subscribe(session.session_id):
            await trio.sleep(60)
        await trio.sleep(4)
        with await engine.subscribe(session.session_id):  # back in time
            await trio.sleep(60)
        assert not session.has_ended
        await trio.sleep(6)
        assert session.state == "cancelled"
        terminal = (await read_all(engine, session.session_id))[-1].event
        assert isinstance(terminal, Cancelled)
        assert terminal.reason == "disconnect"


async def test_a_detached_session_runs_to_its_end_without_a_reader(
    autojump_clock: MockClock,
) -> None:
    provider = ScriptedProvider(say(*["x"] * 50, pace_s=1.0))
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {}, options=Options(detached=True))
        await session.ended.wait()
        assert session.state == "completed"


async def test_a_session_past_its_deadline_is_cancelled_with_that_reason(
    autojump_clock: MockClock,
) -> None:
    provider = ScriptedProvider([ProviderDelta(text="x"), Hang()])
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {}, options=Options(deadline_s=3, detached=True))
        await session.ended.wait()
        assert trio.current_time() == pytest.approx(3, abs=0.01)
        terminal = (await read_all(engine, session.session_id))[-1].event
        assert isinstance(terminal, Cancelled)
        assert terminal.reason == "deadline"


async def test_deltas_faster_than_the_rollup_window_are_joined_and_the_first_goes_out_at_once(
    autojump_clock: MockClock,
) -> None:
    provider = ScriptedProvider(say(*"abcdefgh", pace_s=0.01))
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        stamps: list[tuple[float, str]] = []
        with await engine.subscribe(session.session_id) as reader:
            while batch := await reader.receive():
                stamps += [
                    (round(trio.current_time(), 3), entry.event.text)
                    for entry in batch
                    if isinstance(entry, Entry) and isinstance(entry.event, Delta)
                ]
        assert stamps[0] == (0.01, "a")
        assert "".join(piece for _, piece in stamps) == "abcdefgh"
        assert len(stamps) <= 4


async def test_a_token_budget_is_shared_and_never_overspent(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider(say("x" * 40, usage=Usage(input_tokens=2, output_tokens=10)))

    async def script(run: Run) -> Completed:
        texts = []
        for name in "abc":
            answer = await run.generate(part(name), request(max_tokens=30), provider)
            texts.append(answer.text)
        return Completed(data={})

    async with open_test_engine(script) as engine:
        session = await engine.start("test", {}, options=Options(token_budget=26))
        entries = await read_all(engine, session.session_id)
        failed = entries[-1].event
        assert isinstance(failed, Failed)
        assert "budget of 26" in failed.message
        assert [call.request.max_tokens for call in provider.calls] == [24, 12]
        assert session.budget.reserved == 0


async def test_more_sessions_than_allowed_are_refused(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider([Hang()])
    async with open_test_engine(writes(provider), limits=Limits(max_sessions=2)) as engine:
        first = await engine.start("test", {})
        await engine.start("test", {})
        with pytest.raises(Overloaded):
            await engine.start("test", {})
        await engine.cancel(first.session_id)
        await first.ended.wait()
        await trio.testing.wait_all_tasks_blocked()
        await engine.start("test", {})


async def test_another_owners_session_does_not_exist(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider(say("x"))
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {}, owner="ann")
        for attempt in (engine.record, engine.subscribe, engine.cancel, engine.picture):
            with pytest.raises(NotFound):
                await attempt(session.session_id, viewer=Viewer(sub="bob"))  # type: ignore[operator]
        await engine.record(session.session_id, Viewer(sub="ann"))
        await engine.record(session.session_id, Viewer(sub="root", is_admin=True))


async def test_a_reader_resumes_after_its_cursor_even_inside_a_merged_entry(
    autojump_clock: MockClock,
) -> None:
    provider = ScriptedProvider(say(*"abcdefgh", pace_s=0.1))
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {}, options=Options(detached=True))
        session_id, epoch = session.session_id, session.log.epoch
        await session.ended.wait()
        del session  # so that its log is read from the journal, where deltas are merged
        for seq in range(9):
            entries = await read_all(engine, session_id, after=f"{epoch}:{seq}")
            assert text(entries) == "abcdefgh"[seq:]
            assert entries[0].first_seq == seq + 1


async def test_an_unreadable_cursor_is_refused_by_its_form(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider(say("x"))
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        with pytest.raises(InvalidRequest, match="<epoch>:<seq>"):
            await engine.subscribe(session.session_id, after="nonsense")


async def test_drain_lets_sessions_finish_then_cancels_the_rest_as_shutdown(
    autojump_clock: MockClock,
) -> None:
    """With the memory journal nothing survives, so the rest is cancelled."""
    quick = ScriptedProvider([Sleep(2), *say("done")], [Hang()])
    async with open_test_engine(writes(quick)) as engine:
        first = await engine.start("test", {}, options=Options(detached=True))
        await trio.sleep(1)
        second = await engine.start("test", {}, options=Options(detached=True))
        await trio.sleep(0.1)
        await engine.drain(5)
        assert trio.current_time() == pytest.approx(6.1, abs=0.01)
        assert (first.state, second.state) == ("completed", "cancelled")
        terminal = (await read_all(engine, second.session_id))[-1].event
        assert isinstance(terminal, Cancelled)
        assert terminal.reason == "shutdown"


async def test_a_lost_part_can_be_caught_and_the_session_goes_on(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider([Fail(ProviderRefused("no"))], say("yes"))

    async def script(run: Run) -> Completed:
        with pytest.raises(PartLost) as caught:
            await run.generate(part("a"), request(), provider)
        assert caught.value.code == "provider_refused"
        answer = await run.generate(part("b"), request(), provider)
        await run.complete_part(answer.part, answer.text)
        assert isinstance(run.completed("b"), PartCompleted)
        return Completed(data={})

    async with open_test_engine(script) as engine:
        session = await engine.start("test", {})
        assert kinds(await read_all(engine, session.session_id))[-1] == "Completed"


async def test_a_cut_part_ends_in_the_attempt_that_was_announced_last(
    autojump_clock: MockClock,
) -> None:
    """I9: a cancel in a retry's wait ends attempt 2, not 1 (seed 29 of the simulation)."""
    provider = ScriptedProvider([Fail(ProviderUnavailable("down", retry_after_s=30))])

    async def script(run: Run) -> Completed:
        with pytest.raises(PartCut):
            await run.generate(part(), request(), provider)
        return Completed(data={})

    async with open_test_engine(script) as engine:
        session = await engine.start("test", {})
        await trio.sleep(1)
        await engine.cancel(session.session_id, target={"prompt_id": "p"})
        entries = await read_all(engine, session.session_id)
        (cut,) = [entry.event for entry in entries if isinstance(entry.event, PartCancelled)]
        assert cut.part.attempt == 2


async def test_a_cut_parts_partial_holds_what_waits_behind_another_lanes_milestone(
    autojump_clock: MockClock,
) -> None:
    """The partial is the text so far: a slow commit of another part hides none of it."""
    provider = ScriptedProvider(
        [ProviderDelta(text="one "), Sleep(1), ProviderDelta(text="two "), Hang()]
    )

    async def script(run: Run) -> Completed:
        async def cut() -> None:
            with pytest.raises(PartCut):
                await run.generate(part("p"), request(), provider)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut)
            await trio.sleep(1.3)
            await run.complete_part(part("q"), "done")
        return Completed(data={})

    journal = FaultyJournal(MemoryJournal(), delay_s=0.5)
    async with open_test_engine(script, journal=journal) as engine:
        session = await engine.start("test", {}, options=Options(detached=True))
        await trio.sleep(1.7)
        assert session.log.visible < session.log.head
        await engine.cancel(session.session_id, target={"prompt_id": "p"})
        entries = await read_all(engine, session.session_id)
        (end,) = [entry.event for entry in entries if isinstance(entry.event, PartCancelled)]
        assert end.partial == text(entries) == "one two "


async def test_a_session_that_one_failed_write_ended_is_ended_in_the_journal_too(
    autojump_clock: MockClock,
) -> None:
    """I3: else it would come back after a restart and end a second time."""
    provider = ScriptedProvider(say("Hello ", "world", pace_s=0.1))
    for fail_at in range(1, 6):
        journal = FaultyJournal(MemoryJournal(), fail_at=fail_at)
        async with open_test_engine(writes(provider), journal=journal) as engine:
            session = await engine.start("test", {})
            entries = await read_all(engine, session.session_id)
            stored = await journal.read(session.session_id, 0)
            record = await journal.load(session.session_id)
            assert record is not None
            assert record.state == session.state
            assert stored[-1].event == entries[-1].event
            assert text(list(stored)) == text(entries)


async def test_part_whose_writer_names_itself_before_its_first_text(
    autojump_clock: MockClock,
) -> None:
    """Each chunk names the model and the provider that really answer."""
    answers = ProviderDelta(model="real-model", provider="second")
    provider = ScriptedProvider([answers, *say("Hello ", "world")])
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {})
        entries = await read_all(engine, session.session_id)
    parts = [e.event.part for e in entries if isinstance(e.event, Delta | PartCompleted)]
    assert len(parts) > 1
    assert {(part.model, part.provider) for part in parts} == {("real-model", "second")}


async def test_a_question_that_is_asked_again_is_no_event(autojump_clock: MockClock) -> None:
    """Attempts are for parts; a judge is none (simulated crash 20 of seed 21)."""
    provider = ScriptedProvider([Fail(ProviderUnavailable("down"))], say("yes"))

    async def script(run: Run) -> Completed:
        return Completed(data={"said": (await run.ask(request(), provider)).text})

    async with open_test_engine(script) as engine:
        session = await engine.start("test", {})
        (entry,) = await read_all(engine, session.session_id)
        assert entry.event.data == {"said": "yes"}  # type: ignore[union-attr]
        assert len(provider.calls) == 2


async def test_what_is_written_again_after_a_crash_is_a_new_attempt(
    autojump_clock: MockClock,
) -> None:
    """I9: a client may hold a chunk that the log has lost (simulated crash 5 of seed 131)."""

    async def script(run: Run) -> Completed:
        for piece in ("one ", "two "):
            await run.write(part(), piece)
        if not crashed:
            await trio.sleep_forever()
        await run.complete_part(part(), "one two ")
        return Completed(data={})

    crashed = False
    journal = FaultyJournal(MemoryJournal())
    async with open_test_engine(script, journal=journal) as engine:
        session = await engine.start("test", {}, options=Options(detached=True))
        with await engine.subscribe(session.session_id) as reader:
            held = list(await reader.receive())
            cursor = f"{reader.epoch}:{reader.cursor}"
        crashed = True
        journal.crash()
    async with open_test_engine(script, journal=journal.survivor()) as engine:
        held += await read_all(engine, session.session_id, after=cursor)
    assert text(held) == "one two "  # type: ignore[arg-type]
    assert [event.part.attempt for event in map(event_of, held) if hasattr(event, "part")][-1] == 2


def event_of(entry):  # type: ignore[no-untyped-def]
    return entry.event


async def test_an_error_while_the_engine_is_cancelled_stays_in_its_session(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The firewall holds at the end of the process too (simulated crash 11 of seed 121)."""

    async def script(run: Run) -> Completed:
        async def fail_when_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise ZeroDivisionError("planted")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            nursery.start_soon(trio.sleep_forever)
        return Completed(data={})

    with trio.move_on_after(1) as scope:
        async with open_test_engine(script) as engine:
            await engine.start("test", {})
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert "planted" in caplog.text


async def test_a_milestone_is_shown_while_the_session_goes_on(autojump_clock: MockClock) -> None:
    """It is seen as soon as it is durable, though whoever said it waits for something else."""
    journal = FaultyJournal(MemoryJournal(), delay_s=0.1)

    async def script(run: Run) -> Completed:
        await run.start_phase("solutio", soon=True)
        assert run.view.phases == {}
        assert run.view_ahead().phases == {"solutio": "running"}
        await trio.sleep(60)
        return Completed(data={})

    async with open_test_engine(script, journal=journal) as engine:
        session = await engine.start("test", {}, options=Options(detached=True))
        now = trio.current_time()
        with await engine.subscribe(session.session_id) as reader:
            (entry,) = await reader.receive()
        assert isinstance(entry, Entry)
        assert isinstance(entry.event, PhaseStarted)
        assert trio.current_time() - now == pytest.approx(0.1, abs=0.05)
        await session.ended.wait()
        assert session.state == "completed"


async def test_a_milestone_that_cannot_be_written_ends_a_session_that_waits_for_its_provider(
    autojump_clock: MockClock,
) -> None:
    """Nobody awaits the commit; its failure ends the session all the same, and at once."""
    journal = FaultyJournal(MemoryJournal(), delay_s=0.1, fail_at=2)
    provider = ScriptedProvider([Sleep(1000.0)])

    async def script(run: Run) -> Completed:
        await run.start_phase("solutio", soon=True)
        await run.generate(part(), request(), provider)
        raise AssertionError("it went on")

    async with open_test_engine(script, journal=journal) as engine:
        session = await engine.start("test", {}, options=Options(detached=True))
        with trio.fail_after(1.0):
            entries = await read_all(engine, session.session_id)
        assert kinds(entries) == ["Failed"]
        assert entries[0].event.code == "internal"  # type: ignore[union-attr]
        assert provider.open_calls == 0
        assert session.state == "failed"


async def test_a_cancel_tells_what_was_on_its_way(autojump_clock: MockClock) -> None:
    """A part that is complete but not yet durable is complete in the end that follows."""
    journal = FaultyJournal(MemoryJournal(), delay_s=0.1)

    async def script(run: Run) -> Completed:
        await run.write(part(), "text", 1)
        await run.complete_part(part(), "text", soon=True)
        await trio.sleep_forever()
        raise AssertionError

    async with open_test_engine(script, journal=journal) as engine:
        session = await engine.start("test", {}, options=Options(detached=True))
        while session.log.head < 2:  # noqa: ASYNC110 - its end is numbered, and on its way
            await trio.sleep(0.02)
        assert session.log.visible == 1
        session.cancel("client")
        entries = await read_all(engine, session.session_id)
        assert kinds(entries) == ["Delta", "PartCompleted", "Cancelled"]
        end = entries[-1].event
        assert isinstance(end, Cancelled)
        assert end.partial == {"p": "text"}


@pytest.mark.parametrize("fail_at", [1, 2, 3, 4])
async def test_a_write_that_fails_ends_the_session_though_parts_may_fail(
    fail_at: int, autojump_clock: MockClock
) -> None:
    """A failing disk is never taken for a failing provider, and the budget is settled (I14)."""
    provider = ScriptedProvider(say("Hello ", "world", pace_s=0.1))

    async def script(run: Run) -> Completed:
        for name in "ab":
            with suppress(PartLost):
                answer = await run.generate(part(name), request(), provider)
                await run.complete_part(answer.part, answer.text)
        return Completed(data={})

    for faults in ({"fail_at": fail_at}, {"crash_at": fail_at + 1}):
        journal = FaultyJournal(MemoryJournal(), **faults)  # type: ignore[arg-type]
        async with open_test_engine(script, journal=journal) as engine:
            session = await engine.start("test", {}, options=Options(detached=True))
            await session.ended.wait()
            # The first append says that the session runs, which its next one says as well.
            assert session.state == ("completed" if faults == {"fail_at": 1} else "failed")
            assert session.budget.reserved == 0


async def test_no_provider_is_called_once_a_cancel_was_accepted(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider([Hang()])

    async def script(run: Run) -> Completed:
        await trio.sleep(1)
        session.cancel("client")
        await run.generate(part(), request(), provider)
        return Completed(data={})

    async with open_test_engine(script) as engine:
        session = await engine.start("test", {})
        (entry,) = await read_all(engine, session.session_id)
        assert isinstance(entry.event, Cancelled)
        assert provider.calls == []
        assert session.budget.reserved == 0


async def test_a_reader_that_joins_at_the_end_of_a_full_log_lets_it_go_on(
    autojump_clock: MockClock,
) -> None:
    """A client with a snapshot needs nothing of the window: its session must not wait for it."""
    provider = ScriptedProvider(say(*"abcdefgh", pace_s=0.1))
    async with open_test_engine(writes(provider), limits=Limits(window_events=2)) as engine:
        session = await engine.start("test", {})
        await trio.sleep(1)
        assert session.log.is_full
        with trio.fail_after(5):
            entries = await read_all(engine, session.session_id, after_seq=session.log.visible)
        assert kinds(entries)[-1] == "Completed"


async def test_a_part_that_ends_in_the_very_step_of_its_cancel_is_cut(
    autojump_clock: MockClock,
) -> None:
    """Stop means stop: what was dropped after it cannot be in a completed text (I12)."""

    class Quick(ScriptedProvider):
        @asynccontextmanager
        async def stream(self, request):  # type: ignore[no-untyped-def, override]
            async def deltas():  # type: ignore[no-untyped-def]
                yield ProviderDelta(text="seen ")
                session.cancel_part({"prompt_id": "p"})
                yield ProviderDelta(text="dropped ")
                yield ProviderDelta(finish="stop")

            yield deltas()

    async def script(run: Run) -> Completed:
        with pytest.raises(PartCut):
            await run.generate(part(), request(), Quick())
        return Completed(data={})

    async with open_test_engine(script) as engine:
        session = await engine.start("test", {})
        entries = await read_all(engine, session.session_id)
        (cut,) = [entry.event for entry in entries if isinstance(entry.event, PartCancelled)]
        assert cut.partial == text(entries) == "seen "


async def test_a_cancel_after_the_end_was_numbered_is_not_the_one_that_did_it(
    autojump_clock: MockClock,
) -> None:
    provider = ScriptedProvider(say("x"))
    journal = FaultyJournal(MemoryJournal(), delay_s=0.1)
    async with open_test_engine(writes(provider), journal=journal) as engine:
        session = await engine.start("test", {}, options=Options(detached=True))
        while not session.is_ending:  # noqa: ASYNC110 - nobody is told of it
            await trio.sleep(0.01)
        assert not session.has_ended
        assert session.cancel("client") is False
        await session.ended.wait()
        assert session.state == "completed"


async def test_an_admins_cancel_of_anothers_session_says_so(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider([Hang()])
    async with open_test_engine(writes(provider)) as engine:
        session = await engine.start("test", {}, owner="ann")
        await engine.cancel(session.session_id, viewer=Viewer(sub="root", is_admin=True))
        terminal = (await read_all(engine, session.session_id))[-1].event
        assert isinstance(terminal, Cancelled)
        assert terminal.reason == "admin"


@pytest.mark.parametrize("stall_s", [0.1, 3600.0])
async def test_drain_ends_in_time_whoever_stalls(autojump_clock: MockClock, stall_s: float) -> None:
    """I11: a session that cannot close its upstream, or commit, is left as the journal has it."""
    clinging = ScriptedProvider([*say("x"), Hang()], close_s=stall_s)
    async with open_test_engine(
        writes(clinging), limits=Limits(drain_stop_s=0.5, close_s=7200.0)
    ) as engine:
        await engine.start("test", {}, options=Options(detached=True))
        await trio.sleep(0.1)
        begun = trio.current_time()
        await engine.drain(5)
        assert trio.current_time() - begun == pytest.approx(5 + min(stall_s, 0.5), abs=0.01)
