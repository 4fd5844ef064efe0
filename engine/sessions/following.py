"""Keeps the logs of sessions that other processes run fed from the journal, for readers here.

One task for each session that has readers here: it tells the owner's process that they are there
and how far they are, is told when there is more, and reads it. When it is told nothing it looks for
the owner on the board. When a session has begun another life its readers are moved to a log of that
life, at the place that their cursor has there; so an epoch is one `Log` object. A session of this
process's own that was set aside is followed in the same way. Must not import pipelines, providers
or a concrete journal.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Protocol

import trio

from engine.cluster.cluster import Cluster
from engine.cluster.messages import Elsewhere, Follow, News, Taken
from engine.errors import AntiphonError
from engine.journal.interface import Journal, SessionRecord
from engine.limits import Limits
from engine.merging import until
from engine.sessions.log import Log
from engine.sessions.recovery import fold
from engine.sessions.view import View

_logger = logging.getLogger("antiphon.cluster")

RETRY_S = 0.25
"""After so long a journal or a board that failed is tried again."""
AHEAD_WINDOWS = 2
"""A reader that comes from the owner's own process may be ahead of what is durable, by about what
the owner may be ahead of its journal: so many windows."""


class Library(Protocol):
    """What the following needs of the registry."""

    journal: Journal
    limits: Limits

    @property
    def logs(self) -> MutableMapping[str, Log]:
        """The logs that somebody writes or reads."""

    def runs(self, session_id: str) -> bool:
        """Whether the session is at work in this process."""

    def open_log(self, record: SessionRecord, view: View) -> Log:
        """Make a log that is fed."""

    def replace(self, old: Log, new: Log) -> None:
        """Move all readers of a log to another one of its session."""


class _Followed:
    __slots__ = ("changed", "heard_at", "news", "owner", "session_id", "told")

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.owner = ""
        self.heard_at = float("-inf")
        self.told = -1
        self.news: News | None = None
        self.changed = trio.Event()


class Following:
    """See the module.

    Args:
        library: where the logs are.
        cluster: how to speak to the owners.
        rescue: takes care of a session that has not ended and that nobody holds.
    """

    def __init__(
        self, library: Library, cluster: Cluster, rescue: Callable[[str], Awaitable[None]]
    ) -> None:
        self._library = library
        self._limits = library.limits
        self._cluster = cluster
        self._rescue = rescue
        self._followed: dict[str, _Followed] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow for ever."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None  # sessions stop even now, and nothing follows them

    # ---- readers ---------------------------------------------------------------------------------

    def joined(self, session_id: str) -> None:
        """A session that does not run here has a reader here."""
        if session_id not in self._followed and self._nursery is not None:
            followed = self._followed[session_id] = _Followed(session_id)
            self._nursery.start_soon(self._follow, followed, name=f"following {session_id}")

    def left(self, session_id: str) -> None:
        """A reader has gone, or the session has come here: perhaps there is nothing to follow."""
        followed = self._followed.get(session_id)
        if followed is not None:
            followed.changed.set()

    def hear(self, process: str, message: News | Elsewhere | Taken) -> None:
        """Take a word of another process."""
        match message:
            case Taken():
                for session_id in message.session_ids:
                    self._learn(session_id, process)
            case News():
                followed = self._learn(message.session_id, process)
                if followed is not None:
                    followed.news = message
            case Elsewhere():
                followed = self._followed.get(message.session_id)
                if followed is not None and followed.owner == process:
                    followed.owner, followed.heard_at = "", float("-inf")
                    followed.changed.set()

    def _learn(self, session_id: str, owner: str) -> _Followed | None:
        followed = self._followed.get(session_id)
        if followed is not None:
            if followed.owner != owner:
                followed.owner, followed.told = owner, -1
            followed.heard_at = trio.current_time()
            followed.changed.set()
        return followed

    # ---- following -------------------------------------------------------------------------------

    async def _follow(self, followed: _Followed) -> None:
        session_id = followed.session_id
        try:
            while (log := self._wanted(session_id)) is not None:
                followed.changed = trio.Event()
                try:
                    await self._step(followed, log)
                except AntiphonError as error:
                    _logger.warning("following session %s: %s", session_id, error.message)
                    await trio.sleep(RETRY_S)
                except Exception:  # the firewall between sessions: this one is tried again
                    _logger.exception("following session %s failed", session_id)
                    await trio.sleep(self._limits.follow_s)
        finally:
            del self._followed[session_id]
            if followed.owner:
                over = Follow(session_id=session_id, position=0, is_over=True)
                self._cluster.send(followed.owner, over)

    def _wanted(self, session_id: str) -> Log | None:
        """Give the log that is to be fed, if there is a reason to."""
        log = self._library.logs.get(session_id)
        if log is None or log.is_ended or not log.readers or self._library.runs(session_id):
            return None
        return log

    async def _step(self, followed: _Followed, log: Log) -> None:
        limits = self._limits
        news, followed.news = followed.news, None
        if news is not None:
            log = await self._catch_up(log, news)
        elif trio.current_time() - followed.heard_at > 2 * limits.follow_s:
            log = await self._look_around(followed, log)
        if log.is_ended:
            return
        self._say(followed, log)
        is_near = followed.told == log.visible
        pause_s = limits.follow_s if is_near else limits.position_s
        with trio.move_on_after(pause_s):
            await followed.changed.wait()
        if not followed.changed.is_set() and is_near:
            followed.told = -1  # so that the owner hears of us

    def _say(self, followed: _Followed, log: Log) -> None:
        position = min(log.floor, log.visible)
        if followed.owner and position > followed.told:
            followed.told = position
            message = Follow(session_id=followed.session_id, position=position)
            self._cluster.send(followed.owner, message)

    async def _look_around(self, followed: _Followed, log: Log) -> Log:
        """Nothing was heard for a while: read what there is, and look for the owner."""
        session_id = followed.session_id
        log = await self.refresh(log)
        holdings = await self._cluster.board.holdings([session_id])
        holding = holdings.get(session_id)
        if holding is None and not log.is_ended and not self._library.runs(session_id):
            await self._rescue(session_id)
        elif holding is not None and holding.is_alive and holding.process != self._cluster.name:
            followed.owner, followed.told = holding.process, -1
            followed.heard_at = trio.current_time() - self._limits.follow_s  # time for an answer
        else:
            followed.owner = ""
        if not followed.owner:
            with trio.move_on_after(RETRY_S):
                await followed.changed.wait()
        return log

    async def _catch_up(self, log: Log, news: News) -> Log:
        """Read what the owner says is there: all of it belongs to the life that it names."""
        if news.epoch != log.epoch:
            return await self.refresh(log)
        while log.head < news.seq:
            entries = await self._library.journal.read(log.session_id, log.head)
            entries = until(entries, news.seq)
            if not entries or self._library.logs.get(log.session_id) is not log:
                return log
            log.feed(entries)
        return log

    async def refresh(self, log: Log) -> Log:
        """Read what the journal has, and move on to the session's present life.

        Gives the log that is the session's now.
        """
        library = self._library
        session_id = log.session_id
        # First the entries, then the lives: so no entry is shown under a life before its own.
        entries = await library.journal.read(session_id, log.head)
        record = await library.journal.load(session_id)
        if library.logs.get(session_id) is not log:
            return library.logs.get(session_id) or log
        if record is None:
            log.end_nowhere()
        elif record.epochs[-1].name != log.epoch:
            return await self._renew(log)
        else:
            log.feed(entries)
        return log

    async def _renew(self, log: Log) -> Log:
        library = self._library
        view = await fold(library.journal, log.session_id)
        record = await library.journal.load(log.session_id)
        present = library.logs.get(log.session_id)
        if present is not log or record is None:
            return present or log
        renewed = library.open_log(record, view)
        library.replace(log, renewed)
        return renewed

    def __repr__(self) -> str:
        return f"<Following {len(self._followed)} sessions>"
