"""Chat Completions as a codec: a request becomes a body, an event's data becomes deltas.

The one rule: no I/O. OpenAI's own form and what its relatives make of it: `reasoning_content`
(DeepSeek, vLLM), `reasoning` (OpenRouter, Ollama), content in parts (Mistral), errors in mid-stream
(OpenRouter), a usage chunk after the finish reason or in it. Must not import its sibling
`responses`, nor the SDK. Form: https://platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.errors import InvalidRequest, ProviderBadOutput, ProviderRefused, ProviderUnavailable
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

DONE = b"[DONE]"


# ---- the request --------------------------------------------------------------------------------


def body(request: GenerationRequest, *, model: str, profile: Profile, provider: str) -> JSON:
    """Write the request's body.

    Raises:
        InvalidRequest: a field that this API or this server cannot honour; names it and `provider`.
    """
    _refuse(request, profile, provider)
    written: JSON = {
        "model": model,
        "messages": _messages(request, profile, provider),
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        profile.max_tokens_field: request.max_tokens,
    }
    if profile.usage_in_stream:
        written["stream_options"] = {"include_usage": True}
    if request.response_schema is not None and profile.json_schema:
        written["response_format"] = {
            "type": "json_schema",
            "json_schema": {
                "name": request.schema_name,
                "schema": request.response_schema,
                "strict": is_strict(request.response_schema),
            },
        }
    if request.tools:
        written["tools"] = [_tool(tool, provider) for tool in request.tools]
    return {name: value for name, value in written.items() if value is not None}


def _refuse(request: GenerationRequest, profile: Profile, provider: str) -> None:
    if request.previous_response_id is not None:
        raise InvalidRequest(
            f"previous_response_id: {provider} keeps no conversations; send the messages again",
            [("previous_response_id", f"not supported by {provider}")],
        )
    if request.tools and not profile.tools:
        raise InvalidRequest(
            f"tools: {provider} takes none", [("tools", f"not supported by {provider}")]
        )


def _messages(request: GenerationRequest, profile: Profile, provider: str) -> list[JSON]:
    system = request.instructions
    if request.response_schema is not None and not profile.json_schema:
        in_words = schema_instructions(request.response_schema)
        system = f"{system}\n\n{in_words}" if system else in_words
    messages: list[JSON] = [{"role": profile.system_role, "content": system}] if system else []
    for message in request.messages:
        if message.role == "tool":
            raise InvalidRequest(
                f"messages: {provider} takes no message of role tool without its call",
                [("messages", "role tool needs the Responses API")],
            )
        role = profile.system_role if message.role == "system" else message.role
        written = {"role": role, "content": message.content}
        if message.name is not None:
            written["name"] = message.name
        messages.append(written)
    return messages


def _tool(tool: JSON, provider: str) -> JSON:
    if tool.get("type") != "function":
        raise InvalidRequest(
            f"tools: {provider} takes functions only, not {tool.get('type')!r}",
            [("tools", "type must be function")],
        )
    if "function" in tool:
        return tool
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}


# ---- the stream ---------------------------------------------------------------------------------


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | dict[str, Any] | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Message | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: str | dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(_Chunk)

_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
"""A reason that is not listed here and is no failure ("eos", "end_turn" …) is a plain stop."""

_FILTERED = frozenset({"content_filter", "safety", "recitation", "refusal", "sensitive"})
_BROKEN = frozenset({"error", "insufficient_system_resource", "network_error"})


class ChatDecoder:
    """One answer: takes the data of its events in order, gives deltas.

    The finish reason is held back until the usage has come (it may stand in a chunk of its own) or
    the stream ends, because the last delta carries both.

    Args:
        provider: the provider's name, for sentences.
        key: its key, which is removed from what the server says.
        reasoning: whether the request asked for reasoning; else it is read over.
        expect_usage: whether usage was asked for, so that the finish waits for it.
    """

    def __init__(self, *, provider: str, key: str, reasoning: bool, expect_usage: bool) -> None:
        self._provider = provider
        self._key = key
        self._reasoning = reasoning
        self._expect_usage = expect_usage
        self._finish: FinishReason | None = None
        self._usage: Usage | None = None
        self._model: str | None = None
        self._response_id: str | None = None
        self._refusal = ""
        self._tools: dict[int, JSON] = {}
        self.finishing = False
        """The finish reason is here; only usage may still come."""
        self.finished = False
        """The last delta was given."""

    def feed(self, data: bytes) -> list[Delta]:
        """Take one event's data.

        Raises:
            ProviderError: the server reports an error, filtered the answer, or broke the form.
            msgspec.MsgspecError: the data is not JSON or has another shape.
        """
        if self.finished:
            return []
        if data.startswith(DONE):
            return self.end()
        chunk = _DECODER.decode(data)
        if chunk.error:
            raise reported(chunk.error, provider=self._provider, key=self._key)
        if chunk.usage is not None:
            self._usage = Usage(
                input_tokens=chunk.usage.prompt_tokens or 0,
                output_tokens=chunk.usage.completion_tokens or 0,
            )
        deltas: list[Delta] = []
        for choice in chunk.choices or ():
            if choice.index == 0:
                deltas += self._read(choice, chunk)
        if self.finishing and (self._usage is not None or not self._expect_usage):
            deltas += self.end()
        return deltas

    def end(self) -> list[Delta]:
        """End the stream and give the last delta.

        Raises:
            ProviderBadOutput: there was no finish reason.
            ProviderRefused: the model declined.
        """
        if self.finished:
            return []
        if self._finish is None:
            raise ProviderBadOutput(f"{self._provider} ended its answer without a finish reason")
        if self._refusal:
            raise ProviderRefused(f"{self._provider} declined: {self._refusal}")
        self.finished = True
        calls = [Delta(tool=call) for call in self._tools.values()]
        return [*calls, Delta(finish=self._finish, usage=self._usage)]

    def _read(self, choice: _Choice, chunk: _Chunk) -> list[Delta]:
        deltas: list[Delta] = []
        if choice.delta is not None:
            text = _text(choice.delta.content)
            reasoning = self._reasoning_of(choice.delta)
            if text or reasoning:
                deltas.append(self._named(text, reasoning, chunk))
            self._refusal += choice.delta.refusal or ""
            for call in choice.delta.tool_calls or ():
                deltas.append(self._tool_delta(call))
        if choice.finish_reason is not None:
            self._finish = self._reason(choice.finish_reason)
            self.finishing = True
        return deltas

    def _reasoning_of(self, message: _Message) -> str:
        if not self._reasoning:
            return ""
        if message.reasoning_content:
            return message.reasoning_content
        return message.reasoning if isinstance(message.reasoning, str) else ""

    def _named(self, text: str, reasoning: str, chunk: _Chunk) -> Delta:
        """Say who answers with the first piece, and only there."""
        if self._response_id is not None:
            return Delta(text=text, reasoning=reasoning)
        self._response_id, self._model = chunk.id or "", chunk.model
        return Delta(
            text=text, reasoning=reasoning, response_id=chunk.id, model=chunk.model or None
        )

    def _tool_delta(self, call: _ToolCall) -> Delta:
        index = call.index if call.index is not None else len(self._tools)
        function = call.function or _Function()
        known = self._tools.get(index)
        if known is None:
            known = {"status": "completed", "tool": "", "data": {"call_id": "", "arguments": ""}}
            self._tools[index] = known
        known["tool"] = known["tool"] or function.name or ""
        known["data"]["call_id"] = known["data"]["call_id"] or call.id or ""
        known["data"]["arguments"] += function.arguments or ""
        progress = {"call_id": known["data"]["call_id"], "arguments": function.arguments or ""}
        return Delta(tool={"status": "in_progress", "tool": known["tool"], "data": progress})

    def _reason(self, reason: str) -> FinishReason:
        word = reason.lower()
        if word in _FILTERED:
            raise ProviderRefused(f"{self._provider}'s content filter stopped the answer")
        if word in _BROKEN:
            raise ProviderUnavailable(f"{self._provider} gave the answer up")
        return _FINISH.get(word, "stop")


def _text(content: str | list[Any] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(
        part.get("text") or ""
        for part in content
        if isinstance(part, dict) and part.get("type") == "text"
    )
