"""One voice at a time: the order of its log, who answers, and what a cancel leaves."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.errors import (
    InvalidRequest,
    NotFound,
    ProviderNotConfigured,
    ProviderNotFound,
    ProviderRefused,
    ProviderUnavailable,
    UnsupportedType,
)
from engine.events import Cancelled, Completed, Delta, PartCancelled, Progress
from engine.pipelines.persona.conversations import Conversations
from engine.providers.interface import Delta as ProviderDelta
from engine.providers.interface import GenerationRequest, Profile
from engine.testing.scripted_provider import Fail, Hang, Script, Sleep, say
from tests.pipelines.persona.doubles import (
    Cast,
    chat,
    failure,
    fold,
    multi_chat,
    open_chat,
    openai_chat,
    outline,
    read_to_end,
    result,
    said_in,
    talk,
)

STATEFUL = Profile(api="responses", reasoning=True, stateful=True)
WEB_SEARCH = {"type": "web_search"}


async def test_openai_chat_in_its_order(autojump_clock: MockClock) -> None:
    """status starting → processing → streaming (with the first token) → reasoning* → chunk* →
    the final chunk → response.
    """

    def thoughtful(request: GenerationRequest, call: int) -> Script:
        first = [ProviderDelta(reasoning="hm"), Sleep(0.1), ProviderDelta(reasoning=", so")]
        return [Sleep(0.5), *first, *say("Hel", "lo", pace_s=0.1)]

    cast = Cast(thoughtful)
    async with open_chat(cast) as engine:
        events = await talk(engine, openai_chat(include_reasoning=True))
    assert outline(events) == [
        "starting",
        "processing",
        "streaming",
        "reasoning",
        "text",
        "done",
        "completed",
    ]
    statuses = [event.message for event in events if isinstance(event, Progress)]
    assert statuses[:2] == ["Initializing...", "Sending request..."]
    data = result(events)
    assert data["response"] == data["output_text"] == "Hello"
    assert data["reasoning_summary"] == "hm, so"
    assert data["persona_id"] is None
    assert data["tool_calls"] == []
    assert data["conversation_id"].startswith("conv_")
    assert data["response_id"].startswith("resp_")
    assert data["latency"] == {"first_token": 0.7, "total": 0.8}
    assert data["usage"]["output_tokens"] == 2
    assert cast.requests[0].reasoning


async def test_streaming_is_said_with_the_first_token_and_not_before(
    autojump_clock: MockClock,
) -> None:
    """The status `streaming` stands directly before the first token."""

    def late(request: GenerationRequest, call: int) -> Script:
        return [ProviderDelta(model="m-2026"), Sleep(3), *say("late")]

    async with open_chat(Cast(late)) as engine:
        session = await engine.start("persona", chat("hi"))
        await trio.sleep(2)
        events: list[Any] = []
        with await engine.subscribe(session.session_id) as subscription:
            while batch := await subscription.receive():
                events += [(trio.current_time(), entry.event) for entry in batch]
    words = outline([event for _, event in events])
    assert words == ["starting", "processing", "streaming", "text", "done", "completed"]
    at = {word: when for word, (when, _) in zip(words, events, strict=True)}
    assert at["streaming"] == at["text"] == at["processing"] + 1


async def test_every_parameter_reaches_the_provider(autojump_clock: MockClock) -> None:
    """Every parameter is honoured or refused; none is ignored."""
    cast, other = Cast(), Cast(name="other")
    fields = {"temperature": 0.7, "max_tokens": 99, "api": "other", "model": "m"}
    async with open_chat(cast, other) as engine:
        await talk(
            engine,
            openai_chat(instructions="Be brief.", tools=[WEB_SEARCH], **fields),
        )
        await talk(engine, chat("hi", **fields))
    assert cast.requests == []
    first, second = other.requests
    assert first.instructions == "Be brief."
    assert first.tools == (WEB_SEARCH,)
    for request in other.requests:
        assert (request.temperature, request.max_tokens, request.model) == (0.7, 99, "m")
    assert second.instructions.startswith("You are Maya Lindqvist")
    assert said_in(second) == [("user", "hi")]
    assert second.metadata["persona"] == "tech_enthusiast"


async def test_a_persona_speaks_at_its_own_temperature(autojump_clock: MockClock) -> None:
    """A persona's own provider, model and temperature count, unless the request says otherwise."""
    cast = Cast()
    async with open_chat(cast) as engine:
        await talk(engine, chat("hi", "creative_writer"))
        await talk(engine, chat("hi", "creative_writer", temperature=0.1))
        await talk(engine, openai_chat("hi"))
    assert [request.temperature for request in cast.requests] == [1.0, 0.1, None]


