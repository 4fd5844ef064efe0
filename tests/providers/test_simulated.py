"""The simulated provider: deterministic, in context, paced to the token, and honest."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest
import trio
import trio.testing

from engine.actors.wheel import Wheel
from engine.errors import (
    InvalidRequest,
    ProviderAuth,
    ProviderBadOutput,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from engine.events import JSON
from engine.providers.interface import Delta, GenerationRequest, Message
from engine.providers.simulated import SimulatedProvider
from engine.providers.simulation.pacing import CHECKPOINT_TOKENS
from engine.providers.simulation.settings import SimSettings

Clock = trio.testing.MockClock
QUESTION = "How do I supervise actors in a streaming engine with restart policies?"


def asked(text: str = QUESTION, **fields: object) -> GenerationRequest:
    values: dict[str, object] = {"model": "", **fields}
    earlier = values.pop("earlier", ())
    messages = (*earlier, Message(role="user", content=text))  # type: ignore[misc]
    return GenerationRequest(messages=messages, **values)  # type: ignore[arg-type]


def instant(**fields: object) -> SimulatedProvider:
    values: dict[str, object] = {"ttft_ms": 0, "tokens_per_s": 0, **fields}
    return SimulatedProvider(SimSettings(**values))  # type: ignore[arg-type]


async def collect(provider: SimulatedProvider, request: GenerationRequest) -> list[Delta]:
    async with provider.stream(request) as deltas:
        return [delta async for delta in deltas]


async def text_of(provider: SimulatedProvider, request: GenerationRequest) -> str:
    return "".join(delta.text for delta in await collect(provider, request))


# ---- determinism --------------------------------------------------------------------------------


async def test_the_same_request_gets_the_same_text_whatever_came_before() -> None:
    """The same seed and the same request give the same text, whatever was asked before."""
    first, second = instant(), instant()
    expected = await text_of(first, asked())
    for other in range(100):
        await text_of(second, asked(f"What about question {other}?"))
    assert await text_of(second, asked()) == expected
    assert await text_of(second, asked()) == expected


async def test_the_pace_does_not_change_the_text(autojump_clock: Clock) -> None:
    """However late it is, the text is the same."""
    slow = SimulatedProvider(SimSettings(ttft_ms=500, tokens_per_s=7, burst=3, jitter_ms=40))
    assert await text_of(slow, asked()) == await text_of(instant(), asked())


@pytest.mark.parametrize(
    "other", [asked(seed=7), asked(temperature=0.1), asked(metadata={"attempt": "2"})]
)
async def test_a_different_request_gets_a_different_text(other: GenerationRequest) -> None:
    """A seed, a temperature or an attempt of the request's own changes the choice of words."""
    assert await text_of(instant(), other) != await text_of(instant(), asked())


async def test_a_different_seed_of_the_settings_gives_a_different_text() -> None:
    """settings.seed."""
    assert await text_of(instant(seed=2), asked()) != await text_of(instant(), asked())


# ---- in context ---------------------------------------------------------------------------------


async def test_an_answer_uses_the_words_of_the_question() -> None:
    """It answers in context."""
    text = (await text_of(instant(), asked())).lower()
    assert "restart policies" in text
    assert "streaming engine" in text


async def test_personas_answer_in_different_voices() -> None:
    """Different personas answer in a noticeably different voice."""
    texts = [
        await text_of(instant(), asked(metadata={"persona": persona}, instructions=instructions))
        for persona, instructions in (
            ("tech_enthusiast", "You are an excited tech enthusiast."),
            ("creative_writer", "You are a creative writer who loves images."),
            ("data_scientist", "You are a data scientist who asks for evidence."),
        )
    ]
    lines = [set(text.replace("\n", " ").split(". ")) for text in texts]
    assert not lines[0] & lines[1]
    assert not lines[1] & lines[2]
    assert not lines[0] & lines[2]


