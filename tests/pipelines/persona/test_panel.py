"""Several voices at once: side by side, in debate, merged; and that one is lost alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.errors import InvalidRequest, ProviderRefused, ProviderUnavailable
from engine.events import Cancelled, Delta, Event, PartCompleted, PartFailed
from engine.pipelines.persona.conversations import Conversations
from engine.providers.interface import Delta as ProviderDelta
from engine.providers.interface import GenerationRequest
from engine.testing.scripted_provider import Fail, Hang, Script, say
from tests.pipelines.persona.doubles import (
    THREE,
    Cast,
    failure,
    fold,
    multi_chat,
    open_chat,
    outline,
    read_to_end,
    result,
    said_in,
    speaker,
    talk,
)

ALONE = ["starting", "processing", "streaming", "text", "final", "done"]
"""The order of one persona's messages."""
VICTIM, *OTHERS = THREE


def failing(who: str, error: Exception, after: str = "") -> Any:
    def answer(request: GenerationRequest, call: int) -> Script:
        if speaker(request) != who:
            return say(f"{speaker(request)} ", "answers", pace_s=0.1)
        return [ProviderDelta(text=after), Fail(error)] if after else [Fail(error)]

    return answer


def steady(tokens: dict[str, int], tokens_per_s: float) -> Any:
    """So many tokens of each, at one pace."""

    def answer(request: GenerationRequest, call: int) -> Script:
        words = [f"w{place} " for place in range(tokens[speaker(request)])]
        return say(*words, pace_s=1 / tokens_per_s)

    return answer


def speakers(events: Sequence[Event]) -> list[str]:
    """Whose text came, in order; texts of one in a row are one."""
    names: list[str] = []
    for event in events:
        if isinstance(event, Delta) and names[-1:] != [event.part.id]:
            names.append(event.part.id)
    return names


async def test_all_of_them_in_their_order(autojump_clock: MockClock) -> None:
    """For every persona, at the same time: status starting, processing, streaming → chunk* →
    persona_response; when all are: response {responses in the request's order}.
    """
    cast = Cast()
    async with open_chat(cast) as engine:
        events = await talk(engine, multi_chat("What do you think about AI?"))
    assert outline(events)[:3] == ["starting"] * 3
    assert [event.part.index for event in events[:3]] == [0, 1, 2]  # type: ignore[union-attr]
    for persona_id in THREE:
        assert outline(events, persona_id) == ALONE
    data = result(events)
    assert [row["persona_id"] for row in data["responses"]] == THREE
    assert [row["index"] for row in data["responses"]] == [0, 1, 2]
    assert data["responses"][1]["response"] == "creative_writer answers 1"
    assert data["responses"][1]["latency"] == {"first_token": 0.1, "total": 0.2}
    assert (data["failed"], data["cancelled"]) == ([], [])
    assert "**Ivo Marchetti:** creative_writer answers 1" in data["combined"]
    assert data["output_text"] == data["combined"]
    assert (data["model"], data["response_id"], data["persona_id"]) == (None, None, None)
    assert (data["reasoning_summary"], data["tool_calls"]) == (None, [])
    assert {request.metadata["persona"] for request in cast.requests} == set(THREE)
    assert all(said_in(request)[-1][1].startswith("What") for request in cast.requests)


async def test_three_at_thirty_tokens_a_second(autojump_clock: MockClock) -> None:
    """Three personas at 30 tokens a second take no longer than the slowest of them alone plus
    10 %, and their chunks interleave.
    """
    lengths = dict(zip(THREE, (60, 90, 45), strict=True))
    took: dict[str, float] = {}
    for name, ids in {"slowest": [THREE[1]], "all": THREE}.items():
        async with open_chat(Cast(steady(lengths, 30))) as engine:
            began_at = trio.current_time()
            events = await talk(engine, multi_chat("hi", ids))
            took[name] = trio.current_time() - began_at
    assert took["slowest"] == pytest.approx(3.0, abs=0.1)
    assert took["all"] <= 1.1 * took["slowest"]
    turns = speakers(events)
    assert len(turns) > 60  # they take turns, token by token
    assert {name: fold(events)[name].count("w") for name in THREE} == lengths


