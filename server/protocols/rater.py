"""The rater's words (contract 3): requests to commands, events to messages. Pure.

Among several raters each message carries `raterName`; an `error` that carries it ends that rater
alone, one that does not ends the session.
"""

from __future__ import annotations

from collections.abc import Mapping

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
    PartFailed,
    PhaseCompleted,
    PhaseStarted,
    Progress,
    Reasoning,
)
from server.protocols.interface import Chunk, Story
from server.protocols.shared import attempt_fields, cancelled_fields, part_cancelled_fields

NAME = "raterName"


class RaterCodec:
    """The codec of `/api/v1/rater-feedback` and its like."""

    protocol = "rater"
    names_events = False

    def decode(self, message: JSON) -> tuple[str, JSON]:
        """Take a request as it is; the pipeline checks its fields."""
        return self.protocol, message

    def target(self, target: JSON) -> JSON:
        """Take a cancel's target as it is: no name here has an alias."""
        return target

    def chunk(self, part: Part, story: Story) -> Chunk:
        """A rater's text is shown as partial feedback; should deltas come, they are tokens."""
        return Chunk(static={"type": "token", "phase": part.phase, **_name_of(part)}, text="token")

    def encode(self, entry: Entry, story: Story) -> JSON:
        """Give the message of an event."""
        event = entry.event
        match event:
            case Progress() | PhaseStarted() | PhaseCompleted():
                return _status(event)
            case PartCompleted():
                data = {key: value for key, value in event.data.items() if key != "result"}
                return {"type": "status", **data}
            case Item():
                return {"type": event.kind, **event.data}
            case Delta():
                return {
                    "type": "token",
                    "phase": event.part.phase,
                    **_name_of(event.part),
                    "token": event.text,
                }
            case Completed():
                return {
                    "type": "result",
                    "data": event.data,
                    "status": "complete",
                    "usage": event.usage,
                }
            case Failed():
                return _failed(event)
            case Cancelled():
                return {**cancelled_fields(event), "error_code": "CANCELLED"}
            case PartFailed():
                return {
                    "type": "error",
                    "message": event.message,
                    "error_code": event.data.get("error_code", "GENERATION_FAILED"),
                    "code": event.code,
                    **_name_of(event.part),
                }
            case PartCancelled():
                return {
                    **part_cancelled_fields(event),
                    "error_code": "CANCELLED",
                    **_name_of(event.part),
                }
            case Attempt():
                return {**attempt_fields(event), **_name_of(event.part)}
            case Reasoning():
                return {
                    "type": "reasoning",
                    "phase": event.part.phase,
                    **_name_of(event.part),
                    "content": event.text,
                }
        raise InvalidRequest(f"{type(event).__name__} has no message in this protocol")

    def refusal(self, error: AntiphonError, about: Mapping[str, str]) -> JSON:
        """Give an `error` of this protocol."""
        return {"type": "error", "message": error.message, "error_code": "CONTEXT_ERROR"}


def _status(event: Progress | PhaseStarted | PhaseCompleted) -> JSON:
    fields: JSON = {"type": "status", "phase": event.phase, "message": event.message}
    if event.progress_percent is not None:
        whole = int(event.progress_percent)
        fields["progress"] = whole if whole == event.progress_percent else event.progress_percent
    if isinstance(event, Progress):
        fields.update(event.data)
    return fields


def _failed(event: Failed) -> JSON:
    message: JSON = {
        "type": "error",
        "message": event.message,
        "error_code": event.data.get("error_code", "GENERATION_FAILED"),
        "code": event.code,
        "usage": event.usage,
    }
    if event.retry_after_s is not None:
        message["retry_after"] = event.retry_after_s
    return message


def _name_of(part: Part) -> JSON:
    """Name the rater, where there are several."""
    return {NAME: part.target[NAME]} if NAME in part.target else {}