async def test_openai_answers_where_it_is_configured_else_the_default(
    autojump_clock: MockClock,
) -> None:
    """Served by the `openai` provider where configured; on any other the same request works."""
    cast, openai = Cast(), Cast(name="openai", models=["gpt-4o-mini"])
    async with open_chat(cast, openai) as engine:
        assert result(await talk(engine, openai_chat(model="gpt-4o-mini")))["provider"] == "openai"
        assert result(await talk(engine, openai_chat()))["provider"] == "openai"
    async with open_chat(cast) as engine:
        data = result(await talk(engine, openai_chat(model="gpt-4o-mini")))
    assert data["provider"] == "cast"
    assert data["model"] == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("request_", "error", "says"),
    [
        (chat("hi", "nobody"), NotFound, 'unknown persona "nobody"; there are creative_writer'),
        (
            multi_chat("hi", ["x", "night_nurse", "y"]),
            NotFound,
            'unknown personas "x", "y"; there are',
        ),
        (chat("hi", api="openai"), ProviderNotConfigured, "OPENAI_API_KEY"),
        (chat("hi", api="acme"), ProviderNotFound, "acme"),
        (chat("hi", previous_response_id="resp_1"), NotFound, "resp_1"),
        (openai_chat(previous_response_id="resp_1"), NotFound, "resp_1"),
        (openai_chat("  "), InvalidRequest, "input_text must have at least 1 character"),
        (chat("hi", rounds=2) | {"type": "sing"}, UnsupportedType, "openai_chat, chat, multi_chat"),
        ({"type": "chat"}, InvalidRequest, 'in an object "data"'),
    ],
)
async def test_what_is_refused_starts_nothing(
    request_: dict[str, Any], error: type[Exception], says: str, autojump_clock: MockClock
) -> None:
    """Any unknown persona refuses the request, naming all unknown, and lists the ids."""
    cast = Cast()
    async with open_chat(cast) as engine:
        with pytest.raises(error) as caught:
            await engine.start("persona", request_, owner="ann")
        assert says in str(caught.value)
        assert await engine.list() == ((), None)
        assert await Conversations(engine.journal).list("ann") == ()
    assert cast.requests == []


async def test_what_a_provider_cannot_do_is_refused_by_name(autojump_clock: MockClock) -> None:
    """Every parameter is honoured or refused."""
    plain = Cast(profile=Profile(tools=False, reasoning=False))
    async with open_chat(plain) as engine:
        with pytest.raises(InvalidRequest) as caught:
            await engine.start("persona", openai_chat(include_reasoning=True, tools=[WEB_SEARCH]))
    assert [path for path, _ in caught.value.details] == ["data.include_reasoning", "data.tools"]


async def test_a_tool_call_is_shown_and_listed(autojump_clock: MockClock) -> None:
    """Tool calls: {"type":"tool","status","tool","data"}; a call alone is an answer too."""
    call = {"status": "completed", "tool": "search", "data": {"call_id": "c1", "arguments": "{}"}}
    under_way = {**call, "status": "in_progress"}

    def calling(request: GenerationRequest, number: int) -> Script:
        steps = [ProviderDelta(tool=under_way), ProviderDelta(tool=call)]
        return [*steps, ProviderDelta(finish="tool_calls")]

    async with open_chat(Cast(calling)) as engine:
        events = await talk(engine, openai_chat(tools=[WEB_SEARCH]))
    expected = ["starting", "processing", "streaming", "tool", "tool", "done", "completed"]
    assert outline(events) == expected
    assert result(events)["tool_calls"] == [call]
    assert result(events)["finish_reason"] == "tool_calls"


async def test_an_answer_without_text_is_a_failure(autojump_clock: MockClock) -> None:
    """An empty answer is not called a success."""

    def silent(request: GenerationRequest, call: int) -> Script:
        return say("  \n")

    async with open_chat(Cast(silent)) as engine:
        assert failure(await talk(engine, chat("hi"))).code == "provider_bad_output"


