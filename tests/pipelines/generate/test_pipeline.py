"""The generate pipeline on a real engine: contract 1, on the virtual clock."""

from __future__ import annotations

import uuid
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import trio
from hypothesis import given as property_of
from hypothesis import settings
from hypothesis import strategies as st
from trio.testing import MockClock

from engine.callers import Options
from engine.errors import (
    InvalidRequest,
    ProviderAuth,
    ProviderRefused,
    ProviderUnavailable,
)
from engine.events import (
    Attempt,
    Cancelled,
    Completed,
    Delta,
    Event,
    Failed,
    PartCancelled,
    PartCompleted,
    PartFailed,
    PhaseCompleted,
    PhaseStarted,
    Usage,
)
from engine.pipelines.generate.plan import prompt_id
from engine.pipelines.generate.similarity import likenesses
from engine.providers.interface import Delta as ProviderDelta
from engine.providers.interface import GenerationRequest, Profile
from engine.testing.scripted_provider import Fail, Hang, Script, say
from tests.pipelines.generate.doubles import (
    PHASES,
    ObligingProvider,
    asking,
    failure,
    fold,
    generate,
    given,
    oblige,
    open_generate,
    outline,
    parts,
    purpose,
    read_to_end,
    result,
    version,
    written,
)

SEED = {
    "request": {
        "input": "Create a Python function to calculate fibonacci",
        "phases": ["prima-materia", "solutio", "coagulatio"],
        "count": 3,
        "temperature": 0.7,
        "maxTokens": 1000,
        "tags": ["python", "algorithm"],
    },
    "phaseConfigs": [
        {"phase": "prima-materia", "provider": "openai"},
        {"phase": "solutio", "provider": "anthropic"},
        {"phase": "coagulatio", "provider": "openai"},
    ],
    "useParallel": False,
    "includeContext": True,
    "autoSelect": True,
}

# ---- order --------------------------------------------------------------------------------------


async def test_without_parallel_lanes_follow_lanes_and_phases_follow_phases(
    autojump_clock: MockClock,
) -> None:
    """`useParallel: false`: lane after lane, phase after phase, exactly the seed's order."""
    async with open_generate() as engine:
        events = await generate(engine, asking(count=3))
    expected = []
    for phase in PHASES:
        expected.append(f"start {phase}")
        for lane in range(3):
            expected += [f"text {phase}/{lane}", f"done {phase}/{lane}"]
        expected.append(f"end {phase}")
    assert outline(events) == [*expected, "Completed"]


async def test_the_seeds_example_runs_as_the_seed_shows_it(autojump_clock: MockClock) -> None:
    """The seed's JavaScript client, word for word: its request, its phases, its providers."""
    openai, anthropic = ObligingProvider(name="openai"), ObligingProvider(name="anthropic")
    async with open_generate(openai, anthropic) as engine:
        events = await generate(engine, SEED)
    found = result(events)
    assert [word for word in outline(events) if not word.startswith("text")] == [
        "start prima-materia",
        "done prima-materia/0",
        "done prima-materia/1",
        "done prima-materia/2",
        "end prima-materia",
        "start solutio",
        "done solutio/0",
        "done solutio/1",
        "done solutio/2",
        "end solutio",
        "start coagulatio",
        "done coagulatio/0",
        "done coagulatio/1",
        "done coagulatio/2",
        "end coagulatio",
        "Completed",
    ]
    assert list(found) == ["session_id", "prompts", "rankings", "selected"]
    assert [prompt["provider"] for prompt in found["prompts"]] == (
        ["openai"] * 3 + ["anthropic"] * 3 + ["openai"] * 3
    )
    chunks = [event for event in events if isinstance(event, Delta)]
    for part in parts(events).values():
        tokens = [event.tokens for event in chunks if event.part.id == part.id]
        assert tokens == sorted(tokens)  # cumulative
        assert tokens[0] > 0


async def test_with_parallel_the_lanes_run_at_once(autojump_clock: MockClock) -> None:
    """`useParallel: true`: lanes run at once and chunks of different prompts interleave."""
    provider = ObligingProvider()
    async with open_generate(provider) as engine:
        events = await generate(engine, asking(count=4, use_parallel=True))
    assert provider.most_open == 4
    texts = [word for word in outline(events) if word.startswith("text prima-materia")]
    assert len(texts) > 4  # a lane's chunks do not stand together
    check_order(events, PHASES)


