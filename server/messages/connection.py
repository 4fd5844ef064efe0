"""What every WebSocket may say and hear, whichever protocol it speaks (contract 0)."""

from __future__ import annotations

from typing import get_args

from engine import JSON, SessionState
from server.messages.interface import (
    Message,
    flag,
    listing,
    number,
    one_of,
    or_null,
    record,
    shared,
    text,
    whole,
)
from server.protocols.control import MAX_REQUEST_ID, MAX_TOKEN_BUDGET, TARGETS

OPTIONS: dict[str, JSON] = {
    "request_id": or_null(
        {**text("echoed by every message of the session"), "maxLength": MAX_REQUEST_ID}
    ),
    "detached": or_null(flag("whether it runs on when nobody reads it")),
    "deadline_s": or_null(
        {"type": "number", "exclusiveMinimum": 0, "description": "seconds; then it is cancelled"}
    ),
    "token_budget": or_null(
        {
            **whole("tokens that it may use, in and out", least=1),
            "maximum": MAX_TOKEN_BUDGET,
        }
    ),
}
"""What any request may have at its top, beside the protocol's own."""

_TARGET: JSON = {
    "type": ["object", "null"],
    "properties": {name: {"type": "string"} for name in TARGETS},
    "additionalProperties": False,
    "minProperties": 1,
    "description": "that part alone; without it: the whole session",
}
_STATE = one_of(*get_args(SessionState))

CLIENT = (
    Message(
        name="cancel",
        summary="Cancel a session, or a part of it; with no id, the connection's only running one.",
        optional={
            "session_id": or_null(text("which session")),
            "request_id": or_null(text("or by the id that its request had on this connection")),
            "target": _TARGET,
        },
        is_numbered=False,
    ),
    Message(
        name="subscribe",
        summary="Read a session, again or from elsewhere.",
        fields={"session_id": text("which session")},
        optional={
            "after": or_null(text("the cursor `<epoch>:<seq>`; without it: from the start")),
            "mode": one_of("replay", "snapshot", meaning="a snapshot first, or every message"),
        },
        is_numbered=False,
    ),
    Message(name="ping", summary="Ask for a `pong`; the bare text `ping` does.", is_numbered=False),
)

SELECT = Message(
    name="select",
    summary="Choose among the candidates that a session waits with.",
    fields={
        "stage": one_of("artist_discovery", "artwork_discovery"),
        "selected_indices": {
            **listing(whole(), "which candidates, counted from 0"),
            "minItems": 1,
            "uniqueItems": True,
        },
    },
    optional={"session_id": or_null(text("which session; on `/ws/{session_id}` it is known"))},
    is_numbered=False,
)

_OF_SESSION: dict[str, JSON] = {"session_id": text("which session"), "state": _STATE}
_TERMINAL = record("the session's terminal message, if it has ended")

SERVER = (
    Message(name="pong", summary="The answer to a ping.", is_numbered=False),
    Message(
        name="draining",
        summary="The server stops: go on until it closes with 1012, then come back and resume.",
        fields={"grace": number("seconds until it closes")},
        is_numbered=False,
    ),
    Message(
        name="notice",
        summary="Something about the server that everybody should know; nothing ends by it.",
        fields={"code": text("for programs"), "message": text("for people")},
        is_numbered=False,
    ),
    Message(
        name="gap",
        summary="The log no longer holds what was asked for; what follows begins at `earliest`.",
        fields={
            "session_id": text("which session"),
            "requested": whole("the offset that was asked for"),
            "earliest": whole("the first that there is"),
            "latest": whole("the last that there is"),
        },
        is_numbered=False,
    ),
    Message(
        name="snapshot",
        summary="What a session looks like at `seq`; its messages after that follow.",
        fields={
            **_OF_SESSION,
            "epoch": text("the life of the session's log"),
            "seq": whole("the offset that it stands for"),
            "phase": or_null(text("the phase or stage that it is in")),
            "progress": number("percent"),
            "parts": listing(shared("ShownPart")),
        },
        optional={"request_id": text("the request's own"), "terminal": _TERMINAL},
        is_numbered=False,
    ),
    Message(
        name="cancel_result",
        summary="The answer to a cancel of what has ended, or is not read on this connection.",
        fields={**_OF_SESSION, "terminal": or_null(_TERMINAL)},
        optional={
            "target": shared("Target"),
            "parts": listing(shared("ShownPart"), "those that the target names"),
            "request_id": text("the request's own"),
        },
        is_numbered=False,
    ),
)