async def test_a_persona_is_heard_from_its_instructions_alone() -> None:
    """Metadata is a hint; without it, it answers from instructions."""
    poet = await text_of(instant(), asked(instructions="You are a poet who speaks in images."))
    plain = await text_of(instant(), asked())
    assert poet != plain
    assert "a poet" in poet


async def test_a_later_turn_refers_to_an_earlier_one() -> None:
    """Multi-turn: it refers to earlier turns."""
    earlier = (
        Message(role="user", content="Tell me about tidal energy."),
        Message(role="assistant", content="It comes from the sea."),
    )
    assert "tidal energy" in await text_of(instant(), asked(earlier=earlier))


async def test_other_personas_answers_are_met() -> None:
    """In a debate a persona is given the others' answers."""
    earlier = (
        Message(role="assistant", name="data_scientist", content="Measure the queue depth."),
    )
    text = await text_of(instant(), asked(earlier=earlier, metadata={"persona": "sceptic"}))
    assert "data scientist" in text.lower()


@pytest.mark.parametrize(("least", "most"), [(200, 250), (150, 200), (20, 30), (5, 8)])
async def test_a_number_of_words_that_is_asked_for_is_kept(least: int, most: int) -> None:
    """It honours "N to M words" in instructions."""
    for seed in range(10):
        request = asked(instructions=f"Answer in {least} to {most} words.", seed=seed)
        assert least <= len((await text_of(instant(), request)).split()) <= most


@pytest.mark.parametrize(
    ("purpose", "least", "most"),
    [("exhibition.statement", 200, 250), ("exhibition.rationale", 150, 200)],
)
async def test_an_exhibitions_texts_have_their_length(purpose: str, least: int, most: int) -> None:
    """Curatorial statement of 200 to 250 words, rationale of 150 to 200 words."""
    for seed in range(20):
        request = asked(
            "Light and Water in Impressionism", metadata={"purpose": purpose}, seed=seed
        )
        assert least <= len((await text_of(instant(), request)).split()) <= most


async def test_an_exhibitions_title_is_short() -> None:
    """Title of at most 50 characters."""
    for seed in range(20):
        request = asked(
            "The intercontinental relationships of photosynthesis and industrialisation",
            metadata={"purpose": "exhibition.title"},
            seed=seed,
        )
        assert 0 < len(await text_of(instant(), request)) <= 50


async def test_three_phases_transform_the_input() -> None:
    """Three phases visibly transform the input text and keep what it asks for."""
    idea = "A Python parser for ISO 8601 durations. It must handle weeks. No external libraries."
    apart = await text_of(instant(), asked(idea, metadata={"purpose": "prima-materia"}))
    prose = await text_of(instant(), asked(apart, metadata={"purpose": "solutio"}))
    tight = await text_of(
        instant(), asked(f"{prose}", metadata={"purpose": "coagulatio"}, instructions="Sharpen.")
    )
    for head in ("Main task:", "Requirements:", "Constraints:", "Output form:"):
        assert head in apart
        assert head not in prose
    assert len(tight) < len(prose)
    for text in (apart, prose, tight):
        assert "8601 durations" in text
        assert "must handle weeks" in text
        assert "external libraries" in text.lower()


async def test_a_schema_gets_json_however_the_answer_is_cut_into_tokens() -> None:
    """It returns valid JSON for a schema."""
    schema: JSON = {
        "type": "object",
        "properties": {"score": {"type": "number", "minimum": 0, "maximum": 1}},
        "required": ["score"],
    }
    for provider in (instant(), instant(output_tokens=500)):
        made = json.loads(await text_of(provider, asked(response_schema=schema)))
        assert 0 <= made["score"] <= 1


async def test_a_schema_that_cannot_be_filled_is_refused_by_name() -> None:
    """A provider honours each field or refuses it by name."""
    with pytest.raises(InvalidRequest, match="'not'") as caught:
        await collect(instant(), asked(response_schema={"not": {}}))
    assert caught.value.details[0][0] == "response_schema"