async def test_with_parallel_a_lane_does_not_wait_for_a_slower_one(
    autojump_clock: MockClock,
) -> None:
    """A lane goes on to the next phase as soon as its own text is complete, so phases overlap."""

    def slow_first_lane(request: GenerationRequest, call: int) -> Script:
        pace_s = 10.0 if version(request) == "1" else 0.1
        return say(written(request), pace_s=pace_s)

    async with open_generate(ObligingProvider(slow_first_lane)) as engine:
        events = await generate(engine, asking(count=2, use_parallel=True))
    words = outline(events)
    assert words.index("done coagulatio/1") < words.index("done prima-materia/0")
    check_order(events, PHASES)


def check_order(events: list[Event], phases: tuple[str, ...]) -> None:
    """The order rules that hold in both modes."""
    starts = [event.phase for event in events if isinstance(event, PhaseStarted)]
    ends = [event.phase for event in events if isinstance(event, PhaseCompleted)]
    assert tuple(starts) == phases[: len(starts)]
    assert tuple(ends) == phases[: len(ends)]
    for phase in starts:
        places: dict[type, list[int]] = {}
        for place, event in enumerate(events):
            part = getattr(event, "part", None)
            if getattr(event, "phase", part and part.phase) == phase:
                places.setdefault(type(event), []).append(place)
        (start,) = places[PhaseStarted]
        others = [p for kind, found in places.items() if kind not in ENDS for p in found]
        assert all(start <= place for place in others)
        for end in places.get(PhaseCompleted, []):
            assert all(place <= end for place in others)
    for key in parts(events):
        ended = [
            event
            for event in events
            if isinstance(event, PartCompleted | PartFailed | PartCancelled)
            and (event.part.phase, event.part.index) == key
        ]
        assert len(ended) == 1
        assert not any(
            isinstance(event, Delta) and event.part.id == ended[0].part.id
            for event in events[events.index(ended[0]) :]
        )
    terminals = [event for event in events if isinstance(event, Completed | Failed | Cancelled)]
    assert terminals == [events[-1]]


ENDS = (PhaseCompleted, Completed, Failed, Cancelled)


@settings(max_examples=40, deadline=None)
@property_of(
    count=st.integers(1, 6),
    phases=st.permutations(PHASES).flatmap(
        lambda order: st.integers(1, 3).map(lambda length: tuple(order[:length]))
    ),
    parallel=st.booleans(),
    optimize=st.booleans(),
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0]),
)
def test_the_order_holds_for_any_lanes_phases_paces_and_losses(
    count: int, phases: tuple[str, ...], parallel: bool, optimize: bool, seed: int, loss: float
) -> None:
    """Each phase_start precedes its first chunk, and phase_complete follows its last prompt."""
    random = Random(seed)

    def erratic(request: GenerationRequest, call: int) -> Script:
        if purpose(request) in PHASES and random.random() < loss:
            return [ProviderDelta(text="half"), Fail(ProviderRefused("no"))]
        if purpose(request) in (*PHASES, "improve"):
            pace_s = random.choice([0.0, 0.01, 0.3, 2.0])
            return say(*[f"word{i} " for i in range(random.randint(1, 5))], pace_s=pace_s)
        return oblige(request, call)

    async def main() -> None:
        provider = ObligingProvider(erratic)
        async with open_generate(provider) as engine:
            data = asking(count, phases=list(phases), use_parallel=parallel, optimize=optimize)
            events = await generate(engine, data)
        check_order(events, phases)
        assert provider.open_calls == 0
        texts = fold(events)
        last = events[-1]
        assert isinstance(last, Completed | Failed)
        found = last.data if isinstance(last, Completed) else last.data["partial"]
        for prompt in found["prompts"]:
            assert texts[prompt["id"]] == prompt["content"]
        made = {(prompt["phase"], prompt["index"]) for prompt in found["prompts"]}
        lost = {(entry["phase"], entry["index"]) for entry in found.get("failed", [])}
        assert len(made) + len(lost) == len(made | lost)
        for earlier, later in pairwise(phases):
            assert {i for p, i in made | lost if p == later} == {i for p, i in made if p == earlier}
        assert isinstance(last, Completed) == any(phase == phases[-1] for phase, _ in made)

    trio.run(main, clock=MockClock(autojump_threshold=0))


# ---- lineage and result -------------------------------------------------------------------------


