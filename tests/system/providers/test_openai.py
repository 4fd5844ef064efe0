"""The provider against a real server over real sockets, for both APIs."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
import trio

from engine.errors import (
    AntiphonError,
    InvalidRequest,
    ProviderAuth,
    ProviderBadOutput,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from engine.events import Usage
from engine.limits import Limits
from engine.providers.interface import Delta, GenerationRequest, Message, Profile
from engine.providers.openai import CHAT_PROFILE, RESPONSES_PROFILE, OpenAIProvider
from engine.testing.openai_server import Fault, OpenAIServer, open_openai_server

pytestmark = pytest.mark.system

KEY = "sk-test-0123456789abcdef"
LIMITS = Limits(provider_read_s=5, provider_connect_s=2, close_s=2)
PROFILES = {"chat": CHAT_PROFILE, "responses": RESPONSES_PROFILE}
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}

both = pytest.mark.parametrize("api", ["chat", "responses"])


def _ask(content: str = "Say hello", **fields: object) -> GenerationRequest:
    message = Message(role="user", content=content)
    return GenerationRequest(messages=(message,), **{"model": "", **fields})  # type: ignore[arg-type]


@asynccontextmanager
async def _provider(
    server: OpenAIServer, api: str, *, limits: Limits = LIMITS, profile: Profile | None = None
) -> AsyncIterator[OpenAIProvider]:
    provider = OpenAIProvider(
        name="openai",
        api_key=KEY,
        base_url=server.url,
        profile=profile or PROFILES[api],
        default_model="test-model",
        embedding_model="test-embed",
        limits=limits,
    )
    async with aclosing(provider):
        yield provider


async def _read(provider: OpenAIProvider, request: GenerationRequest) -> list[Delta]:
    async with provider.stream(request) as deltas:
        return [delta async for delta in deltas]


def _text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


@both
async def test_answer_arrives_whole_with_usage_model_and_finish(api: str) -> None:
    """The last delta has `finish`, and the usage that the provider reported."""
    async with open_openai_server(answer=lambda request: "one two  three\n") as server:
        async with _provider(server, api) as provider:
            deltas = await _read(provider, _ask("a b c", instructions="be brief"))
    assert _text(deltas) == "one two  three\n"
    assert [delta.finish for delta in deltas if delta.finish] == ["stop"]
    assert deltas[-1].finish == "stop"
    assert deltas[-1].usage == Usage(input_tokens=5, output_tokens=3)
    assert {delta.model for delta in deltas if delta.model} == {"test-model"}
    assert any(delta.response_id for delta in deltas)
    [received] = server.requests
    assert received.path == PATHS[api]
    assert received.headers["authorization"] == f"Bearer {KEY}"


async def test_every_field_reaches_chat_completions() -> None:
    """A provider honours each field or refuses it by name."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = _ask(
        model="m",
        instructions="be brief",
        temperature=0.5,
        top_p=0.9,
        max_tokens=7,
        response_schema=schema,
        schema_name="thing",
        tools=({"type": "function", "name": "f", "parameters": {"type": "object"}},),
        seed=3,
    )
    async with open_openai_server() as server:
        async with _provider(server, "chat") as provider:
            await _read(provider, request)
    assert server.requests[0].json == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "Say hello"},
        ],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 7,
        "seed": 3,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "thing", "schema": schema, "strict": False},
        },
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        ],
    }


