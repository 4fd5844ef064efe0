"""What calls answer: failures as problems, events as they stream, and what goes with both.

The one rule: a status that a call can answer with stands at that call, with its body. Not so 500,
which is a defect of ours and never meant. Must not import Quart.
"""

from __future__ import annotations

from typing import get_args

from engine import JSON, ErrorCode, RaterErrorCode, SessionState
from server.messages import PROTOCOLS, shared_schemas, sse_messages

PROBLEM = "application/problem+json"
SSE = "text/event-stream"

TEXT: JSON = {"type": "string"}
COUNT: JSON = {"type": "integer", "minimum": 0}

MEANINGS = {
    304: "The browser has it already.",
    400: "The body is not JSON.",
    401: "There is no valid bearer token.",
    403: "The role may not do this, or the page's origin is foreign.",
    404: "There is none, or not for this caller.",
    408: "The body did not come in time.",
    409: "It does not fit the present state.",
    410: "Its retention time has passed.",
    413: "The body is too large.",
    422: "The request breaks its contract; `details` says where.",
    429: "Too often, or too many at once; `retry_after` says when again.",
    502: "The provider failed.",
    503: "The server, the provider or the issuer of tokens is not available.",
    504: "It took too long.",
}


def required(*names: str, **properties: JSON) -> JSON:
    """Give the schema of an object that has some fields for certain."""
    found: JSON = {"type": "object", "required": list(names)}
    if properties:
        found["properties"] = properties
    return found


def named(name: str) -> JSON:
    """Refer to a schema of the document by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(name: str, **properties: JSON) -> JSON:
    """Give the schema of an object with a list and what goes with it."""
    listed: JSON = {"type": "array", "items": {"type": "object"}}
    return required(name, *properties, **{name: listed, **properties})


def failure(status: int, own: JSON | None = None) -> JSON:
    """Give the answer of a failure.

    Args:
        status: HTTP's.
        own: the schema of a JSON body that is no problem, where the protocol has one of its own.
    """
    content: JSON = {PROBLEM: {"schema": named("Problem")}}
    if own is not None:
        content["application/json"] = {"schema": own}
    found: JSON = {"description": MEANINGS[status], "content": content}
    if status == 401:
        found["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}}
    if status in (429, 503):
        seconds: JSON = {"type": "integer", "minimum": 1}
        found["headers"] = {"Retry-After": {"required": status == 429, "schema": seconds}}
    return found


def stream(protocol: str | None) -> JSON:
    """Give the answer that is a session's events.

    Args:
        protocol: whose messages; None: those of whichever protocol the session has.
    """
    place: JSON = {"schema": TEXT, "required": True}
    return {
        "description": "Events, to the one that ends the session.",
        "headers": {"Location": place, "X-Session-Id": place},
        "content": {SSE: {"schema": _event(protocol)}},
    }


def feed() -> JSON:
    """Give the answer of the observer: each event is the whole of a moment, without a cursor."""
    moment = required("at", "sessions", "actors", at={"type": "number"})
    event = required("data", data=_json_text(moment))
    return {
        "description": "Moments, until the client goes, its token expires or the server stops.",
        "content": {SSE: {"schema": event}},
    }


def _event(protocol: str | None) -> JSON:
    """Describe an event; of a known protocol, with every message that it has."""
    fields: JSON = {"id": {"type": "string", "pattern": "^.+:[0-9]+$"}}
    if protocol is None:
        fields["data"] = _json_text(required("type", type=TEXT))
        return required("data", **fields)
    kinds = [*sse_messages(protocol)]
    fields["data"] = _json_text({"anyOf": [named(f"{protocol}.{each.name}") for each in kinds]})
    if protocol == "content":  # contract 2 names events; the others do not
        fields["event"] = {"enum": sorted({each.kind for each in kinds})}
        return required("event", "data", **fields)
    return required("data", **fields)


def _json_text(schema: JSON) -> JSON:
    return {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}


def answer_schemas() -> JSON:
    """Give the schemas that answers refer to, by name."""
    record: JSON = {
        "session_id": TEXT,
        "protocol": {"enum": list(PROTOCOLS)},
        "state": {"enum": list(get_args(SessionState))},
        "owner": TEXT,
        "request_id": {"type": ["string", "null"]},
        "detached": {"type": "boolean"},
        "created_at": TEXT,
        "updated_at": TEXT,
    }
    terminal: JSON = {"type": ["object", "null"], "description": "The terminal message, if ended."}
    detail = required("path", "message", path=TEXT, message=TEXT)
    error: JSON = {
        "line": {"type": "integer", "minimum": 1},
        "message": TEXT,
        "section": TEXT,
    }
    result: JSON = {
        "success": {"type": "boolean"},
        "output": {"type": ["string", "null"]},
        "validation_errors": {"type": "array", "items": required(*error, **error)},
        "metadata": {"type": "object"},
        "usage": named("Usage"),
    }
    part = required("target", "attempt", "state", "text", target={"type": "object"}, text=TEXT)
    shown: JSON = {
        "phase": {"type": ["string", "null"]},
        "progress": {"type": "number", "minimum": 0, "maximum": 100},
        "parts": {"type": "array", "items": part},
        "results": {"type": "object"},
        "usage": {"type": ["object", "null"]},
        "terminal": terminal,
    }
    feedback = required(
        "opinion", "suggestions", opinion=TEXT, suggestions={"type": "array", "items": TEXT}
    )
    return {
        **shared_schemas(),
        **{
            f"{protocol}.{each.name}": each.schema
            for protocol in ("content", "rater")
            for each in sse_messages(protocol)
        },
        "Problem": {
            "description": "RFC 9457; the rater's failures carry its own `error_code` too.",
            **required(
                "type",
                "title",
                "status",
                "detail",
                "code",
                type=TEXT,
                title=TEXT,
                status={"type": "integer"},
                detail=TEXT,
                code={"enum": list(get_args(ErrorCode))},
                details={"type": "array", "items": detail},
                retry_after={"type": "number", "minimum": 0},
                error_code={"enum": list(get_args(RaterErrorCode))},
                session_id=TEXT,
                reason=TEXT,
                usage=named("Usage"),
            ),
        },
        "SessionRecord": required(*record, **record),
        "SessionList": required(
            "sessions",
            "cursor",
            sessions={"type": "array", "items": named("SessionRecord")},
            cursor={"type": ["string", "null"]},
        ),
        "TemplateShown": required(
            "content_type",
            "stage",
            "text",
            "hash",
            "is_default",
            text=TEXT,
            hash=TEXT,
            is_default={"type": "boolean"},
        ),
        "PersonaShown": {
            "description": "Its system prompt is shown to admins alone.",
            **required(
                "id", "name", "source", id=TEXT, name=TEXT, source={"enum": ["api", "file"]}
            ),
        },
        "Session": required(*record, *shown, **record, **shown),
        "Cancelled": required(
            "session_id",
            "state",
            "terminal",
            session_id=TEXT,
            state=record["state"],
            terminal=terminal,
        ),
        "ContentResult": {
            "description": "What `complete` says.",
            **required(*result, **result, partial_output=TEXT, code=TEXT),
        },
        "Feedback": required(
            "raterName",
            "feedback",
            "context_metadata",
            "usage",
            raterName=TEXT,
            feedback=feedback,
            context_metadata={"type": "object"},
            usage=named("Usage"),
        ),
    }
