"""One request's life: connect, send, listen, perhaps cancel, perhaps come back, be accounted for.

The one rule: what is heard is accounted for in the moment and in the task in which it arrives; this
task only decides when to send and when to stop. Times come from `time.monotonic`, which all
processes of a machine share.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import msgspec
import trio

from benchmarks.load import limits
from benchmarks.load.account import Account
from benchmarks.load.adapters.interface import Adapter, Conversation
from benchmarks.load.measures import Measures
from benchmarks.load.plan import Intent, Plan
from benchmarks.load.target import Target
from benchmarks.load.wires.http import Headers, ask, open_events
from benchmarks.load.wires.interface import Connection, Lost
from benchmarks.load.wires.websocket import open_websocket

CODE_CHARACTERS = 120
"""Of what could not be read: enough to mend an adapter."""


class Rig:
    """What all requests of a worker have in common."""

    def __init__(
        self, plan: Plan, adapter: Adapter, target: Target, headers: Headers, measures: Measures
    ) -> None:
        self.plan = plan
        self.adapter = adapter
        self.target = target
        self.headers = headers
        self.measures = measures
        self.began_at = 0.0
        """When the run began, by `monotonic`."""
        self.is_stopped = False
        """Whether the run was interrupted."""
        self.open: set[Request] = set()
        """Requests that are under way."""


class Start:
    """The agreement on a common beginning, where connections are opened before it."""

    def __init__(self, go: trio.Event) -> None:
        self.connected = trio.Event()
        """Set once the connection is open, or cannot be opened."""
        self.go = go
        """Set at the run's beginning."""