async def test_each_prompt_is_made_of_the_one_before(autojump_clock: MockClock) -> None:
    """`parent_id` = the prompt that it came from; null in the first phase."""
    async with open_generate() as engine:
        found = result(await generate(engine, asking(count=3, use_parallel=True)))
    assert len(found["prompts"]) == 9
    assert [(p["phase"], p["index"]) for p in found["prompts"]] == [
        (phase, lane) for phase in PHASES for lane in range(3)
    ]
    by_id = {prompt["id"]: prompt for prompt in found["prompts"]}
    for prompt in found["prompts"]:
        assert uuid.UUID(prompt["id"])
        if prompt["phase"] == PHASES[0]:
            assert prompt["parent_id"] is None
            assert prompt["content"] == f"prima-materia{prompt['index'] + 1} of (an idea)"
        else:
            parent = by_id[prompt["parent_id"]]
            assert parent["index"] == prompt["index"]
            assert PHASES.index(parent["phase"]) == PHASES.index(prompt["phase"]) - 1
            assert prompt["content"] == f"{prompt['phase']} of ({parent['content']})"


async def test_the_result_has_all_that_the_contract_lists(autojump_clock: MockClock) -> None:
    """The fields of prompts and rankings."""
    usage = Usage(input_tokens=11, output_tokens=7)

    def metered(request: GenerationRequest, call: int) -> Script:
        return say(written(request), usage=usage)

    async with open_generate(ObligingProvider(metered)) as engine:
        data = asking(count=2, tags=["a", "b"], temperature=0.9, max_tokens=50, persona="writing")
        events = await generate(engine, data)
    found = result(events)
    assert list(found) == ["session_id", "prompts", "rankings"]
    first = found["prompts"][0]
    assert first == {
        "id": prompt_id(found["session_id"], "prima-materia", 0),
        "phase": "prima-materia",
        "index": 0,
        "content": "prima-materia1 of (an idea)",
        "provider": "obliging",
        "model": "obliging-1",
        "temperature": 0.9,
        "max_tokens": 50,
        "tokens": 7,
        "parent_id": None,
        "tags": ["a", "b"],
        "persona": "writing",
    }
    assert [sorted(ranking) for ranking in found["rankings"]] == [
        [
            "length_score",
            "prompt_id",
            "score",
            "semantic_score",
            "temperature_score",
            "token_score",
        ]
    ] * 2
    last_phase = [p["id"] for p in found["prompts"] if p["phase"] == "coagulatio"]
    assert sorted(ranking["prompt_id"] for ranking in found["rankings"]) == sorted(last_phase)
    scores = [ranking["score"] for ranking in found["rankings"]]
    assert scores == sorted(scores, reverse=True)
    terminal = events[-1]
    assert isinstance(terminal, Completed)
    assert terminal.usage["output_tokens"] == 6 * 7
    assert terminal.usage["total_tokens"] == 6 * 18
    assert len(terminal.usage["by_part"]) == 6


async def test_embeddings_decide_the_semantic_score_where_there_are_some(
    autojump_clock: MockClock,
) -> None:
    """Semantic likeness: cosine of embeddings where the provider has them."""

    def vectors(text: str) -> list[float]:
        return {"an idea": [1.0, 0.0], "solutio1 of (an idea)": [0.0, 2.0]}.get(text, [3.0, 0.0])

    async with open_generate(ObligingProvider(vectors=vectors)) as engine:
        found = result(await generate(engine, asking(count=2, phases=["solutio"])))
    scores = {r["prompt_id"]: r["semantic_score"] for r in found["rankings"]}
    first, second = found["prompts"]
    assert scores == {first["id"]: 0.5, second["id"]: 1.0}
    assert found["rankings"][0]["prompt_id"] == second["id"]


def _fails(text: str) -> list[float]:
    raise ProviderUnavailable("no embeddings today")


def _uneven(text: str) -> list[float]:
    return [1.0] * len(text)


@pytest.mark.parametrize("vectors", [_fails, _uneven])
async def test_words_are_counted_where_embeddings_fail(
    autojump_clock: MockClock, vectors: Any
) -> None:
    """A ranking never fails: else of word counts."""
    async with open_generate(ObligingProvider(vectors=vectors)) as engine:
        found = result(await generate(engine, asking(count=2, phases=["solutio"])))
    counted = await likenesses("an idea", [prompt["content"] for prompt in found["prompts"]])
    scores = {r["prompt_id"]: r["semantic_score"] for r in found["rankings"]}
    assert [scores[prompt["id"]] for prompt in found["prompts"]] == counted
    assert counted[0] > 0


