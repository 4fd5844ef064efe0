"""The simulated provider keeps the contract that every provider keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio.testing
from trio.abc import Clock

from engine.providers.simulated import SimulatedProvider
from engine.providers.simulation.settings import SimSettings
from engine.testing.provider_suite import ProviderSuite, Upstream


def upstream(**fields: float | str) -> Upstream:
    provider = SimulatedProvider(SimSettings(**fields))  # type: ignore[arg-type]
    return Upstream(provider=provider, count_open=lambda: provider.open_streams)


class _Simulated(ProviderSuite):
    @pytest.fixture
    def suite_clock(self) -> Clock:
        return trio.testing.MockClock(autojump_threshold=0)


class TestPaced(_Simulated):
    @asynccontextmanager
    async def open_provider(self) -> AsyncIterator[Upstream]:
        yield upstream(output_tokens=12)

    @asynccontextmanager
    async def open_failing_provider(self) -> AsyncIterator[Upstream]:
        yield upstream(faults="drop@token=3")


class TestInstant(_Simulated):
    @asynccontextmanager
    async def open_provider(self) -> AsyncIterator[Upstream]:
        yield upstream(ttft_ms=0, tokens_per_s=0)

    @asynccontextmanager
    async def open_failing_provider(self) -> AsyncIterator[Upstream]:
        yield upstream(ttft_ms=0, tokens_per_s=0, faults="unavailable")
