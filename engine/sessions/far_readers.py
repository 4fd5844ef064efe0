"""The readers that a session has in other processes, as its own process sees them.

A far reader is one for each process, however many clients it has there. It counts among the log's
readers, so that an attached session lives and waits by it as by any other; what it is told is how
far the log is durable, and it reads the rest from the journal. It counts as gone when it was not
heard of for a lease. Must not import pipelines, providers or a concrete journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trio

from engine.cluster.messages import Elsewhere, Follow, News
from engine.limits import Limits
from engine.sessions.log import Log


class FarReader:
    """One process that reads one session of this one.

    Args:
        log: the session's.
        process: who reads.
        stir: called when there may be something to tell.
    """

    __slots__ = ("heard_at", "is_armed", "log", "process", "stir", "told")

    def __init__(self, log: Log, process: str, stir: Callable[[FarReader], None]) -> None:
        self.log = log
        self.process = process
        self.stir = stir
        self.told = -1
        self.heard_at = trio.current_time()
        self.is_armed = False

    @property
    def cursor(self) -> int:
        """See `Reader.cursor`: it reads from the journal."""
        return self.log.durable

    def wake_up(self) -> None:
        """See `Reader.wake_up`."""
        self.is_armed = False
        self.stir(self)

    def __repr__(self) -> str:
        return f"<FarReader of {self.log.session_id} at {self.process}, told {self.told}>"


class FarReaders:
    """All far readers of a process's sessions.

    Args:
        send: posts a message to a process.
        limits: `tell_s` and `lease_s` count.
        on_left: told of a session whose far reader has gone.
    """

    def __init__(
        self,
        send: Callable[[str, News | Elsewhere], None],
        limits: Limits,
        on_left: Callable[[str], None],
    ) -> None:
        self._send = send
        self._limits = limits
        self._on_left = on_left
        self._readers: dict[str, dict[str, FarReader]] = {}  # by session, then by process
        self._stirred: set[FarReader] = set()
        self._has_stirred = trio.Event()

    def follow(self, process: str, message: Follow, log: Log) -> bool:
        """Take a word of a reader; gives whether it is a new one. It is answered soon."""
        readers = self._readers.setdefault(message.session_id, {})
        reader = readers.get(process)
        if message.is_over:
            if reader is not None:
                self._remove(reader)
            return False
        is_new = reader is None
        if reader is None:
            reader = readers[process] = FarReader(log, process, self._stir)
            log.readers.add(reader)
        reader.heard_at = trio.current_time()
        reader.told = -1  # an answer is due, were it the same as before
        log.moved(min(message.position, log.visible))
        self._stir(reader)
        return is_new

    def drop(self, session_id: str) -> None:
        """Tell the readers of a session the last of it, and forget them: it does not run here."""
        for reader in tuple(self._of(session_id)):
            self._tell(reader)
            self._remove(reader, is_left=False)
            self._send(reader.process, Elsewhere(session_id=session_id))

    async def run(self) -> None:
        """Tell readers what there is, and forget those that are gone; for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forget_gone)
            while True:
                await self._has_stirred.wait()
                await trio.sleep(self._limits.tell_s)
                self._has_stirred = trio.Event()
                stirred, self._stirred = self._stirred, set()
                for reader in stirred:
                    self._tell(reader)

    async def _forget_gone(self) -> None:
        while True:
            await trio.sleep(self._limits.lease_s / 4)
            gone = trio.current_time() - self._limits.lease_s
            for session_id in tuple(self._readers):
                for reader in tuple(self._of(session_id)):
                    if reader.heard_at < gone:
                        self._remove(reader)

    def _of(self, session_id: str) -> Iterator[FarReader]:
        yield from self._readers.get(session_id, {}).values()

    def _stir(self, reader: FarReader) -> None:
        self._stirred.add(reader)
        self._has_stirred.set()

    def _tell(self, reader: FarReader) -> None:
        log = reader.log
        if reader not in log.readers:
            return
        durable = min(log.durable, log.visible)
        if durable > reader.told:
            reader.told = durable
            news = News(session_id=log.session_id, epoch=log.epoch, seq=durable)
            self._send(reader.process, news)
        if log.visible > durable:
            if log.failure is None:
                self._stir(reader)
        elif not reader.is_armed:
            reader.is_armed = True
            log.arm(reader)

    def _remove(self, reader: FarReader, *, is_left: bool = True) -> None:
        session_id = reader.log.session_id
        readers = self._readers[session_id]
        del readers[reader.process]
        if not readers:
            del self._readers[session_id]
        reader.log.readers.discard(reader)
        reader.log.disarm(reader)
        self._stirred.discard(reader)
        if is_left:
            self._on_left(session_id)

    def __repr__(self) -> str:
        return f"<FarReaders of {len(self._readers)} sessions>"