async def test_without_embeddings_none_are_asked_for(autojump_clock: MockClock) -> None:
    provider = ObligingProvider(vectors=_fails)
    provider.profile = Profile(embeddings=False)
    async with open_generate(provider) as engine:
        result(await generate(engine, asking(count=2, phases=["solutio"])))
    assert provider.embedded == 0


async def test_the_requests_weights_decide_the_ranking(autojump_clock: MockClock) -> None:
    """Weights are configurable and normalised."""

    def long_first(request: GenerationRequest, call: int) -> Script:
        return say("an idea" if version(request) == "2" else "x" * 150)

    length_only = {"semantic": 0, "temperature": 0, "token": 0, "length": 5}
    token_only = {"semantic": 0, "temperature": 0, "token": 5, "length": 0}
    async with open_generate(ObligingProvider(long_first)) as engine:
        data = asking(count=2, phases=["solutio"])
        by_length = result(await generate(engine, data | {"weights": length_only}))
        by_token = result(await generate(engine, data | {"weights": token_only}))
    assert by_length["rankings"][0]["prompt_id"] == by_length["prompts"][1]["id"]
    assert by_length["rankings"][0]["score"] == 1.0
    assert by_token["rankings"][0]["prompt_id"] == by_token["prompts"][0]["id"]
    assert by_token["rankings"][0]["score"] == 1.0


# ---- providers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "message", "code"),
    [
        ("nobody", "Failed to get provider: provider not found", "provider_not_found"),
        (
            "openai",
            "Failed to get provider: openai is not configured (set OPENAI_API_KEY)",
            "provider_not_configured",
        ),
    ],
)
async def test_a_provider_that_cannot_be_had_ends_the_session_before_any_phase(
    autojump_clock: MockClock, provider: str, message: str, code: str
) -> None:
    """`error` with that phase and its text, before any phase starts."""
    configs = [{"phase": "solutio", "provider": provider}]
    obliging = ObligingProvider()
    async with open_generate(obliging) as engine:
        (only,) = await generate(engine, asking() | {"phaseConfigs": configs})
    assert isinstance(only, Failed)
    assert (only.phase, only.message, only.code) == ("solutio", message, code)
    assert obliging.requests == []


async def test_each_phase_is_done_by_its_own_provider_and_model(autojump_clock: MockClock) -> None:
    """A phase without a config takes the default provider."""
    one, two = ObligingProvider(name="one"), ObligingProvider(name="two")
    configs = [
        {"phase": "solutio", "provider": "two"},
        {"phase": "coagulatio", "provider": "two", "model": "big"},
    ]
    async with open_generate(one, two) as engine:
        found = result(await generate(engine, asking(count=1) | {"phaseConfigs": configs}))
    assert [(p["provider"], p["model"]) for p in found["prompts"]] == [
        ("one", "one-1"),
        ("two", "two-1"),
        ("two", "big"),
    ]
    assert [request.model for request in two.requests] == ["two-1", "big"]


async def test_the_configured_default_model_does_what_nobody_is_named_for(
    autojump_clock: MockClock,
) -> None:
    """A phase without a config takes the default."""
    configs = [{"phase": "solutio", "provider": "obliging"}]
    provider = ObligingProvider()
    async with open_generate(provider, default_model="favourite") as engine:
        found = result(await generate(engine, asking(count=1) | {"phaseConfigs": configs}))
    models = [request.model for request in provider.requests]
    assert models == ["favourite", "obliging-1", "favourite"]
    assert [prompt["model"] for prompt in found["prompts"]] == models


async def test_a_provider_is_asked_as_the_request_says(autojump_clock: MockClock) -> None:
    provider = ObligingProvider()
    async with open_generate(provider) as engine:
        await generate(engine, asking(count=1, temperature=1.5, max_tokens=77))
    assert len(provider.requests) == 3
    for request in provider.requests:
        assert (request.temperature, request.max_tokens) == (1.5, 77)
        assert request.instructions
        assert [message.role for message in request.messages] == ["user"]


# ---- losses -------------------------------------------------------------------------------------


