"""A provider that answers by persona, an engine around the pipeline, and what comes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio

from engine.callers import Options
from engine.engine import Engine, open_engine
from engine.errors import ProviderNotConfigured, ProviderNotFound
from engine.events import (
    Attempt,
    Cancelled,
    Completed,
    Delta,
    Entry,
    Event,
    Failed,
    Item,
    PartCancelled,
    PartCompleted,
    PartFailed,
    Progress,
    Reasoning,
)
from engine.journal.interface import Journal
from engine.limits import Limits
from engine.pipelines.persona import PersonaPipeline
from engine.providers.interface import Delta as ProviderDelta
from engine.providers.interface import (
    GenerationRequest,
    Profile,
    Provider,
    ProviderHealth,
    ProviderInfo,
)
from engine.testing.scripted_provider import Script, ScriptedProvider, say

Answer = Callable[[GenerationRequest, int], Script]
"""Gives the script of a request; the number counts the calls for the same persona, from 1."""

THREE = ["tech_enthusiast", "creative_writer", "data_scientist"]


def speaker(request: GenerationRequest) -> str:
    """Who is asked to speak."""
    return request.metadata.get("persona") or request.metadata["purpose"]


def oblige(request: GenerationRequest, call: int) -> Script:
    """Answer in two pieces, by name."""
    return say(f"{speaker(request)} ", f"answers {call}", pace_s=0.1)


class Cast:
    """A provider whose answers depend on who is asked; every call is remembered."""

    def __init__(
        self,
        answer: Answer = oblige,
        *,
        name: str = "cast",
        profile: Profile | None = None,
        models: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.default_model = models[0] if models else f"{name}-1"
        self.models = tuple(models) or (self.default_model,)
        self.profile = profile or Profile(reasoning=True)
        self.requests: list[GenerationRequest] = []
        self.open_calls = 0
        self._answer = answer

    @asynccontextmanager
    async def stream(
        self, request: GenerationRequest
    ) -> AsyncIterator[AsyncIterator[ProviderDelta]]:
        self.requests.append(request)
        calls = [each for each in self.requests if speaker(each) == speaker(request)]
        script = self._answer(request, len(calls))
        self.open_calls += 1
        try:
            async with ScriptedProvider(script).stream(request) as deltas:
                yield deltas
        finally:
            self.open_calls -= 1

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        return None

    def info(self) -> ProviderInfo:
        return ProviderInfo(
            name=self.name,
            models=self.models,
            default_model=self.default_model,
            configured=True,
            healthy=True,
        )

    async def aclose(self) -> None:
        pass

    def asked(self, who: str) -> list[GenerationRequest]:
        """What somebody was asked."""
        return [request for request in self.requests if speaker(request) == who]


class Providers:
    """A test's providers: the first one is the default; `openai`, unless given, lacks its key."""

    def __init__(self, *providers: Provider) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self.default_name = providers[0].name

    def get(self, name: str) -> Provider:
        if name == "openai" and name not in self._providers:
            raise ProviderNotConfigured("openai is not configured (set OPENAI_API_KEY)")
        if name not in self._providers:
            raise ProviderNotFound(f"no provider is named {name!r}")
        return self._providers[name]

    def resolve(self, text: str) -> tuple[Provider, str]:
        if not text:
            provider = self._providers[self.default_name]
            return provider, provider.default_model
        for provider in self._providers.values():
            if text in provider.info().models:
                return provider, text
        raise ProviderNotFound(f"nobody has a model {text!r}")

    def infos(self) -> tuple[ProviderInfo, ...]:
        return tuple(provider.info() for provider in self._providers.values())

    def health(self) -> tuple[ProviderHealth, ...]:
        return ()


@asynccontextmanager
async def open_chat(
    *providers: Provider,
    journal: Journal | None = None,
    limits: Limits | None = None,
    seed: int = 7,
) -> AsyncIterator[Engine]:
    async with open_engine(
        providers=Providers(*(providers or (Cast(),))),
        pipelines=[PersonaPipeline()],
        journal=journal,
        limits=limits,
        random=Random(seed),
    ) as engine:
        yield engine


def openai_chat(text: str = "Hello, world!", **fields: Any) -> dict[str, Any]:
    return {"type": "openai_chat", "data": {"input_text": text, **fields}}


def chat(message: str, persona_id: str = "tech_enthusiast", **fields: Any) -> dict[str, Any]:
    return {"type": "chat", "data": {"message": message, "persona_id": persona_id, **fields}}


def multi_chat(
    message: str, persona_ids: Sequence[str] = tuple(THREE), **fields: Any
) -> dict[str, Any]:
    data = {"message": message, "persona_ids": list(persona_ids), **fields}
    return {"type": "multi_chat", "data": data}


async def read_to_end(engine: Engine, session_id: str, after: str | None = None) -> list[Event]:
    events: list[Event] = []
    with await engine.subscribe(session_id, after=after) as subscription:
        while batch := await subscription.receive():
            events += [entry.event for entry in batch if isinstance(entry, Entry)]
    return events


async def talk(
    engine: Engine, request: dict[str, Any], owner: str = "ann", **options: Any
) -> list[Event]:
    """Run one request to its end, as one reader sees it."""
    session = await engine.start("persona", request, owner=owner, options=Options(**options))
    with trio.fail_after(1000):
        return await read_to_end(engine, session.session_id)


def result(events: Sequence[Event]) -> dict[str, Any]:
    last = events[-1]
    assert isinstance(last, Completed), last
    return last.data


def failure(events: Sequence[Event]) -> Failed:
    last = events[-1]
    assert isinstance(last, Failed), last
    return last


def outline(events: Sequence[Event], persona_id: str | None = None) -> list[str]:
    """The order of a log in words, of one persona alone if it is named; texts in a row are one."""
    words: list[str] = []
    for event in events:
        part = getattr(event, "part", None)
        if persona_id is not None and (part is None or part.target.get("persona_id") != persona_id):
            continue
        match event:
            case Progress(data=data):
                word = data["status"]
            case Delta():
                word = "text"
            case Reasoning():
                word = "reasoning"
            case Item(kind=kind):
                word = kind
            case PartCompleted():
                word = "done"
            case PartFailed():
                word = "failed"
            case PartCancelled():
                word = "cut"
            case Attempt(part=again):
                word = f"attempt {again.attempt}"
            case Completed() | Failed() | Cancelled():
                word = type(event).__name__.lower()
            case _:
                word = type(event).__name__
        if not words or words[-1] != word or word not in ("text", "reasoning"):
            words.append(word)
    return words


def fold(events: Sequence[Event]) -> dict[str, str]:
    """What a client holds at the end: each part's text of its last attempt, by its id."""
    texts: dict[str, str] = {}
    for event in events:
        if isinstance(event, Attempt):
            texts[event.part.id] = ""
        elif isinstance(event, Delta):
            texts[event.part.id] = texts.get(event.part.id, "") + event.text
    return texts


def said_in(request: GenerationRequest) -> list[tuple[str, str]]:
    """A request's messages, as (role, content)."""
    return [(message.role, message.content) for message in request.messages]
