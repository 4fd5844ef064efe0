"""OpenAI and every server that speaks its API, by base URL, key and profile.

The one rule: the SDK makes the request (address, key, headers, time-outs, status errors) and this
module reads the answer's events from its raw body itself, because the SDK builds a validated model
of each event, which costs ten times what reading it does. Place in the flow: the innermost source
of deltas; limits, retries and the rest wrap it (`engine.providers.registry`). Must not import a
sibling provider or wrapper; `openai_api/` holds its codecs and its errors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, TypeAlias

import httpx2
import msgspec
import openai
import trio

from engine.errors import ProviderBadOutput, ProviderError
from engine.limits import Limits
from engine.providers.interface import Delta, GenerationRequest, Profile, ProviderInfo
from engine.providers.openai_api import chat, responses
from engine.providers.openai_api.errors import FOREIGN, translate
from engine.providers.openai_api.joining import joined
from engine.providers.openai_api.sse import DataSplitter

Api = Literal["auto", "responses", "chat"]
_Decoder: TypeAlias = chat.ChatDecoder | responses.ResponsesDecoder
_Opening: TypeAlias = AbstractAsyncContextManager[openai.AsyncAPIResponse[Any]]

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "none"
"""What goes to servers that want no key (Ollama, llama.cpp): the SDK insists on one."""

DRAIN_S = 0.1
"""How long the end of a complete answer's body may take; then its connection is not used again."""

RESPONSES_PROFILE = Profile(api="responses", reasoning=True, stateful=True, embeddings=True)
CHAT_PROFILE = Profile(reasoning=True, embeddings=True, max_tokens_field="max_completion_tokens")


class OpenAIProvider:
    """A server that speaks Chat Completions or Responses.

    Args:
        name: its name here; error messages begin with it.
        api_key: the key; "" where the server wants none.
        base_url: up to and without "/chat/completions".
        profile: what it can do; `profile.api` says which API is spoken at first.
        default_model: the model of requests that name none.
        models: what it offers, for people.
        embedding_model: the model of `embed`; "" gives no embeddings.
        limits: time-outs and bounds.
        fall_back_to_chat: whether a 404 on /responses turns this provider to Chat Completions, for
            good. The server has to have no such path: a 404 that names a model is an error.
    """

    def __init__(
        self,
        *,
        name: str = "openai",
        api_key: str,
        base_url: str = OPENAI_URL,
        profile: Profile = RESPONSES_PROFILE,
        default_model: str,
        models: Sequence[str] = (),
        embedding_model: str = "",
        limits: Limits | None = None,
        fall_back_to_chat: bool = False,
    ) -> None:
        self._name = name
        self._key = api_key
        self._profile = profile
        self._default_model = default_model
        self._models = tuple(models) or (default_model,)
        self._embedding_model = embedding_model
        self._limits = limits or Limits()
        self._fall_back_to_chat = fall_back_to_chat
        self._without_summary: set[str] = set()
        self._client = _client(api_key or NO_KEY, base_url, self._limits)

    @property
    def name(self) -> str:
        """The name by which requests choose it."""
        return self._name

    @property
    def profile(self) -> Profile:
        """What it can do; after a 404 on /responses, what it can do by Chat Completions."""
        return self._profile

    @property
    def default_model(self) -> str:
        """The model that a request with an empty `model` gets."""
        return self._default_model

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        """Ask for an answer and give its pieces as they come.

        Raises:
            InvalidRequest: a field that this server's API cannot honour; names both.
            ProviderError: see the table in `openai_api.errors`; ProviderBadOutput where the answer
                ends without a finish reason, ProviderRefused for a content filter.

        Cancellation: at any point; the connection is closed within `limits.close_s`, shielded.
        Backpressure: the body is read only as fast as the iterator is.
        """
        opening, response, decoder = await self._open(request)
        try:
            yield _Answer(response, decoder, self._name, self._key, self._limits)
        finally:
            with trio.move_on_after(self._limits.close_s, shield=True):
                await opening.__aexit__(None, None, None)

    async def _open(
        self, request: GenerationRequest
    ) -> tuple[_Opening, openai.AsyncAPIResponse[Any], _Decoder]:
        """Send the request and wait for the head of the answer.

        It is sent again, to the other API or without the summary, where the server says that it
        does not know that much of the API; what was learned is kept.
        """
        while True:
            api, summary = self._profile.api, request.model not in self._without_summary
            opening, decoder = self._ask(request, summary)
            try:
                response = await opening.__aenter__()
            except openai.NotFoundError as error:
                if api == "responses" and self._fall_back_to_chat and error.code is None:
                    self._profile = _chat_profile(self._profile)
                    continue
                raise translate(error, provider=self._name, key=self._key) from error
            except openai.BadRequestError as error:
                asked = api == "responses" and request.reasoning and summary
                if asked and (error.param or "").startswith("reasoning"):
                    self._without_summary.add(request.model)
                    continue
                raise translate(error, provider=self._name, key=self._key) from error
            except FOREIGN as error:
                raise translate(error, provider=self._name, key=self._key) from error
            return opening, response, decoder

    def _ask(self, request: GenerationRequest, summary: bool) -> tuple[_Opening, _Decoder]:
        model = request.model or self._default_model
        profile, name = self._profile, self._name
        create: Any
        decoder: _Decoder
        if profile.api == "responses":
            written = responses.body(
                request, model=model, profile=profile, provider=name, summary=summary
            )
            create = self._client.responses.with_streaming_response.create
            decoder = responses.ResponsesDecoder(
                provider=name, key=self._key, reasoning=request.reasoning
            )
        else:
            written = chat.body(request, model=model, profile=profile, provider=name)
            create = self._client.chat.completions.with_streaming_response.create
            decoder = chat.ChatDecoder(
                provider=name,
                key=self._key,
                reasoning=request.reasoning,
                expect_usage=profile.usage_in_stream,
            )
        return create(**written, stream=True), decoder

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        """Give one vector a text, or None where the server has no embeddings.

        A 404 says that it has none, from then on.

        Raises:
            ProviderError: as in `stream`.
        """
        if not (self._profile.embeddings and self._embedding_model):
            await trio.lowlevel.checkpoint()
            return None
        if not texts:
            await trio.lowlevel.checkpoint()
            return []
        try:
            answer = await self._client.embeddings.create(
                input=list(texts), model=self._embedding_model, encoding_format="float"
            )
        except openai.NotFoundError:
            # Many compatible servers have no such path or model: that is "no embeddings".
            self._profile = msgspec.structs.replace(self._profile, embeddings=False)
            return None
        except FOREIGN as error:
            raise translate(error, provider=self._name, key=self._key) from error
        vectors = [item.embedding for item in sorted(answer.data, key=lambda item: item.index)]
        if len(vectors) != len(texts):
            raise ProviderBadOutput(f"{self._name} gave {len(vectors)} vectors for {len(texts)}")
        return vectors

    def info(self) -> ProviderInfo:
        """Describe it for people."""
        return ProviderInfo(
            name=self._name,
            models=self._models,
            default_model=self._default_model,
            configured=True,
            healthy=True,
        )

    async def aclose(self) -> None:
        """Close idle connections, within `limits.close_s`."""
        with trio.move_on_after(self._limits.close_s, shield=True):
            await self._client.close()
        await trio.lowlevel.checkpoint()

    def __repr__(self) -> str:
        return f"<OpenAIProvider {self._name!r} by {self._profile.api}>"