def failing(*lanes: str, phase: str = "prima-materia", error: Exception) -> Any:
    """Answer well, but for the lanes of the first phase with these numbers (from 1)."""

    def answer(request: GenerationRequest, call: int) -> Script:
        lane = written(request).split("prima-materia", 1)[-1][:1]
        if purpose(request) == phase and lane in lanes:
            return [ProviderDelta(text="half a "), Fail(error)]
        return oblige(request, call)

    return answer


@pytest.mark.parametrize("parallel", [False, True])
async def test_a_lane_whose_provider_fails_is_lost_alone(
    autojump_clock: MockClock, parallel: bool
) -> None:
    """It is lost alone: the other lanes go on, and the result lists it under `failed`."""
    provider = ObligingProvider(failing("2", phase="solutio", error=ProviderRefused("declined")))
    async with open_generate(provider) as engine:
        events = await generate(engine, asking(count=3, use_parallel=parallel))
    found = result(events)
    lost = prompt_id(found["session_id"], "solutio", 1)
    assert found["failed"] == [
        {"prompt_id": lost, "phase": "solutio", "index": 1, "code": "provider_refused"}
    ]
    assert "cancelled" not in found
    (event,) = [event for event in events if isinstance(event, PartFailed)]
    assert (event.part.id, event.code, event.message) == (lost, "provider_refused", "declined")
    assert [(p["phase"], p["index"]) for p in found["prompts"]] == [
        ("prima-materia", 0),
        ("prima-materia", 1),
        ("prima-materia", 2),
        ("solutio", 0),
        ("solutio", 2),
        ("coagulatio", 0),
        ("coagulatio", 2),
    ]
    assert len(found["rankings"]) == 2
    check_order(events, PHASES)


async def test_a_failure_in_mid_stream_is_a_new_attempt(autojump_clock: MockClock) -> None:
    """A lane whose provider fails is retried; a client that folds holds exactly the final text."""

    def once(request: GenerationRequest, call: int) -> Script:
        if purpose(request) == "solutio" and call == 1:
            return [ProviderDelta(text="half a "), Fail(ProviderUnavailable("dropped"))]
        return oblige(request, call)

    async with open_generate(ObligingProvider(once)) as engine:
        events = await generate(engine, asking(count=1))
    found = result(events)
    assert "failed" not in found
    assert "attempt 2 provider solutio/0" in outline(events)
    assert fold(events) == {p["id"]: p["content"] for p in found["prompts"]}


async def test_when_all_lanes_of_a_phase_fail_the_session_fails_with_what_there_is(
    autojump_clock: MockClock,
) -> None:
    """Terminal `error` with that phase and the partial results in `partial`."""
    provider = ObligingProvider(failing("1", "2", phase="solutio", error=ProviderAuth("bad key")))
    async with open_generate(provider) as engine:
        events = await generate(engine, asking(count=2))
    failed = failure(events)
    assert (failed.phase, failed.code) == ("solutio", "provider_auth")
    assert failed.message == "every lane was lost: bad key (and 1 more)"
    partial = failed.data["partial"]
    assert [(p["phase"], p["index"]) for p in partial["prompts"]] == [
        ("prima-materia", 0),
        ("prima-materia", 1),
    ]
    assert [entry["index"] for entry in partial["failed"]] == [0, 1]
    assert outline(events)[-4:] == [
        "failed solutio/0",
        "text solutio/1",
        "failed solutio/1",
        "Failed",
    ]


async def test_lanes_lost_in_different_phases_can_leave_none(autojump_clock: MockClock) -> None:
    """The error names the phase of the last loss."""

    def answer(request: GenerationRequest, call: int) -> Script:
        first = failing("1", phase="prima-materia", error=ProviderRefused("one"))
        second = failing("2", phase="coagulatio", error=ProviderAuth("two"))
        return second(request, call) if purpose(request) == "coagulatio" else first(request, call)

    async with open_generate(ObligingProvider(answer)) as engine:
        failed = failure(await generate(engine, asking(count=2, use_parallel=True)))
    assert (failed.phase, failed.code) == ("coagulatio", "provider_auth")
    assert [p["phase"] for p in failed.data["partial"]["prompts"]] == ["prima-materia", "solutio"]


async def test_an_answer_without_text_is_a_loss(autojump_clock: MockClock) -> None:
    """The next phase is never given nothing."""

    def mute(request: GenerationRequest, call: int) -> Script:
        return say(" \n") if version(request) == "1" else oblige(request, call)

    async with open_generate(ObligingProvider(mute)) as engine:
        found = result(await generate(engine, asking(count=2)))
    assert [(entry["index"], entry["code"]) for entry in found["failed"]] == [
        (0, "provider_bad_output")
    ]


