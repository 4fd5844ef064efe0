"""The exhibition's words (contract 5): briefs to requests, events to messages. Pure.

The engine's phases are this wire's stages. What was found is told as it stands in the events: both
sets of names are in it already.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from engine import (
    JSON,
    AntiphonError,
    Attempt,
    Cancelled,
    Completed,
    Delta,
    Entry,
    Failed,
    InvalidRequest,
    Item,
    Part,
    PartCancelled,
    PartCompleted,
    PhaseCompleted,
    PhaseStarted,
    Progress,
    Selected,
    SelectionRequired,
    UnsupportedType,
)
from server.protocols.interface import Chunk, Story
from server.protocols.shared import attempt_fields, cancelled_fields, part_cancelled_fields


class ExhibitionCodec:
    """The codec of `/ws/{session_id}`."""

    protocol = "exhibition"
    names_events = False

    def decode(self, message: JSON) -> tuple[str, JSON]:
        """Take a brief as it is; the pipeline checks its fields.

        Raises:
            UnsupportedType: it has a `type` that this endpoint does not know.
        """
        kind = message.get("type")
        if kind is not None:
            raise UnsupportedType(
                f"unsupported message type {kind!r:.80}; allowed are select, cancel, subscribe "
                "and ping"
            )
        return self.protocol, message

    def target(self, target: JSON) -> JSON:
        """Take a cancel's target as it is: no name here has an alias."""
        return target

    def chunk(self, part: Part, story: Story) -> Chunk:
        """A part's deltas are `chunk` messages."""
        static = {"type": "chunk", "stage": part.phase, "field": _field(part)}
        return Chunk(static=static, text="content")

    def encode(self, entry: Entry, story: Story) -> JSON:
        """Give the message of an event."""
        event = entry.event
        match event:
            case Delta():
                return {
                    "type": "chunk",
                    "stage": event.part.phase,
                    "field": _field(event.part),
                    "content": event.text,
                }
            case PhaseStarted() | Progress():
                return _progress(entry, event.phase, event.progress_percent, event.message)
            case PartCompleted():
                part, data = event.part, event.data
                return _progress(entry, part.phase, data["progress"], data["message"])
            case PhaseCompleted():
                message = _progress(entry, event.phase, event.progress_percent, event.message)
                message["type"] = "stage_complete"
                message["completed_stage"] = event.phase
                message["data"] = event.data
                return message
            case Item():
                return {
                    "type": "item",
                    "stage": event.phase,
                    "kind": event.kind,
                    "data": event.data,
                }
            case SelectionRequired():
                return {
                    "type": "selection_required",
                    "stage": event.phase,
                    "candidates": event.candidates,
                    "expires_at": _iso(event.expires_at),
                }
            case Selected():
                return {
                    "type": "selected",
                    "stage": event.phase,
                    "selected_indices": event.selected_indices,
                    "selected_count": len(event.selected_indices),
                    "by": event.by,
                }
            case Attempt():
                return attempt_fields(event)
            case PartCancelled():
                return part_cancelled_fields(event)
            case Completed():
                return {
                    "type": "completed",
                    "stage": "completed",
                    "progress": 100,
                    "message": "The exhibition proposal is complete",
                    "proposal_url": f"/api/proposals/{story.session_id}",
                    "usage": event.usage,
                }
            case Failed():
                return _failed(event)
            case Cancelled():
                return {"message": "The exhibition was cancelled", **cancelled_fields(event)}
        raise InvalidRequest(f"{type(event).__name__} has no message in this protocol")

    def refusal(self, error: AntiphonError, about: Mapping[str, str]) -> JSON:
        """Give an `error` of this protocol."""
        message: JSON = {"type": "error", "message": error.message, "error": error.message}
        if "stage" in about:
            message["stage"] = about["stage"]
        return message

    def connected(self, session_id: str) -> JSON:
        """Give what a client of one exhibition hears first."""
        return {
            "type": "connected",
            "session_id": session_id,
            "message": "Connected to the exhibition's progress",
        }


def _progress(entry: Entry, stage: str, percent: float | None, text: str) -> JSON:
    return {
        "type": "progress",
        "stage": stage,
        "progress": None if percent is None else int(percent),
        "message": text,
        "updated_at": _iso(entry.at),
    }


def _field(part: Part) -> str:
    return str(part.target.get("field", part.id))


def _failed(event: Failed) -> JSON:
    message: JSON = {
        "type": "error",
        "message": f"The exhibition failed: {event.message}",
        "error": event.message,
        "code": event.code,
        "stage": event.phase or "validation",
        "usage": event.usage,
    }
    if event.retry_after_s is not None:
        message["retry_after"] = event.retry_after_s
    return message


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