async def test_every_field_reaches_responses() -> None:
    """A provider honours each field or refuses it by name."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    request = _ask(
        model="m",
        instructions="be brief",
        temperature=0.5,
        top_p=0.9,
        max_tokens=7,
        response_schema=schema,
        tools=({"type": "web_search"},),
        previous_response_id="resp_0",
        reasoning=True,
    )
    async with open_openai_server(reasoning="I think") as server:
        async with _provider(server, "responses") as provider:
            deltas = await _read(provider, request)
    assert "".join(delta.reasoning for delta in deltas) == "I think"
    assert server.requests[0].json == {
        "model": "m",
        "stream": True,
        "input": [{"role": "user", "content": "Say hello"}],
        "instructions": "be brief",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 7,
        "previous_response_id": "resp_0",
        "text": {
            "format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}
        },
        "tools": [{"type": "web_search"}],
        "reasoning": {"summary": "auto"},
    }


@pytest.mark.parametrize(
    ("api", "fields", "named"),
    [
        ("chat", {"previous_response_id": "r"}, "previous_response_id"),
        ("chat", {"tools": ({"type": "web_search"},)}, "tools"),
        ("chat", {"messages": (Message(role="tool", content="x"),)}, "messages"),
        ("responses", {"seed": 1}, "seed"),
        ("responses", {"messages": (Message(role="tool", content="x"),)}, "messages"),
    ],
)
async def test_field_that_cannot_be_honoured_is_refused_by_name(
    api: str, fields: dict[str, object], named: str
) -> None:
    """InvalidRequest names the field and the provider; nothing is sent."""
    async with open_openai_server() as server:
        async with _provider(server, api) as provider:
            with pytest.raises(InvalidRequest, match=rf"^{named}: openai") as caught:
                await _read(provider, GenerationRequest(**{"messages": (), "model": "", **fields}))  # type: ignore[arg-type]
    assert caught.value.details[0][0] == named
    assert server.requests == []


@both
async def test_schema_is_said_in_words_where_the_profile_has_none(api: str) -> None:
    """Without `json_schema` a schema goes into the prompt."""
    profile = Profile(api=api, json_schema=False)  # type: ignore[arg-type]
    async with open_openai_server() as server:
        async with _provider(server, api, profile=profile) as provider:
            await _read(provider, _ask(response_schema={"type": "object", "title": "Zebra"}))
    sent = server.requests[0].json
    assert "Zebra" in json.dumps(sent)
    assert "response_format" not in sent
    assert "text" not in sent


@both
async def test_reasoning_is_given_only_where_it_was_asked_for(api: str) -> None:
    """`reasoning`: whether to ask for the model's reasoning as well."""
    async with open_openai_server(reasoning="hm hm") as server:
        async with _provider(server, api) as provider:
            quiet = await _read(provider, _ask())
            loud = await _read(provider, _ask(reasoning=True))
    assert "".join(delta.reasoning for delta in quiet) == ""
    assert "".join(delta.reasoning for delta in loud) == "hm hm"
    assert _text(quiet) == _text(loud)


@both
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=401), ProviderAuth),
        (Fault(status=403), ProviderAuth),
        (Fault(status=400), ProviderRefused),
        (Fault(status=404), ProviderRefused),
        (Fault(status=429), ProviderRateLimited),
        (Fault(status=408), ProviderTimeout),
        (Fault(status=500), ProviderUnavailable),
        (Fault(status=529, body="<html>busy</html>"), ProviderUnavailable),
        (Fault(drop=True), ProviderUnavailable),
        (Fault(drop=True, after_events=0), ProviderUnavailable),
        (Fault(finish=None), ProviderBadOutput),
        (Fault(finish=None, done=False), ProviderBadOutput),
        (Fault(raw="data: {nonsense\n\n"), ProviderBadOutput),
        (Fault(raw='data: {"type": 7, "choices": "x"}\n\n'), ProviderBadOutput),
        (Fault(finish="content_filter"), ProviderRefused),
        (Fault(event={"error": {"message": "broke", "code": 502}}), ProviderUnavailable),
    ],
)
async def test_fault_becomes_one_error_and_one_request(
    api: str, fault: Fault, error: type[ProviderError]
) -> None:
    """Foreign errors are translated once, at the border; the SDK retries nothing."""
    if api == "responses" and fault.event is not None:
        fault = Fault(event={"type": "error", "code": "server_error", "message": "broke"})
    async with open_openai_server() as server:
        server.faults.append(fault)
        async with _provider(server, api) as provider:
            with pytest.raises(ProviderError) as caught:
                await _read(provider, _ask())
            assert type(caught.value) is error
            assert caught.value.message.startswith("openai")
            assert len(server.requests) == 1
            assert _text(await _read(provider, _ask())) == "Hello from the test server."


async def test_failed_response_is_an_error() -> None:
    """Responses: `response.failed` becomes an error, not an end."""
    event = {
        "type": "response.failed",
        "response": {"error": {"code": "rate_limit_exceeded", "message": "slow down"}},
    }
    async with open_openai_server() as server:
        server.faults.append(Fault(event=event))
        async with _provider(server, "responses") as provider:
            with pytest.raises(ProviderRateLimited, match="slow down"):
                await _read(provider, _ask())


@both
async def test_length_is_a_finish_reason(api: str) -> None:
    """`response.incomplete` and `length` are the same."""
    async with open_openai_server() as server:
        server.faults.append(Fault(finish="length"))
        async with _provider(server, api) as provider:
            assert (await _read(provider, _ask()))[-1].finish == "length"


