"""The rater pipeline against contract 3, on the virtual clock."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.engine import Engine
from engine.errors import (
    AntiphonError,
    ProviderAuth,
    ProviderNotConfigured,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from engine.events import (
    JSON,
    Attempt,
    Cancelled,
    Completed,
    Entry,
    Event,
    Failed,
    Item,
    PartCancelled,
    PartCompleted,
    PartFailed,
    PhaseStarted,
    Progress,
)
from engine.pipelines.rater.pipeline import RaterPipeline
from engine.providers.interface import Delta, GenerationRequest, Profile
from engine.testing.scripted_provider import Fail, Hang, ScriptedProvider, Sleep, say
from tests.pipelines.rig import open_rig, read_events, run_to_end

FEEDBACK = {"opinion": "It holds. It moves.", "suggestions": ["Show the door.", "Cut the dream."]}
ANSWER = json.dumps(FEEDBACK)
PHASES = [
    ("context_processing", 20, "Processing rater context and plot point..."),
    ("evaluating", 50, "Evaluating plot point against criteria..."),
    ("generating_feedback", 75, "Generating detailed feedback..."),
    ("parsing", 90, "Processing rater feedback..."),
    ("complete", 100, "Rater feedback complete"),
]


def request(**fields: Any) -> JSON:
    return {
        "raterPrompt": "You are a critic.",
        "plotPoint": "The hero finds a door.",
        "structured_context": {"worldbuilding": {"content": "A world of doors."}},
        **fields,
    }


def batch(*names: str, **fields: Any) -> JSON:
    data = request(**fields)
    del data["raterPrompt"]
    return {**data, "raters": [{"raterName": name, "raterPrompt": f"Be {name}."} for name in names]}


def statuses(events: list[Event]) -> list[tuple[str, float | None, str]]:
    """Give each status as a client sees it: (phase, progress, message)."""
    seen: list[tuple[str, float | None, str]] = []
    for event in events:
        if isinstance(event, PhaseStarted | Progress):
            seen.append((event.phase, event.progress_percent, event.message))
        elif isinstance(event, PartCompleted):
            data = event.data
            seen.append((data["phase"], data["progress"], data["message"]))
    return seen


def partials(events: list[Event]) -> list[JSON]:
    return [event.data["feedback"] for event in events if isinstance(event, Item)]


class ByPrompt:
    """A provider that plays one script for each rater, told apart by the system prompt."""

    def __init__(self, **providers: ScriptedProvider) -> None:
        self.providers = providers
        self.name = "by-prompt"
        self.profile = Profile()
        self.default_model = "script"

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        name = request.instructions.removeprefix("Be ").removesuffix(".")
        async with self.providers[name].stream(request) as deltas:
            yield deltas

    async def embed(self, texts: Any) -> None:
        return None

    def info(self) -> Any:
        return next(iter(self.providers.values())).info()

    async def aclose(self) -> None:
        return None


async def test_the_phases_come_in_order_and_then_the_result(autojump_clock: MockClock) -> None:
    """context_processing 20, evaluating 50, generating_feedback 75, parsing 90, complete 100."""
    events = await run_to_end(RaterPipeline(), request(), ScriptedProvider(say(ANSWER)))

    assert statuses(events) == PHASES
    assert partials(events) == [FEEDBACK]
    terminal = events[-1]
    assert isinstance(terminal, Completed)
    metadata = terminal.data.pop("context_metadata")
    assert terminal.data == {"raterName": "Rater", "feedback": FEEDBACK, "usage": terminal.usage}
    assert metadata["tokens"] > 50
    assert (metadata["total_elements"], metadata["filtered_elements"]) == (1, 0)
    assert metadata["truncated"] is False


async def test_evaluating_is_said_when_the_request_goes_out(autojump_clock: MockClock) -> None:
    """evaluating when the request goes to the provider, generating when the first token arrives."""
    provider = ScriptedProvider(say(ANSWER, pace_s=5))
    async with open_rig(RaterPipeline(), provider) as engine:
        session = await engine.start("rater", request(raterName="Ada"))
        times = await read_times(engine, session.session_id)
    assert times["evaluating"] == pytest.approx(0, abs=0.01)
    assert times["generating_feedback"] == pytest.approx(5, abs=0.01)
    assert times["parsing"] == pytest.approx(5, abs=0.01)


async def read_times(engine: Engine, session_id: str) -> dict[str, float]:
    times: dict[str, float] = {}
    start = trio.current_time()
    with await engine.subscribe(session_id) as subscription:
        while entries := await subscription.receive():
            for entry in entries:
                if isinstance(entry, Entry) and isinstance(entry.event, PhaseStarted):
                    times[entry.event.phase] = trio.current_time() - start
    return times


async def test_partials_grow_at_most_each_100_ms(autojump_clock: MockClock) -> None:
    """Partial, as far as the answer can be read yet, at most each 100 ms."""
    provider = ScriptedProvider(say(*ANSWER, pace_s=0.01))
    async with open_rig(RaterPipeline(), provider) as engine:
        session = await engine.start("rater", request())
        shown: list[tuple[float, JSON]] = []
        with await engine.subscribe(session.session_id) as subscription:
            while entries := await subscription.receive():
                shown += [
                    (trio.current_time(), entry.event.data["feedback"])
                    for entry in entries
                    if isinstance(entry, Entry) and isinstance(entry.event, Item)
                ]
    waits = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(shown)]
    assert len(shown) > 5
    assert min(waits) >= 0.099
    for (_, before), (_, after) in itertools.pairwise(shown):
        assert after["opinion"].startswith(before["opinion"])
        assert len(after["suggestions"]) >= len(before["suggestions"])
    assert len(shown[-1][1]["suggestions"]) == 2


async def test_the_request_has_prompt_plot_point_story_and_settings(
    autojump_clock: MockClock,
) -> None:
    """Rater prompt, plot point and context are seen in the request."""
    provider = ScriptedProvider(say(ANSWER))
    await run_to_end(RaterPipeline(), request(model="scripted/big", temperature=0.1), provider)
    asked = provider.requests[0]
    assert asked.instructions == "You are a critic."
    assert "The hero finds a door." in asked.messages[0].content
    assert "A world of doors." in asked.messages[0].content
    assert (asked.model, asked.temperature, asked.max_tokens) == ("big", 0.1, 600)
    assert asked.response_schema is not None


async def test_an_answer_that_cannot_be_read_is_repaired_once(autojump_clock: MockClock) -> None:
    """One repair attempt: an `attempt` event, no second generating_feedback."""
    provider = ScriptedProvider(say("I will not."), say(ANSWER))
    events = await run_to_end(RaterPipeline(), request(), provider)

    assert statuses(events) == PHASES
    attempts = [event for event in events if isinstance(event, Attempt)]
    assert [(event.part.attempt, event.reason) for event in attempts] == [(2, "validation")]
    assert provider.requests[1].messages[1].content == "I will not."
    assert isinstance(events[-1], Completed)
    assert events[-1].data["feedback"] == FEEDBACK


async def test_a_repair_that_fails_is_parse_failed(autojump_clock: MockClock) -> None:
    """Then PARSE_FAILED, never an invented answer."""
    provider = ScriptedProvider(say("I will not."), say("Nor now."), say(ANSWER))
    events = await run_to_end(RaterPipeline(), request(), provider)

    terminal = events[-1]
    assert isinstance(terminal, Failed)
    assert terminal.data["error_code"] == "PARSE_FAILED"
    assert terminal.code == "provider_bad_output"
    assert len(provider.calls) == 2


async def test_a_dropped_answer_starts_again_without_its_text(autojump_clock: MockClock) -> None:
    """A retry is a new attempt; its partials begin afresh."""
    provider = ScriptedProvider(
        [Delta(text='{"opinion": "Bro'), Sleep(1), Fail(ProviderUnavailable("dropped"))],
        say(ANSWER, pace_s=1),
    )
    events = await run_to_end(RaterPipeline(), request(), provider)
    assert statuses(events) == PHASES
    assert partials(events) == [{"opinion": "Bro", "suggestions": []}, FEEDBACK]
    assert isinstance(events[-1], Completed)
    assert events[-1].data["feedback"] == FEEDBACK


@pytest.mark.parametrize(
    ("error", "error_code"),
    [
        (ProviderUnavailable("it cannot be reached"), "LLM_NOT_AVAILABLE"),
        (
            ProviderNotConfigured("openai is not configured (set OPENAI_API_KEY)"),
            "LLM_NOT_AVAILABLE",
        ),
        (ProviderTimeout("it did not answer"), "GENERATION_TIMEOUT"),
        (ProviderRefused("it declined"), "GENERATION_FAILED"),
        (ProviderAuth("the key is wrong"), "GENERATION_FAILED"),
    ],
)
async def test_a_providers_failure_has_its_error_code(
    autojump_clock: MockClock, error: AntiphonError, error_code: str
) -> None:
    """error_code is one of LLM_NOT_AVAILABLE, GENERATION_FAILED, GENERATION_TIMEOUT, …"""
    events = await run_to_end(RaterPipeline(), request(), ScriptedProvider([Fail(error)]))
    terminal = events[-1]
    assert isinstance(terminal, Failed)
    assert terminal.data["error_code"] == error_code
    assert terminal.code == error.code
    assert error.message in terminal.message


async def test_a_provider_that_always_breaks_off_has_failed(autojump_clock: MockClock) -> None:
    """One that breaks off in the middle was available: 502, not 503."""
    provider = ScriptedProvider([Delta(text="{"), Fail(ProviderUnavailable("dropped"))])
    events = await run_to_end(RaterPipeline(), request(), provider)
    assert isinstance(events[-1], Failed)
    assert events[-1].data["error_code"] == "GENERATION_FAILED"


async def test_an_unknown_provider_says_what_to_configure(autojump_clock: MockClock) -> None:
    """LLM_NOT_AVAILABLE is a provider that is unknown …; say what to configure."""
    events = await run_to_end(RaterPipeline(), request(model="nobody/x"), ScriptedProvider())
    terminal = events[-1]
    assert isinstance(terminal, Failed)
    assert terminal.data["error_code"] == "LLM_NOT_AVAILABLE"
    assert terminal.code == "provider_not_found"
    assert "OPENAI_API_KEY" in terminal.message


async def test_a_prompt_beyond_the_models_window_is_a_context_error(
    autojump_clock: MockClock,
) -> None:
    """What is never trimmed may be too much for the model."""
    provider = ScriptedProvider(say(ANSWER), profile=Profile(context_tokens=1_000))
    events = await run_to_end(RaterPipeline(), request(plotPoint="door " * 2_000), provider)
    terminal = events[-1]
    assert isinstance(terminal, Failed)
    assert terminal.data["error_code"] == "CONTEXT_ERROR"
    assert provider.calls == []


@pytest.mark.parametrize("script", [[Hang()], [Delta(text='{"opinion": "It'), Hang()]])
async def test_a_cancel_closes_the_upstream(autojump_clock: MockClock, script: Any) -> None:
    """A run that is cancelled closes its upstream, in each stage."""
    provider = ScriptedProvider(script)
    async with open_rig(RaterPipeline(), provider) as engine:
        session = await engine.start("rater", request())
        async with reading(engine, session.session_id) as events:
            await trio.sleep(1)
            assert provider.open_calls == 1
            await engine.cancel(session.session_id)
    assert provider.open_calls == 0
    assert isinstance(events[-1], Cancelled)


@asynccontextmanager
async def reading(engine: Engine, session_id: str) -> AsyncIterator[list[Event]]:
    """Read a session to its end while the test does something to it."""
    events: list[Event] = []

    async def read() -> None:
        events.extend(await read_events(engine, session_id))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        yield events


# ---- several at once ----------------------------------------------------------------------------


async def test_raters_work_side_by_side(autojump_clock: MockClock) -> None:
    """They run side by side, each message carries raterName, results are in order."""
    provider = ByPrompt(
        ada=ScriptedProvider(say(ANSWER, pace_s=3)), bob=ScriptedProvider(say(ANSWER, pace_s=2))
    )
    start = trio.current_time()
    events = await run_to_end(RaterPipeline(), batch("ada", "bob"), provider)
    assert trio.current_time() - start == pytest.approx(3, abs=0.01)

    for name in ("ada", "bob"):
        own = [event for event in events if rater_of(event) == name]
        assert statuses(own) == PHASES
        assert partials(own) == [FEEDBACK]
    assert [rater_of(event) for event in events if rater_of(event) is None] == [None]
    terminal = events[-1]
    assert isinstance(terminal, Completed)
    assert [data["raterName"] for data in terminal.data["results"]] == ["ada", "bob"]
    assert [data["feedback"] for data in terminal.data["results"]] == [FEEDBACK, FEEDBACK]
    assert terminal.data["failed"] == []


def rater_of(event: Event) -> str | None:
    part = getattr(event, "part", None)
    data = getattr(event, "data", {})
    name: str | None = part.target.get("raterName") if part is not None else None
    if isinstance(event, Progress | Item | PartCompleted):
        assert data["raterName"] == name
    return name


async def test_one_rater_that_fails_leaves_the_others(autojump_clock: MockClock) -> None:
    """One failing leaves the others; the last result lists it under `failed`."""
    provider = ByPrompt(
        ada=ScriptedProvider([Fail(ProviderRefused("it declined"))]),
        bob=ScriptedProvider(say(ANSWER, pace_s=2)),
        eve=ScriptedProvider(say("no"), say("no")),
    )
    events = await run_to_end(RaterPipeline(), batch("ada", "bob", "eve"), provider)

    terminal = events[-1]
    assert isinstance(terminal, Completed)
    assert [data["raterName"] for data in terminal.data["results"]] == ["bob"]
    assert [(data["raterName"], data["error_code"]) for data in terminal.data["failed"]] == [
        ("ada", "GENERATION_FAILED"),
        ("eve", "PARSE_FAILED"),
    ]
    failed = {rater_of(event): event.code for event in events if isinstance(event, PartFailed)}
    assert failed == {"ada": "provider_refused", "eve": "provider_bad_output"}


async def test_one_rater_that_is_cancelled_leaves_the_others(autojump_clock: MockClock) -> None:
    """A target ends that part alone and the rest goes on."""
    hung = ScriptedProvider([Delta(text="{"), Hang()])
    provider = ByPrompt(ada=hung, bob=ScriptedProvider(say(ANSWER, pace_s=5)))
    async with open_rig(RaterPipeline(), provider) as engine:
        session = await engine.start("rater", batch("ada", "bob"))
        async with reading(engine, session.session_id) as events:
            await trio.sleep(1)
            await engine.cancel(session.session_id, target={"raterName": "ada"})
    assert hung.open_calls == 0
    assert [rater_of(event) for event in events if isinstance(event, PartCancelled)] == ["ada"]
    terminal = events[-1]
    assert isinstance(terminal, Completed)
    assert [data["raterName"] for data in terminal.data["results"]] == ["bob"]
    assert [data["error_code"] for data in terminal.data["failed"]] == ["CANCELLED"]


async def test_a_cancel_ends_all_raters(autojump_clock: MockClock) -> None:
    """After cancel no provider stream stays open."""
    hung = [ScriptedProvider([Delta(text="{"), Hang()]) for _ in range(2)]
    provider = ByPrompt(ada=hung[0], bob=hung[1])
    async with open_rig(RaterPipeline(), provider) as engine:
        session = await engine.start("rater", batch("ada", "bob"))
        async with reading(engine, session.session_id) as events:
            await trio.sleep(1)
            assert [each.open_calls for each in hung] == [1, 1]
            await engine.cancel(session.session_id)
    assert [each.open_calls for each in hung] == [0, 0]
    assert isinstance(events[-1], Cancelled)