async def test_a_previous_response_is_refused_by_name() -> None:
    """profile.stateful is False."""
    provider = instant()
    assert not provider.profile.stateful
    with pytest.raises(InvalidRequest, match="previous_response_id"):
        async with provider.stream(asked(previous_response_id="resp_1")):
            pass


# ---- honesty ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "label"),
    [("", "default (simulated)"), ("fast", "fast (simulated)"), ("gpt-4o", "gpt-4o (simulated)")],
)
async def test_it_says_in_its_models_name_that_it_is_simulated(model: str, label: str) -> None:
    """It says of itself that it is simulated, in its model's name."""
    provider = SimulatedProvider(
        SimSettings(ttft_ms=0, tokens_per_s=0), name="openai", plays="openai"
    )
    models = {delta.model for delta in await collect(provider, asked(model=model)) if delta.model}
    assert models == {label}
    assert provider.info().simulated
    assert "plays openai" in provider.info().reason


async def test_a_tool_is_not_called_and_the_event_says_so() -> None:
    """A request with tools gets the event of a call whose data says `"simulated": true`."""
    for tool in ({"type": "web_search"}, {"type": "function", "function": {"name": "web_search"}}):
        events = [d.tool for d in await collect(instant(), asked(tools=(tool,))) if d.tool]
        assert [(e["status"], e["tool"]) for e in events] == [("completed", "web_search")]
        assert events[0]["data"]["simulated"] is True


async def test_reasoning_comes_before_the_text_and_only_when_asked_for() -> None:
    """`reasoning`: whether to ask for the model's reasoning as well."""
    assert not any(d.reasoning for d in await collect(instant(), asked()))
    deltas = await collect(instant(), asked(reasoning=True))
    kinds = ["r" if d.reasoning else "t" for d in deltas if d.reasoning or d.text]
    assert "".join(kinds).lstrip("r").strip("t") == ""
    assert "r" in kinds


async def test_reasoning_is_about_the_question_and_what_came_before() -> None:
    """A few sentences that precede the answer."""
    earlier = (Message(role="user", content="Tell me about tidal energy."),)
    deltas = await collect(instant(), asked(reasoning=True, earlier=earlier))
    reasoning = "".join(delta.reasoning for delta in deltas)
    assert "tidal energy" in reasoning
    assert "restart policies" in reasoning


# ---- length and usage ---------------------------------------------------------------------------


async def test_output_tokens_are_exact() -> None:
    """settings.output_tokens > 0: exactly that many tokens, one delta each."""
    for wanted in (1, 7, 64, 65, 2_000):
        deltas = await collect(instant(output_tokens=wanted), asked())
        texts = [delta for delta in deltas if delta.text]
        assert len(texts) == sum(delta.tokens or 0 for delta in deltas) == wanted
        assert deltas[-1].finish == "stop"
        assert deltas[-1].usage is not None
        assert deltas[-1].usage.output_tokens == wanted


async def test_max_tokens_cut_the_answer_and_say_so() -> None:
    """Bounded by max_tokens → finish "length"."""
    whole = await text_of(instant(), asked())
    deltas = await collect(instant(), asked(max_tokens=5))
    assert [delta.tokens for delta in deltas if delta.text] == [1] * 5
    assert deltas[-1].finish == "length"
    assert whole.startswith("".join(delta.text for delta in deltas)) is False  # another request
    assert (await collect(instant(output_tokens=50), asked(max_tokens=50)))[-1].finish == "stop"


async def test_only_the_last_delta_has_a_finish() -> None:
    """Any field may be empty; the last one has `finish`."""
    deltas = await collect(instant(), asked())
    assert [bool(delta.finish) for delta in deltas] == [False] * (len(deltas) - 1) + [True]


async def test_natural_answers_have_a_natural_length() -> None:
    """60 to 250 tokens typically."""
    for seed in range(40):
        deltas = await collect(instant(), asked(seed=seed))
        assert 50 <= sum(delta.tokens or 0 for delta in deltas) <= 260


