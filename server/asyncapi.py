"""The WebSockets as an AsyncAPI 3.0 document, for people and for programs that write clients.

The one rule: messages come from `server.messages`, requests from their commands; what stands here
is only where they go. Must not import Quart.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

import msgspec

from engine import JSON
from server.messages import PROTOCOLS, Message, commons, messages_of, shared_schemas
from server.messages.catalogue import Side
from server.openapi.schemas import socket_schemas


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One WebSocket endpoint."""

    address: str
    protocol: str
    """Whose requests it takes."""
    summary: str


CHANNELS: Final = {
    "stream": Channel(
        address="/stream", protocol="generate", summary="StreamGenerate: prompts, in phases."
    ),
    "chat": Channel(
        address="/ws", protocol="persona", summary="The persona chat: one voice or several."
    ),
    "exhibition": Channel(
        address="/ws/{session_id}",
        protocol="exhibition",
        summary="One exhibition, from its start, whenever one connects.",
    ),
}


def asyncapi_document(*, needs_token: bool) -> JSON:
    """Give the document.

    Args:
        needs_token: whether there is authentication.
    """
    schemas = {**socket_schemas(), **shared_schemas()}
    messages: JSON = {}
    for protocol in ("common", *PROTOCOLS):
        for side in ("client", "server"):
            for each in _listed(protocol, side):
                name = f"{protocol}.{each.name}"
                messages[name] = _message(each, name)
                if each.body is None:
                    schemas[name] = each.schema
    channels: JSON = {}
    operations: JSON = {}
    for name, channel in CHANNELS.items():
        channels[name] = _channel(channel)
        operations |= _operations(name, channel, needs_token)
    found: JSON = {
        "asyncapi": "3.0.0",
        "id": "urn:antiphon:websockets",
        "info": {
            "title": "Antiphon's WebSockets",
            "version": version("antiphon"),
            "description": "Each message is one JSON object in one text frame. Keys of requests "
            "may be spelt in camelCase, snake_case or PascalCase. Ignore fields and types of "
            "messages that you do not know: some may be added.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }
    if needs_token:
        found["components"]["securitySchemes"] = {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A browser offers the subprotocols `antiphon.bearer` and the token.",
            }
        }
    return found


def _listed(protocol: str, side: Side) -> tuple[Message, ...]:
    return commons(side) if protocol == "common" else messages_of(protocol, side)


def _message(each: Message, name: str) -> JSON:
    return {
        "name": each.kind or each.name,
        "title": name,
        "summary": each.summary,
        "payload": each.body or {"$ref": f"#/components/schemas/{name}"},
    }


def _names(protocol: str, side: Side) -> list[str]:
    """Name what one side may say on a protocol's endpoint.

    A server says more there: a subscription may be to a session of any protocol.
    """
    own = [f"{protocol}.{each.name}" for each in messages_of(protocol, side)]
    return own + [f"common.{each.name}" for each in commons(side)]


def _others(protocol: str) -> list[str]:
    return [
        f"{other}.{each.name}"
        for other in PROTOCOLS
        if other != protocol
        for each in messages_of(other, "server")
        if each.is_numbered
    ]


def _channel(channel: Channel) -> JSON:
    names = _names(channel.protocol, "client") + _names(channel.protocol, "server")
    names += _others(channel.protocol)
    found: JSON = {
        "address": channel.address,
        "summary": channel.summary,
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in names},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }
    if "{session_id}" in channel.address:
        found["parameters"] = {"session_id": {"description": "What the submission answered with."}}
    return found


def _operations(name: str, channel: Channel, needs_token: bool) -> JSON:
    said = {
        f"{name}.hear": (
            "receive",
            _names(channel.protocol, "client"),
            "What a client may say.",
        ),
        f"{name}.say": (
            "send",
            _names(channel.protocol, "server"),
            "What the server says of sessions of this protocol, and of the connection.",
        ),
        f"{name}.relay": (
            "send",
            _others(channel.protocol),
            "What it says of sessions of other protocols, to who has subscribed to one here.",
        ),
    }
    found: JSON = {}
    for operation, (action, names, summary) in said.items():
        found[operation] = {
            "action": action,
            "summary": summary,
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/{each}"} for each in names],
        }
        if needs_token:
            found[operation]["security"] = [{"$ref": "#/components/securitySchemes/bearer"}]
    return found