class Request:
    """One request; `run` is its life.

    Args:
        rig: where it lives.
        intent: what is meant to happen.
    """

    def __init__(self, rig: Rig, intent: Intent) -> None:
        self._rig = rig
        self._intent = intent
        self._conversation: Conversation = rig.adapter.conversation(intent.number)
        self._account = self._new_account()
        self._over = trio.Event()
        self._enough_tokens = trio.Event()
        self._connection: Connection | None = None
        self._has_started = False  # the account runs: from the preparing on, where there is one
        self._has_opened = False  # it was said what begins the request
        self._started_at = 0.0

    async def run(self, start: Start | None = None) -> None:
        """Live.

        Args:
            start: where connections are opened before the run; else it begins at once.

        Cancellation: the request counts as stopped, or as unfinished.
        """
        self._rig.open.add(self)
        try:
            await self._persist(start)
        except Lost as lost:
            self._begin()
            self._account.fail(lost.code, monotonic())
        except (ValueError, msgspec.MsgspecError) as error:
            self._begin()
            self._account.fail(f"unreadable: {error}"[:CODE_CHARACTERS], monotonic())
        finally:
            if start is not None:
                start.connected.set()
            self._rig.open.discard(self)
            self._account.give_up("stopped" if self._rig.is_stopped else "unfinished", monotonic())
            self._account.conclude()

    def cut(self) -> None:
        """Break its connection off, as a network does; it comes back if it knows how."""
        if self._connection is not None and self._conversation.resuming() is not None:
            self._connection.cut()

    # ---- connections -----------------------------------------------------------------------------

    async def _persist(self, start: Start | None) -> None:
        """Use one connection after the other, until it is over."""
        await self._prepare()
        wait_s = limits.RECONNECT_FIRST_S
        since = monotonic()
        while True:
            try:
                async with self._open() as connection:
                    if start is not None:
                        await self._wait_for(start)
                        start = None
                    await self._converse(connection)
                why, wait_s, since = connection.why, limits.RECONNECT_FIRST_S, monotonic()
            except Lost as lost:
                why = lost.code
                if monotonic() - since > limits.RESUME_WITHIN_S:
                    raise
            if self._account.state != "open":
                return
            if not self._may_come_back(why):
                raise Lost(why)
            await trio.sleep(self._pause_s(why, wait_s))
            wait_s = min(wait_s * 2, limits.RECONNECT_LONGEST_S)

    async def _wait_for(self, start: Start) -> None:
        """Say that it is connected, and wait for its own moment after the run's beginning."""
        start.connected.set()
        await start.go.wait()
        self._account = self._new_account()
        await trio.sleep(max(0.0, self._rig.began_at + self._intent.at_s - monotonic()))

    async def _prepare(self) -> None:
        sent = self._conversation.preparing()
        if sent is not None:
            self._begin()
            status, body = await ask(self._rig.target, self._rig.headers, sent)
            self._conversation.prepared(status, body)

    def _may_come_back(self, why: str) -> bool:
        """Whether a lost connection is to be opened again; a request that may run is not resent."""
        if not self._rig.plan.resumes or why.startswith("http_4"):
            return False
        if self._has_opened and self._conversation.resuming() is None:
            self._account.give_up("unsure", monotonic())
            raise Lost(why)
        return True

    def _pause_s(self, why: str, wait_s: float) -> float:
        storm = self._rig.plan.storm
        if why == "cut" and storm is not None:
            return random.uniform(0, storm.spread_s)
        return random.uniform(wait_s / 2, wait_s)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Connection]:
        rig, slow = self._rig, self._intent.bytes_per_s
        before = monotonic()
        if rig.adapter.wire == "websocket":
            path = self._conversation.path or rig.adapter.path
            async with open_websocket(
                rig.target, path, rig.headers, self._take, bytes_per_s=slow
            ) as socket:
                rig.measures.record("connect", monotonic() - before)
                yield socket
        else:
            async with open_events(
                rig.target, rig.headers, self._take, self._conversation, bytes_per_s=slow
            ) as events:
                rig.measures.record("connect", monotonic() - before)
                yield events

    # ---- the conversation ------------------------------------------------------------------------

    async def _converse(self, connection: Connection) -> None:
        """Begin or go on, and listen until it is over or the connection is lost."""
        self._connection = connection
        try:
            if self._has_opened:
                sent = self._conversation.resuming()
                self._account.ask_again(monotonic())
            else:
                self._has_opened = True
                sent = self._conversation.opening()
                self._begin()
            if sent is not None:
                await connection.send(sent)
            await self._listen(connection)
        except Lost:
            pass  # as if it had been lost a moment later
        finally:
            self._connection = None
        if self._account.state == "open" and self._rig.plan.resumes:
            self._account.lose(monotonic())

    async def _listen(self, connection: Connection) -> None:
        async with trio.open_nursery() as nursery:

            async def stop_at_its_end() -> None:
                await connection.ended.wait()
                nursery.cancel_scope.cancel(reason="the connection has ended")

            nursery.start_soon(stop_at_its_end)
            if self._intent.cancel_after_s is not None or self._intent.cancel_after_tokens:
                nursery.start_soon(self._cancel_in_time, connection)
            await self._over.wait()
            if self._account.state == "cancelled" and not connection.ended.is_set():
                await trio.sleep(limits.LINGER_S)
            nursery.cancel_scope.cancel(reason="the request is over")

    async def _cancel_in_time(self, connection: Connection) -> None:
        """Cancel when the plan says so."""
        if self._intent.cancel_after_tokens is not None:
            await self._enough_tokens.wait()
        elif self._intent.cancel_after_s is not None:
            moment_at = self._started_at + self._intent.cancel_after_s
            await trio.sleep(max(0.0, moment_at - monotonic()))
        if self._account.state != "open":
            return
        sent = self._conversation.cancelling()
        if sent is None:
            self._account.hang_up(monotonic())
            connection.cut()
            self._over.set()
            return
        self._account.cancel(monotonic())
        try:
            if sent.is_http:
                await ask(self._rig.target, self._rig.headers, sent)
            else:
                await connection.send(sent)
        except Lost:
            pass  # it has no effect then, and the account will show it

    def _take(self, message: bytes, event: str) -> None:
        """Account for a message; runs where it arrives."""
        now = monotonic()
        account = self._account
        counts = self._rig.measures.counts
        counts.messages += 1
        counts.received_bytes += len(message)
        try:
            reading = self._conversation.read(message, event)
        except (ValueError, msgspec.MsgspecError) as error:
            account.fail(f"unreadable: {error}"[:CODE_CHARACTERS], now)
            self._over.set()
            return
        if reading is None:
            return
        account.hear(reading, now)
        if account.state != "open":
            self._over.set()
        elif account.tokens >= (self._intent.cancel_after_tokens or float("inf")):
            self._enough_tokens.set()

    def _new_account(self) -> Account:
        rig = self._rig
        return Account(
            rig.measures,
            self._intent.number,
            rig.began_at + self._intent.at_s,
            run_began_at=rig.began_at,
            slo=rig.plan.slo,
            pace_per_s=rig.plan.pace_per_s,
        )

    def _begin(self) -> None:
        if not self._has_started:
            self._has_started = True
            self._started_at = monotonic()
            self._account.start(self._started_at)