async def test_a_very_long_answer_needs_no_more_memory() -> None:
    """Memory is bounded for output_tokens = 100,000."""
    provider = instant(output_tokens=100_000)
    await collect(instant(), asked())  # caches of the interpreter are warm
    tracemalloc.start()
    try:
        count = 0
        async with provider.stream(asked()) as deltas:
            async for delta in deltas:
                count += delta.tokens or 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 100_000
    assert peak < 2_000_000


# ---- pace ---------------------------------------------------------------------------------------


async def _times(
    provider: SimulatedProvider, request: GenerationRequest, work_s: float = 0
) -> list[float]:
    start = trio.current_time()
    times = []
    async with provider.stream(request) as deltas:
        async for delta in deltas:
            if delta.text:
                times.append(trio.current_time() - start)
                if work_s:
                    await trio.sleep(work_s)
    return times


async def test_tokens_come_at_their_exact_times(autojump_clock: Clock) -> None:
    """Time to first token, then tokens per second, by absolute deadlines."""
    provider = SimulatedProvider(SimSettings(ttft_ms=120, tokens_per_s=60, output_tokens=600))
    times = await _times(provider, asked())
    assert times == pytest.approx([0.12 + n / 60 for n in range(600)], abs=1e-6)


async def test_a_slow_reader_does_not_shift_the_pace(autojump_clock: Clock) -> None:
    """Lateness never adds up: a reader's own work is not added to each pause."""
    provider = SimulatedProvider(SimSettings(ttft_ms=0, tokens_per_s=10, output_tokens=100))
    times = await _times(provider, asked(), work_s=0.09)
    assert times[-1] == pytest.approx(9.9, abs=1e-6)


@pytest.mark.parametrize(("model", "rate"), [("default", 60), ("fast", 1_000), ("slow", 5)])
async def test_models_are_paces(autojump_clock: Clock, model: str, rate: float) -> None:
    """default = settings, fast = 1,000/s, slow = 5/s."""
    provider = SimulatedProvider(SimSettings(ttft_ms=100, tokens_per_s=60, output_tokens=51))
    times = await _times(provider, asked(model=model))
    assert times[0] == pytest.approx(0.1)
    assert times[-1] - times[0] == pytest.approx(50 / rate, abs=1e-6)


async def test_the_instant_model_takes_no_time(autojump_clock: Clock) -> None:
    """instant = 0 ttft and 0 pause."""
    provider = SimulatedProvider(SimSettings(output_tokens=500))
    assert set(await _times(provider, asked(model="instant"))) == {0.0}