async def test_deltas_before_a_broken_event_are_given_first() -> None:
    """A failure that stands in a chunk is kept until the deltas before it are given."""
    good = 'data: {"choices":[{"index":0,"delta":{"content":"kept"}}]}\n\n'
    async with open_openai_server() as server:
        server.faults.append(Fault(after_events=0, raw=good + "data: {broken\n\n"))
        async with _provider(server, "chat") as provider:
            async with provider.stream(_ask()) as deltas:
                assert (await anext(deltas)).text == "kept"
                for _ in range(2):
                    with pytest.raises(ProviderBadOutput):
                        await anext(deltas)


async def test_retry_after_is_carried() -> None:
    """A provider's Retry-After is known to the retry."""
    async with open_openai_server() as server:
        server.faults.append(Fault(status=429, headers={"retry-after": "7"}))
        server.faults.append(Fault(status=503, headers={"retry-after-ms": "1500"}))
        async with _provider(server, "chat") as provider:
            for seconds in (7.0, 1.5):
                with pytest.raises(ProviderError) as caught:
                    await _read(provider, _ask())
                assert caught.value.retry_after_s == seconds


async def test_no_quota_left_is_not_worth_a_retry() -> None:
    """429 with insufficient_quota will not pass with time."""
    body = json.dumps({"error": {"message": "no quota", "code": "insufficient_quota"}})
    async with open_openai_server() as server:
        server.faults.append(Fault(status=429, body=body))
        async with _provider(server, "chat") as provider:
            with pytest.raises(ProviderAuth):
                await _read(provider, _ask())


@both
@pytest.mark.parametrize("status", [400, 401, 500])
async def test_key_never_appears_even_when_the_server_echoes_it(
    api: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Messages are passed on without keys, headers or URLs with credentials."""
    said = "Bad key {key}; Authorization: Bearer {key}; https://me:{key}@host/?key={key}"
    async with open_openai_server() as server:
        body = json.dumps({"error": {"message": said, "code": said, "param": said}})
        server.faults.append(Fault(status=status, body=body))
        server.faults.append(
            Fault(event={"type": "error", "error": {"message": f"Bearer {KEY}"}, "message": KEY})
        )
        async with _provider(server, api) as provider:
            for _ in range(2):
                with caplog.at_level(logging.DEBUG), pytest.raises(AntiphonError) as caught:
                    await _read(provider, _ask())
                shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
                assert KEY not in shown
                assert "Bearer" not in str(caught.value)
                assert KEY not in caplog.text


@both
async def test_leaving_early_closes_the_connection_at_once(api: str) -> None:
    """Leaving `stream`'s context closes the upstream."""
    async with open_openai_server(answer=lambda r: "word " * 1000, pace_s=0.01) as server:
        async with _provider(server, api) as provider:
            async with provider.stream(_ask()) as deltas:
                await anext(deltas)
            left_at = trio.current_time()
            with trio.fail_after(1):
                await server.requests[0].gone.wait()
            assert trio.current_time() - left_at < 0.2


@both
@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.03, 0.1])
async def test_cancel_closes_the_connection_at_once(api: str, after_s: float) -> None:
    """Cancellation: at any point; the connection is closed."""
    async with open_openai_server(answer=lambda r: "word " * 1000, pace_s=0.01) as server:
        async with _provider(server, api) as provider:
            with trio.move_on_after(after_s) as scope:
                await _read(provider, _ask())
            assert scope.cancelled_caught
            with trio.fail_after(1):
                await server.wait_no_connections()


async def test_cancel_while_the_server_is_silent_closes_the_connection() -> None:
    """It works before the first token."""
    async with open_openai_server() as server:
        server.faults.append(Fault(hang=True, after_events=0))
        async with _provider(server, "chat") as provider:
            with trio.move_on_after(0.1) as scope:
                await _read(provider, _ask())
            assert scope.cancelled_caught
            with trio.fail_after(1):
                await server.requests[0].gone.wait()


@both
async def test_silence_longer_than_the_read_timeout_is_a_timeout(api: str) -> None:
    """`Limits.provider_read_s`: the longest silence in mid-stream."""
    limits = Limits(provider_read_s=0.1)
    async with open_openai_server() as server:
        server.faults.append(Fault(hang=True))
        async with _provider(server, api, limits=limits) as provider:
            with pytest.raises(ProviderTimeout):
                await _read(provider, _ask())
            with trio.fail_after(1):
                await server.requests[0].gone.wait()


