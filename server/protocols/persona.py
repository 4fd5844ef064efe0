"""The persona chat's words (contract 4): envelopes to requests, events to messages. Pure.

Every message of a voice says whose it is: `persona_id` where there is one, `index` and, in a
debate, `round` where there are several.
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
    Progress,
    Reasoning,
    UnsupportedType,
)
from server.protocols.interface import Chunk, Story
from server.protocols.shared import (
    attempt_fields,
    cancelled_fields,
    part_cancelled_fields,
    usage_fields,
)

REQUESTS = ("openai_chat", "chat", "multi_chat")


class PersonaCodec:
    """The codec of `/ws`."""

    protocol = "persona"
    names_events = False

    def decode(self, message: JSON) -> tuple[str, JSON]:
        """Take an envelope as it is; the pipeline checks its fields.

        Raises:
            UnsupportedType: it has no `type`, or one that this endpoint does not know.
        """
        kind = message.get("type")
        if kind not in REQUESTS:
            what = f"message type {_shown(kind)}" if kind is not None else "message without a type"
            raise UnsupportedType(
                f"unsupported {what}; allowed are {', '.join(REQUESTS)}, cancel, subscribe and ping"
            )
        return self.protocol, message

    def target(self, target: JSON) -> JSON:
        """Take a cancel's target as it is: no name here has an alias."""
        return target

    def chunk(self, part: Part, story: Story) -> Chunk:
        """A part's deltas are `chunk` messages."""
        static = {"type": "chunk", **_who(part, story), "is_final": False}
        return Chunk(static=static, text="chunk")

    def encode(self, entry: Entry, story: Story) -> JSON:
        """Give the message of an event."""
        event = entry.event
        match event:
            case Delta():
                return _chunk(event.part, story, event.text, is_final=False)
            case Reasoning():
                return {"type": "reasoning", **_who(event.part, story), "chunk": event.text}
            case Progress():
                return _status(event, story)
            case Item():
                return _item(event, story)
            case PartCompleted():
                return _completed_part(event, story)
            case PartFailed():
                return {
                    "type": "error",
                    "status": "error",
                    **_who(event.part, story),
                    "message": event.message,
                    "code": event.code,
                }
            case PartCancelled():
                return {**part_cancelled_fields(event), **_who(event.part, story)}
            case Attempt():
                return {**attempt_fields(event), **_who(event.part, story)}
            case Completed():
                return {
                    "type": "response",
                    "status": "completed",
                    "data": event.data,
                    "usage": event.usage,
                }
            case Failed():
                return _failed(event, story)
            case Cancelled():
                fields = cancelled_fields(event)
                fields["status"] = "cancelled"
                fields["conversation_id"] = story.command.get("conversation_id")
                return fields
        raise InvalidRequest(f"{type(event).__name__} has no message in this protocol")

    def refusal(self, error: AntiphonError, about: Mapping[str, str]) -> JSON:
        """Give an `error` of this protocol."""
        return {"type": "error", "status": "error", "message": error.message}


def _who(part: Part, story: Story) -> JSON:
    """Say whose a message is."""
    persona_id = part.target.get("persona_id")
    if persona_id is None:
        return {}
    who: JSON = {"persona_id": persona_id}
    if _is_panel(story):
        who["index"] = part.index
        if "round" in part.target:
            who["round"] = part.target["round"]
    return who


def _is_panel(story: Story) -> bool:
    return bool(story.command["request"]["type"] == "multi_chat")


def _chunk(part: Part, story: Story, text: str, *, is_final: bool) -> JSON:
    return {"type": "chunk", **_who(part, story), "chunk": text, "is_final": is_final}


def _status(event: Progress, story: Story) -> JSON:
    status: JSON = {"type": "status", "status": event.data.get("status", "processing")}
    if event.part is not None:
        status.update(_who(event.part, story))
    status["message"] = event.message
    if status["status"] == "starting":
        status["conversation_id"] = story.command.get("conversation_id")
    return status


def _item(event: Item, story: Story) -> JSON:
    assert event.part is not None
    if event.kind == "final":
        return _chunk(event.part, story, "", is_final=True)
    return {
        "type": event.kind,
        **_who(event.part, story),
        "status": event.data.get("status"),
        "tool": event.data.get("tool"),
        "data": event.data.get("data"),
    }


def _completed_part(event: PartCompleted, story: Story) -> JSON:
    part = event.part
    if not _is_panel(story):  # the text is over; the response follows
        return _chunk(part, story, "", is_final=True)
    return {
        "type": "persona_response",
        **_who(part, story),
        "response": event.text,
        "response_id": event.data.get("response_id"),
        "provider": part.provider,
        "model": part.model,
        "finish_reason": event.data.get("finish_reason"),
        "usage": usage_fields(event.usage),
        "latency": event.data.get("latency"),
    }


def _failed(event: Failed, story: Story) -> JSON:
    message: JSON = {
        "type": "error",
        "status": "error",
        "message": event.message,
        "code": event.code,
        "conversation_id": story.command.get("conversation_id"),
        "usage": event.usage,
    }
    for name in ("partial", "failed", "cancelled"):
        if event.data.get(name):
            message[name] = event.data[name]
    if event.retry_after_s is not None:
        message["retry_after"] = event.retry_after_s
    return message


def _shown(kind: object) -> str:
    return repr(kind)[:80]