async def test_a_retry_is_an_attempt_and_streaming_is_said_once(
    autojump_clock: MockClock,
) -> None:
    """A client that folds the messages by the attempts always holds exactly the final text."""

    def dropping(request: GenerationRequest, call: int) -> Script:
        if call == 1:
            return [ProviderDelta(text="half an"), Fail(ProviderUnavailable("it dropped"))]
        return say("the whole answer")

    async with open_chat(Cast(dropping)) as engine:
        events = await talk(engine, chat("hi"))
    assert outline(events) == [
        "starting",
        "processing",
        "streaming",
        "text",
        "attempt 2",
        "text",
        "done",
        "completed",
    ]
    assert fold(events) == {"tech_enthusiast": "the whole answer"}
    assert result(events)["response"] == "the whole answer"


async def test_the_only_voice_that_fails_ends_the_session(autojump_clock: MockClock) -> None:
    """The terminal message of a session whose provider failed is one error."""

    def refusing(request: GenerationRequest, call: int) -> Script:
        return [Fail(ProviderRefused("it declined"))]

    async with open_chat(Cast(refusing)) as engine:
        events = await talk(engine, chat("hi"))
        assert failure(events).code == "provider_refused"
        assert outline(events) == ["starting", "processing", "failed"]
        assert await Conversations(engine.journal).list("ann") == ()


@pytest.mark.parametrize("whole", [True, False])
async def test_a_cancelled_answer_is_kept_as_far_as_it_was_written(
    whole: bool, autojump_clock: MockClock
) -> None:
    """A cancelled answer is kept as far as it was written, marked as cut."""

    def endless(request: GenerationRequest, call: int) -> Script:
        return [ProviderDelta(text="as far"), Sleep(1), ProviderDelta(text=" as this"), Hang()]

    cast = Cast(endless)
    async with open_chat(cast) as engine:
        session = await engine.start("persona", chat("hi"), owner="ann")
        await trio.sleep(2)
        target = None if whole else {"persona_id": "tech_enthusiast"}
        await engine.cancel(session.session_id, target=target)
        events = await read_to_end(engine, session.session_id)
        assert isinstance(events[-1], Cancelled)
        assert events[-1].partial == {"tech_enthusiast": "as far as this"}
        assert whole != any(isinstance(event, PartCancelled) for event in events)
        conversations = Conversations(engine.journal)
        [header] = await conversations.list("ann")
        [exchange] = await conversations.exchanges(header.id, "ann")
    [answer] = exchange.answers
    assert (answer.text, answer.is_cut) == ("as far as this", True)
    assert cast.open_calls == 0


async def test_a_cut_answer_is_told_as_cut(autojump_clock: MockClock) -> None:
    """The model learns that its earlier answer was interrupted."""

    def first_endless(request: GenerationRequest, call: int) -> Script:
        return [ProviderDelta(text="I was about"), Hang()] if call == 1 else say("fine")

    cast = Cast(first_endless)
    async with open_chat(cast) as engine:
        session = await engine.start("persona", chat("hi", conversation_id="c"), owner="ann")
        await trio.sleep(1)
        await engine.cancel(session.session_id)
        await session.ended.wait()
        await talk(engine, chat("go on", conversation_id="c"))
    assert said_in(cast.requests[1]) == [
        ("user", "hi"),
        ("assistant", "I was about … [interrupted by the user here]"),
        ("user", "go on"),
    ]


async def test_a_cancel_before_the_first_token(autojump_clock: MockClock) -> None:
    """It works before the first token; what the user said is kept, and nothing is made up."""
    cast = Cast(lambda request, call: [Hang()])
    async with open_chat(cast) as engine:
        session = await engine.start("persona", chat("hi", conversation_id="c"), owner="ann")
        await trio.testing.wait_all_tasks_blocked()
        await engine.cancel(session.session_id)
        events = await read_to_end(engine, session.session_id)
        assert isinstance(events[-1], Cancelled)
        [exchange] = await Conversations(engine.journal).exchanges("c", "ann")
    assert exchange.message == "hi"
    assert [(answer.text, answer.is_cut) for answer in exchange.answers] == [("", True)]


