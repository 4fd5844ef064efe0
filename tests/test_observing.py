"""Looking at a running engine: sessions, parts in time, upstreams and actors."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from engine.errors import ProviderUnavailable
from engine.events import Completed
from engine.limits import Limits
from engine.providers.config import ProviderConfig, provider_configs
from engine.providers.interface import Delta as ProviderDelta
from engine.providers.registry import Providers, wrap
from engine.sessions.run import Run
from engine.supervision import ChildSpec, SupervisorStatistics, open_supervisor
from engine.testing.scripted_provider import Fail, Hang, ScriptedProvider, Sleep
from tests.sessions.doubles import open_test_engine, part, read_all, request


async def rest(_: int) -> None:
    await trio.sleep_forever()


async def test_running_session_with_its_parts_attempts_and_upstream(
    autojump_clock: MockClock,
) -> None:
    """State, age, attempts and upstream state of what runs, at one moment."""
    provider = ScriptedProvider(
        [ProviderDelta(text="one "), Sleep(2), Fail(ProviderUnavailable("gone", retry_after_s=2))],
        [ProviderDelta(text="two "), Hang()],
    )

    async def script(run: Run) -> Completed:
        async with open_supervisor("phases") as supervisor:
            await supervisor.start(ChildSpec("phase", rest))
            await run.generate(part("p"), request(), provider)
        return Completed(data={})

    async with open_test_engine(script) as engine:
        session = await engine.start("test", {}, owner="ada")
        with await engine.subscribe(session.session_id):
            await trio.sleep(10)
            seen = engine.observe()
            [shown] = seen.sessions
            assert (shown.session_id, shown.owner, shown.state) == (
                session.session_id,
                "ada",
                "running",
            )
            assert shown.age_s == 10
            assert (shown.open_upstreams, shown.log.readers) == (1, 1)
            [written] = shown.parts
            assert (written.state, written.open_upstreams, written.ended_at) == ("running", 1, None)
            assert [span.attempt for span in written.attempts] == [1, 2]
            began = [span.began_at - shown.created_at for span in written.attempts]
            assert began[0] < 1 <= began[1]
            [supervisor] = [a for a in shown.actors if isinstance(a, SupervisorStatistics)]
            assert [child.id for child in supervisor.children] == ["phase"]
            session.cancel("client")
            assert engine.observe().sessions[0].is_stopping
            await session.ended.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert engine.observe().sessions == ()
        view = (await engine.picture(session.session_id)).view.parts["p"]
        assert [attempt for attempt, _ in view.attempts] == [1, 2]


async def test_engines_own_supervisor_is_there(autojump_clock: MockClock) -> None:
    """The engine's own actors are shown, and no session's among them."""

    async def script(run: Run) -> Completed:
        return Completed(data={})

    async with open_test_engine(script) as engine:
        [supervisor] = engine.observe().actors
        assert supervisor.name == "engine"
        assert "wheel" in [child.id for child in supervisor.children]


async def test_providers_with_breaker_limits_and_what_they_do(autojump_clock: MockClock) -> None:
    """Upstream state: each provider's breaker, calls in flight, calls that wait, and limits."""
    provider = ScriptedProvider(
        [Fail(ProviderUnavailable("gone")), ProviderDelta(text="never")],
        [ProviderDelta(text="one "), Hang()],
    )
    limits = Limits(provider_breaker_failures=1, provider_breaker_reset_s=30.0)
    config = ProviderConfig(name="script", kind="openai", concurrency=1, requests_per_minute=600)
    wrapped = wrap(provider, config, limits, attempts=1)

    async def call() -> None:
        async with wrapped.provider.stream(request()) as deltas:
            async for _ in deltas:
                pass

    health = wrapped.health()
    assert (health.name, health.healthy, health.breaker) == ("scripted", True, "closed")
    assert (health.concurrency, health.requests_per_minute) == (1, 600)
    assert (health.tokens_per_minute, health.retry_after_s) == (None, 0.0)
    with pytest.raises(ProviderUnavailable):
        await call()
    await trio.sleep(10)
    broken = wrapped.health()
    assert (broken.healthy, broken.breaker, broken.retry_after_s) == (False, "open", 20.0)
    assert (broken.calls, broken.failed, broken.open_upstreams) == (1, 1, 0)
    await trio.sleep(20)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        probing = wrapped.health()
        assert (probing.breaker, probing.open_upstreams, probing.waiting) == ("half_open", 1, 0)
        nursery.cancel_scope.cancel()


async def test_providers_are_part_of_the_picture(autojump_clock: MockClock) -> None:
    """Those that can be used are shown; those without a key are not."""

    async def script(run: Run) -> Completed:
        return Completed(data={})

    providers = Providers(provider_configs({}))
    async with open_test_engine(script, providers=providers) as engine:
        assert [each.name for each in engine.observe().providers] == ["simulated"]


async def test_more_than_an_observer_wants_is_left_out(autojump_clock: MockClock) -> None:
    """Bounded: the newest sessions, and of their parts those at work and the newest ended ones."""

    async def script(run: Run) -> Completed:
        for number in range(5):
            await run.complete_part(part(f"p{number}"), "text")
        await run.write(part("open"), "still at it")
        await trio.sleep(60)
        return Completed(data={})

    async with open_test_engine(script) as engine:
        sessions = []
        for _ in range(3):
            sessions.append(await engine.start("test", {}, owner="ada"))
            await trio.sleep(1)
        seen = engine.observe(max_sessions=2, max_parts=3)
        assert seen.running == 3
        assert [each.session_id for each in seen.sessions] == [
            sessions[2].session_id,
            sessions[1].session_id,
        ]
        assert [each.id for each in seen.sessions[0].parts] == ["p3", "p4", "open"]
        assert seen.sessions[0].parts_left_out == 3
        assert seen.sessions[0].parts[0].ended_at is not None
        for session in sessions:
            session.cancel("client")
            await read_all(engine, session.session_id)
