"""The OpenAI provider keeps the contract of providers, by both APIs, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from engine.providers.interface import Profile
from engine.providers.openai import CHAT_PROFILE, RESPONSES_PROFILE, OpenAIProvider
from engine.testing.openai_server import Fault, OpenAIServer, open_openai_server
from engine.testing.provider_suite import ProviderSuite, Upstream

pytestmark = pytest.mark.system


class OverSockets(ProviderSuite):
    profile: Profile

    @asynccontextmanager
    async def open_provider(self) -> AsyncIterator[Upstream]:
        async with open_openai_server(answer=lambda request: "a few words") as server:
            async with aclosing(self._provider(server)) as provider:
                yield Upstream(provider=provider, count_open=lambda: server.open_answers)

    @asynccontextmanager
    async def open_failing_provider(self) -> AsyncIterator[Upstream]:
        async with open_openai_server() as server:
            server.faults.extend([Fault(drop=True), Fault(status=500), Fault(raw="data: {\n\n")])
            server.last_fault = Fault(drop=True)
            async with aclosing(self._provider(server)) as provider:
                yield Upstream(provider=provider, count_open=lambda: server.open_answers)

    def _provider(self, server: OpenAIServer) -> OpenAIProvider:
        return OpenAIProvider(
            api_key="k-123456",
            base_url=server.url,
            profile=self.profile,
            default_model="m",
            embedding_model="e",
        )


class TestChat(OverSockets):
    profile = CHAT_PROFILE


class TestResponses(OverSockets):
    profile = RESPONSES_PROFILE
