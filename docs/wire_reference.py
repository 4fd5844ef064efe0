"""The reference of the wire: a page for people and a document for programs, of the same tables."""

from __future__ import annotations

import json
from typing import Any

from server.asyncapi import CHANNELS, asyncapi_document
from server.messages import PROTOCOLS, Message, commons, messages_of, shared_schemas
from server.messages.interface import NUMBERED, SOMETIMES
from server.openapi.schemas import socket_schemas

SERVER_SAYS = "The server says"


def messages_page() -> str:
    """Every message of every protocol, from the tables that AsyncAPI and OpenAPI are made from."""
    lines = [
        "# Messages",
        "",
        "Every message is one JSON object with a `type`: one text frame of a WebSocket, or one",
        "`data:` line of SSE. For programs: [asyncapi.json](asyncapi.json), which a server gives",
        "at `GET /asyncapi.json`; over HTTP, `GET /openapi.json`. A field with `?` is not always",
        "there. Ignore fields and types that you do not know: some may be added.",
        "",
        "| endpoint | protocol |",
        "| --- | --- |",
        *(f"| WebSocket `{each.address}` | {each.protocol} |" for each in CHANNELS.values()),
        "| SSE of `/run/stream` and its like | content |",
        "| SSE of `/api/v1/rater-feedback` and its like | rater |",
        "| SSE of `/api/sessions/{id}/events` | that of the session |",
        "",
        "## Of every session",
        "",
        "Messages of a session carry these beside their own. Those of the connection do not; they",
        "are marked with ○ below. With ■ the session ends.",
        "",
        *_fields(_COMMON),
        "",
        "## On every WebSocket",
        "",
        *_messages("A client says", commons("client")),
        *_messages(SERVER_SAYS, commons("server")),
        "A subscription may be to a session of any protocol, whose messages then come.",
        "",
    ]
    for protocol in PROTOCOLS:
        lines += [f"## {protocol.capitalize()}", ""]
        lines += _messages("A client says", messages_of(protocol, "client"))
        lines += _messages(SERVER_SAYS, messages_of(protocol, "server"))
    lines += ["## Objects in them", ""]
    for name, schema in {**shared_schemas(), **socket_schemas()}.items():
        if "properties" in schema:
            lines += [f"### {name}", "", " ".join(schema.get("description", "").split()), ""]
            lines += [*_fields(schema), ""]
    return "\n".join(lines).rstrip() + "\n"


_COMMON: Any = {
    "required": list(NUMBERED),
    "properties": {**NUMBERED, **SOMETIMES},
}


def _messages(title: str, listed: tuple[Message, ...]) -> list[str]:
    if not listed:
        return []
    lines = [f"### {title}", "", "| type | | fields |", "| --- | --- | --- |"]
    for each in listed:
        mark = " ■" if each.is_terminal else ""
        if not each.is_numbered and title == SERVER_SAYS:
            mark = " ○"
        shown = f"`{each.kind}`" if each.kind else "none"
        body = each.body
        if body is not None:
            name = str(body["$ref"]).rpartition("/")[2]
            fields = f"[{name}](#{name.lower()})"
        else:
            own = (*((name, schema, "") for name, schema in each.fields.items()),)
            own += (*((name, schema, "?") for name, schema in each.optional.items()),)
            fields = "<br>".join(
                f"`{name}`{often} {_meaning(schema)}".rstrip() for name, schema, often in own
            )
        lines.append(f"| {shown}{mark} | {each.summary} | {fields} |")
    return [*lines, ""]


def _fields(schema: Any) -> list[str]:
    lines = ["| field | what it may be | |", "| --- | --- | --- |"]
    for name, each in schema["properties"].items():
        often = "" if name in schema.get("required", ()) else "?"
        meaning = " ".join(str(_described(each)).split()).replace("|", "\\|")
        lines.append(f"| `{name}`{often} | {_kind(each)} | {meaning} |")
    return lines


def _meaning(schema: Any) -> str:
    """Say in a few words what a field holds."""
    described = _described(schema)
    kind = _kind(schema)
    return f"({kind}) {described}".strip() if described else f"({kind})"


def _described(schema: Any) -> str:
    found = schema.get("description", "")
    return str(found or next((_described(each) for each in schema.get("anyOf", ())), ""))


def _kind(schema: Any) -> str:
    """Say what a schema allows, in a few words."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if name != "Target" else "target"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(each) for each in schema["anyOf"]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        words = [json.dumps(each) for each in schema["enum"]]
        return ", ".join(f"`{each}`" for each in words) if len(words) < 8 else "a code"
    kinds = schema.get("type", "object")
    said = [_kind_of_array(schema) if kind == "array" else str(kind) for kind in _as_list(kinds)]
    return " or ".join(said) + _bounds(schema)


def _kind_of_array(schema: Any) -> str:
    return f"list of {_kind(schema.get('items', {}))}"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _bounds(schema: Any) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f", {least:,} to {most:,}"
    if most := schema.get("maxLength") or schema.get("maxItems"):
        return f", at most {most:,}"
    return ""


def asyncapi_page() -> str:
    """The AsyncAPI document, as a server without authentication gives it."""
    return json.dumps(asyncapi_document(needs_token=False), ensure_ascii=False, indent=1) + "\n"
