"""Every call over HTTP: where it is, what it takes, what it gives and how it fails.

The one rule: this is a table; a test holds it against the routes. Must not import Quart.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from engine import JSON, SessionState
from server.messages import PROTOCOLS
from server.openapi.answers import list_of, named, required

_STARTING = (422, 429, 503)
_RUNNING = (*_STARTING, 409, 502, 504)
_CHANGING = (409, 422)

CURSOR: JSON = {"type": "string", "pattern": "^([^:]+:[0-9]{1,15})?$"}
"""`<epoch>:<seq>`; empty: from the start."""
PAGE: JSON = {"type": "string", "pattern": "^([0-9]{1,12}([.][0-9]{1,9})?_[0-9A-Za-z-]{1,64})?$"}
"""A listing's own cursor."""
KEY: JSON = {"type": "string", "pattern": "^[!-~]([ -~]{0,198}[!-~])?$"}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One call. What all calls of its kind answer (401, 413 …) is added by `document`."""

    method: Literal["get", "post", "put", "delete"]
    path: str
    summary: str
    status: int = 200
    gives: JSON | None = msgspec.field(default_factory=lambda: {"type": "object"})
    """The answer's schema; None: it has no body."""
    media: str = "application/json"
    also: dict[int, str] = {}
    """Further statuses that are no failure, and what they mean: without a body, but for a 200."""
    page: bool = False
    """Whether it is a page too, for who accepts text/html."""
    streams: Literal["content", "rater", "any", "moments"] | None = None
    """Whose events the answer is made of, if of events."""
    fails: tuple[int, ...] = ()
    own: dict[int, JSON] = {}
    """Failures that have a JSON body of the protocol's own beside the problem."""
    takes: str | None = None
    """The name of the body's schema."""
    query: dict[str, JSON] = {}
    headers: dict[str, JSON] = {}
    is_public: bool = False


_SESSION = "/api/sessions/{session_id}"

