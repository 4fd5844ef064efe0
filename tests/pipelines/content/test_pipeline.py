"""The content pipeline against contract 2, on the virtual clock."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.errors import ProviderUnavailable
from engine.events import (
    JSON,
    Attempt,
    Cancelled,
    Completed,
    Delta,
    Event,
    Failed,
    PartCompleted,
    PhaseStarted,
    Progress,
)
from engine.pipelines.content.pipeline import ContentPipeline
from engine.pipelines.content.templates import Templates
from engine.providers.interface import Delta as Piece
from engine.testing.scripted_provider import Fail, Hang, ScriptedProvider, Sleep, say
from tests.pipelines.content.samples import MCQ, NMCQ, edited
from tests.pipelines.rig import open_rig, read_events, run_to_end

NOTES = "Aspirin lowers mortality in acute coronary syndrome. Zinc deficiency dulls the taste."
DRAFT = "A draft about aspirin and zinc."
BAD = edited(MCQ, ("Question 2", "Question 3")).strip()


def request(**fields: Any) -> JSON:
    return {"content_type": "MCQ", "input_text": NOTES, "num_questions": 2, **fields}


def steps(events: list[Event]) -> list[tuple[Any, ...]]:
    """Say in short what a client sees; tokens of one stage in a row are one step."""
    seen: list[tuple[Any, ...]] = []
    for event in events:
        match event:
            case Delta(part=part):
                step: tuple[Any, ...] = ("token", part.phase)
            case PhaseStarted() | Progress():
                step = ("progress", event.phase, event.progress_percent)
            case PartCompleted(part=part):
                step = ("part", part.id, event.data["progress"])
            case Attempt(part=part):
                step = ("attempt", part.id, part.attempt, event.reason)
            case _:
                step = (type(event).__name__.lower(),)
        if step[0] != "token" or not seen or seen[-1] != step:
            seen.append(step)
    return seen


def percents(events: list[Event]) -> list[float]:
    return [
        event.progress_percent
        for event in events
        if isinstance(event, PhaseStarted | Progress) and event.progress_percent is not None
    ]


def prompt_of(provider: ScriptedProvider, call: int) -> str:
    return provider.requests[call].messages[-1].content


async def test_a_run_has_its_events_in_the_contracts_order(autojump_clock: MockClock) -> None:
    """start, load_prompts 10, generator 30, tokens, draft 50, formatter 60, tokens, validator 80,
    done 100, complete.
    """
    provider = ScriptedProvider(say(DRAFT), say(f"\n{MCQ}\n"))
    events = await run_to_end(ContentPipeline(), request(), provider)

    assert steps(events) == [
        ("progress", "init", None),
        ("progress", "load_prompts", 10),
        ("progress", "generator", 30),
        ("token", "generator"),
        ("part", "generator", 50),
        ("progress", "formatter", 60),
        ("token", "formatter"),
        ("progress", "validator", 80),
        ("part", "formatter", 100),
        ("completed",),
    ]
    assert isinstance(events[2], PhaseStarted)
    assert events[2].message == "Generating content using script..."
    assert isinstance(events[4], PartCompleted)
    assert events[4].data["message"] == "Initial draft generated"
    assert events[4].text == DRAFT
    assert events[4].part.target == {"stage": "generator"}


async def test_complete_is_the_object_of_the_contract(autojump_clock: MockClock) -> None:
    """complete {success, output, validation_errors, metadata}; output is the text, trimmed."""
    provider = ScriptedProvider(say(DRAFT, pace_s=1), say(f"\n{MCQ}\n", pace_s=2))
    events = await run_to_end(ContentPipeline(), request(), provider)

    terminal = events[-1]
    assert isinstance(terminal, Completed)
    metadata = terminal.data["metadata"]
    hashes = metadata.pop("prompt_hashes")
    usage = metadata.pop("usage")
    times = {key: metadata.pop(key) for key in ("time_to_first_token", "total_time")}
    assert times == pytest.approx({"time_to_first_token": 1.0, "total_time": 3.0}, abs=1e-6)
    assert metadata.pop("latencies") == pytest.approx(
        {"generator": 1.0, "formatter": 2.0}, abs=1e-6
    )
    assert terminal.data == {
        "success": True,
        "output": MCQ.strip(),
        "validation_errors": [],
        "metadata": {
            "content_type": "MCQ",
            "num_questions": 2,
            "generator_model": "script",
            "formatter_model": "script",
            "formatter_retries": 0,
        },
    }
    assert {
        stage: re.fullmatch(r"[0-9a-f]{64}", found) is not None for stage, found in hashes.items()
    } == {
        "generator": True,
        "formatter": True,
    }
    assert usage["total_tokens"] > 0
    assert usage == terminal.usage


async def test_models_temperatures_and_purpose_reach_the_provider(
    autojump_clock: MockClock,
) -> None:
    """Each stage has its own model, temperature and top_p."""
    first = ScriptedProvider(say(DRAFT), name="first")
    second = ScriptedProvider(say(MCQ), name="second")
    data = request(
        generator_model="first/big",
        formatter_model="second/small",
        generator_temperature=0.9,
        generator_top_p=0.8,
        formatter_temperature=0.1,
        formatter_top_p=0.2,
    )
    events = await run_to_end(ContentPipeline(), data, first, second)

    asked, laid_out = first.requests[0], second.requests[0]
    assert (asked.model, asked.temperature, asked.top_p) == ("big", 0.9, 0.8)
    assert (laid_out.model, laid_out.temperature, laid_out.top_p) == ("small", 0.1, 0.2)
    assert asked.metadata == {
        "purpose": "content.generator",
        "content_type": "MCQ",
        "num_questions": "2",
    }
    assert laid_out.metadata["purpose"] == "content.formatter"
    assert isinstance(events[-1], Completed)
    assert events[-1].data["metadata"]["generator_model"] == "big"
    assert "Generating content using big..." in [
        event.message for event in events if isinstance(event, PhaseStarted)
    ]


async def test_the_prompts_hold_notes_number_and_focus(autojump_clock: MockClock) -> None:
    """The placeholders are filled; focus areas are "Not specified" by default."""
    provider = ScriptedProvider(say(DRAFT), say(MCQ), say(DRAFT), say(MCQ))
    await run_to_end(ContentPipeline(), request(), provider)
    await run_to_end(ContentPipeline(), request(focus_areas="the taste"), provider)

    for call, text in enumerate([NOTES, DRAFT, NOTES, DRAFT]):
        assert text in prompt_of(provider, call)
        assert "exactly 2 questions" in prompt_of(provider, call)
        assert "{{" not in prompt_of(provider, call)
        assert ("Not specified\n" in prompt_of(provider, call)) is (call < 2)
        assert ("the taste\n" in prompt_of(provider, call)) is (call >= 2)


@pytest.mark.parametrize(
    ("number", "sizes"), [(1, "1"), (9, "9"), (13, "13"), (14, "7, 7"), (20, "10, 10")]
)
async def test_vignettes_are_a_ninth_of_the_questions(
    autojump_clock: MockClock, number: int, sizes: str
) -> None:
    """NMCQ: vignettes = max(1, round(n/9)), and the number is the total of questions."""
    provider = ScriptedProvider(say(DRAFT), say(NMCQ))
    data = request(content_type="NMCQ", num_questions=number, max_retries=0)
    await run_to_end(ContentPipeline(), data, provider)

    plan = provider.requests[0].instructions
    assert provider.requests[1].instructions == plan
    assert f"exactly {number} questions in all" in plan
    assert re.findall(r"(\d+) in vignette", plan) == sizes.split(", ")


async def test_a_text_that_fails_is_laid_out_again_with_draft_output_and_errors(
    autojump_clock: MockClock,
) -> None:
    """A retry gives the formatter the original draft, its last output and the errors."""
    provider = ScriptedProvider(say(DRAFT), say(BAD), say(MCQ))
    events = await run_to_end(ContentPipeline(), request(), provider)

    assert steps(events)[5:] == [
        ("progress", "formatter", 60),
        ("token", "formatter"),
        ("progress", "validator", 80),
        ("progress", "retry", 85),
        ("attempt", "formatter", 2, "validation"),
        ("token", "formatter"),
        ("progress", "validator", 85),
        ("part", "formatter", 100),
        ("completed",),
    ]
    retry = prompt_of(provider, 2)
    assert DRAFT in retry
    assert BAD in retry
    assert "- Line 28, Title: Question 3 stands where 2 is expected" in retry
    assert prompt_of(provider, 1).rstrip() in retry
    assert [e.message for e in events if isinstance(e, Progress) and e.phase == "retry"] == [
        "Retrying formatting (attempt 1)..."
    ]
    assert isinstance(events[-1], Completed)
    assert events[-1].data["output"] == MCQ.strip()
    assert events[-1].data["metadata"]["formatter_retries"] == 1


@pytest.mark.parametrize("max_retries", [0, 1, 2, 5])
async def test_after_the_last_retry_the_session_has_failed(
    autojump_clock: MockClock, max_retries: int
) -> None:
    """success false, output null, partial_output the text, and the errors; the state is failed."""
    provider = ScriptedProvider(say(DRAFT), say(BAD))
    async with open_rig(ContentPipeline(), provider) as engine:
        session = await engine.start("content", request(max_retries=max_retries))
        events = await read_events(engine, session.session_id)
        assert (await engine.record(session.session_id)).state == "failed"

    retries = [e for e in events if isinstance(e, Progress) and e.phase == "retry"]
    assert [e.progress_percent for e in retries] == [85, 90, 95, 95, 95][:max_retries]
    assert [e.message for e in retries] == [
        f"Retrying formatting (attempt {k})..." for k in range(1, max_retries + 1)
    ]
    assert [e.part.attempt for e in events if isinstance(e, Attempt)] == list(
        range(2, max_retries + 2)
    )
    assert len(provider.calls) == 2 + max_retries
    assert steps(events)[-2:] == [("progress", "fail", 100), ("failed",)]
    terminal = events[-1]
    assert isinstance(terminal, Failed)
    assert terminal.code == "validation_failed"
    assert terminal.data["success"] is False
    assert terminal.data["output"] is None
    assert terminal.data["partial_output"] == BAD
    assert terminal.data["validation_errors"] == [
        {"line": 28, "message": "Question 3 stands where 2 is expected", "section": "Title"}
    ]
    assert terminal.data["metadata"]["formatter_retries"] == max_retries


async def test_progress_moves_with_the_draft_and_never_goes_down(autojump_clock: MockClock) -> None:
    """Progress moves from 30 to 50 with the tokens, again at most each 250 ms."""
    draft = [f"word {number} " for number in range(400)]
    provider = ScriptedProvider(say(*draft, pace_s=0.01), say(BAD, pace_s=0.1), say(MCQ))
    async with open_rig(ContentPipeline(), provider) as engine:
        session = await engine.start("content", request())
        shown: list[tuple[float, float]] = []
        events: list[Event] = []
        with await engine.subscribe(session.session_id) as subscription:
            while batch := await subscription.receive():
                for entry in batch:
                    event = entry.event  # type: ignore[union-attr]
                    events.append(event)
                    if isinstance(event, Progress) and event.phase == "generator":
                        shown.append((trio.current_time(), event.progress_percent or 0))

    assert percents(events) == sorted(percents(events))
    assert len(shown) >= 8
    assert all(30 < percent <= 50 for _, percent in shown)
    waits = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(shown)]
    assert min(waits) >= 0.249
    assert len({percent for _, percent in shown}) == len(shown)


async def test_a_provider_that_drops_the_draft_is_asked_again(autojump_clock: MockClock) -> None:
    """A retry is a new attempt of that part; folding gives the last attempt's text only."""
    provider = ScriptedProvider(
        [Piece(text="half a dr"), Fail(ProviderUnavailable("it dropped the stream"))],
        say(DRAFT),
        say(MCQ),
    )
    events = await run_to_end(ContentPipeline(), request(), provider)

    assert ("attempt", "generator", 2, "provider") in steps(events)
    assert percents(events) == sorted(percents(events))
    assert "half a dr" not in prompt_of(provider, 2)
    assert isinstance(events[-1], Completed)


