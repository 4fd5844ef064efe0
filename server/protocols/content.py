"""The content pipeline's words (contract 2): requests to commands, events to messages. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

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

START = "init"
"""The stage of the first event, which is `start` on the wire."""


class ContentCodec:
    """The codec of `/run` and its like. What a pipeline calls a phase is a stage here."""

    protocol = "content"
    names_events = True

    def decode(self, message: JSON) -> tuple[str, JSON]:
        """Take a request as it is; the pipeline checks its fields."""
        return self.protocol, message

    def target(self, target: JSON) -> JSON:
        """Take a cancel's target as it is: no name here has an alias."""
        return target

    def chunk(self, part: Part, story: Story) -> Chunk:
        """A stage's deltas are `token` messages."""
        return Chunk(static={"type": "token", "stage": part.phase}, text="token")

    def encode(self, entry: Entry, story: Story) -> JSON:
        """Give the message of an event."""
        event = entry.event
        match event:
            case Delta():
                return {"type": "token", "stage": event.part.phase, "token": event.text}
            case Progress(phase=phase) if phase == START:
                return {"type": "start", "message": event.message, "stage": START}
            case Progress() | PhaseStarted() | PhaseCompleted():
                return _progress(event.phase, event.message, event.progress_percent)
            case PartCompleted():
                return _part_completed(event)
            case Completed():
                return {"type": "complete", **event.data, "usage": event.usage}
            case Failed():
                return _failed(event)
            case Cancelled():
                return cancelled_fields(event)
            case Attempt():
                return {**attempt_fields(event), "stage": event.part.phase}
            case PartCancelled():
                return {**part_cancelled_fields(event), "stage": event.part.phase}
            case PartFailed():
                return {
                    "type": "part_failed",
                    "target": event.part.target,
                    "stage": event.part.phase,
                    "error": event.message,
                    "code": event.code,
                }
            case Reasoning():
                return {"type": "reasoning", "stage": event.part.phase, "content": event.text}
            case Item():
                return {"type": event.kind, "stage": event.phase, "data": event.data}
        raise InvalidRequest(f"{type(event).__name__} has no message in this protocol")

    def refusal(self, error: AntiphonError, about: Mapping[str, str]) -> JSON:
        """Give an `error` of this protocol."""
        return {"type": "error", "error": error.message, "stage": about.get("stage", "")}


def request_for(message: JSON, half: Literal["whole", "draft", "format"]) -> JSON:
    """Say in a request which half an endpoint runs.

    Raises:
        InvalidRequest: the client names another one.
    """
    for key, value in message.items():
        if key.casefold() == "half" and value != half:
            raise InvalidRequest(
                f"half is {half!r} at this address: use /run/stream, /run/stream/draft or "
                "/run/stream/format",
                [("half", f"must be {half!r} at this address")],
            )
    return {
        **{key: value for key, value in message.items() if key.casefold() != "half"},
        "half": half,
    }


def _progress(stage: str, message: str, percent: float | None) -> JSON:
    fields: JSON = {"type": "progress", "stage": stage, "message": message}
    if percent is not None:
        fields["progress"] = _whole(percent)
    return fields


def _whole(percent: float) -> int | float:
    return int(percent) if percent == int(percent) else percent


def _part_completed(event: PartCompleted) -> JSON:
    data = event.data
    if event.part.id == "generator":
        return {
            "type": "draft",
            "stage": event.part.phase,
            "message": data["message"],
            "progress": data["progress"],
            "draft": event.text,
        }
    return _progress(data["stage"], data["message"], data["progress"])


def _failed(event: Failed) -> JSON:
    if "success" in event.data:  # a text that did not pass the validator is a result, of a kind
        return {"type": "complete", **event.data, "code": event.code, "usage": event.usage}
    message: JSON = {
        "type": "error",
        "error": event.message,
        "code": event.code,
        "stage": event.phase or "",
        "usage": event.usage,
    }
    if event.data.get("partial"):
        message["partial"] = event.data["partial"]
    if event.retry_after_s is not None:
        message["retry_after"] = event.retry_after_s
    return message
