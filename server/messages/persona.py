"""The persona chat's messages (contract 4): whose each is, stands in it."""

from __future__ import annotations

import msgspec

from engine import JSON
from server.messages.interface import (
    CODE,
    NAMED_TARGET,
    RETRY_AFTER,
    USAGE,
    Message,
    attempt,
    cancelled,
    flag,
    listing,
    number,
    one_of,
    or_null,
    part_cancelled,
    record,
    refused,
    shape,
    shared,
    text,
    whole,
)

_WHO: dict[str, JSON] = {
    "persona_id": text("whose; without it: the one voice of `openai_chat`"),
    "index": whole("the persona's place in the request, from 0"),
    "round": whole("of a debate", least=1),
}
_CONVERSATION = or_null(text("to go on with it"))
_LATENCY = shape({"first_token": or_null(number("seconds")), "total": number("seconds")})


def _of_voice(message: Message) -> Message:
    return msgspec.structs.replace(message, optional={**message.optional, **_WHO})


SERVER = (
    _of_voice(
        Message(
            name="status",
            summary="Where a voice stands.",
            fields={
                "status": one_of("starting", "processing", "streaming"),
                "message": text("for people"),
            },
            optional={"conversation_id": _CONVERSATION},
        )
    ),
    _of_voice(
        Message(
            name="chunk",
            summary="More text of a voice; the last one is empty and final.",
            fields={"chunk": text("add it to the voice's text"), "is_final": flag()},
        )
    ),
    _of_voice(
        Message(
            name="reasoning",
            summary="More of a model's reasoning.",
            fields={"chunk": text("add it")},
        )
    ),
    _of_voice(
        Message(
            name="tool",
            summary="A tool is called at the provider.",
            fields={
                "status": or_null(text("how far it is")),
                "tool": or_null(text("which")),
                "data": or_null(record("the provider's own")),
            },
        )
    ),
    Message(
        name="persona_response",
        summary="One of several personas is done; the others go on.",
        fields={
            "persona_id": text("whose"),
            "index": _WHO["index"],
            "response": text("the whole of it"),
            "response_id": or_null(text("to go on from it")),
            "provider": text("whose model it is"),
            "model": text("who wrote"),
            "finish_reason": or_null(text("why it ended")),
            "usage": shared("PartUsage"),
            "latency": or_null(_LATENCY),
        },
        optional={"round": _WHO["round"]},
    ),
    Message(
        name="persona_error",
        type="error",
        summary="One of several personas failed; the others go on.",
        fields={
            "status": {"const": "error"},
            "message": text("for people"),
            "code": CODE,
            "persona_id": text("whose"),
        },
        optional={"index": _WHO["index"], "round": _WHO["round"]},
    ),
    _of_voice(attempt()),
    _of_voice(part_cancelled()),
    Message(
        name="response",
        summary="All is done.",
        fields={
            "status": {"const": "completed"},
            "data": record(
                "`response`, `conversation_id` and more; of several personas also `responses`, "
                "`failed`, `cancelled` and `combined`"
            ),
            "usage": USAGE,
        },
        is_terminal=True,
    ),
    Message(
        name="error",
        summary="The session failed.",
        fields={
            "status": {"const": "error"},
            "message": text("for people"),
            "code": CODE,
            "conversation_id": _CONVERSATION,
            "usage": USAGE,
        },
        optional={
            "partial": record("each voice's text so far"),
            "failed": listing({"type": "object"}, "which personas failed"),
            "cancelled": listing(NAMED_TARGET, "which personas were cancelled"),
            "retry_after": RETRY_AFTER,
        },
        is_terminal=True,
    ),
    cancelled(status={"const": "cancelled"}, conversation_id=_CONVERSATION),
    refused(status={"const": "error"}, message=text("for people")),
)
