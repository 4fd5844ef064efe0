"""Adapters read what servers send into what it means, and name the options that they take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.load.adapters.interface import Conversation, Reading
from benchmarks.load.adapters.loading import ADAPTERS, load_adapter

COMMON = {"session_id": "s", "epoch": "e"}


def ours(target: str = "generate", **options: Any) -> Conversation:
    return load_adapter(target, options).conversation(7)


def read(conversation: Conversation, event: str = "", **message: Any) -> Reading | None:
    return conversation.read(json.dumps(message).encode(), event)


def kinds(conversation: Conversation, *messages: dict[str, Any]) -> list[str | None]:
    found = [read(conversation, **message) for message in messages]
    return [None if reading is None else reading.kind for reading in found]


@pytest.mark.parametrize("target", sorted(set(ADAPTERS) - {"subscribers", "exhibition"}))
def test_a_request_names_its_number(target: str) -> None:
    """The upstream double knows by it whose request it serves."""
    sent = ours(target).opening()
    assert sent is not None
    assert b"load request number 7 ." in sent.body


def test_cumulative_counts_become_new_tokens_also_in_a_new_attempt() -> None:
    conversation = ours()
    found = [
        read(conversation, type="chunk", prompt_id=part, tokens=tokens, seq=seq, **COMMON)
        for seq, (part, tokens) in enumerate([("a", 1), ("b", 2), ("a", 4), ("a", 2)], start=1)
    ]
    assert [reading.tokens for reading in found if reading] == [1, 2, 3, 2]


def test_merged_messages_cover_their_offsets() -> None:
    reading = read(ours("persona"), type="chunk", chunk="a b", first_seq=3, seq=5, **COMMON)
    assert reading is not None
    assert (reading.first_seq, reading.seq, reading.tokens) == (3, 5, 3)


def test_every_protocols_messages_have_their_meaning() -> None:
    assert kinds(
        ours("persona"),
        {"type": "connected"},
        {"type": "status", "status": "starting", "seq": 1},
        {"type": "status", "status": "streaming", "seq": 2},
        {"type": "chunk", "chunk": "a", "is_final": False, "seq": 3},
        {"type": "chunk", "chunk": "", "is_final": True, "seq": 4},
        {"type": "error", "persona_id": "p", "code": "internal", "seq": 5},
        {"type": "response", "status": "completed", "seq": 6},
    ) == [None, "other", "first", "token", "other", "other", "final"]
    assert kinds(
        ours("content"),
        {"type": "progress", "stage": "generator", "seq": 1},
        {"type": "token", "token": "a", "seq": 2},
        {"type": "attempt", "code": None, "seq": 3},
        {"type": "complete", "success": True, "seq": 4},
        {"type": "error", "code": "internal", "seq": 5},
        {"type": "error", "code": "rate_limited", "refused": True},
        {"type": "cancelled", "seq": 6},
    ) == ["other", "token", "other", "final", "error", "error", "cancelled"]


def test_the_servers_count_is_taken_where_chunks_carry_none() -> None:
    final = {"type": "complete", "seq": 9, "metadata": {"usage": {"output_tokens": 120}}}
    reading = read(ours("content"), **final)
    assert reading is not None
    assert reading.told_tokens == 120


def test_a_cancel_is_a_message_on_a_socket_and_a_post_beside_sse() -> None:
    socket, stream = ours(), ours("content")
    for conversation in (socket, stream):
        read(conversation, type="token", seq=4, **COMMON)
    by_message, by_post = socket.cancelling(), stream.cancelling()
    assert by_message is not None
    assert json.loads(by_message.body) == {"type": "cancel", "session_id": "s"}
    assert by_post is not None
    assert (by_post.is_http, by_post.path) == (True, "/api/sessions/s/cancel")


def test_coming_back_asks_for_what_follows_the_last_message() -> None:
    socket, stream = ours(), ours("content")
    assert socket.resuming() is None
    for conversation in (socket, stream):
        read(conversation, type="token", seq=4, **COMMON)
    subscribe, get = socket.resuming(), stream.resuming()
    assert subscribe is not None
    assert json.loads(subscribe.body)["after"] == "e:4"
    assert get is not None
    assert get.headers == (("Last-Event-ID", "e:4"),)


def test_chat_completions_end_with_done_and_need_a_finish_reason() -> None:
    conversation = ours("openai-chat")
    token = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"completion_tokens": 31}}
    role = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    assert kinds(conversation, role, token, end, usage) == [None, "token", None, None]
    assert conversation.read(b"[DONE]", "") == Reading(kind="final", told_tokens=31)
    cut = ours("openai-chat").read(b"[DONE]", "")
    assert cut is not None
    assert (cut.kind, cut.code) == ("error", "no_finish_reason")


def test_responses_are_numbered_from_1() -> None:
    conversation = ours("openai-responses")
    delta = {"type": "response.output_text.delta", "delta": "a", "sequence_number": 0}
    done = {"type": "response.completed", "sequence_number": 1, "response": {}}
    found = [read(conversation, **message) for message in (delta, done)]
    assert [(each.kind, each.seq) for each in found if each] == [("token", 1), ("final", 2)]


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("generat", {}, "there is no target 'generat'; there are generate"),
        ("persona", {"persona": "1"}, "its options are request, path, personas"),
        ("persona", {"personas": "11"}, "1 to 10 are built in"),
        ("no_module_of_this_name:X", {}, "No module named"),
        ("json:decoder", {}, "is not callable"),
        ("json:JSONDecoder", {}, "has no wire and no path and no conversation"),
    ],
)
def test_what_cannot_be_loaded_is_named(target: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_adapter(target, options)
