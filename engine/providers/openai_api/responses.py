"""The Responses API as a codec: a request becomes a body, an event's data becomes deltas.

The one rule: no I/O. Every way in which an answer can end becomes a finish reason or an error:
`response.completed`, `response.incomplete`, `response.failed`, `error`. Must not import its sibling
`chat`, nor the SDK. Form: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.errors import InvalidRequest, ProviderBadOutput, ProviderRefused
from engine.events import JSON, Usage
from engine.providers.interface import (
    Delta,
    FinishReason,
    GenerationRequest,
    Profile,
    schema_instructions,
)
from engine.providers.openai_api.errors import reported
from engine.providers.openai_api.schema import is_strict

# ---- the request --------------------------------------------------------------------------------


def body(
    request: GenerationRequest, *, model: str, profile: Profile, provider: str, summary: bool
) -> JSON:
    """Write the request's body.

    Args:
        request: what is asked.
        model: the model's name.
        profile: what the server can do.
        provider: its name, for sentences.
        summary: whether this model takes a request for a reasoning summary; where it does not, it
            has no reasoning to show.

    Raises:
        InvalidRequest: a field that this API cannot honour; names it and `provider`.
    """
    if request.seed is not None:
        raise InvalidRequest(
            f"seed: {provider}'s Responses API takes none",
            [("seed", f"not supported by {provider}")],
        )
    if request.tools and not profile.tools:
        raise InvalidRequest(
            f"tools: {provider} takes none", [("tools", f"not supported by {provider}")]
        )
    instructions = request.instructions
    if request.response_schema is not None and not profile.json_schema:
        in_words = schema_instructions(request.response_schema)
        instructions = f"{instructions}\n\n{in_words}" if instructions else in_words
    written: JSON = {
        "model": model,
        "input": [
            _input(message.role, message.content, message.name, provider)
            for message in request.messages
        ],
        "instructions": instructions or None,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_output_tokens": request.max_tokens,
        "previous_response_id": request.previous_response_id,
        "text": _format(request, profile),
        "tools": [_tool(tool) for tool in request.tools] or None,
        "reasoning": {"summary": "auto"} if request.reasoning and summary else None,
    }
    return {name: value for name, value in written.items() if value is not None}


def _input(role: str, content: str, name: str | None, provider: str) -> JSON:
    if role != "tool":
        return {"role": role, "content": content}
    if not name:
        raise InvalidRequest(
            f"messages: {provider} takes a message of role tool with its call's id as name",
            [("messages", "role tool needs a name: the call_id of the tool's call")],
        )
    return {"type": "function_call_output", "call_id": name, "output": content}


def _format(request: GenerationRequest, profile: Profile) -> JSON | None:
    if request.response_schema is None or not profile.json_schema:
        return None
    return {
        "format": {
            "type": "json_schema",
            "name": request.schema_name,
            "schema": request.response_schema,
            "strict": is_strict(request.response_schema),
        }
    }


def _tool(tool: JSON) -> JSON:
    function = tool.get("function")
    return {"type": "function", **function} if isinstance(function, dict) else tool


# ---- the stream ---------------------------------------------------------------------------------


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    usage: _Usage | None = None
    error: dict[str, Any] | None = None
    incomplete_details: _Incomplete | None = None


class _Item(msgspec.Struct):
    type: str = ""
    id: str | None = None
    name: str | None = None
    call_id: str | None = None
    arguments: str | None = None
    status: str | None = None


class _Event(msgspec.Struct):
    type: str
    delta: str | None = None
    item_id: str | None = None
    item: _Item | None = None
    response: _Response | None = None
    refusal: str | None = None
    message: str | None = None
    code: str | int | None = None
    error: dict[str, Any] | None = None


class _Kind(msgspec.Struct):
    type: str


_DECODER = msgspec.json.Decoder(_Event)
_KIND = msgspec.json.Decoder(_Kind)

_READ = frozenset(
    {
        "response.created",
        "response.output_text.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
        "response.refusal.done",
        "response.function_call_arguments.delta",
        "response.output_item.added",
        "response.output_item.done",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "error",
    }
)
"""The events that say something new. The others repeat (`….done`) or mark places."""


class ResponsesDecoder:
    """One answer: takes the data of its events in order, gives deltas.

    Args:
        provider: the provider's name, for sentences.
        key: its key, which is removed from what the server says.
        reasoning: whether the request asked for reasoning; else it is read over.
    """

    def __init__(self, *, provider: str, key: str, reasoning: bool) -> None:
        self._provider = provider
        self._key = key
        self._reasoning = reasoning
        self._calls: dict[str, _Item] = {}
        self._refusal = ""
        self.finishing = False
        """Never without `finished`: the last event says all."""
        self.finished = False
        """The last delta was given."""

    def feed(self, data: bytes) -> list[Delta]:
        """Take one event's data.

        Raises:
            ProviderError: the server reports an error, or declined.
            msgspec.MsgspecError: the data is not JSON or has another shape.
        """
        if self.finished or data.startswith(b"[DONE]"):
            return []
        if b'"response.output_text.delta"' not in data and _KIND.decode(data).type not in _READ:
            return []
        event = _DECODER.decode(data)
        match event.type:
            case "response.output_text.delta":
                return [Delta(text=event.delta)] if event.delta else []
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return [Delta(reasoning=event.delta or "")] if self._reasoning else []
            case "response.created":
                response = event.response or _Response()
                return [Delta(response_id=response.id, model=response.model)]
            case "response.refusal.done":
                self._refusal = event.refusal or "no reason given"
                return []
            case "response.completed" | "response.incomplete" | "response.failed" | "error":
                return [self._last(event)]
            case _:
                return self._tool(event)

    def end(self) -> list[Delta]:
        """End the stream.

        Raises:
            ProviderBadOutput: neither `response.completed` nor another last event came.
        """
        if not self.finished:
            raise ProviderBadOutput(f"{self._provider} ended its answer without a finish reason")
        return []

    def _last(self, event: _Event) -> Delta:
        response = event.response or _Response()
        if event.type in ("response.failed", "error"):
            error = response.error or event.error
            raise reported(
                error or {"message": event.message, "code": event.code},
                provider=self._provider,
                key=self._key,
            )
        if self._refusal:
            raise ProviderRefused(f"{self._provider} declined: {self._refusal}")
        finish: FinishReason = "tool_calls" if self._calls else "stop"
        if event.type == "response.incomplete":
            reason = response.incomplete_details.reason if response.incomplete_details else None
            if reason == "content_filter":
                raise ProviderRefused(f"{self._provider}'s content filter stopped the answer")
            finish = "length"
        self.finished = True
        return Delta(
            finish=finish,
            usage=_usage(response.usage),
            response_id=response.id,
            model=response.model,
        )

    def _tool(self, event: _Event) -> list[Delta]:
        if event.type == "response.function_call_arguments.delta":
            call = self._calls.get(event.item_id or "")
            if call is None:
                return []
            return [_progress("in_progress", call, event.delta or "")]
        item = event.item
        if item is None or item.type in ("message", "reasoning"):
            return []
        done = event.type == "response.output_item.done"
        if item.type == "function_call":
            self._calls[item.id or ""] = item
        return [_progress("completed" if done else "in_progress", item, item.arguments or "")]


def _progress(status: str, item: _Item, arguments: str) -> Delta:
    data: JSON = {"call_id": item.call_id or item.id or ""}
    if item.type == "function_call":
        data["arguments"] = arguments
    name = item.name or item.type.removesuffix("_call")
    return Delta(tool={"status": status, "tool": name, "data": data})


def _usage(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    return Usage(input_tokens=usage.input_tokens or 0, output_tokens=usage.output_tokens or 0)
