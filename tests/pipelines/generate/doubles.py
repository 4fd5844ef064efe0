"""A provider that answers by what it is asked, and a log as clients of contract 1 fold it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from engine.engine import Engine, open_engine
from engine.errors import ProviderNotConfigured, ProviderNotFound
from engine.events import (
    Attempt,
    Completed,
    Delta,
    Entry,
    Event,
    Failed,
    Part,
    PartCancelled,
    PartCompleted,
    PartFailed,
    PhaseCompleted,
    PhaseStarted,
)
from engine.journal.interface import Journal
from engine.limits import Limits
from engine.pipelines.generate import GeneratePipeline
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
"""Gives the script of a request; the number counts the calls of the same request, from 1."""

PHASES = ("prima-materia", "solutio", "coagulatio")


def purpose(request: GenerationRequest) -> str:
    return request.metadata["purpose"]


def given(request: GenerationRequest) -> str:
    """The text that a phase was given to work on: what stands between the first tags."""
    match = re.search(r"<(\w+)>\n(.*?)\n</\1>", request.messages[0].content, re.DOTALL)
    assert match is not None
    return match[2]


def version(request: GenerationRequest) -> str:
    """The lane of a first phase's request, as its instructions count it; "" in later phases."""
    match = re.search(r"You write version (\d+) of", request.instructions)
    return match[1] if match else ""


def written(request: GenerationRequest) -> str:
    """What the obliging provider writes: it shows who made it of what."""
    return f"{purpose(request)}{version(request)} of ({given(request)})"


def verdict(score: float, critique: str = "shorten it") -> Script:
    return say(json.dumps({"score": score, "critique": critique}))


def ids_offered(request: GenerationRequest) -> list[str]:
    assert request.response_schema is not None
    offered: list[str] = request.response_schema["properties"]["prompt_id"]["enum"]
    return offered


def oblige(request: GenerationRequest, call: int) -> Script:
    """Answer everything well: words in two pieces, a 9 for every draft, the last candidate."""
    match purpose(request):
        case "score":
            return verdict(9)
        case "judge":
            return say(
                json.dumps(
                    {
                        "prompt_id": ids_offered(request)[-1],
                        "score": 0.8,
                        "confidence": 0.6,
                        "reasoning": "It is the last one.",
                    }
                )
            )
    text = written(request)
    return say(text[:9], text[9:], pace_s=0.1)


class ObligingProvider:
    """A provider whose answers are a function of the request; each call is scripted."""

    def __init__(
        self,
        answer: Answer = oblige,
        *,
        name: str = "obliging",
        vectors: Callable[[str], Sequence[float]] | None = None,
    ) -> None:
        self.name = name
        self.default_model = f"{name}-1"
        self.profile = Profile(embeddings=vectors is not None)
        self.requests: list[GenerationRequest] = []
        self.open_calls = 0
        self.most_open = 0
        self.embedded = 0
        self._answer = answer
        self._vectors = vectors

    @asynccontextmanager
    async def stream(
        self, request: GenerationRequest
    ) -> AsyncIterator[AsyncIterator[ProviderDelta]]:
        self.requests.append(request)
        script = self._answer(request, self.requests.count(request))
        self.open_calls += 1
        self.most_open = max(self.most_open, self.open_calls)
        try:
            async with ScriptedProvider(script).stream(request) as deltas:
                yield deltas
        finally:
            self.open_calls -= 1

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        self.embedded += len(texts)
        return None if self._vectors is None else [list(self._vectors(text)) for text in texts]

    def info(self) -> ProviderInfo:
        return ProviderInfo(
            name=self.name,
            models=(self.default_model,),
            default_model=self.default_model,
            configured=True,
            healthy=True,
        )

    async def aclose(self) -> None:
        pass

    def asked(self, wanted: str) -> list[GenerationRequest]:
        """The requests of one purpose."""
        return [request for request in self.requests if purpose(request) == wanted]


