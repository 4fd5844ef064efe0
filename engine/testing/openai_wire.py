"""What an OpenAI-compatible server says, as events: the pure half of `openai_server`.

The one rule: a request's JSON and a text in, the data of server-sent events out; no I/O. The forms
are those of OpenAI's reference, with the fields that clients read. Must not import the providers,
so that a misunderstanding there is not repeated here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

JSON = dict[str, Any]

_PIECES = re.compile(r"\s*\S+|\s+$")


def pieces(text: str) -> list[str]:
    """Cut a text into words, each with the white space before it; together they are the text."""
    return _PIECES.findall(text)


def count(text: str) -> int:
    """Tokens as this server counts them: words."""
    return len(text.split())


def prompt_of(request: JSON) -> str:
    """All the text that a request brings, of either API."""
    said = [request.get("instructions") or ""]
    asked = request.get("messages") or request.get("input") or ""
    if isinstance(asked, str):
        said.append(asked)
    else:
        said += [str(item.get("content") or "") for item in asked]
    return "\n".join(part for part in said if part)


def chat_events(
    request: JSON, text: str, *, reasoning: str = "", finish: str | None = "stop"
) -> Iterator[JSON]:
    """Give the chunks of a streamed chat completion, without the closing `[DONE]`."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000}
    head["model"] = request.get("model", "")

    def chunk(delta: JSON, finish_reason: str | None = None) -> JSON:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {**head, "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    for piece in pieces(reasoning):
        yield chunk({"reasoning_content": piece})
    for piece in pieces(text):
        yield chunk({"content": piece})
    if finish is not None:
        yield chunk({}, finish)
        if (request.get("stream_options") or {}).get("include_usage"):
            yield {**head, "choices": [], "usage": chat_usage(request, text)}


def chat_usage(request: JSON, text: str) -> JSON:
    """Count a chat completion."""
    used = {"prompt_tokens": count(prompt_of(request)), "completion_tokens": count(text)}
    return {**used, "total_tokens": sum(used.values())}


def chat_answer(request: JSON, text: str) -> JSON:
    """Give a whole chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": request.get("model", ""),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": chat_usage(request, text),
    }


def response_answer(request: JSON, text: str, *, status: str = "completed") -> JSON:
    """Give a whole response."""
    used = {"input_tokens": count(prompt_of(request)), "output_tokens": count(text)}
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000,
        "status": status,
        "model": request.get("model", ""),
        "output": [
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": status,
                "content": content,
            }
        ],
        "usage": {**used, "total_tokens": sum(used.values())},
        "error": None,
        "incomplete_details": None,
    }


def response_events(
    request: JSON, text: str, *, reasoning: str = "", finish: str | None = "stop"
) -> Iterator[JSON]:
    """Give the events of a streamed response; `finish` as in a chat completion."""
    begun = {**response_answer(request, "", status="in_progress"), "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    if (request.get("reasoning") or {}).get("summary"):
        for piece in pieces(reasoning):
            yield {
                "type": "response.reasoning_summary_text.delta",
                "item_id": "rs_1",
                "output_index": 0,
                "summary_index": 0,
                "delta": piece,
            }
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress"}
    yield {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    for piece in pieces(text):
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": text}
    if finish is not None:
        yield _last(request, text, finish)


def _last(request: JSON, text: str, finish: str) -> JSON:
    if finish == "stop":
        return {"type": "response.completed", "response": response_answer(request, text)}
    reason = {"length": "max_output_tokens"}.get(finish, finish)
    answer = response_answer(request, text, status="incomplete")
    answer["incomplete_details"] = {"reason": reason}
    return {"type": "response.incomplete", "response": answer}


def event_bytes(event: JSON, number: int) -> bytes:
    """Frame an event: Responses' carry their type and a number, chat's are data alone."""
    if "type" in event:
        data = json.dumps({**event, "sequence_number": number})
        return f"event: {event['type']}\ndata: {data}\n\n".encode()
    return f"data: {json.dumps(event)}\n\n".encode()


def embedding_answer(request: JSON) -> JSON:
    """Give a vector for each text: its length, its words, its vowels."""
    texts = request.get("input", [])
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": [
                float(len(text)),
                float(count(text)),
                float(len(re.findall("[aeiou]", text))),
            ],
        }
        for index, text in enumerate([texts] if isinstance(texts, str) else texts)
    ]
    return {
        "object": "list",
        "data": data,
        "model": request.get("model", ""),
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }
