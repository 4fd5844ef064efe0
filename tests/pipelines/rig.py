"""An engine with one pipeline and scripted providers, and what a client would see of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from engine.callers import Options
from engine.engine import Engine, open_engine
from engine.errors import ProviderNotFound
from engine.events import JSON, Entry, Event
from engine.journal.interface import Journal
from engine.limits import Limits
from engine.pipelines.interface import AnyPipeline
from engine.providers.interface import Provider, ProviderHealth, ProviderInfo


class Shelf:
    """A directory of providers: the first one is the default."""

    def __init__(self, *providers: Provider) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self.default_name = providers[0].name

    def get(self, name: str) -> Provider:
        try:
            return self._providers[name]
        except KeyError:
            raise ProviderNotFound(f"no provider is named {name!r}") from None

    def resolve(self, text: str) -> tuple[Provider, str]:
        if not text:
            provider = self.get(self.default_name)
            return provider, provider.default_model
        name, _, model = text.partition("/")
        if model:
            return self.get(name), model
        for provider in self._providers.values():
            if text in provider.info().models:
                return provider, text
        raise ProviderNotFound(f"no provider has a model named {text!r}")

    def infos(self) -> tuple[ProviderInfo, ...]:
        return tuple(provider.info() for provider in self._providers.values())

    def health(self) -> tuple[ProviderHealth, ...]:
        return ()


@asynccontextmanager
async def open_rig(
    pipeline: AnyPipeline,
    *providers: Provider,
    journal: Journal | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Engine]:
    async with open_engine(
        providers=Shelf(*providers),
        pipelines=[pipeline],
        journal=journal,
        limits=limits,
        random=Random(1),
    ) as engine:
        yield engine


async def read_events(engine: Engine, session_id: str) -> list[Event]:
    """Read a session's log to its end, as a client that was there from the start."""
    events: list[Event] = []
    with await engine.subscribe(session_id) as subscription:
        while batch := await subscription.receive():
            events += [entry.event for entry in batch if isinstance(entry, Entry)]
    return events


async def run_to_end(
    pipeline: AnyPipeline, data: JSON, *providers: Provider, **options: Any
) -> list[Event]:
    """Run one session and give its events."""
    limits = options.pop("limits", None)
    async with open_rig(pipeline, *providers, limits=limits) as engine:
        session = await engine.start(pipeline.name, data, options=Options(**options))
        return await read_events(engine, session.session_id)
