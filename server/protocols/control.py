"""What a client may say on any WebSocket besides its protocol's own requests (contract 0). Pure.

The one rule: whatever arrives in a well-formed frame is understood or refused by name; nothing ends
the connection.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from engine import JSON, InvalidJson, InvalidRequest, Options
from server.protocols.interface import Codec, Start

MAX_REQUEST_ID = 128
"""Characters."""

MAX_TOKEN_BUDGET = 10**12
"""Far more than anybody can pay for, and far less than what a journal's integers hold."""

TARGETS = ("prompt_id", "persona_id", "raterName", "stage", "phase")
"""What a cancel may name."""

_OPTIONS = {
    "requestid": "request_id",
    "detached": "detached",
    "deadlines": "deadline_s",
    "tokenbudget": "token_budget",
}


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel a session, or one part of it."""

    session_id: str | None
    request_id: str | None
    target: JSON | None


class Subscribe(msgspec.Struct, frozen=True, kw_only=True):
    """Read a session, from a cursor or from a snapshot on."""

    session_id: str
    after: str | None
    mode: Literal["replay", "snapshot"]


class Select(msgspec.Struct, frozen=True, kw_only=True):
    """Choose among the candidates that a session waits with."""

    session_id: str | None
    stage: str
    indices: object
    """As they came; the engine checks them."""


class Ping(msgspec.Struct, frozen=True):
    """Are you there?"""


Said: TypeAlias = Start | Cancel | Subscribe | Select | Ping


def parse_json(data: str | bytes | None) -> JSON:
    """Read one message's JSON object; the bare text `ping` counts as one.

    Raises:
        InvalidJson: it is not JSON. InvalidRequest: it is JSON, and no object.
    """
    if data in ("ping", b"ping"):
        return {"type": "ping"}
    return parse_body(data or b"")


def parse_body(data: str | bytes) -> JSON:
    """Read an HTTP body's JSON object.

    Raises:
        InvalidJson: it is not JSON. InvalidRequest: it is JSON, and no object.
    """
    try:
        message = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidJson(f"the message is not valid JSON: {error}") from None
    if not isinstance(message, dict):
        kind = {list: "an array", str: "a string", type(None): "null"}.get(type(message))
        text = f"must be a JSON object, got {kind or 'a number or boolean'}"
        raise InvalidRequest(f"a message {text}", [("", text)])
    return message


def request_id_of(message: JSON) -> str | None:
    """Give the request's id where it can be read; for the answer, whatever else is wrong."""
    for key, value in message.items():
        if _fold(key) == "requestid" and isinstance(value, str) and len(value) <= MAX_REQUEST_ID:
            return value
    return None


def interpret(message: JSON, codec: Codec) -> Said:
    """Understand a message.

    Raises:
        InvalidRequest, UnsupportedType: with what is wrong and what is allowed.
    """
    match message.get("type"):
        case "ping":
            return Ping()
        case "cancel":
            return Cancel(
                session_id=_text(message, "session_id"),
                request_id=_text(message, "request_id"),
                target=_target(message),
            )
        case "subscribe":
            return _subscribe(message)
        case "select":
            return _select(message)
    options, rest = split_options(message)
    protocol, data = codec.decode(rest)
    return Start(protocol=protocol, data=data, options=options)


def split_options(message: JSON) -> tuple[Options, JSON]:
    """Take the options that any request may have at its top from the protocol's own fields.

    Raises:
        InvalidRequest: an option has a value that is not allowed.
    """
    found: JSON = {}
    rest: JSON = {}
    for key, value in message.items():
        name = _OPTIONS.get(_fold(key))
        if name is None:
            rest[key] = value
        elif value is not None:
            found[name] = _whole(value) if name == "token_budget" else value
    faults = [fault for name, value in found.items() if (fault := _fault(name, value))]
    if faults:
        raise InvalidRequest("; ".join(f"{path} {text}" for path, text in faults), faults)
    return Options(**found), rest


def _whole(value: object) -> object:
    """Take 3.0 for 3: JSON knows one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _fault(name: str, value: object) -> tuple[str, str] | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "request_id" and not (isinstance(value, str) and len(value) <= MAX_REQUEST_ID):
        return name, f"must be a string of at most {MAX_REQUEST_ID} characters"
    if name == "detached" and not isinstance(value, bool):
        return name, "must be true or false"
    if name == "deadline_s" and not (is_number and value > 0):  # type: ignore[operator]
        return name, "must be a number of seconds above 0"
    if name == "token_budget" and not (
        isinstance(value, int) and is_number and 1 <= value <= MAX_TOKEN_BUDGET
    ):
        return name, f"must be a whole number of tokens from 1 to {MAX_TOKEN_BUDGET:,}"
    return None


def _subscribe(message: JSON) -> Subscribe:
    session_id = _text(message, "session_id")
    if session_id is None:
        raise InvalidRequest("subscribe needs a session_id", [("session_id", "is required")])
    mode = message.get("mode", "replay")
    if mode not in ("replay", "snapshot"):
        raise InvalidRequest(
            'mode must be "replay" or "snapshot"', [("mode", 'must be "replay" or "snapshot"')]
        )
    return Subscribe(session_id=session_id, after=_text(message, "after"), mode=mode)


def _select(message: JSON) -> Select:
    stage = _text(message, "stage")
    if stage is None:
        raise InvalidRequest("select needs a stage", [("stage", "is required")])
    return Select(
        session_id=_text(message, "session_id"),
        stage=stage,
        indices=_value(message, "selected_indices"),
    )


def _target(message: JSON) -> JSON | None:
    target = message.get("target")
    if target is None:
        return None
    if (
        not isinstance(target, dict)
        or not target
        or not all(key in TARGETS and isinstance(value, str) for key, value in target.items())
    ):
        allowed = " or ".join(f'{{"{name}":"…"}}' for name in TARGETS)
        raise InvalidRequest(f"target must be {allowed}", [("target", f"must be {allowed}")])
    return target


def _text(message: JSON, name: str) -> str | None:
    value = _value(message, name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a string", [(name, "must be a string")])
    return value


def _value(message: JSON, name: str) -> object:
    """Give a field's value, however its key is spelt."""
    folded = _fold(name)
    return next((value for key, value in message.items() if _fold(key) == folded), None)


def _fold(key: str) -> str:
    return key.replace("_", "").lower()