async def test_one_is_told_of_as_soon_as_it_is_done(autojump_clock: MockClock) -> None:
    """persona_response is sent as soon as that persona is done."""
    lengths = dict(zip(THREE, (2, 20, 20), strict=True))
    async with open_chat(Cast(steady(lengths, 10))) as engine:
        events = await talk(engine, multi_chat("hi"))
    done = next(place for place, event in enumerate(events) if isinstance(event, PartCompleted))
    assert events[done].part.id == THREE[0]  # type: ignore[union-attr]
    after = [event for event in events[done:] if isinstance(event, Delta)]
    assert len(after) > 30


async def test_one_that_fails_is_lost_alone(autojump_clock: MockClock) -> None:
    """An error of one persona is not terminal: the others go on."""
    error = ProviderRefused("it declined")
    async with open_chat(Cast(failing(VICTIM, error, after="half"))) as engine:
        events = await talk(engine, multi_chat("hi", conversation_id="c"))
        [exchange] = await Conversations(engine.journal).exchanges("c", "ann")
    for persona_id in OTHERS:
        assert outline(events, persona_id) == ALONE
    data = result(events)
    assert data["failed"] == [
        {
            "persona_id": VICTIM,
            "index": 0,
            "code": "provider_refused",
            "message": "it declined",
        }
    ]
    assert [row["persona_id"] for row in data["responses"]] == OTHERS
    assert [answer.persona_id for answer in exchange.answers] == OTHERS


async def test_a_defect_of_one_is_lost_alone(autojump_clock: MockClock) -> None:
    """A persona whose provider breaks in whatever way leaves the others untouched."""
    async with open_chat(Cast(failing(VICTIM, RuntimeError("a bug")))) as engine:
        events = await talk(engine, multi_chat("hi"))
    [lost] = [event for event in events if isinstance(event, PartFailed)]
    assert (lost.part.id, lost.code) == (VICTIM, "internal")
    assert "a bug" not in lost.message
    assert [row["persona_id"] for row in result(events)["responses"]] == OTHERS


async def test_when_all_fail_there_is_one_terminal_error(autojump_clock: MockClock) -> None:
    """When all fail: terminal error."""

    def broken(request: GenerationRequest, call: int) -> Script:
        return [Fail(ProviderRefused(f"declined {speaker(request)}"))]

    async with open_chat(Cast(broken)) as engine:
        events = await talk(engine, multi_chat("hi"))
    last = failure(events)
    assert last.code == "provider_refused"
    assert len(last.data["failed"]) == 3
    assert sum(isinstance(event, PartFailed) for event in events) == 3


async def test_one_that_is_cancelled_is_cut_alone(autojump_clock: MockClock) -> None:
    """cancel with target {"persona_id"} ends that part alone and the rest goes on."""

    def endless(request: GenerationRequest, call: int) -> Script:
        if speaker(request) == VICTIM:
            return [ProviderDelta(text="so far"), Hang()]
        return say(f"{speaker(request)} ", "answers", pace_s=0.5)

    cast = Cast(endless)
    async with open_chat(cast) as engine:
        session = await engine.start("persona", multi_chat("hi", conversation_id="c"), owner="ann")
        await trio.sleep(0.7)
        await engine.cancel(session.session_id, target={"persona_id": VICTIM})
        await trio.sleep(0.1)
        assert cast.open_calls == 2
        events = await read_to_end(engine, session.session_id)
        [exchange] = await Conversations(engine.journal).exchanges("c", "ann")
    data = result(events)
    assert data["cancelled"] == [{"persona_id": VICTIM, "index": 0, "partial": "so far"}]
    assert [row["persona_id"] for row in data["responses"]] == OTHERS
    kept = {answer.persona_id: (answer.text, answer.is_cut) for answer in exchange.answers}
    assert kept[VICTIM] == ("so far", True)
    assert kept[OTHERS[0]] == (f"{OTHERS[0]} answers", False)


