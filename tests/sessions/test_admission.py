"""What a pipeline may look up before a session begins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from trio.testing import MockClock

from engine.engine import Engine, open_engine
from engine.errors import NotFound, Overloaded
from engine.events import Completed
from engine.limits import Limits
from engine.sessions.admission import Admission
from engine.sessions.run import Run
from tests.sessions.doubles import AnyCommand, TestPipeline


class Picky(TestPipeline):
    """Lets in what is on the list, in capitals."""

    def __init__(self) -> None:
        super().__init__(self._work)
        self.seen: list[Any] = []

    async def admit(self, command: AnyCommand, admission: Admission) -> AnyCommand:
        if command.text not in admission.services["list"]:
            raise NotFound(f"{command.text} is not on {admission.owner}'s list")
        return AnyCommand(text=command.text.upper())

    async def run(self, run: Run, command: AnyCommand) -> Completed:
        self.seen.append(command.text)
        return Completed(data={})

    async def _work(self, run: Run) -> Completed:
        raise AssertionError("run is its own")


@asynccontextmanager
async def open_picky(pipeline: Picky, limits: Limits | None = None) -> AsyncIterator[Engine]:
    async with open_engine(
        providers=None,  # type: ignore[arg-type]
        pipelines=[pipeline],
        limits=limits,
        services={"list": ["apple"]},
    ) as engine:
        yield engine


async def test_what_is_admitted_is_what_runs_and_what_is_kept(autojump_clock: MockClock) -> None:
    """What it gives back is the command that the session runs and the journal keeps."""
    pipeline = Picky()
    async with open_picky(pipeline) as engine:
        session = await engine.start("test", {"text": "apple"}, owner="ann")
        assert session.record.command == {"text": "APPLE"}
        stored = await engine.journal.load(session.session_id)
        assert stored is not None
        assert stored.command == {"text": "APPLE"}
        await session.ended.wait()
    assert pipeline.seen == ["APPLE"]


async def test_what_is_not_there_starts_nothing(autojump_clock: MockClock) -> None:
    """A request may be refused that parses well: nothing is started then, and nothing is kept."""
    pipeline = Picky()
    async with open_picky(pipeline, Limits(max_sessions=1)) as engine:
        for _ in range(3):
            with pytest.raises(NotFound, match="plum is not on ann's list"):
                await engine.start("test", {"text": "plum"}, owner="ann")
        assert await engine.list() == ((), None)
        session = await engine.start("test", {"text": "apple"})  # a refusal holds no place
        with pytest.raises(Overloaded):
            await engine.start("test", {"text": "apple"})
        await session.ended.wait()