async def test_a_token_budget_that_is_used_up_ends_the_work(autojump_clock: MockClock) -> None:
    """Never overspent: lanes for which nothing is left are lost."""
    usage = Usage(input_tokens=10, output_tokens=500)

    def metered(request: GenerationRequest, call: int) -> Script:
        return say(written(request), usage=usage)

    async with open_generate(ObligingProvider(metered)) as engine:
        session = await engine.start(
            "generate", asking(count=3), options=Options(token_budget=2_500)
        )
        failed = failure(await read_to_end(engine, session.session_id))
    assert failed.code == "too_large"
    assert failed.data["partial"]["prompts"]
    assert failed.usage["total_tokens"] <= 2_500


# ---- cancel -------------------------------------------------------------------------------------


def hanging(lane: str, phase: str = "prima-materia") -> Any:
    def answer(request: GenerationRequest, call: int) -> Script:
        if purpose(request) == phase and written(request).split("prima-materia", 1)[1][0] == lane:
            return [ProviderDelta(text="so far "), Hang()]
        return oblige(request, call)

    return answer


@pytest.mark.parametrize("parallel", [False, True])
async def test_one_prompt_is_cancelled_alone(autojump_clock: MockClock, parallel: bool) -> None:
    """The result lists one that was cancelled alone under `cancelled`; the others go on."""
    provider = ObligingProvider(hanging("2"))
    async with open_generate(provider) as engine:
        session = await engine.start("generate", asking(count=3, use_parallel=parallel))
        await trio.sleep(2)
        lost = prompt_id(session.session_id, "prima-materia", 1)
        await engine.cancel(session.session_id, target={"prompt_id": lost})
        events = await read_to_end(engine, session.session_id)
    found = result(events)
    assert found["cancelled"] == [{"prompt_id": lost, "phase": "prima-materia", "index": 1}]
    assert "failed" not in found
    (cut,) = [event for event in events if isinstance(event, PartCancelled)]
    assert cut.partial == "so far "
    assert {p["index"] for p in found["prompts"]} == {0, 2}
    assert len(found["prompts"]) == 6
    assert provider.open_calls == 0
    check_order(events, PHASES)


async def test_a_prompt_can_be_cancelled_before_it_has_begun(autojump_clock: MockClock) -> None:
    """A target is known by its id, which follows from session, phase and lane."""
    async with open_generate(ObligingProvider(hanging("1"))) as engine:
        session = await engine.start("generate", asking(count=2))
        await trio.sleep(1)
        for phase, lane in (("solutio", 1), ("prima-materia", 0)):
            target = {"prompt_id": prompt_id(session.session_id, phase, lane)}
            await engine.cancel(session.session_id, target=target)
        found = result(await read_to_end(engine, session.session_id))
    assert [(entry["phase"], entry["index"]) for entry in found["cancelled"]] == [
        ("prima-materia", 0),
        ("solutio", 1),
    ]
    assert found["rankings"] == []


async def test_a_phase_that_is_cancelled_leaves_what_was_made_before(
    autojump_clock: MockClock,
) -> None:
    """When all losses are cancels the session completes with what there is."""
    async with open_generate(ObligingProvider(hanging("1", phase="solutio"))) as engine:
        session = await engine.start("generate", asking(count=2))
        await trio.sleep(2)
        await engine.cancel(session.session_id, target={"phase": "solutio"})
        events = await read_to_end(engine, session.session_id)
    found = result(events)
    assert [p["phase"] for p in found["prompts"]] == ["prima-materia"] * 2
    assert [(c["phase"], c["index"]) for c in found["cancelled"]] == [
        ("solutio", 0),
        ("solutio", 1),
    ]
    assert found["rankings"] == []
    assert "selected" not in found
    assert outline(events)[-2:] == ["end solutio", "Completed"]


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.15, 0.25, 0.45, 0.55])
@pytest.mark.parametrize("parallel", [False, True])
async def test_a_cancel_closes_every_stream_wherever_it_strikes(
    autojump_clock: MockClock, parallel: bool, after_s: float
) -> None:
    """After cancel no provider stream stays open; `partial` is never more than was streamed."""
    provider = ObligingProvider()
    async with open_generate(provider) as engine:
        data = asking(count=3, use_parallel=parallel, optimize=True, auto_select=True)
        session = await engine.start("generate", data)
        await trio.sleep(after_s)
        await engine.cancel(session.session_id)
        events = await read_to_end(engine, session.session_id)
        terminal = events[-1]
        assert isinstance(terminal, Cancelled)
        assert provider.open_calls == 0
        assert terminal.partial == {key: text for key, text in fold(events).items() if text}
        asked = len(provider.requests)
        await trio.sleep(100)
        assert len(provider.requests) == asked