async def test_when_all_are_cancelled_the_session_is(autojump_clock: MockClock) -> None:
    """One terminal message, whatever happens."""
    async with open_chat(Cast(lambda request, call: [Hang()])) as engine:
        session = await engine.start("persona", multi_chat("hi"))
        await trio.sleep(1)
        for persona_id in THREE:
            await engine.cancel(session.session_id, target={"persona_id": persona_id})
        events = await read_to_end(engine, session.session_id)
    assert isinstance(events[-1], Cancelled)
    assert events[-1].reason == "client"


async def test_a_cancel_of_all_keeps_who_was_done_and_cuts_the_rest(
    autojump_clock: MockClock,
) -> None:
    """A cancelled answer is kept as far as it was written, marked as cut."""

    def uneven(request: GenerationRequest, call: int) -> Script:
        who = speaker(request)
        return say("done") if who == VICTIM else [ProviderDelta(text=who), Hang()]

    async with open_chat(Cast(uneven)) as engine:
        session = await engine.start("persona", multi_chat("hi", conversation_id="c"), owner="ann")
        await trio.sleep(1)
        await engine.cancel(session.session_id)
        events = await read_to_end(engine, session.session_id)
        assert isinstance(events[-1], Cancelled)
        [exchange] = await Conversations(engine.journal).exchanges("c", "ann")
    assert [(answer.text, answer.is_cut) for answer in exchange.answers] == [
        ("done", False),
        (OTHERS[0], True),
        (OTHERS[1], True),
    ]


async def test_a_retry_of_one_does_not_touch_the_others(autojump_clock: MockClock) -> None:
    """A failure in mid-stream voids the text of that persona alone."""

    def dropping(request: GenerationRequest, call: int) -> Script:
        if speaker(request) == VICTIM and call == 1:
            return [ProviderDelta(text="half"), Fail(ProviderUnavailable("it dropped"))]
        return say(f"{speaker(request)} ", "answers", pace_s=0.1)

    async with open_chat(Cast(dropping)) as engine:
        events = await talk(engine, multi_chat("hi"))
    assert "attempt 2" in outline(events, VICTIM)
    assert fold(events) == {name: f"{name} answers" for name in THREE}


# ---- debates ------------------------------------------------------------------------------------


async def test_a_debate_gives_each_the_others_answers(autojump_clock: MockClock) -> None:
    """In each later round a persona is given the others' answers of the round before."""
    cast = Cast()
    async with open_chat(cast) as engine:
        events = await talk(engine, multi_chat("Tea or coffee?", mode="debate", rounds=3))
    for persona_id in THREE:
        assert outline(events, persona_id) == ALONE * 3
    third = cast.asked(VICTIM)[2]
    assert said_in(third) == [
        ("user", "Tea or coffee?"),
        ("assistant", f"{VICTIM} answers 2"),
        ("user", f"Ivo Marchetti said: {OTHERS[0]} answers 2"),
        ("user", f"Dr. Amara Osei said: {OTHERS[1]} answers 2"),
        ("user", "Tea or coffee?"),
    ]
    assert [message.name for message in third.messages] == [None, None, *OTHERS, None]
    assert "round 3 of 3" in third.instructions
    assert third.instructions.startswith("You are Maya Lindqvist")
    data = result(events)
    assert [row["response"] for row in data["responses"]] == [f"{each} answers 3" for each in THREE]
    assert [row["round"] for row in data["responses"]] == [3, 3, 3]
    assert [len(rows) for rows in data["rounds"]] == [3, 3, 3]


async def test_who_is_lost_takes_no_part_in_later_rounds(autojump_clock: MockClock) -> None:
    """A failed member never takes the others down; nor do they wait for it again."""
    cast = Cast(failing(VICTIM, ProviderRefused("it declined")))
    async with open_chat(cast) as engine:
        events = await talk(engine, multi_chat("hi", mode="debate"))
    assert len(cast.asked(VICTIM)) == 1
    assert [len(rows) for rows in result(events)["rounds"]] == [2, 2]
    second = cast.asked(OTHERS[0])[1]
    assert VICTIM not in [message.name for message in second.messages]
    assert result(events)["failed"][0]["round"] == 1


