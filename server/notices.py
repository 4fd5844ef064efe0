"""Tells every connection what concerns it and is about no session: that the journal is away.

The one rule: a notice is said once to each connection, also to one that comes later, and changes
nothing: sessions wait by themselves. WebSockets get a message without `seq`, SSE a comment. Must
not import Quart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from engine import JSON, Journal

WATCH_S = 0.25
"""How often the journal is looked at: an outage that is shorter need not be known."""

AWAY: JSON = {
    "type": "notice",
    "code": "journal_away",
    "message": "What sessions say cannot be kept just now: they wait, and nothing is lost.",
}
BACK: JSON = {
    "type": "notice",
    "code": "journal_back",
    "message": "What sessions say is kept again: they go on.",
}


class Notices:
    """What there is to say, and who hears it.

    Args:
        journal: whose `problem` is told, if it is one that is waited for.
        is_patient: whether sessions wait for it; else they end, and say so themselves.
    """

    def __init__(self, journal: Journal, *, is_patient: bool) -> None:
        self._journal = journal
        self._is_patient = is_patient
        self._audience: set[Callable[[JSON], None]] = set()
        self.standing: JSON | None = None
        """What holds just now; None: all is well."""

    def __repr__(self) -> str:
        code = self.standing["code"] if self.standing else "all is well"
        return f"<Notices: {code}, {len(self._audience)} hear>"

    async def watch(self) -> None:
        """Look at the journal for ever."""
        while self._is_patient:
            self.look()
            await trio.sleep(WATCH_S)

    def look(self) -> None:
        """See whether there is something new to say, and say it."""
        is_away = bool(self._journal.problem)
        if is_away == (self.standing is not None):
            return
        self.standing = AWAY if is_away else None
        for hear in tuple(self._audience):
            hear(AWAY if is_away else BACK)

    @contextmanager
    def heard_by(self, hear: Callable[[JSON], None]) -> Iterator[None]:
        """Have a connection hear what stands now and what comes; `hear` is a plain function."""
        if self.standing is not None:
            hear(self.standing)
        self._audience.add(hear)
        try:
            yield
        finally:
            self._audience.discard(hear)


def as_comment(notice: JSON) -> bytes:
    """Give a notice as a comment of SSE."""
    return b": %b %b\n\n" % (notice["code"].encode(), notice["message"].encode())
