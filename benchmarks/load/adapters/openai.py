"""Every OpenAI-compatible server: streamed chat completions, and responses.

Chat completions are not numbered, so lost and doubled tokens cannot be seen there; the events of
responses are. Closing the connection is the cancel.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from benchmarks.load.adapters.interface import Conversation, Reading, Sent, Wire, marked

TEXT = "Explain backpressure to a sailor, in three paragraphs."


class Delta(msgspec.Struct, frozen=True, gc=False):
    """What a chunk adds."""

    content: str | None = None
    reasoning_content: str | None = None


class Choice(msgspec.Struct, gc=False):
    """One of the answers that were asked for."""

    index: int = 0
    delta: Delta = Delta()
    finish_reason: str | None = None


class Failure(msgspec.Struct, gc=False):
    """An error in the stream."""

    code: str | int | None = None
    type: str | None = None


class ChatUsage(msgspec.Struct, gc=False):
    """What the server has counted, where it was asked to tell."""

    completion_tokens: int = 0


class Chunk(msgspec.Struct, gc=False):
    """A chunk of a chat completion."""

    choices: list[Choice] = []
    usage: ChatUsage | None = None
    error: Failure | None = None


class ResponseUsage(msgspec.Struct, gc=False):
    """What the server has counted."""

    output_tokens: int = 0


class Response(msgspec.Struct, gc=False):
    """The response, as far as it counts."""

    usage: ResponseUsage | None = None


class Event(msgspec.Struct, gc=False):
    """An event of a response."""

    type: str = ""
    delta: str | msgspec.Raw = ""
    sequence_number: int | None = None
    response: Response | None = None
    code: str | None = None


_chunk = msgspec.json.Decoder(Chunk).decode
_event = msgspec.json.Decoder(Event).decode

ENDS = {"response.completed": "final", "response.incomplete": "final", "response.failed": "error"}


class OpenAI:
    """The adapter.

    Args:
        api: `chat` or `responses`.
        model: what the server calls its model.
        request: the whole request, in the place of the one that is made here.
        path: where the API is, below the URL; by default `/v1/…`, which a URL may end with.
    """

    wire: Wire = "sse"
    path = ""
    resumes = False

    def __init__(
        self,
        *,
        api: str,
        model: str = "default",
        request: dict[str, Any] | None = None,
        path: str | None = None,
    ) -> None:
        self._is_chat = api == "chat"
        self._path = path or ("/v1/chat/completions" if self._is_chat else "/v1/responses")
        self._model = model
        self._request = request

    def conversation(self, number: int) -> Conversation:
        """Make a request; its text names its number."""
        text = marked(TEXT, number)
        if self._is_chat:
            asked = {"model": self._model, "messages": [{"role": "user", "content": text}]}
        else:
            asked = {"model": self._model, "input": text}
        body = json.dumps({**(self._request or asked), "stream": True}).encode()
        return (ChatConversation if self._is_chat else ResponseConversation)(self._path, body)


class ChatConversation(Conversation):
    """One chat completion."""

    __slots__ = ("_body", "_has_reason", "_path", "_told_tokens")

    def __init__(self, path: str, body: bytes) -> None:
        self._path = path
        self._body = body
        self._has_reason = False
        self._told_tokens = 0

    def opening(self) -> Sent | None:
        """Send the request."""
        return Sent(path=self._path, body=self._body)

    def read(self, message: bytes, event: str) -> Reading | None:
        """Understand a chunk. The end is `[DONE]`: usage may follow the finish reason."""
        if message == b"[DONE]":
            if self._has_reason:
                return Reading(kind="final", told_tokens=self._told_tokens)
            return Reading(kind="error", code="no_finish_reason")
        chunk = _chunk(message)
        if chunk.usage is not None:
            self._told_tokens = chunk.usage.completion_tokens
        if chunk.error is not None:
            return Reading(kind="error", code=str(chunk.error.code or chunk.error.type or "error"))
        if not chunk.choices:
            return None
        choice = chunk.choices[0]
        self._has_reason = self._has_reason or choice.finish_reason is not None
        if choice.delta.content or choice.delta.reasoning_content:
            return Reading(kind="token", part=str(choice.index) if choice.index else "")
        return None


class ResponseConversation(Conversation):
    """One response. Its events count from 0, so what is lost or doubled is seen."""

    __slots__ = ("_body", "_path")

    def __init__(self, path: str, body: bytes) -> None:
        self._path = path
        self._body = body

    def opening(self) -> Sent | None:
        """Send the request."""
        return Sent(path=self._path, body=self._body)

    def read(self, message: bytes, event: str) -> Reading | None:
        """Understand an event."""
        heard = _event(message)
        seq = 0 if heard.sequence_number is None else heard.sequence_number + 1
        if heard.type == "response.output_text.delta":
            return Reading(kind="token", first_seq=seq, seq=seq)
        if heard.type == "error":
            return Reading(kind="error", code=heard.code or "error", first_seq=seq, seq=seq)
        match ENDS.get(heard.type):
            case "final":
                usage = None if heard.response is None else heard.response.usage
                told = 0 if usage is None else usage.output_tokens
                return Reading(kind="final", first_seq=seq, seq=seq, told_tokens=told)
            case "error":
                return Reading(kind="error", code="response.failed", first_seq=seq, seq=seq)
        return Reading(kind="other", first_seq=seq, seq=seq)
