"""What all transports share: the engine, the codecs, an encoder for each session, and the drain."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from weakref import WeakValueDictionary

import msgspec
import trio

from engine import JSON, Engine, Gap, SessionRecord, View, Viewer, matches
from server.notices import Notices
from server.protocols.encoding import Encoder, tell
from server.protocols.interface import Codec
from server.rates import Pace


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection may have."""

    sessions_per_stream_connection: int = 200
    """Running sessions of one `/stream` connection."""
    sessions_per_chat_connection: int = 16
    """Running sessions of one `/ws` connection."""
    control_messages: int = 256
    """Answers that wait for one client; while there are more, its messages are not read."""


class Hub:
    """The server's side of the engine.

    Args:
        engine: where sessions run.
        codecs: one for each protocol.
        bounds: what a connection may have.
        drain_s: the grace that clients are told of.
    """

    def __init__(
        self, engine: Engine, codecs: Iterable[Codec], *, bounds: Bounds, drain_s: float
    ) -> None:
        self.engine = engine
        self.codecs = {codec.protocol: codec for codec in codecs}
        self.bounds = bounds
        self.drain_s = drain_s
        self.pace = Pace()
        """How fast one user's messages are taken; without authentication as fast as they come."""
        self.draining = trio.Event()
        """Set when the server has begun to drain."""
        self.grace_ends_at = math.inf
        """When the drain's grace is over, on trio's clock."""
        self.stopped = trio.Event()
        """Set when sessions have ended or were set aside: sockets close now."""
        self.refusals: Counter[str] = Counter()
        """Requests and messages that were refused since the start, by their error's code."""
        journal = engine.journal
        self.notices = Notices(journal, is_patient=journal.patience_s > engine.limits.close_s)
        self._encoders: WeakValueDictionary[str, Encoder] = WeakValueDictionary()
        engine.on_new_life = self._begin_life

    def begin_drain(self) -> None:
        """Tell all clients that the server stops; the grace begins now."""
        self.grace_ends_at = trio.current_time() + self.drain_s
        self.draining.set()

    def encoder(self, record: SessionRecord) -> Encoder:
        """Give a session's encoder, the same one to all its readers."""
        encoder = self._encoders.get(record.session_id)
        if encoder is None:
            encoder = Encoder(self.codecs[record.protocol], tell(record))
            self._encoders[record.session_id] = encoder
        return encoder

    def _begin_life(self, session_id: str, epoch: str) -> None:
        encoder = self._encoders.get(session_id)
        if encoder is not None:
            encoder.begin_life(epoch)

    async def cancel(
        self, session_id: str, viewer: Viewer, target: JSON | None, *, message: str = ""
    ) -> tuple[SessionRecord, JSON | None]:
        """Cancel a session or a part of it, named in the words of the session's own protocol.

        Returns: its record, and the target by its canonical name.

        Raises:
            NotFound, Expired: there is none for this viewer, or no such part in it.
        """
        if target is not None:
            record = await self.engine.record(session_id, viewer)
            target = self.codecs[record.protocol].target(target)
        record = await self.engine.cancel(session_id, viewer=viewer, target=target, message=message)
        return record, target

    def snapshot(self, record: SessionRecord, encoder: Encoder, view: View) -> JSON:
        """Give the message that stands for everything up to `view.seq`."""
        message: JSON = {
            "type": "snapshot",
            "session_id": record.session_id,
            "epoch": encoder.epoch,
            "seq": view.seq,
            "state": record.state,
            "phase": view.phase,
            "progress": view.progress_percent,
            "parts": parts_json(view),
        }
        if record.request_id is not None:
            message["request_id"] = record.request_id
        if view.terminal_entry is not None:
            message["terminal"] = encoder.fields(view.terminal_entry)
        return message

    def cancel_result(
        self, record: SessionRecord, encoder: Encoder, view: View, target: JSON | None = None
    ) -> JSON:
        """Give the answer to a cancel of a session, or a target in it, that has ended."""
        message: JSON = {
            "type": "cancel_result",
            "session_id": record.session_id,
            "state": record.state,
            "terminal": None,
        }
        if target is not None:
            message["target"] = target
            message["parts"] = parts_json(view, target)
        if record.request_id is not None:
            message["request_id"] = record.request_id
        if view.terminal_entry is not None:
            message["terminal"] = encoder.fields(view.terminal_entry)
        return message


def gap_json(session_id: str, gap: Gap) -> JSON:
    """Give the message that says what is no longer held."""
    return {
        "type": "gap",
        "session_id": session_id,
        "requested": gap.requested,
        "earliest": gap.earliest,
        "latest": gap.latest,
    }


def parts_json(view: View, target: JSON | None = None) -> list[JSON]:
    """Give a view's parts, or those that a target names, in the wire's form."""
    return [
        {
            "target": part.part.target,
            "attempt": part.part.attempt,
            "state": part.state,
            "text": part.text,
        }
        for part in view.parts.values()
        if target is None or matches(part.part, target)
    ]