# ---- context and persona ------------------------------------------------------------------------


async def test_context_lines_reach_the_first_phase_only(autojump_clock: MockClock) -> None:
    """Context lines reach the first phase's prompt."""
    provider = ObligingProvider()
    async with open_generate(provider) as engine:
        await generate(engine, asking(count=1, context=["use type hints", "no recursion"]))
    first, *others = provider.requests
    assert "<context>\n- use type hints\n- no recursion\n</context>" in first.messages[0].content
    assert not any("type hints" in request.messages[0].content for request in others)


async def test_include_context_adds_the_most_similar_earlier_results_of_the_owner(
    autojump_clock: MockClock,
) -> None:
    """The most similar earlier results of the same owner (at most 5)."""

    def echo(request: GenerationRequest, call: int) -> Script:
        return say(f"result of {given(request)}")

    provider = ObligingProvider(echo)
    async with open_generate(provider) as engine:

        async def ask(text: str, owner: str, **fields: Any) -> GenerationRequest:
            data = asking(count=1, phases=["solutio"], input=text, **fields)
            result(await generate(engine, data, owner=owner))
            return provider.requests[-1]

        for number in range(7):
            await ask(f"red fox number {number}", "ann")
        await ask("blue whale", "ann")
        await ask("red fox of bob", "bob")
        without = await ask("red fox", "ann")
        request = await ask("red fox", "ann", include_context=True)
        strange = await ask("quantum chromodynamics", "ann", include_context=True)
    assert "earlier_result" not in without.messages[0].content
    text = request.messages[0].content
    assert text.count("<earlier_result>") == 5
    assert "result of red fox\n" in text  # the likest of all
    assert "whale" not in text
    assert "bob" not in text
    assert "earlier_result" not in strange.messages[0].content


async def test_a_registered_persona_shapes_the_instructions(autojump_clock: MockClock) -> None:
    """`persona`: or a registered persona's id."""

    async def personas(persona_id: str) -> str | None:
        return {"pirate": "You are a pirate."}.get(persona_id)

    provider = ObligingProvider()
    services = {"persona_prompts": personas}
    async with open_generate(provider, services=services) as engine:
        found = result(await generate(engine, asking(count=1, persona="pirate")))
        with pytest.raises(InvalidRequest) as refused:
            await engine.start("generate", asking(count=1, persona="ghost"))
        assert engine.sessions == {}, "nothing was started for it"
    assert {prompt["persona"] for prompt in found["prompts"]} == {"pirate"}
    assert all("You are a pirate." in request.instructions for request in provider.requests)
    assert len(provider.requests) == 3
    message = (
        'unknown persona "ghost"; allowed are code, writing, analysis, generic and the ids of '
        "registered personas"
    )
    assert refused.value.details == (("request.persona", message),)


async def test_a_request_that_breaks_its_contract_starts_nothing(autojump_clock: MockClock) -> None:
    async with open_generate() as engine:
        with pytest.raises(InvalidRequest, match="count cannot exceed 100, got 101"):
            await engine.start("generate", asking(count=101))
        assert engine.sessions == {}


async def test_ids_follow_from_the_session_and_the_place(autojump_clock: MockClock) -> None:
    """Ids stay the same across attempts and restarts."""
    assert prompt_id("s", "solutio", 1) == prompt_id("s", "solutio", 1)
    every = {prompt_id(s, p, i) for s in "ab" for p in PHASES for i in range(100)}
    assert len(every) == 600
    async with open_generate() as engine:
        events = await generate(engine, asking(count=2))
    found = result(events)
    for (phase, lane), part in parts(events).items():
        assert part.id == prompt_id(found["session_id"], phase, lane)
        assert part.target == {"prompt_id": part.id}
    assert not any(isinstance(event, Attempt) for event in events)
