"""What a provider is: a source of generated text, and nothing else.

The one rule: leaving `stream()`'s context closes the upstream, however it is left. Limits, retries,
circuit breakers, fallback and metering wrap a provider and are never inside one. Must not import
sessions or pipelines, nor a sibling.

A provider's use, which is also what its wrappers do:

    async with provider.stream(request) as deltas:
        async for delta in deltas:
            ...
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

import msgspec

from engine.events import JSON, Usage

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of a conversation."""

    role: Role
    content: str
    name: str | None = None


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """All that a provider may be asked for. A provider honours each field or refuses it by name."""

    messages: tuple[Message, ...]
    model: str
    """The model's name as the provider knows it; "" is the provider's default model."""
    instructions: str = ""
    """The system prompt; never mixed into the user's text."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """A bound on the output, in tokens."""
    response_schema: JSON | None = None
    """A JSON schema that the text has to satisfy; {"name", "schema"} is not wrapped here."""
    schema_name: str = "answer"
    tools: tuple[JSON, ...] = ()
    previous_response_id: str | None = None
    reasoning: bool = False
    """Whether to ask for the model's reasoning (summary) as well."""
    seed: int | None = None
    metadata: dict[str, str] = {}
    """Hints that cost nothing to ignore and change no meaning: "persona", "purpose"."""


class Delta(msgspec.Struct, frozen=True):
    """One piece of an answer. Any field may be empty; the last one has `finish`."""

    text: str = ""
    reasoning: str = ""
    tool: JSON | None = None
    """A tool call or its progress: {"status", "tool", "data"}."""
    usage: Usage | None = None
    """As the provider reported it: cumulative, so the last one counts."""
    finish: FinishReason | None = None
    response_id: str | None = None
    model: str | None = None
    """The model that answers, where the provider names it."""
    tokens: int | None = None
    """Output tokens in `text`, where the provider knows; else it is counted here."""
    provider: str | None = None
    """Who answers, in a first delta: of a chain, or in the place of one without a key (demo mode).
    None: the one that was asked."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider can do: what it cannot do is refused or done by us, never dropped."""

    api: Literal["responses", "chat", "simulated"] = "chat"
    json_schema: bool = True
    """Structured output by schema; without it a schema goes into the prompt."""
    tools: bool = True
    reasoning: bool = False
    stateful: bool = False
    """Keeps conversations by `previous_response_id`."""
    embeddings: bool = False
    usage_in_stream: bool = True
    system_role: Literal["system", "developer"] = "system"
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    context_tokens: int = 128_000
    """The size of the default model's context window, in tokens."""


class ProviderInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What may be told about a provider; holds no secret."""

    name: str
    models: tuple[str, ...]
    default_model: str
    configured: bool
    healthy: bool
    simulated: bool = False
    reason: str = ""
    """Why it is not configured or not healthy, and what to do."""


class ProviderHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider is at this moment, and what it was asked so far; for whoever operates it."""

    name: str
    simulated: bool
    healthy: bool
    reason: str
    """Why it is not healthy."""
    breaker: Literal["closed", "open", "half_open"]
    retry_after_s: float
    """Seconds for which its circuit breaker still refuses every call; 0.0: it does not."""
    open_upstreams: int
    waiting: int
    """Calls that wait for a slot or for the minute's allowance."""
    concurrency: int
    """Calls that it may have at one time; 0: no limit."""
    requests_per_minute: int | None
    tokens_per_minute: int | None
    """None: no limit."""
    calls: int
    failed: int
    retries: int


class Provider(Protocol):
    """A source of generated text."""

    @property
    def name(self) -> str:
        """The name by which requests choose it."""
        ...

    @property
    def profile(self) -> Profile:
        """What it can do."""
        ...

    @property
    def default_model(self) -> str:
        """The model that a request with an empty `model` gets."""
        ...

    def stream(
        self, request: GenerationRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[Delta]]:
        """Ask for an answer and give its pieces as they come.

        Raises:
            ProviderError: on entering or while iterating; the class says whose fault it is. An
                answer that ends without a finish reason raises ProviderBadOutput.

        Cancellation: at any point; leaving the context has closed the upstream.
        Backpressure: the upstream is read only as fast as the iterator is.
        """
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        """Give one vector a text, or None where `profile.embeddings` is false."""
        ...

    def info(self) -> ProviderInfo:
        """Describe it for people. Never blocks."""
        ...

    async def aclose(self) -> None:
        """Close idle connections. The provider must not be used afterwards."""
        ...


class Directory(Protocol):
    """Where a session finds its providers; `engine.providers.registry` has the real one."""

    @property
    def default_name(self) -> str:
        """The provider that a request without one gets."""
        ...

    def get(self, name: str) -> Provider:
        """Give a provider by its name.

        Raises:
            ProviderNotFound: nobody has this name.
            ProviderNotConfigured: it is known, and a key or an address is missing.
        """
        ...

    def resolve(self, text: str) -> tuple[Provider, str]:
        """Give provider and model for "provider/model", or for a model that a provider lists.

        "" is the default provider with the model that is configured as the default.

        Raises:
            ProviderNotFound, ProviderNotConfigured: as `get`.
        """
        ...

    def infos(self) -> tuple[ProviderInfo, ...]:
        """Describe all of them; without secrets."""
        ...

    def health(self) -> tuple[ProviderHealth, ...]:
        """Say how those are that can be used."""
        ...


def count_tokens(text: str) -> int:
    """Estimate the tokens of a text: about four characters each, at least one for any text.

    Used where a provider reports none; usage counted so is marked `estimated`.
    """
    return (len(text) + 3) // 4


def input_tokens(request: GenerationRequest) -> int:
    """Estimate the tokens of all that a request brings."""
    counted = count_tokens(request.instructions)
    counted += sum(count_tokens(message.content) for message in request.messages)
    if request.response_schema is not None:
        counted += count_tokens(msgspec.json.encode(request.response_schema).decode())
    if request.tools:
        counted += count_tokens(msgspec.json.encode(request.tools).decode())
    return counted


def schema_instructions(schema: dict[str, Any]) -> str:
    """Say a schema in words, for providers without structured output."""
    text = msgspec.json.encode(schema).decode()
    return (
        f"Answer with one JSON object and nothing else. It must satisfy this JSON schema:\n{text}"
    )
