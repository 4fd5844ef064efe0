"""StreamGenerate by `antiphon serve` from a server that speaks the OpenAI protocol, both APIs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from engine.testing.openai_server import Fault, OpenAIServer, open_openai_server
from tests.system.server_process import PATIENCE_S, Message, ServerProcess, Talk, open_server

pytestmark = pytest.mark.system

KEY = "sk-test-4d7b1f09a2c85e63"
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
both = pytest.mark.parametrize("api", list(PATHS))


def _write(request: Message) -> str:
    """Answer everything: a judge's request by choosing, a phase's in words."""
    text = json.dumps(request)
    if "confidence" in text and "schema" in text:
        schema = (
            request["response_format"]["json_schema"]["schema"]
            if "response_format" in request
            else request["text"]["format"]["schema"]
        )
        chosen = schema["properties"]["prompt_id"]["enum"][-1]
        answer = {"prompt_id": chosen, "score": 0.9, "confidence": 0.8, "reasoning": "the last"}
        return json.dumps(answer)
    return "A prompt of ten words that a model could have written."


@asynccontextmanager
async def _both(
    folder: Path, api: str, *, pace_s: float = 0.0
) -> AsyncIterator[tuple[OpenAIServer, ServerProcess]]:
    """Run the upstream here, and a server that has its address and key from the environment."""
    (folder / "antiphon.toml").write_text(f'[providers.openai]\napi = "{api}"\n')
    async with open_openai_server(answer=_write, pace_s=pace_s) as upstream:
        env = {"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": KEY}
        async with open_server(folder, env=env, demo=False) as server:
            yield upstream, server
            assert KEY not in server.stderr


def _ask(**options: object) -> Message:
    request = {"input": "Explain tides", "phases": ["idea", "human"], "count": 2}
    return {"request": request, **options}


def _of(messages: list[Message], kind: str) -> list[Message]:
    return [message for message in messages if message["type"] == kind]


def _secret_is_kept(talk: Talk) -> bool:
    return KEY not in json.dumps(talk.seen)


@both
async def test_generation_by_an_openai_server(tmp_path: Path, api: str) -> None:
    """OPENAI_API_KEY and OPENAI_BASE_URL switch on any OpenAI-compatible server."""
    async with _both(tmp_path, api) as (upstream, server), server.talk() as talk:
        await talk.say(_ask(autoSelect=True))
        messages = await talk.to_end()
        result = json.loads(messages[-1]["content"])
    assert [message["phase"] for message in _of(messages, "phase_start")] == [
        "prima-materia",
        "solutio",
    ]
    assert {message["provider"] for message in _of(messages, "chunk")} == {"openai"}
    assert [prompt["content"] for prompt in result["prompts"]] == [_write({})] * 4
    assert result["selected"]["prompt_id"] == result["prompts"][-1]["id"]
    assert result["selected"]["reason"] == "judge"
    asked = [request for request in upstream.requests if "embeddings" not in request.path]
    assert {request.path for request in asked} == {PATHS[api]}
    assert {request.headers["authorization"] for request in asked} == {f"Bearer {KEY}"}
    used = messages[-1]["usage"]
    assert used["output_tokens"] == sum(len(_write(asked[n].json).split()) for n in range(5))
    assert "estimated" not in used
    assert _secret_is_kept(talk)


@both
async def test_cancel_closes_the_upstream_connection(tmp_path: Path, api: str) -> None:
    """The cancel reaches the provider: its stream is closed before `cancelled` is sent."""
    async with _both(tmp_path, api, pace_s=0.05) as (upstream, server), server.talk() as talk:
        await talk.say(_ask())
        first = await talk.until("chunk")
        await talk.say({"type": "cancel", "session_id": first["session_id"]})
        cancelled = await talk.until("cancelled")
        heard_at = trio.current_time()
        [request] = upstream.requests
        with trio.fail_after(PATIENCE_S):
            await request.gone.wait()
        assert request.gone_at is not None
        assert not request.answered
        # Two processes: what the upstream saw may reach this one's loop a little later.
        assert request.gone_at <= heard_at + 0.05
    assert cancelled["reason"] == "client"
    assert cancelled["receipt"]["upstream_closed_ms"] is not None
    streamed = "".join(message["content"] for message in _of(talk.seen, "chunk"))
    assert cancelled["partial"] == {first["prompt_id"]: streamed}


@both
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(status=429, headers={"Retry-After": "1"}), "provider_rate_limited"),
        (Fault(status=500, body="upstream is down, {key}"), "provider_unavailable"),
        (Fault(drop=True, after_events=5), "provider_unavailable"),
        (Fault(finish=None, done=False), "provider_bad_output"),
    ],
    ids=["429", "500", "drop", "no finish"],
)
async def test_fault_that_another_attempt_cures(
    tmp_path: Path, api: str, fault: Fault, code: str
) -> None:
    """A failure of the provider is an `attempt`: the text of that part so far is void."""
    async with _both(tmp_path, api) as (upstream, server), server.talk() as talk:
        upstream.faults.append(fault)
        begun = trio.current_time()
        await talk.say({"request": {"input": "Explain tides", "phases": ["idea"], "count": 1}})
        messages = await talk.to_end()
        took_s = trio.current_time() - begun
        [attempt] = _of(messages, "attempt")
        assert (attempt["attempt"], attempt["reason"], attempt["code"]) == (2, "provider", code)
        place = messages.index(attempt)
        after = "".join(m["content"] for m in _of(messages[place:], "chunk"))
        [prompt] = json.loads(messages[-1]["content"])["prompts"]
        assert after == prompt["content"] == _write({})
        assert attempt["target"] == {"prompt_id": prompt["id"]}
        assert len([r for r in upstream.requests if "embeddings" not in r.path]) == 2
        if fault.status == 429:
            assert took_s >= 1, "Retry-After was not kept"
        assert _secret_is_kept(talk)


@both
async def test_key_that_the_provider_refuses(tmp_path: Path, api: str) -> None:
    """A provider's own message is passed on without keys; a bad key is never tried again."""
    async with _both(tmp_path, api) as (upstream, server), server.talk() as talk:
        body = json.dumps({"error": {"message": "Incorrect API key provided: {key}."}})
        upstream.faults.append(Fault(status=401, body=body.replace("{key}", "{key}")))
        await talk.say({"request": {"input": "Explain tides", "phases": ["idea"], "count": 1}})
        messages = await talk.to_end()
        assert len(upstream.requests) == 1
        assert _secret_is_kept(talk)
    [failed] = _of(messages, "prompt_failed")
    assert (failed["code"], messages[-1]["code"]) == ("provider_auth", "provider_auth")
    assert messages[-1]["type"] == "error"
    assert messages[-1]["phase"] == "prima-materia"


