"""Tests of own_pipeline.py: what a model says is a script, time is virtual, order is a seed's."""

from own_pipeline import HaikuPipeline
from own_provider import Only

from engine import Attempt, Cancelled, Completed, Event, ProviderUnavailable, open_engine
from engine.testing.deterministic import run_deterministic
from engine.testing.scripted_provider import Fail, Hang, ScriptedProvider, say


async def events_of(provider: ScriptedProvider, *, stop: bool = False) -> list[Event]:
    found: list[Event] = []
    async with open_engine(providers=Only(provider), pipelines=[HaikuPipeline()]) as engine:
        session = await engine.start("haiku", {"subject": "tides"})
        with await engine.subscribe(session.session_id) as subscription:
            while batch := await subscription.receive():
                found += [entry.event for entry in batch]
                if stop:
                    await engine.cancel(session.session_id)
    return found


def test_the_shorter_one_wins() -> None:
    for seed in range(20):  # twenty orders of what happens at the same time
        provider = ScriptedProvider(say("a long ", "one", pace_s=0.1), say("short", pace_s=60))
        end = run_deterministic(events_of, provider, seed=seed)[-1]
        assert isinstance(end, Completed)
        assert end.data == {"haiku": "short"}


def test_a_call_that_breaks_is_tried_again() -> None:
    broken = [*say("half a")[:1], Fail(ProviderUnavailable("gone"))]
    provider = ScriptedProvider(broken, say("whole"))
    events = run_deterministic(events_of, provider, seed=1)
    assert any(isinstance(event, Attempt) for event in events)
    assert isinstance(events[-1], Completed)


def test_a_cancel_closes_every_call() -> None:
    provider = ScriptedProvider([*say("a word")[:1], Hang()])

    async def stopped() -> list[Event]:
        return await events_of(provider, stop=True)

    assert isinstance(run_deterministic(stopped, seed=1)[-1], Cancelled)
    assert all(call.closed_at is not None for call in provider.calls)