async def test_server_that_is_not_there_is_unavailable() -> None:
    """Connection refused is ProviderUnavailable, without an address."""
    async with open_openai_server() as server:
        pass
    async with _provider(server, "chat") as provider:
        with pytest.raises(ProviderUnavailable) as caught:
            await _read(provider, _ask())
    assert str(server.port) not in caught.value.message


@both
async def test_connection_is_used_again_after_a_complete_answer(api: str) -> None:
    """Reading an answer to its end keeps its connection for the next one."""
    async with open_openai_server() as server:
        async with _provider(server, api) as provider:
            for _ in range(3):
                await _read(provider, _ask())
    assert [received.connection for received in server.requests] == [0, 0, 0]


async def test_silence_after_the_finish_reason_delays_and_fails_nothing() -> None:
    """After the finish reason only usage may come; its absence is no failure."""
    limits = Limits(provider_tail_s=0.05)
    async with open_openai_server(answer=lambda r: "a b") as server:
        # role, two words, finish; the usage chunk is the fifth
        server.faults.extend([Fault(hang=True, after_events=4), Fault(drop=True, after_events=4)])
        async with _provider(server, "chat", limits=limits) as provider:
            for _ in range(2):
                deltas = await _read(provider, _ask())
                assert _text(deltas) == "a b"
                assert (deltas[-1].finish, deltas[-1].usage) == ("stop", None)


async def test_404_on_responses_turns_to_chat_and_stays_there() -> None:
    """After a 404 on /responses a provider of auto api uses Chat Completions, and remembers it."""
    async with open_openai_server() as server:
        server.faults.append(Fault(status=404, only_path="/v1/responses", body="not found"))
        provider = OpenAIProvider(
            api_key=KEY, base_url=server.url, default_model="m", fall_back_to_chat=True
        )
        async with aclosing(provider):
            for _ in range(2):
                assert _text(await _read(provider, _ask())) == "Hello from the test server."
            assert provider.profile.api == "chat"
            assert not provider.profile.stateful
    chat = PATHS["chat"]
    assert [received.path for received in server.requests] == [PATHS["responses"], chat, chat]


async def test_404_that_names_a_model_is_an_error_not_a_missing_path() -> None:
    """The server has to have no such path: a 404 that names a model is an error."""
    body = json.dumps({"error": {"message": "no such model", "code": "model_not_found"}})
    async with open_openai_server() as server:
        server.faults.append(Fault(status=404, body=body))
        provider = OpenAIProvider(
            api_key=KEY, base_url=server.url, default_model="m", fall_back_to_chat=True
        )
        async with aclosing(provider):
            with pytest.raises(ProviderRefused, match="no such model"):
                await _read(provider, _ask())
            assert provider.profile.api == "responses"


async def test_model_without_reasoning_is_asked_again_without_a_summary() -> None:
    """What was learned is kept: the second request does not ask for it."""
    said = {"message": "Unsupported parameter", "param": "reasoning.summary", "code": "x"}
    async with open_openai_server() as server:
        server.faults.append(Fault(status=400, body=json.dumps({"error": said})))
        async with _provider(server, "responses") as provider:
            for _ in range(2):
                await _read(provider, _ask(reasoning=True))
    assert ["reasoning" in received.json for received in server.requests] == [True, False, False]


async def test_many_answers_at_once_are_not_mixed() -> None:
    """One provider serves many calls at once."""
    async with open_openai_server(answer=lambda r: r["messages"][0]["content"] * 3) as server:
        async with _provider(server, "chat") as provider:
            texts: dict[int, str] = {}

            async def ask(number: int) -> None:
                texts[number] = _text(await _read(provider, _ask(f"n{number} ")))

            async with trio.open_nursery() as nursery:
                for number in range(40):
                    nursery.start_soon(ask, number)
    assert texts == {number: f"n{number} " * 3 for number in range(40)}


async def test_embeddings_come_one_a_text_or_not_at_all() -> None:
    """One vector a text, or None where `profile.embeddings` is false."""
    async with open_openai_server() as server:
        async with _provider(server, "chat") as provider:
            assert await provider.embed(["one two", "three"]) == [[7, 2, 3], [5, 1, 2]]
            assert await provider.embed([]) == []
        async with _provider(server, "chat", profile=Profile(embeddings=False)) as provider:
            assert await provider.embed(["one"]) is None
    assert len(server.requests) == 1