async def test_who_is_cancelled_takes_no_part_in_later_rounds(autojump_clock: MockClock) -> None:
    """A cancel of a persona holds for all rounds."""
    cast = Cast()
    async with open_chat(cast) as engine:
        request = multi_chat("hi", mode="debate", rounds=2)
        session = await engine.start("persona", request)
        await trio.sleep(0.15)
        await engine.cancel(session.session_id, target={"persona_id": VICTIM})
        data = result(await read_to_end(engine, session.session_id))
    assert len(cast.asked(VICTIM)) == 1
    assert [row["persona_id"] for row in data["responses"]] == OTHERS


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"rounds": 3}, 'rounds needs mode "debate"'),
        ({"mode": "debate", "rounds": 6}, "rounds cannot exceed 5"),
        ({"mode": "debate", "rounds": 0}, "rounds must be at least 1"),
        ({"mode": "battle"}, "mode must be 'parallel' or 'debate'"),
        ({"persona_ids": []}, "persona_ids must have at least 1 entry"),
        ({"persona_ids": ["a", "b", "a"]}, 'persona "a" is given 2 times'),
        ({"persona_ids": [f"p{n}" for n in range(33)]}, "cannot have more than 32 entries"),
        ({"temperature": 3}, "temperature cannot exceed 2"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"conversation_id": "a/b"}, "conversation_id"),
        ({"smooth": "yes"}, "smooth must be true or false"),
    ],
)
async def test_what_is_out_of_bounds_is_refused(
    fields: dict[str, Any], says: str, autojump_clock: MockClock
) -> None:
    """multi_chat: persona_ids (1 to 32, no repeats), rounds 1 to 5, mode parallel or debate."""
    request = multi_chat("hi")
    request["data"].update(fields)
    async with open_chat() as engine:
        with pytest.raises(InvalidRequest) as caught:
            await engine.start("persona", request)
    assert says in caught.value.message


# ---- synthesis ----------------------------------------------------------------------------------


async def test_a_synthesis_merges_what_they_said(autojump_clock: MockClock) -> None:
    """`synthesis`: one more actor merges the answers into a combined one."""
    cast = Cast()
    async with open_chat(cast) as engine:
        events = await talk(engine, multi_chat("Tea?", synthesis=True, conversation_id="c"))
        [exchange] = await Conversations(engine.journal).exchanges("c", "ann")
    assert outline(events, "synthesis") == ALONE
    data = result(events)
    assert data["combined"] == "synthesis answers 1"
    assert data["response_id"].startswith("resp_")
    assert len(data["responses"]) == 3
    [request] = cast.asked("synthesis")
    assert said_in(request)[-1] == ("user", "Tea?")
    assert [message.name for message in request.messages[:-1]] == THREE
    assert exchange.answers[-1].persona_id == "synthesis"


async def test_a_synthesis_that_fails_leaves_the_answers(autojump_clock: MockClock) -> None:
    """Nothing of the personas' is lost with the one that was to merge them."""
    cast = Cast(failing("synthesis", ProviderRefused("it declined")))
    async with open_chat(cast) as engine:
        data = result(await talk(engine, multi_chat("hi", synthesis=True)))
    assert len(data["responses"]) == 3
    assert "**Maya Lindqvist:**" in data["combined"]
    assert data["failed"][0]["persona_id"] == "synthesis"


async def test_one_answer_needs_no_synthesis(autojump_clock: MockClock) -> None:
    """There is nothing to merge in one answer."""
    cast = Cast()
    async with open_chat(cast) as engine:
        data = result(await talk(engine, multi_chat("hi", [VICTIM], synthesis=True)))
    assert cast.asked("synthesis") == []
    assert data["combined"] == f"**Maya Lindqvist:** {VICTIM} answers 1"