class Providers:
    """A test's providers: the first is the default, and `openai`, unless given, lacks its key."""

    def __init__(self, *providers: Provider, default_model: str = "") -> None:
        self._default_model = default_model
        self._providers = {provider.name: provider for provider in providers}
        self.default_name = providers[0].name

    def get(self, name: str) -> Provider:
        if name == "openai" and name not in self._providers:
            raise ProviderNotConfigured("openai is not configured (set OPENAI_API_KEY)")
        if name not in self._providers:
            raise ProviderNotFound(f"no provider is named {name!r}")
        return self._providers[name]

    def resolve(self, text: str) -> tuple[Provider, str]:
        assert text == ""
        provider = self.get(self.default_name)
        return provider, self._default_model or provider.default_model

    def infos(self) -> tuple[ProviderInfo, ...]:
        return tuple(provider.info() for provider in self._providers.values())

    def health(self) -> tuple[ProviderHealth, ...]:
        return ()


@asynccontextmanager
async def open_generate(
    *providers: Provider,
    limits: Limits | None = None,
    journal: Journal | None = None,
    services: dict[str, Any] | None = None,
    default_model: str = "",
) -> AsyncIterator[Engine]:
    chosen = providers or (ObligingProvider(),)
    async with open_engine(
        providers=Providers(*chosen, default_model=default_model),
        pipelines=[GeneratePipeline()],
        limits=limits,
        journal=journal,
        services=services,
        random=Random(7),
    ) as engine:
        yield engine


def asking(count: int = 2, **fields: Any) -> dict[str, Any]:
    """A request; fields of its inner object are told by their names."""
    inner = {"phases", "temperature", "max_tokens", "tags", "context", "persona"}
    inner |= {"target_model", "target_use_case", "input"}
    request = {"input": "an idea", "count": count}
    request |= {key: value for key, value in fields.items() if key in inner}
    return {"request": request, **{k: v for k, v in fields.items() if k not in inner}}


async def read_to_end(engine: Engine, session_id: str) -> list[Event]:
    events: list[Event] = []
    with await engine.subscribe(session_id) as subscription:
        while batch := await subscription.receive():
            events += [entry.event for entry in batch if isinstance(entry, Entry)]
    return events


async def generate(engine: Engine, data: dict[str, Any], owner: str = "ann") -> list[Event]:
    """Run a session to its end, as one reader sees it."""
    session = await engine.start("generate", data, owner=owner)
    return await read_to_end(engine, session.session_id)


def outline(events: Sequence[Event]) -> list[str]:
    """The order of a log in words; deltas of one part in a row are one word."""
    words: list[str] = []
    for event in events:
        match event:
            case PhaseStarted(phase=phase):
                word = f"start {phase}"
            case PhaseCompleted(phase=phase):
                word = f"end {phase}"
            case Delta(part=part):
                word = f"text {part.phase}/{part.index}"
            case PartCompleted(part=part):
                word = f"done {part.phase}/{part.index}"
            case PartFailed(part=part):
                word = f"failed {part.phase}/{part.index}"
            case PartCancelled(part=part):
                word = f"cancelled {part.phase}/{part.index}"
            case Attempt(part=part, reason=reason):
                word = f"attempt {part.attempt} {reason} {part.phase}/{part.index}"
            case _:
                word = type(event).__name__
        if not words or words[-1] != word or not word.startswith("text"):
            words.append(word)
    return words


def fold(events: Sequence[Event]) -> dict[str, str]:
    """What a client holds at the end: the text of each prompt's last attempt, by its id."""
    texts: dict[str, str] = {}
    for event in events:
        if isinstance(event, Attempt):
            texts[event.part.id] = ""
        elif isinstance(event, Delta):
            texts[event.part.id] = texts.get(event.part.id, "") + event.text
    return texts


def parts(events: Sequence[Event]) -> dict[tuple[str, int], Part]:
    """The parts of a log by phase and lane."""
    return {
        (event.part.phase, event.part.index): event.part
        for event in events
        if isinstance(event, Delta | PartCompleted | PartFailed | PartCancelled)
    }


def result(events: Sequence[Event]) -> dict[str, Any]:
    last = events[-1]
    assert isinstance(last, Completed), last
    return last.data


def failure(events: Sequence[Event]) -> Failed:
    last = events[-1]
    assert isinstance(last, Failed), last
    return last
