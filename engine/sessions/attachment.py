"""Ends an attached session that nobody reads: nothing runs when no one wants it.

A session that is attached is cancelled when its last reader has gone and stays away for the grace
time. A detached one runs to its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from engine.actors.wheel import Handle, Wheel
    from engine.sessions.session import Session


class Attachment:
    """Watches the readers of one attached session.

    Args:
        session: the session.
        wheel: the timer.
        grace_s: how long the session waits for a reader.
    """

    def __init__(self, session: Session, wheel: Wheel, grace_s: float) -> None:
        self._session = session
        self._wheel = wheel
        self._grace_s = grace_s
        self._timer: Handle | None = None

    def joined(self) -> None:
        """A reader has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def left(self) -> None:
        """A reader has gone; the last one starts the grace time. Also called at the start."""
        session = self._session
        if self._timer is None and not session.log.readers and not session.has_ended:
            self._timer = self._wheel.call_at(trio.current_time() + self._grace_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if not self._session.log.readers:
            self._session.cancel("disconnect")
