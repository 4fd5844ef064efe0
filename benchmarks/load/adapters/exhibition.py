"""Exhibitions: a brief by POST, then the session's own WebSocket, which tells what has happened."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from benchmarks.load.adapters.antiphon import OursConversation
from benchmarks.load.adapters.interface import Sent, Wire, marked

BRIEF: dict[str, Any] = {
    "theme_title": "Light and shade",
    "theme_description": (
        "How painters of several centuries worked with light and with shade in rooms and "
        "landscapes, and what they wanted to say by it."
    ),
    "theme_concepts": ["light", "shade"],
}


class Submitted(msgspec.Struct):
    """The answer to a brief."""

    session_id: str


_submitted = msgspec.json.Decoder(Submitted).decode


class Exhibition:
    """The adapter."""

    wire: Wire = "websocket"
    path = ""
    resumes = True

    def __init__(self, *, request: dict[str, Any] | None = None) -> None:
        self._request = request or {
            "curator_brief": BRIEF,
            "config": {"max_artists": 2, "max_artworks": 4},
        }

    def conversation(self, number: int) -> ExhibitionConversation:
        """Make a brief; its description names its number."""
        request = json.loads(json.dumps(self._request))
        brief = request.get("curator_brief", {})
        brief["theme_description"] = marked(brief.get("theme_description", ""), number)
        return ExhibitionConversation(json.dumps(request).encode())


class ExhibitionConversation(OursConversation):
    """One exhibition."""

    __slots__ = ("_brief", "path")

    def __init__(self, brief: bytes) -> None:
        super().__init__("websocket", "", b"")
        self._brief = brief
        self.path = ""

    def preparing(self) -> Sent | None:
        """Hand in the brief."""
        return Sent(is_http=True, path="/api/curator/submit", body=self._brief)

    def prepared(self, status: int, body: bytes) -> None:
        """Learn where to listen."""
        if status != 202:
            raise ValueError(f"the brief was answered {status}: {body[:200]!r}")
        self.session_id = _submitted(body).session_id
        self.path = f"/ws/{self.session_id}"

    def opening(self) -> Sent | None:
        """The server tells everything by itself."""
        return None
