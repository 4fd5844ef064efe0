"""The engine tells those who measure it what it does: facts, no text, nothing for a delta."""

from __future__ import annotations

import logging

import msgspec
import pytest
import trio
from trio.testing import MockClock

from engine.callers import Options
from engine.engine import Engine
from engine.errors import ProviderUnavailable
from engine.events import Completed
from engine.limits import Limits
from engine.sessions.outcomes import PartCut
from engine.sessions.run import Run
from engine.telemetry import (
    AttemptStarted,
    CallEnded,
    CallStarted,
    PartEnded,
    PartStarted,
    Report,
    SessionEnded,
    SessionStarted,
    Telemetry,
    Undelivered,
)
from engine.testing.scripted_provider import Fail, Hang, ScriptedProvider, say
from tests.sessions.doubles import open_test_engine, part, request


def writing(provider: ScriptedProvider, *names: str):
    async def script(run: Run) -> Completed:
        for name in names:
            try:
                answer = await run.generate(part(name), request("a secret question"), provider)
            except PartCut:
                continue
            await run.complete_part(answer.part, answer.text)
        return Completed(data={})

    return script


def listen(engine: Engine) -> list[Report]:
    reports: list[Report] = []
    engine.telemetry.listen(reports.append)
    return reports


def names(reports: list[Report]) -> list[str]:
    return [type(report).__name__ for report in reports]


async def read_to_end(engine: Engine, session_id: str) -> None:
    with await engine.subscribe(session_id) as subscription:
        while await subscription.receive():
            pass


async def test_a_session_is_told_from_its_start_to_its_end(autojump_clock: MockClock) -> None:
    """Session, part, call, each with its start and its end, in the order of nesting."""
    provider = ScriptedProvider(say("an answer"))
    async with open_test_engine(writing(provider, "p")) as engine:
        reports = listen(engine)
        session = await engine.start("test", {}, options=Options(request_id="r1"))
        await read_to_end(engine, session.session_id)
        await session.ended.wait()
    assert names(reports) == [
        "SessionStarted",
        "PartStarted",
        "CallStarted",
        "CallEnded",
        "PartEnded",
        "SessionEnded",
    ]
    started, part_started, call_started, call_ended, part_ended, ended = reports
    assert isinstance(started, SessionStarted)
    assert (started.protocol, started.request_id, started.is_recovered) == ("test", "r1", False)
    assert isinstance(part_started, PartStarted)
    assert isinstance(call_started, CallStarted)
    assert isinstance(call_ended, CallEnded)
    assert call_started.call == call_ended.call
    assert (call_ended.outcome, call_ended.code, call_ended.finish) == ("completed", None, "stop")
    assert call_ended.usage.output_tokens > 0
    assert call_ended.first_token_s is not None
    assert isinstance(part_ended, PartEnded)
    assert part_ended.outcome == "completed"
    assert isinstance(ended, SessionEnded)
    assert (ended.state, ended.reason, ended.open_upstreams) == ("completed", "", 0)
    assert ended.usage == call_ended.usage


async def test_no_report_holds_text(autojump_clock: MockClock) -> None:
    """What people and models write is nobody's metric."""
    provider = ScriptedProvider(say("a private answer"))
    async with open_test_engine(writing(provider, "p")) as engine:
        reports = listen(engine)
        session = await engine.start("test", {"text": "a secret question"})
        await read_to_end(engine, session.session_id)
        await session.ended.wait()
    told = msgspec.json.encode(reports).decode()
    assert "secret" not in told
    assert "private" not in told


async def test_a_retry_is_told_with_what_was_written_in_vain(autojump_clock: MockClock) -> None:
    """Two calls, and between them an attempt with the tokens that it made void."""
    provider = ScriptedProvider(
        [*say("one two three")[:2], Fail(ProviderUnavailable("down"))], say("done")
    )
    async with open_test_engine(writing(provider, "p")) as engine:
        reports = listen(engine)
        session = await engine.start("test", {})
        await read_to_end(engine, session.session_id)
        await session.ended.wait()
    calls = [report for report in reports if isinstance(report, CallEnded)]
    assert [(call.outcome, call.code) for call in calls] == [
        ("failed", "provider_unavailable"),
        ("completed", None),
    ]
    (attempt,) = [report for report in reports if isinstance(report, AttemptStarted)]
    assert (attempt.attempt, attempt.reason) == (2, "provider")
    assert attempt.void_tokens == calls[0].usage.output_tokens > 0


async def test_a_cancelled_session_is_told_with_its_receipt(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider([*say("begun"), Hang()])
    async with open_test_engine(writing(provider, "p")) as engine:
        reports = listen(engine)
        session = await engine.start("test", {})
        await trio.sleep(0.1)
        await engine.cancel(session.session_id)
        await session.ended.wait()
        await trio.testing.wait_all_tasks_blocked()
    (call,) = [report for report in reports if isinstance(report, CallEnded)]
    assert call.outcome == "cancelled"
    (ended,) = [report for report in reports if isinstance(report, SessionEnded)]
    assert (ended.state, ended.reason) == ("cancelled", "client")
    assert ended.receipt is not None
    assert ended.open_upstreams == 0


async def test_a_part_cancelled_alone_is_told(autojump_clock: MockClock) -> None:
    provider = ScriptedProvider([*say("begun"), Hang()], say("the other"))
    async with open_test_engine(writing(provider, "a", "b")) as engine:
        reports = listen(engine)
        session = await engine.start("test", {})
        await trio.sleep(0.1)
        await engine.cancel(session.session_id, target={"prompt_id": "a"})
        await read_to_end(engine, session.session_id)
        await session.ended.wait()
    ended = [report for report in reports if isinstance(report, PartEnded)]
    assert [(report.part_id, report.outcome) for report in ended] == [
        ("a", "cancelled"),
        ("b", "completed"),
    ]


async def test_text_that_nobody_took_is_told_after_the_grace_time(
    autojump_clock: MockClock,
) -> None:
    """A reader may still come for it; what nobody has by then was paid for in vain."""
    provider = ScriptedProvider(say("nobody hears this"), say("somebody hears this"))
    limits = Limits(grace_s=2.0)
    async with open_test_engine(writing(provider, "p"), limits=limits) as engine:
        reports = listen(engine)
        options = Options(detached=True)
        unread = await engine.start("test", {}, options=options)
        await unread.ended.wait()
        read = await engine.start("test", {}, options=options)
        await read.ended.wait()
        await read_to_end(engine, read.session_id)
        await trio.sleep(1)
        assert "Undelivered" not in names(reports)
        await trio.sleep(2)
    (undelivered,) = [report for report in reports if isinstance(report, Undelivered)]
    assert undelivered.session_id == unread.session_id
    (call, _) = [report for report in reports if isinstance(report, CallEnded)]
    assert undelivered.tokens == call.usage.output_tokens


def test_a_listener_that_breaks_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is logged; the other listeners are told all the same."""

    def broken(report: Report) -> None:
        raise RuntimeError("oh")

    telemetry = Telemetry()
    assert not telemetry.is_on
    heard: list[Report] = []
    telemetry.listen(broken)
    telemetry.listen(heard.append)
    report = Undelivered(session_id="s", protocol="test", tokens=1)
    with caplog.at_level(logging.ERROR):
        telemetry.tell(report)
    assert heard == [report]
    assert "telemetry" in caplog.text
