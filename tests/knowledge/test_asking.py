"""One source as an actor: an answer always, in time, whatever the source does."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from engine.errors import SourceFailed
from engine.knowledge.asking import Answer, Question, SourceActor
from engine.knowledge.interface import (
    ArtistFound,
    ArtistQuery,
    ArtworkFound,
    ArtworkQuery,
    Definition,
    Source,
)
from engine.limits import Limits
from engine.supervision import ChildSpec, open_supervisor

FOUND = ArtistFound(name="A", source="museum", source_id="1", url="u")
QUERY = ArtistQuery(names=("A",))
LIMITS = Limits(source_timeout_s=10, source_mailbox=2)


class Museum:
    """A source that does what a test says."""

    name = "museum"
    url = "https://museum.example/"

    def __init__(self, find: Callable[[], Awaitable[list[ArtistFound]]]) -> None:
        self.find = find
        self.is_closed = False

    async def find_artists(self, query: ArtistQuery) -> list[ArtistFound]:
        return await self.find()

    async def find_artworks(self, query: ArtworkQuery) -> list[ArtworkFound]:
        return []

    async def define(self, concept: str) -> Definition | None:
        return None

    async def aclose(self) -> None:
        self.is_closed = True


async def finds() -> list[ArtistFound]:
    await trio.sleep(1)
    return [FOUND]


async def hangs() -> list[ArtistFound]:
    await trio.sleep_forever()
    raise AssertionError


async def fails() -> list[ArtistFound]:
    raise SourceFailed("museum is closed today", fault="unavailable")


async def crashes() -> list[ArtistFound]:
    raise KeyError("defect")


def artists(source: Source) -> Awaitable[list[ArtistFound]]:
    return source.find_artists(QUERY)


class Desk:
    """Asks an actor and collects the answers."""

    def __init__(self, actor: SourceActor) -> None:
        self.actor = actor
        self._reply, self._replies = trio.open_memory_channel[Answer[ArtistFound]](100)

    def ask(self) -> Question[ArtistFound]:
        return self.actor.ask_nowait(artists, self._reply)

    async def answer(self) -> Answer[ArtistFound]:
        return await self._replies.receive()


@asynccontextmanager
async def open_desk(
    find: Callable[[], Awaitable[list[ArtistFound]]], *, lanes: int = 1
) -> AsyncIterator[Desk]:
    actor = SourceActor(Museum(find), lanes=lanes, limits=LIMITS)
    async with open_supervisor("test") as supervisor:
        await supervisor.start(ChildSpec("museum", actor.run))
        yield Desk(actor)


async def test_answer_has_the_findings_and_a_note(autojump_clock: MockClock) -> None:
    """What was found, how many, by whom."""
    async with open_desk(finds) as desk:
        desk.ask()
        answer = await desk.answer()
    assert answer.found == (FOUND,)
    assert (answer.note.source, answer.note.gave, answer.note.why) == ("museum", 1, "")


async def test_hanging_source_is_answered_for_at_the_time_out(autojump_clock: MockClock) -> None:
    """After 10 s the note says so, and the lane is free again."""
    async with open_desk(hangs) as desk:
        began = trio.current_time()
        desk.ask()
        answer = await desk.answer()
        assert trio.current_time() - began == pytest.approx(10)
        assert answer.note.why == "museum did not answer within 10 s"
        desk.actor.source.find = finds  # type: ignore[attr-defined]
        desk.ask()
        assert (await desk.answer()).note.gave == 1


async def test_time_in_the_mailbox_counts(autojump_clock: MockClock) -> None:
    """Two questions, one lane, a hanging source: both are answered at 10 s, not at 20."""
    async with open_desk(hangs) as desk:
        began = trio.current_time()
        desk.ask()
        desk.ask()
        answers = [await desk.answer(), await desk.answer()]
        assert trio.current_time() - began == pytest.approx(10)
    assert all("did not answer" in answer.note.why for answer in answers)


async def test_failure_is_a_note_in_the_sources_words() -> None:
    """A failing source gives nothing and its reason."""
    async with open_desk(fails) as desk:
        desk.ask()
        answer = await desk.answer()
    assert (answer.found, answer.note.why) == ((), "museum is closed today")


async def test_defect_ends_one_question_only(caplog: pytest.LogCaptureFixture) -> None:
    """A crash in a connector is logged and answered; the actor works on."""
    async with open_desk(crashes) as desk:
        with caplog.at_level(logging.ERROR):
            desk.ask()
            assert "defect of ours" in (await desk.answer()).note.why
        desk.actor.source.find = fails  # type: ignore[attr-defined]
        desk.ask()
        assert (await desk.answer()).note.why == "museum is closed today"
    assert "museum crashed" in caplog.text


async def test_full_mailbox_is_answered_at_once(autojump_clock: MockClock) -> None:
    """One question in the lane, two in the mailbox: the fourth is told so without waiting."""
    async with open_desk(hangs) as desk:
        desk.ask()
        await wait_all_tasks_blocked()
        for _ in range(3):
            desk.ask()
        began = trio.current_time()
        answer = await desk.answer()
        assert trio.current_time() == began
    assert "too many questions" in answer.note.why


async def test_lanes_work_side_by_side(autojump_clock: MockClock) -> None:
    """Three lanes answer three questions in the time of one."""
    async with open_desk(finds, lanes=3) as desk:
        began = trio.current_time()
        desk.ask()
        await wait_all_tasks_blocked()
        desk.ask()
        desk.ask()
        for _ in range(3):
            await desk.answer()
        assert trio.current_time() - began == pytest.approx(1)


async def test_forgotten_question_frees_its_lane(autojump_clock: MockClock) -> None:
    """When the asker has gone, the work ends at once, begun or not."""
    async with open_desk(hangs) as desk:
        first, second = desk.ask(), desk.ask()
        await wait_all_tasks_blocked()
        first.forget()
        second.forget()
        desk.actor.source.find = finds  # type: ignore[attr-defined]
        began = trio.current_time()
        desk.ask()
        assert (await desk.answer()).note.gave == 1
        assert trio.current_time() - began == pytest.approx(1)


async def test_closing_answers_what_waits_and_what_comes() -> None:
    """No question is left without an answer by a shutdown, in a lane, in the mailbox or later."""
    async with open_desk(hangs) as desk:
        desk.ask()
        await wait_all_tasks_blocked()
        desk.ask()
    await desk.actor.aclose()
    desk.ask()
    whys = {(await desk.answer()).note.why for _ in range(3)}
    assert whys == {"museum was stopped", "museum is closed"}
    assert desk.actor.source.is_closed  # type: ignore[attr-defined]
