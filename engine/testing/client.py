"""The simulation's clients: they read as connections do, drop, stay away and come back.

The one rule: a client remembers everything that it was given, with the moment, and how durable the
session was then. Must not import transports, nor a pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import trio

from engine.engine import Engine
from engine.errors import AntiphonError, JournalFailed
from engine.events import Entry
from engine.sessions.subscription import Gap, Subscription
from engine.testing.checker import Missing, Reader, Reading, Sight, blames_journal
from engine.testing.workload import ReaderPlan

if TYPE_CHECKING:
    from engine.testing.simulation import Simulation


class Client:
    """One reader of one session, over all its connections."""

    def __init__(self, simulation: Simulation, place: int, plan: ReaderPlan, name: str) -> None:
        self.record = Reader(name=name)
        self.is_done = False
        self._simulation = simulation
        self._place = place
        self._plan = plan

    @property
    def has_lost_journal(self) -> bool:
        """Whether it was told that the journal failed: it does not come back after a restart."""
        return any(blames_journal(entry.event) for entry in self.record.entries)

    async def run(self, engine: Engine, session_id: str) -> None:
        """Read until the end, with all the drops of the plan."""
        await trio.sleep(self._plan.joins_s)
        await self.come_back(engine, session_id)

    async def come_back(self, engine: Engine, session_id: str) -> None:
        """Read on after what it has, until the end, with all the drops of the plan."""
        plan = self._plan
        for drop_after in (*plan.drops_after, None):
            try:
                self.is_done = await self._connect(engine, session_id, drop_after)
            except JournalFailed:
                if not self._simulation.is_stopped:
                    raise
            if self.is_done:
                return
            await trio.sleep(plan.away_s)

    def _cursor(self) -> tuple[str | None, int | None]:
        for reading in reversed(self.record.readings):
            for sight in reversed(reading.sights):
                if isinstance(sight.what, Entry):
                    return f"{reading.epoch}:{sight.what.seq}", None
                return f"{reading.epoch}:{sight.what.earliest - 1}", None
            return f"{reading.epoch}:{reading.after_seq}", None
        return None, self._plan.after_seq

    async def _connect(self, engine: Engine, session_id: str, drop_after: int | None) -> bool:
        """Read until the end (True), or until it drops (False)."""
        after, after_seq = self._cursor()
        gathered = trio.Event()
        wake = (lambda _: gathered.set()) if self._plan.kind == "push" else None
        try:
            subscription = await engine.subscribe(
                session_id, after=after, after_seq=after_seq, wake=wake
            )
        except AntiphonError:
            if self._simulation.is_stopped:
                return False
            raise
        if subscription.cursor > subscription.log.visible:
            subscription.close()  # a plan's cursor that lies beyond what there is
            return False
        reading = Reading(after_seq=subscription.cursor, epoch=subscription.epoch)
        self.record.readings.append(reading)
        with subscription:
            if self._plan.kind == "never":
                await trio.sleep(3.0)
                return False
            if self._plan.kind == "push":
                return await self._push(subscription, reading, drop_after)
            return await self._pull(subscription, reading, drop_after)

    async def _pull(
        self, subscription: Subscription, reading: Reading, drop_after: int | None
    ) -> bool:
        while True:
            batch = await subscription.receive(self._plan.max_bytes)
            if not batch:
                reading.has_ended = not self._simulation.is_stopped
                return True
            self._take(batch, reading)
            if drop_after is not None and len(reading.sights) >= drop_after:
                return False
            if self._plan.pause_s:
                await trio.sleep(self._plan.pause_s)

    async def _push(
        self, subscription: Subscription, reading: Reading, drop_after: int | None
    ) -> bool:
        """Read as a connection's fast path does: inside the numbering step, without a task."""
        changed = trio.Event()
        limit = drop_after if drop_after is not None else 1 << 30

        def on_wake(_: Subscription) -> None:
            while subscription.has_more and not subscription.is_behind:
                self._take(subscription.take_nowait(self._plan.max_bytes), reading)
                if len(reading.sights) >= limit:
                    break
            if subscription.has_more or subscription.is_ended:
                changed.set()
            else:
                subscription.arm()

        subscription._wake = on_wake
        while True:
            on_wake(subscription)
            await changed.wait()
            changed = trio.Event()
            if len(reading.sights) >= limit:
                return False
            if subscription.is_ended:
                reading.has_ended = not self._simulation.is_stopped
                return True
            self._take(await subscription.take(self._plan.max_bytes), reading)

    def _take(self, batch: Sequence[Entry | Gap], reading: Reading) -> None:
        simulation = self._simulation
        if simulation.is_stopped:
            return  # the process is dead: nobody sees what it would have sent
        for item in batch:
            what: Entry | Missing
            if isinstance(item, Gap):
                what = Missing(requested=item.requested, earliest=item.earliest)
            else:
                what = item
            reading.sights.append(
                Sight(
                    what=what,
                    at=trio.current_time(),
                    durable_seq=simulation.durable_seq(self._place),
                    open_calls=simulation.pipeline.open_calls(self._place),
                )
            )
            simulation.note(self._place, self.record.name, what)
