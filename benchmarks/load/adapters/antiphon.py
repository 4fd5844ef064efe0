"""Our own protocols: what all five have in common, and the ones that need no more than a request.

Messages are read into one narrow struct, whatever else they hold; `seq`, `first_seq` and `epoch`
are those of the common contract, so lost and doubled events are seen on every endpoint.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from benchmarks.load.adapters.interface import Conversation, Kind, Reading, Sent, Wire, marked

TEXT = "Explain backpressure to a sailor"


class Receipt(msgspec.Struct, gc=False):
    """What a cancel achieved."""

    upstream_closed_ms: float | None = None


class Usage(msgspec.Struct, gc=False):
    """What the server has counted."""

    output_tokens: int = 0


class Result(msgspec.Struct, gc=False):
    """Where a result's usage may lie deeper."""

    usage: Usage | None = None


class Final(msgspec.Struct, gc=False):
    """Where a final message has its usage: protocols differ."""

    usage: Usage | None = None
    data: Result | None = None
    metadata: Result | None = None


class Heard(msgspec.Struct, gc=False):
    """What counts of any message of ours."""

    type: str = ""
    seq: int = 0
    first_seq: int = 0
    epoch: str = ""
    session_id: str = ""
    tokens: int = 0
    prompt_id: str | None = None
    persona_id: str | None = None
    rater: str | None = msgspec.field(default=None, name="raterName")
    stage: str | None = None
    status: str | None = None
    is_final: bool = False
    refused: bool = False
    code: str | None = None
    receipt: Receipt | None = None


_decode = msgspec.json.Decoder(Heard).decode
_final = msgspec.json.Decoder(Final).decode

KINDS: dict[str, Kind] = {
    "chunk": "token",
    "token": "token",
    "partial": "token",
    "item": "token",
    "result": "final",
    "complete": "final",
    "completed": "final",
    "cancelled": "cancelled",
}
"""What a type means, where it does not depend on more."""

CONNECTION = frozenset({"snapshot", "gap", "cancel_result", "draining", "pong", "connected"})
"""Messages of the connection, not of the session."""


class OursAdapter:
    """One of our endpoints.

    Args:
        wire: what it speaks.
        path: its path.
        request: what begins a request, as JSON; `{number}` in `text` is not needed: it is marked.
        mark: the keys that lead to the text that is marked.
    """

    resumes = True

    def __init__(
        self, *, wire: Wire, path: str, request: dict[str, Any], mark: tuple[str, ...] = ()
    ) -> None:
        self.wire = wire
        self.path = path
        self._request = json.dumps(request)
        self._mark = mark

    def conversation(self, number: int) -> OursConversation:
        """Make a request; its text names its number."""
        request = json.loads(self._request)
        if self._mark:
            place = request
            for key in self._mark[:-1]:
                place = place.get(key, {})
            text = place.get(self._mark[-1])
            if isinstance(text, str):
                place[self._mark[-1]] = marked(text, number)
        return OursConversation(self.wire, self.path, json.dumps(request).encode())


