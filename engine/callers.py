"""Who asks the engine, what any request may say, and what a caller is shown of a session.

Frozen structs; must not import sessions' machinery.
"""

from __future__ import annotations

import msgspec

from engine.events import JSON
from engine.journal.interface import SessionRecord
from engine.sessions.view import View


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: only the owner or an admin may see a session."""

    sub: str = ""
    is_admin: bool = False

    def may_see(self, record: SessionRecord) -> bool:
        """Whether a session exists for this viewer."""
        return self.is_admin or self.sub == record.owner


ANYONE = Viewer(is_admin=True)
"""For programs that embed the engine and have no users."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What any request may say besides its protocol's own."""

    request_id: str | None = None
    """Echoed with each message; at most 128 characters."""
    detached: bool | None = None
    """None: as the pipeline has it."""
    deadline_s: float | None = None
    token_budget: int | None = None


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it is now."""

    record: SessionRecord
    """Its `state` is the one of this moment."""
    epoch: str
    view: View
    usage: JSON