# ---- a provider that keeps conversations itself --------------------------------------------------


def numbered(request: GenerationRequest, call: int) -> Script:
    return [ProviderDelta(response_id=f"up_{call}"), *say(f"answer {call}")]


async def test_responses_go_on_by_the_providers_own_id(autojump_clock: MockClock) -> None:
    """Stateful: previous_response_id where the provider has it; clients see our ids alone."""
    openai = Cast(numbered, name="openai", profile=STATEFUL)
    async with open_chat(Cast(), openai) as engine:
        first = result(await talk(engine, openai_chat("one", instructions="Be brief.")))
        follow = {"previous_response_id": first["response_id"]}
        second = result(await talk(engine, openai_chat("two", **follow)))
        third = {"conversation_id": second["conversation_id"]}
        await talk(engine, openai_chat("three", **third))
    assert second["conversation_id"] == first["conversation_id"]
    assert [request.previous_response_id for request in openai.requests] == [None, "up_1", "up_2"]
    assert said_in(openai.requests[1]) == [("user", "two")]
    assert "up_" not in str(first)


async def test_an_unknown_response_id_is_handed_on_where_the_provider_may_know_it(
    autojump_clock: MockClock,
) -> None:
    """previous_response_id of a provider that keeps conversations may come from elsewhere."""
    openai = Cast(numbered, name="openai", profile=STATEFUL)
    async with open_chat(openai) as engine:
        await talk(engine, openai_chat(previous_response_id="resp_elsewhere"))
        with pytest.raises(NotFound):
            await engine.start("persona", chat("hi", previous_response_id="resp_elsewhere"))
    assert [request.previous_response_id for request in openai.requests] == ["resp_elsewhere"]


async def test_what_the_provider_has_forgotten_is_sent_again(autojump_clock: MockClock) -> None:
    """The history of that conversation is sent along."""

    def forgetful(request: GenerationRequest, call: int) -> Script:
        if request.previous_response_id is not None:
            return [Fail(ProviderRefused("previous response not found"))]
        return numbered(request, call)

    openai = Cast(forgetful, name="openai", profile=STATEFUL)
    async with open_chat(openai) as engine:
        await talk(engine, openai_chat("one", conversation_id="c"))
        events = await talk(engine, openai_chat("two", conversation_id="c"))
    assert isinstance(events[-1], Completed)
    assert "attempt 2" in outline(events)
    assert said_in(openai.requests[-1]) == [
        ("user", "one"),
        ("assistant", "answer 1"),
        ("user", "two"),
    ]


async def test_a_branch_goes_on_after_the_response_that_it_names(
    autojump_clock: MockClock,
) -> None:
    """An earlier response: its conversation is gone on with, as it was after that response."""
    cast = Cast()
    async with open_chat(cast) as engine:
        first = result(await talk(engine, openai_chat("one")))
        here = {"conversation_id": first["conversation_id"]}
        await trio.sleep(1)
        await talk(engine, openai_chat("two", **here))
        await trio.sleep(1)
        follow = {"previous_response_id": first["response_id"]}
        await talk(engine, openai_chat("another two", **follow))
        with pytest.raises(InvalidRequest, match="another conversation"):
            await engine.start(
                "persona", openai_chat(conversation_id="other", **follow), owner="ann"
            )
    assert said_in(cast.requests[-1]) == [
        ("user", "one"),
        ("assistant", "chat answers 1"),
        ("user", "another two"),
    ]


async def test_smooth_gives_the_same_text_word_by_word(autojump_clock: MockClock) -> None:
    """`smooth` evens out bursts by word, at the model's own rate."""
    burst = "one two three four five six seven eight nine ten "

    def bursty(request: GenerationRequest, call: int) -> Script:
        return [*[step for _ in range(4) for step in (Sleep(1.0), ProviderDelta(text=burst))],
                *say("end")]  # fmt: skip

    counts = {}
    for smooth in (False, True):
        async with open_chat(Cast(bursty)) as engine:
            events = await talk(engine, chat("hi", smooth=smooth))
        assert fold(events) == {"tech_enthusiast": burst * 4 + "end"}
        counts[smooth] = sum(isinstance(event, Delta) for event in events)
    assert counts[False] <= 5
    assert counts[True] >= 30