async def test_a_burst_comes_at_once_and_keeps_the_rate(autojump_clock: Clock) -> None:
    """Burstiness: several tokens at once; the rate stays the same."""
    provider = SimulatedProvider(SimSettings(ttft_ms=0, tokens_per_s=10, burst=5, output_tokens=20))
    times = await _times(provider, asked())
    assert times == pytest.approx([5 * (n // 5) / 10 for n in range(20)])


async def test_jitter_delays_within_its_bound_and_does_not_add_up(autojump_clock: Clock) -> None:
    """A token is late by up to this; lateness does not add up."""
    provider = SimulatedProvider(
        SimSettings(ttft_ms=0, tokens_per_s=10, jitter_ms=50, output_tokens=100)
    )
    late = [time - n / 10 for n, time in enumerate(await _times(provider, asked()))]
    assert all(-1e-9 <= value <= 0.05 + 1e-9 for value in late)
    assert len({round(value, 6) for value in late}) > 50


async def test_a_shared_wheel_keeps_the_pace(autojump_clock: Clock) -> None:
    """With a shared timer wheel, to its tick."""
    wheel = Wheel()
    async with trio.open_nursery() as nursery:
        await nursery.start(wheel.run)
        provider = SimulatedProvider(
            SimSettings(ttft_ms=120, tokens_per_s=60, output_tokens=300), wheel=wheel
        )
        times = await _times(provider, asked())
        nursery.cancel_scope.cancel()
    assert all(-1e-9 <= time - (0.12 + n / 60) <= 0.0021 for n, time in enumerate(times))


async def test_without_pauses_others_get_their_turn() -> None:
    """Instant: it still checkpoints at bounded intervals."""
    provider = instant(output_tokens=64 * 100)
    turns = 0
    longest = since = 0

    async def other() -> None:
        nonlocal turns, since
        while True:
            turns += 1
            since = 0
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        async with provider.stream(asked()) as deltas:
            async for _ in deltas:
                since += 1
                longest = max(longest, since)
        nursery.cancel_scope.cancel()
    assert turns >= 100
    assert longest <= 2 * CHECKPOINT_TOKENS + 2


# ---- cancel -------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [SimSettings(), SimSettings(ttft_ms=0, tokens_per_s=0)])
async def test_a_cancel_at_any_point_closes_the_stream(
    autojump_clock: Clock, settings: SimSettings
) -> None:
    """Cancellation: at any point; leaving the context has closed the upstream."""
    provider = SimulatedProvider(settings)
    total = len(await collect(provider, asked()))
    for stop in range(0, total + 1, 7):
        seen = 0
        with trio.CancelScope() as scope:
            async with provider.stream(asked()) as deltas:
                assert provider.open_streams == 1
                async for _ in deltas:
                    if seen == stop:
                        scope.cancel()
                    seen += 1
                await trio.lowlevel.checkpoint()
        assert provider.open_streams == 0
        # Without pauses, what is left of a group that was due already still comes.
        assert seen <= stop + CHECKPOINT_TOKENS + 1


@pytest.mark.parametrize("at_s", [0.0, 0.05, 0.12, 0.5, 1.0])
async def test_a_cancel_from_outside_ends_a_pause_at_once(
    autojump_clock: Clock, at_s: float
) -> None:
    """It works before the first token and during a pause."""
    provider = SimulatedProvider(SimSettings())
    start = trio.current_time()
    with trio.move_on_after(at_s):
        await collect(provider, asked())
    assert trio.current_time() - start == pytest.approx(at_s)
    assert provider.open_streams == 0


async def test_leaving_early_closes_the_stream() -> None:
    """Leaving `stream()`'s context closes the upstream, however it is left."""
    provider = instant()
    with pytest.raises(RuntimeError, match="enough"):
        async with provider.stream(asked()) as deltas:
            async for _ in deltas:
                raise RuntimeError("enough")
    assert provider.open_streams == 0
    assert [delta async for delta in deltas] == []


# ---- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "error", "takes_s"),
    [
        ("timeout", ProviderTimeout, 45.0),
        ("rate_limit", ProviderRateLimited, 0.12),
        ("unavailable", ProviderUnavailable, 0.12),
        ("auth", ProviderAuth, 0.12),
        ("refuse", ProviderRefused, 0.12),
        ("drop", ProviderUnavailable, None),
        ("bad_output", ProviderBadOutput, None),
        ("no_finish", ProviderBadOutput, None),
        ("hang@token=6", ProviderTimeout, 0.12 + 5 / 60 + 45),
    ],
)
async def test_a_fault_raises_its_error_in_its_time(
    autojump_clock: Clock, kind: str, error: type[ProviderError], takes_s: float | None
) -> None:
    """Each kind does what KINDS says."""
    provider = SimulatedProvider(SimSettings(faults=kind))
    start = trio.current_time()
    with pytest.raises(error):
        await collect(provider, asked())
    if takes_s is not None:
        assert trio.current_time() - start == pytest.approx(takes_s)
    assert provider.open_streams == 0


async def test_a_rate_limit_says_when_to_come_back() -> None:
    """rate_limit with retry_after."""
    with pytest.raises(ProviderRateLimited) as caught:
        await collect(instant(faults="rate_limit"), asked())
    assert caught.value.retry_after_s == 1.0


async def test_a_drop_comes_after_the_tokens_that_it_names() -> None:
    """`token` says after how many tokens a stream breaks."""
    seen = 0
    with pytest.raises(ProviderUnavailable, match="after 12 tokens"):
        async with instant(faults="drop@token=12").stream(asked()) as deltas:
            async for delta in deltas:
                seen += bool(delta.text)
    assert seen == 12


async def test_no_finish_gives_the_whole_text_first() -> None:
    """The whole text comes, and no finish reason."""
    text = ""
    with pytest.raises(ProviderBadOutput):
        async with instant(faults="no_finish").stream(asked()) as deltas:
            async for delta in deltas:
                assert delta.finish is None
                text += delta.text
    assert text == await text_of(instant(), asked())


async def test_bad_output_with_a_schema_is_json_that_is_cut() -> None:
    """JSON that is cut."""
    schema: JSON = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    text = await text_of(instant(faults="bad_output"), asked(response_schema=schema))
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


async def test_slow_is_ten_times_as_slow(autojump_clock: Clock) -> None:
    """Ten times as slow."""
    usual = await _times(SimulatedProvider(SimSettings(output_tokens=30)), asked())
    slowed = await _times(SimulatedProvider(SimSettings(output_tokens=30, faults="slow")), asked())
    assert slowed == pytest.approx([10 * time for time in usual])


async def test_invent_adds_an_artist_who_never_lived() -> None:
    """A list of artists gets one who never lived, and only then."""
    schema: JSON = {
        "type": "object",
        "properties": {
            "artists": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "birth_year": {"type": "integer"}},
                    "required": ["name", "birth_year"],
                },
            }
        },
        "required": ["artists"],
    }
    names = {}
    for faults in ("", "invent"):
        text = await text_of(
            instant(faults=faults), asked("Surrealism and dreams", response_schema=schema)
        )
        names[faults] = [artist["name"] for artist in json.loads(text)["artists"]]
        assert len(set(names[faults])) == len(names[faults])
    assert "Aurelio Vantreight" in names["invent"]
    assert "Aurelio Vantreight" not in names[""]
    assert "René Magritte" in names[""]


