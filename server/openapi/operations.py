"""Every call over HTTP: where it is, what it takes, what it gives and how it fails.

The one rule: this is a table; a test holds it against the routes. Must not import Quart.
"""

from __future__ import annotations

import msgspec

from engine import JSON

SSE = "text/event-stream"

_STARTING = (400, 403, 413, 422, 429, 503)
_RUNNING = (*_STARTING, 409, 502, 504)
_CHANGING = (400, 403, 409, 413, 422)

_STATES = ["queued", "running", "completed", "failed", "cancelled"]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One call."""

    method: str
    path: str
    summary: str
    status: int = 200
    gives: JSON | None = msgspec.field(default_factory=lambda: {"type": "object"})
    """The answer's schema; None: it has no body."""
    media: str = "application/json"
    fails: tuple[int, ...] = ()
    takes: str | None = None
    """The name of the body's schema."""
    query: tuple[tuple[str, JSON], ...] = ()
    is_public: bool = False


def _of(*required: str) -> JSON:
    return {"type": "object", "required": list(required)}


OPERATIONS = (
    Operation(
        method="post",
        path="/run",
        summary="Run the content pipeline, and wait for its result.",
        takes="ContentRequest",
        gives=_of("success", "output", "validation_errors", "metadata"),
        fails=_RUNNING,
    ),
    *(
        Operation(
            method="post", path=path, summary=summary, takes=takes, media=SSE, fails=_STARTING
        )
        for path, summary, takes in (
            ("/run/stream", "Run the content pipeline as a stream.", "ContentRequest"),
            ("/run/stream/draft", "Write the draft alone, as a stream.", "DraftRequest"),
            ("/run/stream/format", "Lay a draft out, as a stream.", "FormatRequest"),
            ("/api/v1/rater-feedback/stream", "Ask a rater, as a stream.", "RaterRequest"),
            (
                "/api/v1/rater-feedback/batch/stream",
                "Ask several raters at once, as a stream.",
                "RaterBatchRequest",
            ),
        )
    ),
    Operation(
        method="post",
        path="/api/v1/rater-feedback",
        summary="Ask a rater, and wait for the feedback.",
        takes="RaterRequest",
        gives=_of("raterName", "feedback", "context_metadata", "usage"),
        fails=_RUNNING,
    ),
    Operation(
        method="post",
        path="/api/curator/submit",
        summary="Start an exhibition; a repeated Idempotency-Key gives the first one.",
        status=202,
        takes="ExhibitionRequest",
        gives=_of("session_id", "message", "websocket_url", "events_url"),
        fails=_STARTING,
    ),
    *(
        Operation(
            method="post",
            path=f"/api/sessions/{{session_id}}/select-{kind}",
            summary=f"Choose among the {kind} that an exhibition waits with.",
            takes="SelectRequest",
            gives=_of("session_id", "message", "selected_count"),
            fails=(*_CHANGING, 404, 410),
        )
        for kind in ("artists", "artworks")
    ),
    Operation(
        method="get",
        path="/api/sessions/{session_id}/status",
        summary="Say where an exhibition stands.",
        gives=_of("session_id", "state", "stage", "progress", "waiting"),
        fails=(404, 410),
    ),
    Operation(
        method="get",
        path="/api/proposals/{session_id}",
        summary="Give an exhibition's proposal, as JSON or as a page for print.",
        gives=_of("session_id", "proposal", "retrieved_at"),
        fails=(404,),
    ),
    Operation(
        method="get",
        path="/api/sessions",
        summary="List one's sessions, newest first.",
        query=(
            ("state", {"enum": _STATES}),
            ("protocol", {"enum": ["generate", "content", "rater", "persona", "exhibition"]}),
            ("limit", {"type": "integer", "minimum": 1, "maximum": 200}),
        ),
        gives=_of("sessions", "cursor"),
        fails=(422,),
    ),
    Operation(
        method="get",
        path="/api/sessions/{session_id}",
        summary="Show a session.",
        gives=_of("session_id", "state", "parts", "usage", "terminal"),
        fails=(404, 410),
    ),
    Operation(
        method="delete",
        path="/api/sessions/{session_id}",
        summary="Forget a session; a running one is cancelled first.",
        status=204,
        gives=None,
        fails=(403, 404, 410),
    ),
    Operation(
        method="get",
        path="/api/sessions/{session_id}/events",
        summary="Read a session's events, from a cursor on.",
        media=SSE,
        fails=(404, 410, 422),
    ),
    Operation(
        method="post",
        path="/api/sessions/{session_id}/cancel",
        summary="Cancel a session, or a part of it.",
        status=202,
        takes="CancelRequest",
        gives=_of("session_id", "state", "terminal"),
        fails=(400, 403, 404, 410, 413, 422),
    ),
    Operation(
        method="get", path="/api/personas", summary="List the personas.", gives=_of("personas")
    ),
    Operation(
        method="post",
        path="/api/personas",
        summary="Make a persona (admin).",
        status=201,
        takes="Persona",
        fails=_CHANGING,
    ),
    Operation(
        method="get", path="/api/personas/{persona_id}", summary="Show a persona.", fails=(404,)
    ),
    Operation(
        method="put",
        path="/api/personas/{persona_id}",
        summary="Replace a persona (admin).",
        takes="PersonaFields",
        fails=_CHANGING,
    ),
    Operation(
        method="delete",
        path="/api/personas/{persona_id}",
        summary="Forget a persona (admin).",
        status=204,
        gives=None,
        fails=(403, 404, 409),
    ),
    Operation(
        method="get",
        path="/api/conversations",
        summary="List one's conversations.",
        query=(("limit", {"type": "integer", "minimum": 1, "maximum": 200}),),
        gives=_of("conversations"),
        fails=(422,),
    ),
    Operation(
        method="get",
        path="/api/conversations/{conversation_id}",
        summary="Show a conversation.",
        gives=_of("conversation_id", "turns"),
        fails=(404,),
    ),
    Operation(
        method="delete",
        path="/api/conversations/{conversation_id}",
        summary="Forget a conversation.",
        status=204,
        gives=None,
        fails=(403, 404),
    ),
    Operation(
        method="get", path="/api/providers", summary="List the providers.", gives=_of("providers")
    ),
    Operation(
        method="get",
        path="/api/models",
        summary="List the models, and who may use them.",
        gives=_of("models", "default", "restrictions"),
    ),
    Operation(
        method="put",
        path="/api/models/restrictions",
        summary="Say which models a role may use (admin).",
        takes="Restrictions",
        fails=(400, 403, 413, 422),
    ),
    Operation(
        method="get", path="/api/prompts", summary="List the templates.", gives=_of("prompts")
    ),
    Operation(
        method="put",
        path="/api/prompts/{content_type}/{stage}",
        summary="Replace a template (admin).",
        takes="Template",
        fails=(*_CHANGING, 404),
    ),
    Operation(
        method="delete",
        path="/api/prompts/{content_type}/{stage}",
        summary="Go back to the packaged template (admin).",
        fails=(403, 404, 409),
    ),
    Operation(
        method="post",
        path="/api/auth/login",
        summary="Get a token for a name and a password.",
        takes="Credentials",
        gives=_of("token", "role", "expires_at"),
        fails=(400, 401, 403, 404, 413, 422, 429),
        is_public=True,
    ),
    Operation(
        method="get",
        path="/api/auth/check",
        summary="Say who asks.",
        gives=_of("authenticated", "role", "sub"),
        is_public=True,
    ),
    Operation(method="get", path="/api/users", summary="List the users (admin).", fails=(403,)),
    Operation(
        method="post",
        path="/api/users",
        summary="Add a user (admin).",
        status=201,
        takes="User",
        fails=_CHANGING,
    ),
    Operation(
        method="delete",
        path="/api/users/{name}",
        summary="Drop a user (admin).",
        status=204,
        gives=None,
        fails=(403, 404),
    ),
    Operation(method="get", path="/version", summary="Say what runs here.", is_public=True),
    Operation(method="get", path="/healthz", summary="Whether the process lives.", is_public=True),
    Operation(
        method="get",
        path="/readyz",
        summary="Whether it takes new sessions.",
        fails=(503,),
        is_public=True,
    ),
)
