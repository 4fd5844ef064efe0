"""Many readers of one session: the tool starts a producer, and each request reads it (F1)."""

from __future__ import annotations

from benchmarks.load.adapters.antiphon import OursConversation, _json
from benchmarks.load.adapters.interface import Sent, Wire


class Subscribers:
    """The adapter.

    Args:
        session_id: whom to read; the tool fills in the session that it has started.
        path: any WebSocket's.
        wire: `websocket`, or `sse` to read `/api/sessions/{id}/events`.
    """

    resumes = True

    def __init__(self, *, session_id: str, path: str = "/stream", wire: Wire = "websocket") -> None:
        self.wire: Wire = wire
        self.path = path
        self._session_id = session_id

    def conversation(self, number: int) -> OursConversation:
        """Read the session from its start."""
        body = _json({"type": "subscribe", "session_id": self._session_id})
        reader = Reader(self.wire, self.path, body)
        reader.session_id = self._session_id
        return reader


class Reader(OursConversation):
    """One reader; it may leave, but not cancel what others read."""

    __slots__ = ()

    def opening(self) -> Sent | None:
        """Ask for everything so far, and what follows."""
        if self._wire == "sse":
            return Sent(method="GET", path=f"/api/sessions/{self.session_id}/events")
        return super().opening()

    def cancelling(self) -> Sent | None:
        """Leave."""
        return None
