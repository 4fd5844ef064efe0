"""What a message is: its type, its fields with their schemas, and when it comes.

The one rule: a message says all that it may hold; a test holds every codec and real conversations
to it, so nothing is sent that does not stand here. The published schemas stay open all the same:
a field that is added later breaks no client. Must not import Quart, codecs or transports.
"""

from __future__ import annotations

from typing import get_args

import msgspec

from engine import JSON, AttemptReason, CancelReason, ErrorCode


def text(meaning: str = "") -> JSON:
    """Give the schema of a text."""
    return _said({"type": "string"}, meaning)


def whole(meaning: str = "", *, least: int = 0) -> JSON:
    """Give the schema of a whole number."""
    return _said({"type": "integer", "minimum": least}, meaning)


def number(meaning: str = "") -> JSON:
    """Give the schema of a number that is not negative."""
    return _said({"type": "number", "minimum": 0}, meaning)


def flag(meaning: str = "") -> JSON:
    """Give the schema of true or false."""
    return _said({"type": "boolean"}, meaning)


def one_of(*words: str, meaning: str = "") -> JSON:
    """Give the schema of a word among some."""
    return _said({"enum": list(words)}, meaning)


def record(meaning: str = "") -> JSON:
    """Give the schema of an object with fields that depend on the request or the model."""
    return _said({"type": "object"}, meaning)


def listing(items: JSON, meaning: str = "") -> JSON:
    """Give the schema of a list."""
    return _said({"type": "array", "items": items}, meaning)


def shape(required: dict[str, JSON], optional: dict[str, JSON] | None = None) -> JSON:
    """Give the schema of an object with these fields."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def or_null(schema: JSON) -> JSON:
    """Say that there may be null."""
    if "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    said = {"description": schema["description"]} if "description" in schema else {}
    bare = {key: value for key, value in schema.items() if key != "description"}
    return {"anyOf": [bare, {"type": "null"}], **said}


def shared(name: str) -> JSON:
    """Refer to a schema that several messages have in common."""
    return {"$ref": f"#/components/schemas/{name}"}


def _said(schema: JSON, meaning: str) -> JSON:
    return {**schema, "description": meaning} if meaning else schema


CODE = one_of(*get_args(ErrorCode), meaning="why; see errors.md")
RETRY_AFTER = number("seconds after which a repeat may help")
NAMED_TARGET = shared("Target")
USAGE = shared("Usage")

NUMBERED: dict[str, JSON] = {
    "session_id": text("whose message it is"),
    "epoch": text("the life of the session's log; another one after a restart"),
    "seq": whole("its place in the log: 1, 2, 3 … without a gap", least=1),
}
SOMETIMES: dict[str, JSON] = {
    "request_id": text("the request's own, as it came"),
    "first_seq": whole("of a merged one: it stands for the offsets from here to `seq`", least=1),
    "warnings": listing(text(), "with the first message: what was odd about the request"),
}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message, of the server or of a client."""

    name: str
    """Unique in its protocol. Often the type; there are types with several forms."""
    summary: str
    type: str | None = None
    """What `type` says; None: the same as the name, and "" that there is no `type` at all."""
    fields: dict[str, JSON] = {}
    """Those that it always has, beside `type` and the common ones."""
    optional: dict[str, JSON] = {}
    is_numbered: bool = True
    """Whether it stands in a session's log, and has the common fields."""
    is_terminal: bool = False
    """Whether its session ends with it."""
    body: JSON | None = None
    """The whole schema of a client's message that is a command, made from the command."""

    @property
    def kind(self) -> str:
        """What `type` says; "" if there is none."""
        return self.name if self.type is None else self.type

    @property
    def schema(self) -> JSON:
        """Give its schema."""
        if self.body is not None:
            return self.body
        always = {"type": {"const": self.kind}, **self.fields}
        optional = dict(self.optional)
        if self.is_numbered:
            always |= NUMBERED
            optional |= SOMETIMES
        return shape(always, optional)


def shared_schemas() -> JSON:
    """Give the schemas that messages refer to, by name."""
    tokens = {
        "input_tokens": whole(),
        "output_tokens": whole(),
        "total_tokens": whole(),
    }
    estimated = {"estimated": flag("counted here, and not reported by the provider")}
    rows = listing(
        {"type": "object", "required": list(tokens)}, "the same for each part, with its target"
    )
    return {
        "Usage": {
            "description": "Tokens of a session.",
            **shape({**tokens, "by_part": rows}, estimated),
        },
        "PartUsage": {"description": "Tokens of one part.", **shape(tokens, estimated)},
        "Receipt": {
            "description": "The proof of a cancel.",
            **shape(
                {
                    "accepted_at_seq": whole("the last offset when the cancel was accepted"),
                    "upstream_closed_ms": or_null(
                        number("milliseconds until the last provider's stream was closed")
                    ),
                    "tokens_after_accept": whole("what a provider still sent; nobody saw it"),
                }
            ),
        },
        "Target": {
            "description": "How a part is addressed, such as by `prompt_id` or `persona_id`.",
            "type": "object",
            "minProperties": 1,
        },
        "ShownPart": {
            "description": "One part as it is now.",
            **shape(
                {
                    "target": NAMED_TARGET,
                    "attempt": whole(least=1),
                    "state": one_of("running", "completed", "failed", "cancelled"),
                    "text": text("all of it so far"),
                }
            ),
        },
        "Fault": {
            "description": "What is wrong with one field.",
            **shape({"path": text("the field"), "message": text("what is allowed")}),
        },
    }


def attempt(**more: JSON) -> Message:
    """Give the message that voids a part's text, as it is in every protocol."""
    return Message(
        name="attempt",
        summary="A part begins again: its text so far is void, empty it.",
        fields={
            "target": NAMED_TARGET,
            "attempt": whole("the new attempt's number; the first is 1 and is not told", least=1),
            "reason": one_of(*get_args(AttemptReason)),
            "code": or_null(text("the error that it comes from")),
            **more,
        },
    )


def part_cancelled(**more: JSON) -> Message:
    """Give the message of a part that was cancelled alone."""
    return Message(
        name="part_cancelled",
        summary="A part was cancelled alone; the rest goes on.",
        fields={
            "target": NAMED_TARGET,
            "partial": text("its text so far, never more than was streamed"),
            **more,
        },
        optional={"receipt": shared("Receipt")},
    )


def cancelled(**more: JSON) -> Message:
    """Give the terminal message of a session that was cancelled."""
    return Message(
        name="cancelled",
        summary="The session was cancelled; every provider's stream is closed by now.",
        fields={
            "reason": one_of(*get_args(CancelReason)),
            "partial": {
                **record("each part's text so far, by its id"),
                "additionalProperties": {"type": "string"},
            },
            "usage": USAGE,
            "receipt": shared("Receipt"),
            **more,
        },
        optional={"message": text("more about the reason, for people")},
        is_terminal=True,
    )


def refused(**own: JSON) -> Message:
    """Give the message that refuses what a client sent: nothing began, and nothing ended by it."""
    return Message(
        name="refused",
        type="error",
        summary="What the client sent is refused: it started nothing, changed nothing, ends "
        "nothing.",
        fields={**own, "code": CODE, "refused": {"const": True}},
        optional={
            "details": listing(shared("Fault"), "of `invalid_request`: each fault"),
            "retry_after": RETRY_AFTER,
            "request_id": text("the request's own, where it could be read"),
            "session_id": text("the session that was asked for, where it has an address"),
        },
        is_numbered=False,
    )
