"""A pipeline that is told by each test what to do, and an engine around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from pydantic import BaseModel

from engine.engine import Engine, open_engine
from engine.events import JSON, Completed, Entry, Failed, Part
from engine.journal.interface import Journal
from engine.limits import Limits
from engine.providers.interface import GenerationRequest, Message
from engine.providers.registry import Providers
from engine.sessions.run import Run

Script = Callable[[Run], Awaitable[Completed | Failed]]


class AnyCommand(BaseModel):
    text: str = "hello"


class TestPipeline:
    """Does what the test wrote down."""

    __test__ = False
    is_detached = False

    def __init__(self, script: Script, name: str = "test") -> None:
        self.name = name
        self.script = script

    def parse(self, data: JSON) -> tuple[AnyCommand, tuple[str, ...]]:
        return AnyCommand(**data), ()

    async def run(self, run: Run, command: AnyCommand) -> Completed | Failed:
        return await self.script(run)


@asynccontextmanager
async def open_test_engine(
    script: Script,
    *,
    limits: Limits | None = None,
    journal: Journal | None = None,
    providers: Any = None,
) -> AsyncIterator[Engine]:
    async with open_engine(
        providers=Providers() if providers is None else providers,
        pipelines=[TestPipeline(script)],
        limits=limits or Limits(),
        journal=journal,
        random=Random(1),
    ) as engine:
        yield engine


def part(name: str = "p", phase: str = "solutio") -> Part:
    return Part(id=name, target={"prompt_id": name}, phase=phase)


def request(text: str = "write", **fields: Any) -> GenerationRequest:
    return GenerationRequest(
        messages=(Message(role="user", content=text),), model="script", **fields
    )


async def read_all(engine: Engine, session_id: str, **options: Any) -> list[Entry]:
    """Read a session's log to its end."""
    entries: list[Entry] = []
    with await engine.subscribe(session_id, **options) as subscription:
        while batch := await subscription.receive():
            entries += [entry for entry in batch if isinstance(entry, Entry)]
    return entries
