"""StreamGenerate's words (contract 1): requests to commands, events to messages. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

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
    UnsupportedType,
    canonical_phase,
)
from server.protocols.encoding import to_json
from server.protocols.interface import Chunk, Story
from server.protocols.shared import attempt_fields, cancelled_fields, part_cancelled_fields


class GenerateCodec:
    """The codec of `/stream`."""

    protocol = "generate"
    names_events = False

    def decode(self, message: JSON) -> tuple[str, JSON]:
        """Take a GenerateOptions object as it is; the pipeline checks its fields.

        Raises:
            UnsupportedType: it has a `type` that this endpoint does not know.
        """
        kind = message.get("type")
        if kind is not None and kind != "generate":
            raise UnsupportedType(
                f"unsupported message type {_shown(kind)}; allowed are a GenerateOptions object "
                "(without a type), cancel, subscribe and ping"
            )
        return self.protocol, {key: value for key, value in message.items() if key != "type"}

    def target(self, target: JSON) -> JSON:
        """Give a target with its phase's own name; one that no phase has stays, and is not found.

        `{"phase": "idea"}` means prima-materia, as it does in a request.
        """
        phase = target.get("phase")
        if not isinstance(phase, str):
            return target
        with suppress(ValueError):
            phase = canonical_phase(phase)
        return {**target, "phase": phase}

    def chunk(self, part: Part, story: Story) -> Chunk:
        """A part's deltas are `chunk` messages."""
        return Chunk(
            static={
                "type": "chunk",
                "phase": part.phase,
                "prompt_id": part.id,
                "model": part.model,
                "provider": part.provider,
            },
            text="content",
            tokens="tokens",
            timestamp="timestamp",
        )

    def encode(self, entry: Entry, story: Story) -> JSON:
        """Give the message of an event."""
        message = _message(entry, story)
        message["timestamp"] = int(entry.at)
        return message

    def refusal(self, error: AntiphonError, about: Mapping[str, str]) -> JSON:
        """Give an `error` of this protocol."""
        return {
            "type": "error",
            "phase": about.get("phase", ""),
            "error": error.message,
            "timestamp": int(time.time()),
        }


def _message(entry: Entry, story: Story) -> JSON:
    event = entry.event
    match event:
        case Delta():
            return {
                "type": "chunk",
                "phase": event.part.phase,
                "prompt_id": event.part.id,
                "content": event.text,
                "model": event.part.model,
                "provider": event.part.provider,
                "tokens": event.tokens,
            }
        case PhaseStarted():
            return {"type": "phase_start", "phase": event.phase}
        case PartCompleted():
            count = story.command.get("request", {}).get("count", 3)
            return {
                "type": "prompt_complete",
                "phase": event.part.phase,
                "prompt_id": event.part.id,
                "content": f"Prompt {event.part.index + 1} of {count} completed",
                "index": event.part.index,
                "parent_id": event.part.parent_id,
            }
        case PhaseCompleted():
            return {"type": "phase_complete", "phase": event.phase}
        case PartFailed():
            return {
                "type": "prompt_failed",
                "phase": event.part.phase,
                "prompt_id": event.part.id,
                "index": event.part.index,
                "error": event.message,
                "code": event.code,
            }
        case Attempt():
            return {**attempt_fields(event), "phase": event.part.phase}
        case PartCancelled():
            return {**part_cancelled_fields(event), "phase": event.part.phase}
        case Completed():
            content = {"session_id": story.session_id, **event.data}
            return {
                "type": "result",
                "content": to_json(content).decode(),
                "usage": event.usage,
            }
        case Failed():
            message: JSON = {
                "type": "error",
                "phase": event.phase or "",
                "error": event.message,
                "code": event.code,
                "usage": event.usage,
            }
            if event.data.get("partial"):
                message["partial"] = event.data["partial"]
            if event.retry_after_s is not None:
                message["retry_after"] = event.retry_after_s
            return message
        case Cancelled():
            return cancelled_fields(event)
        case Progress():
            return {"type": "progress", "phase": event.phase, "message": event.message}
        case Reasoning():
            return {
                "type": "reasoning",
                "phase": event.part.phase,
                "prompt_id": event.part.id,
                "content": event.text,
            }
        case Item():
            return {"type": event.kind, "phase": event.phase, "data": event.data}
    raise InvalidRequest(f"{type(event).__name__} has no message in this protocol")


def _shown(kind: object) -> str:
    return repr(kind)[:80]
