"""One process's part in a cluster: it keeps its lease, takes sessions over, speaks and is asked.

The one rule: whatever the board does not answer is tried again, and nothing here waits for the
board while a token waits. Its place is between a `Board` and the engine, which is its `Host`. Must
not import sessions, the journal, pipelines or providers.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Literal, Protocol

import trio

from engine.cluster.asking import Asking
from engine.cluster.interface import Board
from engine.cluster.messages import (
    Answer,
    Ask,
    Elsewhere,
    Follow,
    Message,
    News,
    Offered,
    Request,
    Taken,
    pack,
    unpack,
)
from engine.errors import AntiphonError, Conflict, Unreachable
from engine.limits import Limits

_logger = logging.getLogger("antiphon.cluster")

LANES = 64
"""Sessions that are taken over at a time."""
OUTBOX_MESSAGES = 4096
"""Messages that wait to be posted to one process; further ones are dropped, as if on the way."""
GATHER_S = 0.005
"""Messages are gathered for so long: a hundred sessions that move at once are one message."""
RETRY_S = 0.25
"""After so long a board that could not be reached is tried again."""


class Host(Protocol):
    """The engine, as the cluster sees it."""

    @property
    def capacity(self) -> int:
        """How many sessions may run here, those that do included; 0 while it takes none."""

    @property
    def room(self) -> int:
        """How many more sessions may run here."""

    async def adopt(self, session_id: str) -> None:
        """Go on with a session that this process holds from now on, or release it if it has ended.

        Raises:
            AntiphonError: not now; it is offered to all again.
        """

    def lost(self, session_ids: Collection[str]) -> None:
        """Stop these sessions, for others hold them."""

    async def serve(self, session_id: str, request: Request) -> bool:
        """Do what another process asks for; False: the session does not run here.

        Raises:
            AntiphonError: for the one who asks.
        """

    def hear(self, process: str, message: Follow | News | Elsewhere | Taken) -> None:
        """Take a message about readers. A plain function that does not raise."""


class Cluster:
    """See the module.

    Args:
        board: what the processes share.
        limits: `ask_s` and `take_s` count.
        new_id: makes ids for questions.
    """

    def __init__(self, board: Board, limits: Limits, new_id: Callable[[], str]) -> None:
        self.board = board
        self.name = board.name
        self.problem = ""
        """Why the board cannot be reached at present; "" when all is well."""
        self.members: tuple[str, ...] = ()
        """The living processes, as of the last beat."""
        self._limits = limits
        self._host: Host
        self._known: dict[str, float] = {}  # what this process holds, and since when for certain
        self._done: dict[str, Literal["release", "offer"]] = {}  # what it is to hold no longer
        self._outboxes: dict[str, list[Message]] = {}
        self._has_done, self._has_post, self._nudge = trio.Event(), trio.Event(), trio.Event()
        self._has_changed = trio.Event()
        self._step_done = trio.lowlevel.ParkingLot()
        self._settled_at = float("inf")
        self._strays: list[str] = []
        self._asking = Asking(board, limits, new_id, self.send)
        self._is_leaving = False

    async def run(
        self, host: Host, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take part for ever; started when this process has its lease.

        Raises:
            Unreachable: the board cannot be reached at the start. Later it is tried again.
        """
        self._host = host
        async with trio.open_nursery() as nursery:
            await nursery.start(self.board.run, partial(self._hear, nursery))
            await self.board.beat(capacity=host.capacity)
            self._settled_at = trio.current_time() + self.board.lease_s
            self.members = await self.board.members()
            nursery.start_soon(self._beat_often)
            nursery.start_soon(self._take_often)
            nursery.start_soon(self._settle_done)
            nursery.start_soon(self._post_often)
            task_status.started()

    # ---- holding sessions ------------------------------------------------------------------------

    async def own(self, session_id: str, *, user: str, limit: int, is_new: bool = True) -> None:
        """Hold a session that nobody holds.

        Raises:
            Conflict, RateLimited, Overloaded: as `Board.own`. Unreachable: the board cannot be
                reached.

        Cancellation: it may be held, and is released.
        """
        while session_id in self._done:  # an earlier one of this id, on its way off the board
            await self._step_done.park()
        if session_id in self._known:
            raise Conflict(f"session {session_id} is on the board already")
        self._known[session_id] = float("inf")
        try:
            await self.board.own(session_id, user=user, limit=limit, is_new=is_new)
        except Unreachable:
            self.release(session_id)  # it may have been done
            raise
        except AntiphonError:
            del self._known[session_id]
            raise
        except trio.Cancelled:
            self.release(session_id)
            raise
        self._known[session_id] = trio.current_time()

    def release(self, session_id: str) -> None:
        """Hold a session no longer, for it has ended; done behind, whenever the board is there."""
        self._finish(session_id, "release")

    def offer(self, session_id: str) -> None:
        """Hold a session no longer: anyone may take it; done behind."""
        self._finish(session_id, "offer")

    def holds(self, session_id: str) -> bool:
        """Whether this process holds a session, as far as it knows."""
        return session_id in self._known and session_id not in self._done

    async def wait_done(self) -> None:
        """Wait until the board knows of everything that was released and offered.

        Cancellation: it goes on behind.
        """
        while self._done:
            await self._step_done.park()

    async def leave(self) -> None:
        """Give up the lease: what is still held may be taken at once. Takes nothing any more.

        Raises:
            Unreachable: the board cannot be reached; the lease will lapse by itself.
        """
        self._is_leaving = True
        await self.board.leave()

    def _finish(self, session_id: str, how: Literal["release", "offer"]) -> None:
        if session_id in self._known:
            self._done[session_id] = how
            self._has_done.set()

    async def _settle_done(self) -> None:
        while True:
            await self._has_done.wait()
            self._has_done = trio.Event()
            for session_id, how in tuple(self._done.items()):
                step = self.board.release if how == "release" else self.board.offer
                await self._until_done(partial(step, session_id))
                self._known.pop(session_id, None)
                self._done.pop(session_id, None)
                if how == "offer":
                    self.broadcast(Offered())
                self._step_done.unpark_all()

    async def _until_done(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await step()
            except Unreachable:
                await trio.sleep(RETRY_S)

    # ---- the lease -------------------------------------------------------------------------------

    async def _beat_often(self) -> None:
        every_s = self.board.lease_s / 4
        beats = 0
        while True:
            began = trio.current_time()
            try:
                await self._beat(check=beats % 4 == 0)
                beats += 1
                self.problem = ""
            except Unreachable as error:
                if not self.problem:
                    _logger.warning("the board cannot be reached: %s", error.message)
                self.problem = error.message
                self._settled_at = float("inf")
            with trio.move_on_at(began + every_s):
                await self._has_changed.wait()
            self._has_changed = trio.Event()

    def capacity_changed(self) -> None:
        """Have the board know soon how many sessions may run here."""
        self._has_changed.set()

    async def _beat(self, *, check: bool) -> None:
        """Renew the lease; look after the sessions where it had lapsed, and now and then."""
        if self._is_leaving:
            return
        if not await self.board.beat(capacity=self._host.capacity):
            _logger.warning("this process's lease had lapsed")
            self._settled_at = float("inf")
            check = True
        if self._settled_at == float("inf"):
            self._settled_at = trio.current_time() + self.board.lease_s
        self.members = await self.board.members()
        if check:
            await self._check()

    async def _check(self) -> None:
        """Compare what the board says with what runs here; the board is right."""
        asked_at = trio.current_time()
        owned = await self.board.owned()
        lost = [
            session_id
            for session_id, since in self._known.items()
            if since < asked_at and session_id not in owned and session_id not in self._done
        ]
        for session_id in lost:
            del self._known[session_id]
        if lost:
            self._host.lost(lost)
        self._strays = [each for each in owned if each not in self._known]  # an answer was lost
        if self._strays:
            self._nudge.set()

    @property
    def is_settled(self) -> bool:
        """Whether its lease has held for so long that all living processes have renewed theirs."""
        return trio.current_time() >= self._settled_at

    # ---- taking over -----------------------------------------------------------------------------

    async def _take_often(self) -> None:
        while True:
            with trio.move_on_after(self._limits.take_s):
                await self._nudge.wait()
            self._nudge = trio.Event()
            try:
                while await self._take() == LANES:
                    pass
            except Unreachable:
                await trio.sleep(RETRY_S)

    async def _take(self) -> int:
        wanted = min(LANES, self._host.room)
        if wanted <= 0 or self._is_leaving:
            return 0
        strays, self._strays = self._strays, []
        taken = await self.board.take(wanted, from_dead=self.is_settled)
        await self._adopt([each for each in (*strays, *taken) if each not in self._known])
        return len(taken)

    async def _adopt(self, session_ids: Collection[str]) -> None:
        now = trio.current_time()
        self._known.update(dict.fromkeys(session_ids, now))
        async with trio.open_nursery() as nursery:
            for session_id in session_ids:
                nursery.start_soon(self._adopt_one, session_id)
        running = tuple(each for each in session_ids if self.holds(each))
        if running:
            _logger.info("took over %d sessions", len(running))
            self.broadcast(Taken(session_ids=running))

    async def _adopt_one(self, session_id: str) -> None:
        try:
            await self._host.adopt(session_id)
        except AntiphonError as error:
            _logger.warning("session %s was not taken over: %s", session_id, error.message)
            await trio.sleep(RETRY_S)
            self.offer(session_id)
        except Exception:  # the firewall between sessions; held, so that nobody fails on it again
            _logger.exception("session %s cannot be taken over", session_id)

    # ---- speaking --------------------------------------------------------------------------------

    def send(self, process: str, message: Message) -> None:
        """Send a message behind; it may be lost."""
        outbox = self._outboxes.setdefault(process, [])
        if len(outbox) < OUTBOX_MESSAGES:
            outbox.append(message)
        self._has_post.set()

    def broadcast(self, message: Message) -> None:
        """Send a message to every other living process."""
        for process in self.members:
            if process != self.name:
                self.send(process, message)

    async def ask(self, session_id: str, request: Request) -> bool:
        """Have the process that runs a session do something; see `Asking.ask`."""
        return await self._asking.ask(session_id, request)

    async def _post_often(self) -> None:
        while True:
            await self._has_post.wait()
            await trio.sleep(GATHER_S)
            self._has_post = trio.Event()
            outboxes, self._outboxes = self._outboxes, {}
            for process, messages in outboxes.items():
                try:
                    for data in pack(self.name, messages):
                        await self.board.post(process, data)
                except Unreachable:  # lost; whoever needed them says it again
                    await trio.sleep(RETRY_S)

    def _hear(self, nursery: trio.Nursery, data: bytes) -> None:
        try:
            sender, messages = unpack(data)
        except ValueError:
            _logger.exception("a message of another process could not be read")
            return
        for message in messages:
            match message:
                case Ask():
                    if self._asking.is_new(message.ask_id):
                        nursery.start_soon(self._serve, sender, message)
                case Answer():
                    self._asking.answered(message)
                case Elsewhere() if message.ask_id:
                    self._asking.answered(message)
                case Offered():
                    self._nudge.set()
                case Follow() | News() | Elsewhere() | Taken():
                    self._host.hear(sender, message)

    async def _serve(self, sender: str, ask: Ask) -> None:
        serve = partial(self._host.serve, ask.session_id, ask.request)
        self.send(sender, await self._asking.answer(ask, serve))

    def __repr__(self) -> str:
        return f"<Cluster {self.name}: holds {len(self._known)} sessions>"