class _Answer:
    """The iterator over one answer: reads the body by chunks and decodes what is in them.

    Text that came in one chunk is given as one delta, up to `limits.rollup_bytes`.
    """

    def __init__(
        self,
        response: openai.AsyncAPIResponse[Any],
        decoder: _Decoder,
        provider: str,
        key: str,
        limits: Limits,
    ) -> None:
        self._chunks = response.iter_bytes()
        self._splitter = DataSplitter(max_event_bytes=limits.provider_event_bytes)
        self._decoder = decoder
        self._provider = provider
        self._key = key
        self._tail_s = limits.provider_tail_s
        self._join_chars = limits.rollup_bytes
        self._ready: list[Delta] = []
        self._next = 0
        self._ended = False
        self._failure: ProviderError | None = None

    def __aiter__(self) -> _Answer:
        return self

    async def __anext__(self) -> Delta:
        while self._next >= len(self._ready):
            if self._failure is not None:
                raise self._failure
            if self._ended:
                raise StopAsyncIteration
            self._ready, self._next = await self._read(), 0
        delta = self._ready[self._next]
        self._next += 1
        return delta

    async def _read(self) -> list[Delta]:
        """Wait for a chunk and give its deltas; none where it completes no event.

        A failure that stands in the chunk is kept until the deltas before it are given.
        """
        decoder = self._decoder
        if decoder.finished:
            await self._drain()
            return []
        if not decoder.finishing:
            chunk = await self._chunk()
        else:
            # The text is complete and only usage may follow: whatever happens now is no failure.
            chunk = None
            with trio.move_on_after(self._tail_s):
                try:
                    chunk = await self._chunk()
                except ProviderError:
                    pass
        deltas: list[Delta] = []
        try:
            for data in self._splitter.finish() if chunk is None else self._splitter.feed(chunk):
                deltas += decoder.feed(data)
            if chunk is None:
                self._ended = True
                deltas += decoder.end()
        except msgspec.MsgspecError as error:
            self._failure = translate(error, provider=self._provider, key=self._key)
            self._failure.__cause__ = error
        except ProviderError as error:
            self._failure = error
        return joined(deltas, self._join_chars) if len(deltas) > 1 else deltas

    async def _chunk(self) -> bytes | None:
        try:
            return await anext(self._chunks, None)
        except FOREIGN as error:
            raise translate(error, provider=self._provider, key=self._key) from error

    async def _drain(self) -> None:
        """Read the body's end, without which HTTP/1.1 cannot use the connection again."""
        self._ended = True
        with trio.move_on_after(DRAIN_S):
            try:
                while await anext(self._chunks, None) is not None:
                    pass
            except FOREIGN:
                pass  # the answer is complete; the connection is closed by leaving the context


def _client(key: str, base_url: str, limits: Limits) -> openai.AsyncOpenAI:
    timeout = httpx2.Timeout(
        limits.provider_read_s, connect=limits.provider_connect_s, pool=limits.provider_connect_s
    )
    client = openai.AsyncOpenAI(
        api_key=key,
        base_url=base_url,
        max_retries=0,  # our own retries are events; the SDK's would be silent
        timeout=timeout,
        http_client=openai.DefaultAsyncHttpx2Client(
            timeout=timeout,
            # Calls are bounded by `limiting`; a second bound here would be a time-out in disguise.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
        ),
    )
    if not base_url.startswith(OPENAI_URL.removesuffix("/v1")):
        # The SDK takes these from the environment, and they are nobody else's business.
        client.organization = client.project = None
    return client


def _chat_profile(profile: Profile) -> Profile:
    return msgspec.structs.replace(profile, api="chat", stateful=False)