async def test_provider_without_a_key(tmp_path: Path) -> None:
    """Without demo mode a known provider without a key is refused, before any phase starts."""
    async with open_server(tmp_path, demo=False) as server, server.talk() as talk:
        config = [{"phase": "human", "provider": "openai"}]
        await talk.say(_ask(phaseConfigs=config))
        [error] = await talk.to_end()
    assert error["phase"] == "solutio"
    assert error["code"] == "provider_not_configured"
    assert error["error"] == (
        "Failed to get provider: openai is not configured (set OPENAI_API_KEY)"
    )


async def test_provider_without_a_key_in_demo_mode(tmp_path: Path) -> None:
    """In demo mode the simulated provider plays it, and says so in `provider` and `model`."""
    async with open_server(tmp_path, env={"ANTIPHON_SIM_TOKENS_PER_S": "0"}) as server:
        async with server.talk() as talk:
            await talk.say(_ask(phaseConfigs=[{"phase": "idea", "provider": "openai"}]))
            messages = await talk.to_end()
    first, second = json.loads(messages[-1]["content"])["prompts"][::2]
    for writer in (first, *_of(messages, "chunk")[:3]):
        assert (writer["provider"], writer["model"]) == ("simulated", "gpt-4o-mini (simulated)")
    assert (second["provider"], second["model"]) == ("simulated", "default (simulated)")
