"""Sessions over HTTP (contract 0): list, show, cancel; and what /readyz and /api/providers say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import get_args

import msgspec

from engine import JSON, InvalidRequest, Picture, SessionRecord, SessionState, Viewer
from server.hub import Hub, parts_json
from server.protocols.control import Cancel, interpret, parse_json
from server.queries import whole_number

MAX_PAGE, DEFAULT_PAGE = 200, 50


async def list_sessions(hub: Hub, viewer: Viewer, query: Mapping[str, str]) -> JSON:
    """List the viewer's sessions, newest first.

    Raises:
        InvalidRequest: a query parameter has a value that is not allowed.
    """
    state = query.get("state")
    if state is not None and state not in get_args(SessionState):
        allowed = ", ".join(get_args(SessionState))
        raise InvalidRequest(f"state must be one of {allowed}", [("state", f"one of {allowed}")])
    records, cursor = await hub.engine.list(
        viewer,
        states=() if state is None else (state,),  # type: ignore[arg-type]
        protocol=_protocol(hub, query.get("protocol")),
        limit=whole_number(query, "limit", most=MAX_PAGE) or DEFAULT_PAGE,
        cursor=query.get("cursor") or None,
    )
    return {"sessions": [record_json(record) for record in records], "cursor": cursor}


async def show_session(hub: Hub, viewer: Viewer, session_id: str) -> JSON:
    """Show one session, running or ended.

    Raises:
        NotFound, Expired: there is none for this viewer.
    """
    picture = await hub.engine.picture(session_id, viewer)
    view = picture.view
    terminal = _terminal(hub, picture)
    return {
        **record_json(picture.record),
        "epoch": picture.epoch,
        "seq": view.seq,
        "phase": view.phase,
        "progress": view.progress_percent,
        "usage": picture.usage,
        "parts": parts_json(view),
        "results": view.data,
        "warnings": list(picture.record.warnings),
        "terminal": terminal,
        "receipt": terminal.get("receipt") if terminal is not None else None,
    }


async def cancel_session(
    hub: Hub, viewer: Viewer, session_id: str, body: str | bytes
) -> tuple[int, JSON]:
    """Cancel a session or a part of it; 202 with its state, or 200 with the final one.

    Raises:
        NotFound, Expired: there is none for this viewer. InvalidJson, InvalidRequest: the body.
    """
    wanted = parse_json(body) if body.strip() else {}
    said = interpret({**wanted, "type": "cancel"}, next(iter(hub.codecs.values())))
    assert isinstance(said, Cancel)
    reason = wanted.get("reason", "")
    if not isinstance(reason, str):
        raise InvalidRequest("reason must be a string", [("reason", "must be a string")])
    record, _ = await hub.cancel(session_id, viewer, said.target, message=reason[:500])
    picture = await hub.engine.picture(session_id, viewer)
    status = 202 if record.state in ("queued", "running") else 200
    return status, {
        "session_id": session_id,
        "state": picture.record.state,
        "terminal": _terminal(hub, picture),
    }


def describe_providers(hub: Hub) -> list[JSON]:
    """Describe the providers; without secrets."""
    return [msgspec.to_builtins(info) for info in hub.engine.providers.infos()]


def why_not_ready(hub: Hub) -> list[str]:
    """Say why nothing new should be sent here; empty when all is well."""
    return list(hub.engine.why_not_ready)


def _terminal(hub: Hub, picture: Picture) -> JSON | None:
    entry = picture.view.terminal_entry
    return None if entry is None else hub.encoder(picture.record).fields(entry)


def record_json(record: SessionRecord) -> JSON:
    """Give what a list shows of a session."""
    return {
        "session_id": record.session_id,
        "protocol": record.protocol,
        "state": record.state,
        "owner": record.owner,
        "request_id": record.request_id,
        "detached": record.detached,
        "created_at": iso(record.created_at),
        "updated_at": iso(record.updated_at),
    }


def iso(at: float) -> str:
    """Give a Unix time as ISO 8601, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _protocol(hub: Hub, name: str | None) -> str | None:
    if name is not None and name not in hub.codecs:
        allowed = ", ".join(hub.codecs)
        raise InvalidRequest(
            f"protocol must be one of {allowed}", [("protocol", f"one of {allowed}")]
        )
    return name
