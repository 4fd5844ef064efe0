"""Exhibitions over HTTP (contract 5): briefs, choices, where a session stands, proposals."""

from __future__ import annotations

from typing import Final

from engine import (
    JSON,
    AntiphonError,
    InvalidRequest,
    NotFound,
    Picture,
    Viewer,
    proposal_of,
)
from server.hub import Hub
from server.protocols.control import parse_body, split_options
from server.session_api import iso

WORD: Final = "exhibition"
MAX_KEY: Final = 200
"""Characters of an Idempotency-Key."""


async def submit(hub: Hub, viewer: Viewer, body: str | bytes, key: str | None) -> JSON:
    """Start an exhibition; with a key that was used before, give the one that it started.

    Raises:
        InvalidJson, InvalidRequest: the body or the key is not right. ProviderNotFound,
        ProviderNotConfigured: the configuration names one that is not there. FlowError: not now.
    """
    options, data = split_options(parse_body(body))
    if key is None:
        record = await hub.engine.start_anywhere(WORD, data, owner=viewer.sub, options=options)
    else:
        if not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
            text = f"must be 1 to {MAX_KEY} printable ASCII characters"
            raise InvalidRequest(f"Idempotency-Key {text}", [("Idempotency-Key", text)])
        record = await hub.engine.start_once(key, WORD, data, owner=viewer.sub, options=options)
    session_id = record.session_id
    answer: JSON = {
        "session_id": session_id,
        "message": "Processing started",
        "websocket_url": f"/ws/{session_id}",
        "events_url": f"/api/sessions/{session_id}/events",
    }
    if record.warnings:
        answer["warnings"] = list(record.warnings)
    return answer


async def select(hub: Hub, viewer: Viewer, session_id: str, stage: str, body: str | bytes) -> JSON:
    """Choose among an exhibition's candidates.

    Raises:
        NotFound: no such exhibition. InvalidJson, InvalidRequest: no choice. Conflict: it does
        not wait for this one.
    """
    await exhibition(hub, viewer, session_id)
    wanted = parse_body(body)
    chosen = await hub.engine.select(
        session_id, stage, wanted.get("selected_indices"), viewer=viewer
    )
    kind = "artist" if stage == "artist_discovery" else "artwork"
    return {
        "session_id": session_id,
        "message": f"{len(chosen)} {kind}{'' if len(chosen) == 1 else 's'} selected",
        "selected_count": len(chosen),
    }


async def show_status(hub: Hub, viewer: Viewer, session_id: str) -> JSON:
    """Say where an exhibition stands.

    Raises:
        NotFound, Expired: there is none for this viewer.
    """
    picture = await exhibition(hub, viewer, session_id)
    view, record = picture.view, picture.record
    status: JSON = {
        "session_id": session_id,
        "state": record.state,
        "stage": "completed" if record.state == "completed" else view.phase or "validation",
        "progress": int(view.progress_percent),
        "completed_stages": [s for s, state in view.phases.items() if state == "completed"],
        "waiting": None,
        "created_at": iso(record.created_at),
        "updated_at": iso(record.updated_at),
        "proposal_url": f"/api/proposals/{session_id}",
        "error": None,
    }
    if view.waiting is not None:
        status["waiting"] = {
            "stage": view.waiting.phase,
            "candidates": view.waiting.candidates,
            "expires_at": iso(view.waiting.expires_at),
        }
    if view.terminal_entry is not None:
        fields = hub.encoder(record).fields(view.terminal_entry)
        status["error"] = fields.get("error")
        status["message"] = fields.get("message")
    return status


async def show_proposal(hub: Hub, viewer: Viewer, session_id: str) -> JSON:
    """Give the proposal, or what there is of it, marked incomplete.

    Raises:
        NotFound: "Proposal not found".
    """
    try:
        picture = await exhibition(hub, viewer, session_id)
    except AntiphonError as error:
        if error.code not in ("not_found", "expired"):
            raise
        raise NotFound("Proposal not found") from error
    now = hub.engine.now()
    proposal = proposal_in(picture, now=now)
    return {"session_id": session_id, "proposal": proposal, "retrieved_at": iso(now)}


def proposal_in(picture: Picture, *, now: float) -> JSON:
    """Give the proposal of a session as it is now; whole, or marked incomplete."""
    record = picture.record
    return proposal_of(
        record.session_id, record.command, picture.view, created_at=record.created_at, now=now
    )


async def exhibition(hub: Hub, viewer: Viewer, session_id: str) -> Picture:
    """Give an exhibition as it is now.

    Raises:
        NotFound, Expired: there is none for this viewer.
    """
    picture = await hub.engine.picture(session_id, viewer)
    if picture.record.protocol != WORD:
        raise NotFound(f"no exhibition has the id {session_id}")
    return picture
