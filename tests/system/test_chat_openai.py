"""The persona chat from a server that speaks the OpenAI protocol: Responses, and without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.testing.openai_server import OpenAIServer, open_openai_server
from tests.system.server_process import Message, ServerProcess, open_server

pytestmark = pytest.mark.system

KEY = "sk-test-4d7b1f09a2c85e63"


@asynccontextmanager
async def both(
    folder: Path, api: str = "responses", pace_s: float = 0.0, reasoning: str = ""
) -> AsyncIterator[tuple[OpenAIServer, ServerProcess]]:
    """Run the upstream here, and a server that asks it by one of its APIs."""
    (folder / "antiphon.toml").write_text(f'[providers.openai]\napi = "{api}"\n')

    def answer(request: Message) -> str:
        return f"Answer {len(upstream.requests)} in a few words."

    async with open_openai_server(answer=answer, pace_s=pace_s, reasoning=reasoning) as upstream:
        env = {"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": KEY}
        async with open_server(folder, env=env, demo=False) as server:
            yield upstream, server
            assert KEY not in server.stderr


def say(text: str, **fields: Any) -> Message:
    return {"type": "openai_chat", "data": {"input_text": text, "model": "gpt-4o-mini", **fields}}


async def converse(server: ServerProcess, request: Message) -> list[Message]:
    messages: list[Message] = []
    async with server.talk("/ws") as talk:
        await talk.say(request)
        while not messages or messages[-1]["type"] not in ("response", "cancelled", "error"):
            messages.append(await talk.hear())
    return messages


async def test_responses_with_all_that_it_has(tmp_path: Path) -> None:
    """Responses API where the provider has it: previous_response_id, tools, reasoning."""
    async with both(tmp_path, reasoning="Hm, well.") as (upstream, server):
        options = {"tools": [{"type": "web_search"}], "include_reasoning": True, "max_tokens": 50}
        first = await converse(server, say("one", instructions="Be brief.", **options))
        data = first[-1]["data"]
        again = say("two", previous_response_id=data["response_id"])
        await converse(server, again)
    one, two = upstream.requests
    assert {one.path, two.path} == {"/v1/responses"}
    assert one.json["tools"] == [{"type": "web_search"}]
    assert one.json["reasoning"] == {"summary": "auto"}
    assert one.json["instructions"] == "Be brief."
    assert one.json["max_output_tokens"] == 50
    assert data["reasoning_summary"] == "Hm, well."
    assert "".join(each["chunk"] for each in first if each["type"] == "reasoning") == "Hm, well."
    assert two.json["previous_response_id"].startswith("resp")
    assert two.json["previous_response_id"] != data["response_id"]  # ours maps to the upstream's
    assert [each["content"] for each in two.json["input"]] == ["two"]


async def test_chat_completions_with_the_conversation_kept_here(tmp_path: Path) -> None:
    """On any other provider the same request works through its chat API, with the conversation
    kept by this server.
    """
    async with both(tmp_path, "chat") as (upstream, server):
        first = (await converse(server, say("one", instructions="Be brief.")))[-1]["data"]
        again = say("two", previous_response_id=first["response_id"], instructions="Be brief.")
        await converse(server, again)
    assert {each.path for each in upstream.requests} == {"/v1/chat/completions"}
    sent = [(each["role"], each["content"]) for each in upstream.requests[1].json["messages"]]
    assert sent == [
        ("system", "Be brief."),
        ("user", "one"),
        ("assistant", first["response"]),
        ("user", "two"),
    ]


async def test_cancelling_one_persona_closes_its_stream_alone(tmp_path: Path) -> None:
    """The cancel reaches the provider: that persona's HTTP stream is closed, and no other."""
    request = {
        "type": "multi_chat",
        "data": {"message": "hi", "persona_ids": ["night_nurse", "kind_teacher", "stoic_gardener"]},
    }
    async with (
        both(tmp_path, "chat", pace_s=0.2) as (upstream, server),
        server.talk("/ws") as talk,
    ):
        await talk.say(request)
        seen: set[str] = set()
        while len(seen) < 3:
            seen.add((await talk.until("chunk"))["persona_id"])
        assert upstream.open_answers == 3
        await talk.say({"type": "cancel", "target": {"persona_id": "kind_teacher"}})
        cut = await talk.until("part_cancelled")
        last = await talk.until("response")
    assert cut["target"] == {"persona_id": "kind_teacher"}
    assert sum(each.gone_at is not None for each in upstream.requests) == 1
    assert [row["persona_id"] for row in last["data"]["cancelled"]] == ["kind_teacher"]
    assert len(last["data"]["responses"]) == 2
    assert cut["receipt"]["upstream_closed_ms"] is not None