OPERATIONS = (
    # ---- content -------------------------------------------------------------------------------
    Operation(
        method="post",
        path="/run",
        summary="Run the content pipeline, and wait for its result.",
        takes="ContentRequest",
        gives=named("ContentResult"),
        fails=_RUNNING,
        own={422: named("ContentResult")},
    ),
    *(
        Operation(
            method="post",
            path=path,
            summary=summary,
            takes=takes,
            streams="content",
            fails=_STARTING,
        )
        for path, summary, takes in (
            ("/run/stream", "Run the content pipeline as a stream.", "ContentRequest"),
            ("/run/stream/draft", "Write the draft alone, as a stream.", "DraftRequest"),
            ("/run/stream/format", "Lay a draft out, as a stream.", "FormatRequest"),
        )
    ),
    Operation(
        method="get",
        path="/api/prompts",
        summary="List the templates.",
        gives=list_of("prompts"),
    ),
    Operation(
        method="put",
        path="/api/prompts/{content_type}/{stage}",
        summary="Replace a template (admin).",
        takes="Template",
        gives=named("TemplateShown"),
        fails=(*_CHANGING, 404),
    ),
    Operation(
        method="delete",
        path="/api/prompts/{content_type}/{stage}",
        summary="Go back to the packaged template (admin).",
        gives=named("TemplateShown"),
        fails=(404, 409),
    ),
    Operation(
        method="get",
        path="/api/models",
        summary="List the models, and who may use them.",
        gives=list_of("models", default={"type": "string"}, restrictions=named("Restrictions")),
    ),
    Operation(
        method="put",
        path="/api/models/restrictions",
        summary="Say which models a role may use (admin).",
        takes="Restrictions",
        gives=named("Restrictions"),
        fails=(422,),
    ),
    # ---- raters --------------------------------------------------------------------------------
    Operation(
        method="post",
        path="/api/v1/rater-feedback",
        summary="Ask a rater, and wait for the feedback.",
        takes="RaterRequest",
        gives=named("Feedback"),
        fails=_RUNNING,
    ),
    Operation(
        method="post",
        path="/api/v1/rater-feedback/stream",
        summary="Ask a rater, as a stream.",
        takes="RaterRequest",
        streams="rater",
        fails=_STARTING,
    ),
    Operation(
        method="post",
        path="/api/v1/rater-feedback/batch/stream",
        summary="Ask several raters at once, as a stream.",
        takes="RaterBatchRequest",
        streams="rater",
        fails=_STARTING,
    ),
    # ---- exhibitions ---------------------------------------------------------------------------
    Operation(
        method="post",
        path="/api/curator/submit",
        summary="Start an exhibition; a repeated Idempotency-Key gives the first one.",
        status=202,
        takes="ExhibitionRequest",
        headers={"Idempotency-Key": KEY},
        gives=required("session_id", "message", "websocket_url", "events_url"),
        fails=(*_STARTING, 409),
    ),
    *(
        Operation(
            method="post",
            path=f"{_SESSION}/select-{kind}",
            summary=f"Choose among the {kind} that an exhibition waits with.",
            takes="SelectRequest",
            gives=required("session_id", "message", "selected_count"),
            fails=(*_CHANGING, 404, 410),
        )
        for kind in ("artists", "artworks")
    ),
    Operation(
        method="get",
        path=f"{_SESSION}/status",
        summary="Say where an exhibition stands.",
        gives=required("session_id", "state", "stage", "progress", "waiting"),
        fails=(404, 410),
    ),
    Operation(
        method="get",
        path="/api/proposals/{session_id}",
        summary="Give an exhibition's proposal, as JSON or as a page for print.",
        gives=required("session_id", "proposal", "retrieved_at"),
        page=True,
        fails=(404,),
    ),
    # ---- sessions ------------------------------------------------------------------------------
    Operation(
        method="get",
        path="/api/sessions",
        summary="List one's sessions, newest first.",
        query={
            "state": {"enum": list(get_args(SessionState))},
            "protocol": {"enum": list(PROTOCOLS)},
            "limit": {"type": "integer", "minimum": 1, "maximum": 200},
            "cursor": PAGE,
        },
        gives=named("SessionList"),
        fails=(422,),
    ),
    Operation(
        method="get",
        path=_SESSION,
        summary="Show a session, running or ended.",
        gives=named("Session"),
        fails=(404, 410),
    ),
    Operation(
        method="delete",
        path=_SESSION,
        summary="Forget a session; a running one is cancelled first.",
        status=204,
        gives=None,
        fails=(404, 410),
    ),
    Operation(
        method="get",
        path=f"{_SESSION}/events",
        summary="Read a session's events, from a cursor on.",
        query={"after": CURSOR},
        headers={"Last-Event-ID": CURSOR},
        streams="any",
        also={204: "It has ended, and the cursor is its end."},
        fails=(404, 410, 422),
    ),
    Operation(
        method="post",
        path=f"{_SESSION}/cancel",
        summary="Cancel a session, or a part of it.",
        status=202,
        takes="CancelRequest",
        gives=named("Cancelled"),
        also={200: "It had ended."},
        fails=(404, 410, 422),
    ),
    # ---- personas and conversations ------------------------------------------------------------
    Operation(
        method="get",
        path="/api/personas",
        summary="List the personas.",
        gives=list_of("personas"),
    ),
    Operation(
        method="post",
        path="/api/personas",
        summary="Make a persona (admin).",
        status=201,
        takes="Persona",
        gives=named("PersonaShown"),
        fails=_CHANGING,
    ),
    Operation(
        method="get",
        path="/api/personas/{persona_id}",
        summary="Show a persona.",
        gives=named("PersonaShown"),
        fails=(404,),
    ),
    Operation(
        method="put",
        path="/api/personas/{persona_id}",
        summary="Replace a persona (admin).",
        takes="PersonaFields",
        gives=named("PersonaShown"),
        fails=_CHANGING,
    ),
    Operation(
        method="delete",
        path="/api/personas/{persona_id}",
        summary="Forget a persona (admin).",
        status=204,
        gives=None,
        fails=(404, 409),
    ),
    Operation(
        method="get",
        path="/api/conversations",
        summary="List one's conversations.",
        query={"limit": {"type": "integer", "minimum": 1, "maximum": 200}},
        gives=list_of("conversations"),
        fails=(422,),
    ),
    Operation(
        method="get",
        path="/api/conversations/{conversation_id}",
        summary="Show a conversation.",
        gives=list_of("turns", conversation_id={"type": "string"}),
        fails=(404,),
    ),
    Operation(
        method="delete",
        path="/api/conversations/{conversation_id}",
        summary="Forget a conversation.",
        status=204,
        gives=None,
        fails=(404,),
    ),
    # ---- users ---------------------------------------------------------------------------------
    Operation(
        method="post",
        path="/api/auth/login",
        summary="Get a token for a name and a password.",
        takes="Credentials",
        gives=required("token", "role", "expires_at"),
        fails=(401, 404, 422, 429),
        is_public=True,
    ),
    Operation(
        method="get",
        path="/api/auth/check",
        summary="Say who asks.",
        gives=required("authenticated", "role", "sub"),
        is_public=True,
    ),
    Operation(
        method="get",
        path="/api/users",
        summary="List the users (admin).",
        gives=list_of("users"),
        fails=(403,),
    ),
    Operation(
        method="post",
        path="/api/users",
        summary="Add a user (admin).",
        status=201,
        takes="User",
        gives=required("name", "role"),
        fails=_CHANGING,
    ),
    Operation(
        method="delete",
        path="/api/users/{name}",
        summary="Drop a user (admin).",
        status=204,
        gives=None,
        fails=(404,),
    ),
    # ---- the process ---------------------------------------------------------------------------
    Operation(
        method="get",
        path="/api/providers",
        summary="List the providers.",
        gives=list_of("providers"),
    ),
    Operation(
        method="get",
        path="/api/observer",
        summary="Watch all that runs (admin).",
        streams="moments",
        fails=(403, 503),
    ),
    Operation(
        method="get",
        path="/version",
        summary="Say what runs here.",
        gives=required(
            "version",
            "models",
            "prompt_hashes",
            version={"type": "string"},
            prompt_hashes={"type": "object"},
        ),
        is_public=True,
    ),
    Operation(
        method="get",
        path="/healthz",
        summary="Whether the process lives.",
        gives=required("status", status={"const": "ok"}),
        is_public=True,
    ),
    Operation(
        method="get",
        path="/readyz",
        summary="Whether it takes new sessions.",
        gives=required("status", status={"const": "ready"}),
        fails=(503,),
        own={503: required("status", "reasons", reasons={"type": "array", "minItems": 1})},
        is_public=True,
    ),
    Operation(
        method="get",
        path="/metrics",
        summary="Give numbers for Prometheus.",
        media="text/plain",
        gives={"type": "string"},
        is_public=True,
    ),
    Operation(
        method="get",
        path="/openapi.json",
        summary="Give this document.",
        gives=required("openapi", "info", "paths", "components"),
        is_public=True,
    ),
    Operation(
        method="get",
        path="/asyncapi.json",
        summary="Describe the WebSockets, as AsyncAPI.",
        gives=required("asyncapi", "info", "channels", "operations", "components"),
        is_public=True,
    ),
)
