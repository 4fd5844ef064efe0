"""Every provider and every wrapper keeps the contract of providers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from trio.testing import MockClock

from engine.errors import ProviderUnavailable
from engine.limits import Limits
from engine.providers.breaking import BreakingProvider
from engine.providers.config import ProviderConfig
from engine.providers.fallback import FallbackProvider, Link
from engine.providers.interface import Delta, Provider
from engine.providers.limiting import LimitedProvider
from engine.providers.metering import MeteredProvider
from engine.providers.registry import wrap
from engine.providers.retrying import RetryingProvider
from engine.providers.simulated import SimulatedProvider
from engine.providers.simulation.settings import SimSettings
from engine.supervision.breaker import Breaker
from engine.testing.provider_suite import ProviderSuite, Upstream
from engine.testing.scripted_provider import Fail, Opened, ScriptedProvider, Sleep, say

LIMITS = Limits(max_attempts=2)


class VirtualSuite(ProviderSuite):
    """The contract in virtual time."""

    @pytest.fixture
    def suite_clock(self) -> MockClock:
        return MockClock(autojump_threshold=0)


class WrapperSuite(VirtualSuite):
    """The contract, for what stands around a scripted provider."""

    @abstractmethod
    def around(self, inner: Provider) -> Provider:
        """Put the wrapper around a provider."""

    @asynccontextmanager
    async def open_provider(self) -> AsyncIterator[Upstream]:
        inner = ScriptedProvider(say("a ", "few ", "words", pace_s=0.1), close_s=0.01)
        yield Upstream(provider=self.around(inner), count_open=lambda: inner.open_calls)

    @asynccontextmanager
    async def open_failing_provider(self) -> AsyncIterator[Upstream]:
        down = Fail(ProviderUnavailable("down"))
        inner = ScriptedProvider([down, Opened()], [down], [Delta(text="a"), Sleep(0.1), down])
        yield Upstream(provider=self.around(inner), count_open=lambda: inner.open_calls)


class TestScripted(WrapperSuite):
    def around(self, inner: Provider) -> Provider:
        return inner


class TestMetered(WrapperSuite):
    def around(self, inner: Provider) -> Provider:
        return MeteredProvider(inner)


class TestLimited(WrapperSuite):
    def around(self, inner: Provider) -> Provider:
        return LimitedProvider(
            inner, concurrency=3, requests_per_minute=600, tokens_per_minute=90_000
        )


class TestRetrying(WrapperSuite):
    def around(self, inner: Provider) -> Provider:
        return RetryingProvider(inner, limits=LIMITS)


class TestBreaking(WrapperSuite):
    def around(self, inner: Provider) -> Provider:
        return BreakingProvider(inner, breaker=Breaker(failures=2, calls=4, reset_s=0.05))


class TestFallback(WrapperSuite):
    def around(self, inner: Provider) -> Provider:
        first = ScriptedProvider([Fail(ProviderUnavailable("first is down"))], name="first")
        return FallbackProvider(first, [Link(inner)])


class TestAllOfThem(WrapperSuite):
    def around(self, inner: Provider) -> Provider:
        config = ProviderConfig(name="scripted", concurrency=3, tokens_per_minute=900_000)
        return FallbackProvider(wrap(inner, config, LIMITS).provider, [Link(inner)])


class TestSimulated(VirtualSuite):
    @asynccontextmanager
    async def open_provider(self) -> AsyncIterator[Upstream]:
        provider = SimulatedProvider(SimSettings(output_tokens=5, ttft_ms=10))
        yield Upstream(provider=provider, count_open=lambda: provider.open_streams)

    @asynccontextmanager
    async def open_failing_provider(self) -> AsyncIterator[Upstream]:
        provider = SimulatedProvider(SimSettings(output_tokens=5, faults="unavailable"))
        yield Upstream(provider=provider, count_open=lambda: provider.open_streams)