async def test_a_provider_that_fails_for_good_ends_the_session_at_its_stage(
    autojump_clock: MockClock,
) -> None:
    """Any other failure: error {error, code, stage} as the terminal event."""
    provider = ScriptedProvider(say(DRAFT), [Fail(ProviderUnavailable("it cannot be reached"))])
    events = await run_to_end(ContentPipeline(), request(), provider)

    terminal = events[-1]
    assert isinstance(terminal, Failed)
    assert (terminal.code, terminal.phase) == ("provider_unavailable", "formatter")


async def test_an_unknown_model_fails_before_anything_is_written(autojump_clock: MockClock) -> None:
    """A formatter that does not exist must not cost a draft."""
    provider = ScriptedProvider(say(DRAFT))
    events = await run_to_end(ContentPipeline(), request(formatter_model="nobody/x"), provider)

    terminal = events[-1]
    assert isinstance(terminal, Failed)
    assert (terminal.code, terminal.phase) == ("provider_not_found", "load_prompts")
    assert provider.calls == []


async def test_an_empty_draft_is_a_failure_and_not_formatted(autojump_clock: MockClock) -> None:
    """A formatter that is given nothing would invent something."""
    provider = ScriptedProvider(say(" \n"), say(MCQ))
    events = await run_to_end(ContentPipeline(), request(), provider)

    terminal = events[-1]
    assert isinstance(terminal, Failed)
    assert (terminal.code, terminal.phase) == ("provider_bad_output", "generator")
    assert len(provider.calls) == 1