class OursConversation(Conversation):
    """One session."""

    __slots__ = ("_body", "_counted", "_cursor", "_path", "_wire", "session_id")

    def __init__(self, wire: Wire, path: str, body: bytes) -> None:
        self._wire = wire
        self._path = path
        self._body = body
        self._counted: dict[str, int] = {}
        self._cursor: tuple[str, int] | None = None
        self.session_id = ""

    def opening(self) -> Sent | None:
        """Send the request."""
        return Sent(path=self._path, body=self._body)

    def answered(self, headers: dict[str, str]) -> None:
        """Learn the session's id."""
        self.session_id = headers.get("x-session-id", self.session_id)

    def read(self, message: bytes, event: str) -> Reading | None:
        """Understand a message."""
        heard = _decode(message)
        if heard.refused:
            return Reading(kind="error", code=heard.code or "refused")
        if heard.type in CONNECTION:
            return None
        if heard.session_id and not self.session_id:
            self.session_id = heard.session_id
        if heard.seq:
            self._cursor = (heard.epoch, heard.seq)
        part = heard.prompt_id or heard.persona_id or heard.rater or heard.stage or ""
        kind = self._kind(heard)
        return Reading(
            kind=kind,
            tokens=self._tokens(heard, part) if kind == "token" else 0,
            told_tokens=self._told(message) if kind == "final" else 0,
            part=part,
            epoch=heard.epoch,
            first_seq=heard.first_seq or heard.seq,
            seq=heard.seq,
            code=heard.code or "",
            upstream_closed_ms=heard.receipt.upstream_closed_ms if heard.receipt else None,
        )

    def cancelling(self) -> Sent | None:
        """Cancel by message, or by a POST where the session came by SSE."""
        if self._wire == "sse":
            if not self.session_id:
                return None
            return Sent(is_http=True, path=f"/api/sessions/{self.session_id}/cancel", body=b"{}")
        if not self.session_id:
            return Sent(body=b'{"type":"cancel"}')
        return Sent(body=_json({"type": "cancel", "session_id": self.session_id}))

    def resuming(self) -> Sent | None:
        """Go on after the last message."""
        if self._cursor is None:
            return None
        after = f"{self._cursor[0]}:{self._cursor[1]}"
        if self._wire == "sse":
            return Sent(
                method="GET",
                path=f"/api/sessions/{self.session_id}/events",
                headers=(("Last-Event-ID", after),),
            )
        return Sent(
            body=_json({"type": "subscribe", "session_id": self.session_id, "after": after})
        )

    def _kind(self, heard: Heard) -> Kind:
        if heard.type == "error":
            # That of one persona or rater does not end the session.
            return "other" if heard.persona_id or heard.rater else "error"
        if heard.type == "response":
            return "final" if heard.status == "completed" else "other"
        if heard.type == "status" and heard.status == "streaming":
            return "first"
        if heard.type == "chunk" and heard.is_final:
            return "other"
        if heard.type == "result" and heard.rater and heard.status != "complete":
            return "other"
        return KINDS.get(heard.type, "other")

    def _tokens(self, heard: Heard, part: str) -> int:
        """Count what is new: by the server's cumulative count, else by merged deltas."""
        if not heard.tokens:
            return heard.seq - heard.first_seq + 1 if heard.first_seq else 1
        before = self._counted.get(part, 0)
        self._counted[part] = heard.tokens
        # A new attempt counts from the start.
        return heard.tokens - before if heard.tokens > before else heard.tokens

    def _told(self, message: bytes) -> int:
        """Give the server's count, where chunks carry none (and rollup has joined some)."""
        if self._counted:
            return 0
        try:
            final = _final(message)
        except msgspec.ValidationError:
            return 0  # a result of another shape; then messages are what is counted
        for place in (final, final.data, final.metadata):
            if place is not None and place.usage is not None:
                return place.usage.output_tokens
        return 0


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def generate(*, request: dict[str, Any] | None = None, path: str = "/stream") -> OursAdapter:
    """StreamGenerate: one lane of one phase, unless a request says otherwise."""
    body = request or {
        "request": {"input": TEXT, "phases": ["idea"], "count": 1, "maxTokens": 32000}
    }
    return OursAdapter(wire="websocket", path=path, request=body, mark=("request", "input"))


def content(*, request: dict[str, Any] | None = None, path: str = "/run/stream") -> OursAdapter:
    """The content pipeline over SSE."""
    body = request or {
        "content_type": "SUMMARY",
        "input_text": "The heart is a pump with four chambers.",
        "num_questions": 2,
    }
    return OursAdapter(wire="sse", path=path, request=body, mark=("input_text",))


def rater(
    *, request: dict[str, Any] | None = None, path: str = "/api/v1/rater-feedback/stream"
) -> OursAdapter:
    """One rater over SSE."""
    body = request or {
        "raterPrompt": "You are a kind editor.",
        "plotPoint": "The lighthouse keeper finds a letter.",
        "structured_context": {},
    }
    return OursAdapter(wire="sse", path=path, request=body, mark=("plotPoint",))