@pytest.mark.parametrize("number", [lambda n: {"attempt": str(n)}, lambda n: {}])
async def test_a_retry_may_succeed(number: Callable[[int], dict[str, str]]) -> None:
    """By the attempt's number: given in the metadata, or else counted."""
    provider = instant(faults="drop@attempt=1")
    with pytest.raises(ProviderUnavailable):
        await collect(provider, asked(metadata=number(1)))
    assert (await collect(provider, asked(metadata=number(2))))[-1].finish == "stop"


async def test_a_fault_is_kept_to_its_persona() -> None:
    """A fault may be restricted to a persona."""
    provider = instant(faults="auth@persona=data_scientist")
    with pytest.raises(ProviderAuth):
        await collect(provider, asked(metadata={"persona": "data_scientist"}))
    await collect(provider, asked(metadata={"persona": "creative_writer"}))


def test_bad_settings_are_refused_with_what_is_allowed() -> None:
    """A bad setting stops the start with the setting's name and what is allowed."""
    with pytest.raises(ValueError, match=r"burst must be .* at least 1"):
        SimSettings(burst=0)
    with pytest.raises(ValueError, match=r"ttft_ms must be a finite"):
        SimSettings(ttft_ms=float("nan"))
    with pytest.raises(ValueError, match=r"unknown fault 'explode'"):
        SimulatedProvider(SimSettings(faults="explode"))


# ---- embeddings ---------------------------------------------------------------------------------


async def test_similar_texts_are_nearer_and_vectors_have_length_one() -> None:
    """Cosine is meaningful: similar texts are nearer; L2-normalised."""
    provider = instant()
    assert provider.profile.embeddings
    one, like, unlike, empty = await provider.embed(
        [
            "A prompt about restart policies for supervised actors",
            "Write about supervising actors and their restart policy",
            "The museum shows paintings of the sea by moonlight",
            "",
        ]
    )

    def cosine(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert cosine(one, one) == pytest.approx(1)
    assert cosine(one, like) > cosine(one, unlike) + 0.2
    assert set(empty) == {0.0}
    assert [one] == await instant(seed=9).embed(
        ["A prompt about restart policies for supervised actors"]
    )