async def test_a_missing_template_is_an_error_that_names_its_file(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """A missing one is an error that names the file, never an empty prompt."""
    provider = ScriptedProvider(say(DRAFT))
    pipeline = ContentPipeline(Templates(packaged=tmp_path))
    events = await run_to_end(pipeline, request(), provider)

    terminal = events[-1]
    assert isinstance(terminal, Failed)
    assert terminal.phase == "load_prompts"
    assert str(tmp_path / "mcq_generator.md") in terminal.message
    assert provider.calls == []


async def test_the_first_half_ends_with_the_draft(autojump_clock: MockClock) -> None:
    """/run/stream/draft: the generator alone; a person edits the draft."""
    provider = ScriptedProvider(say(DRAFT))
    events = await run_to_end(ContentPipeline(), request(half="draft"), provider)

    assert steps(events) == [
        ("progress", "init", None),
        ("progress", "load_prompts", 10),
        ("progress", "generator", 30),
        ("token", "generator"),
        ("part", "generator", 50),
        ("progress", "done", 100),
        ("completed",),
    ]
    terminal = events[-1]
    assert isinstance(terminal, Completed)
    assert terminal.data["output"] == DRAFT
    assert "formatter_model" not in terminal.data["metadata"]


async def test_the_second_half_begins_with_a_draft(autojump_clock: MockClock) -> None:
    """/run/stream/format: the formatter on a given draft."""
    provider = ScriptedProvider(say(MCQ))
    data = {"content_type": "MCQ", "draft": DRAFT, "num_questions": 2, "half": "format"}
    events = await run_to_end(ContentPipeline(), data, provider)

    assert steps(events) == [
        ("progress", "init", None),
        ("progress", "load_prompts", 10),
        ("progress", "formatter", 60),
        ("token", "formatter"),
        ("progress", "validator", 80),
        ("part", "formatter", 100),
        ("completed",),
    ]
    assert DRAFT in prompt_of(provider, 0)


@pytest.mark.parametrize("stage", ["generator", "formatter", "retry"])
async def test_a_cancel_in_any_stage_closes_the_upstream(
    autojump_clock: MockClock, stage: str
) -> None:
    """A run that is cancelled closes its upstream, in each stage."""
    hang = [Piece(text="some text"), Hang()]
    scripts = {
        "generator": [hang],
        "formatter": [say(DRAFT), hang],
        "retry": [say(DRAFT), say(BAD), hang],
    }[stage]
    provider = ScriptedProvider(*scripts)
    async with open_rig(ContentPipeline(), provider) as engine:
        session = await engine.start("content", request())
        events: list[Event] = []
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                events.extend(await read_events(engine, session.session_id))

            nursery.start_soon(read)
            await trio.sleep(1)
            assert provider.open_calls == 1
            await engine.cancel(session.session_id)
        assert provider.open_calls == 0

    terminal = events[-1]
    assert isinstance(terminal, Cancelled)
    last = "generator" if stage == "generator" else "formatter"
    assert terminal.partial[last] == "some text"
    assert terminal.receipt.upstream_closed_ms is not None


async def test_a_stage_cancelled_alone_ends_the_run(autojump_clock: MockClock) -> None:
    """Nothing can follow a stage that is cut, so the session is cancelled with it."""
    provider = ScriptedProvider([Piece(text="some text"), Hang()])
    async with open_rig(ContentPipeline(), provider) as engine:
        session = await engine.start("content", request())
        events: list[Event] = []
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                events.extend(await read_events(engine, session.session_id))

            nursery.start_soon(read)
            await trio.sleep(1)
            await engine.cancel(session.session_id, target={"phase": "generator"})
    assert steps(events)[-2:] == [("partcancelled",), ("cancelled",)]
    assert provider.open_calls == 0


async def test_a_paused_draft_shows_no_progress(autojump_clock: MockClock) -> None:
    """What has not moved is not shown again."""
    provider = ScriptedProvider(
        [Piece(text="some text " * 20), Sleep(30), Piece(text=".", finish="stop")], say(MCQ)
    )
    events = await run_to_end(ContentPipeline(), request(), provider)
    moved = [e for e in events if isinstance(e, Progress) and e.phase == "generator"]
    assert len(moved) == 1
