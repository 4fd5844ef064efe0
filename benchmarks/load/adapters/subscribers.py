"""Many readers of one session: the tool starts a producer, and each request reads it (F1)."""

from __future__ import annotations

from benchmarks.load.adapters.antiphon import OursConversation, _json
from benchmarks.load.adapters.interface import Sent, Wire


class Subscribers:
    """The adapter.

    Args:
        session_id: whom to read; the tool fills in the session that it has started.
        path: any WebSocket's.
    """

    wire: Wire = "websocket"
    resumes = True

    def __init__(self, *, session_id: str, path: str = "/stream") -> None:
        self.path = path
        self._session_id = session_id

    def conversation(self, number: int) -> OursConversation:
        """Read the session from its start."""
        body = _json({"type": "subscribe", "session_id": self._session_id})
        return Reader("websocket", self.path, body)


class Reader(OursConversation):
    """One reader; it may leave, but not cancel what others read."""

    __slots__ = ()

    def cancelling(self) -> Sent | None:
        """Leave."""
        return None
