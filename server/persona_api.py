"""Personas and conversations over HTTP (contract 4).

The one rule: a system prompt is shown to admins alone (without authentication everybody is one),
and a conversation to nobody but its owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from engine import (
    JSON,
    Conversations,
    Engine,
    Forbidden,
    Persona,
    Personas,
    Viewer,
    exchange_turns,
)
from server.hub import Hub
from server.protocols.control import parse_json
from server.queries import whole_number
from server.session_api import iso

MAX_CONVERSATIONS, DEFAULT_CONVERSATIONS = 200, 100


def personas_of(engine: Engine) -> Personas:
    """Give the registry that the engine was opened with."""
    return cast("Personas", engine.services["personas"])


def conversations_of(engine: Engine) -> Conversations:
    """Give the conversations that the engine was opened with."""
    return cast("Conversations", engine.services["conversations"])


# ---- personas -----------------------------------------------------------------------------------


async def list_personas(hub: Hub, viewer: Viewer) -> JSON:
    """List the personas, by id."""
    listed = await personas_of(hub.engine).list()
    return {"personas": [_persona_json(each.persona, each.is_made, viewer) for each in listed]}


async def show_persona(hub: Hub, viewer: Viewer, persona_id: str) -> JSON:
    """Show one.

    Raises:
        NotFound: nobody has this id.
    """
    listed = await personas_of(hub.engine).get(persona_id)
    return _persona_json(listed.persona, listed.is_made, viewer)


async def create_persona(hub: Hub, viewer: Viewer, body: str | bytes) -> JSON:
    """Make one.

    Raises:
        Forbidden: the viewer is no admin. InvalidJson, InvalidRequest: the body is not right.
        Conflict: the id is taken.
    """
    _admins_only(viewer)
    made = await personas_of(hub.engine).create(parse_json(body), owner=viewer.sub)
    return _with_warnings(*made, viewer)


async def replace_persona(hub: Hub, viewer: Viewer, persona_id: str, body: str | bytes) -> JSON:
    """Make one in the place of that with this id, if there is one.

    Raises:
        Forbidden, InvalidJson, InvalidRequest: as `create_persona`.
    """
    _admins_only(viewer)
    made = await personas_of(hub.engine).replace(persona_id, parse_json(body), owner=viewer.sub)
    return _with_warnings(*made, viewer)


async def delete_persona(hub: Hub, viewer: Viewer, persona_id: str) -> None:
    """Forget one that was made.

    Raises:
        Forbidden: the viewer is no admin. NotFound: nobody has this id. Conflict: it is a file's.
    """
    _admins_only(viewer)
    await personas_of(hub.engine).delete(persona_id)


def _admins_only(viewer: Viewer) -> None:
    if not viewer.is_admin:
        raise Forbidden("only admins may change personas")


def _persona_json(persona: Persona, is_made: bool, viewer: Viewer) -> JSON:
    fields = persona.model_dump(mode="json")
    fields["source"] = "api" if is_made else "file"
    if not viewer.is_admin:
        del fields["system_prompt"]
    return fields


def _with_warnings(persona: Persona, warnings: tuple[str, ...], viewer: Viewer) -> JSON:
    fields = _persona_json(persona, True, viewer)
    if warnings:
        fields["warnings"] = list(warnings)
    return fields


# ---- conversations ------------------------------------------------------------------------------


async def list_conversations(hub: Hub, viewer: Viewer, query: Mapping[str, str]) -> JSON:
    """List the viewer's conversations, the one that was spoken in last first.

    Raises:
        InvalidRequest: the limit is none.
    """
    limit = whole_number(query, "limit", most=MAX_CONVERSATIONS) or DEFAULT_CONVERSATIONS
    headers = await conversations_of(hub.engine).list(viewer.sub, limit=limit)
    return {
        "conversations": [
            {
                "conversation_id": header.id,
                "title": header.title,
                "created_at": iso(header.created_at),
                "updated_at": iso(header.updated_at),
            }
            for header in headers
        ]
    }


async def show_conversation(hub: Hub, viewer: Viewer, conversation_id: str) -> JSON:
    """Show all that was said in one.

    Raises:
        NotFound: there is none of this viewer's.
    """
    conversations = conversations_of(hub.engine)
    header = await conversations.header(conversation_id, viewer.sub)
    exchanges = await conversations.exchanges(conversation_id, viewer.sub)
    turns = [turn for exchange in exchanges for turn in exchange_turns(exchange)]
    return {
        "conversation_id": header.id,
        "title": header.title,
        "created_at": iso(header.created_at),
        "updated_at": iso(header.updated_at),
        "turns": turns,
    }


async def delete_conversation(hub: Hub, viewer: Viewer, conversation_id: str) -> None:
    """Forget one.

    Raises:
        NotFound: there is none of this viewer's.
    """
    await conversations_of(hub.engine).delete(conversation_id, viewer.sub)
