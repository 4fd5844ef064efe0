"""Holds messages to the tables: one that is not there, or has a field more, is an error.

The published schemas are open, so that a field that is added breaks no client; here they are
closed, so that nothing is sent that stands nowhere.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.protocols import Validator

from engine import JSON
from server.asyncapi import CHANNELS, asyncapi_document
from server.messages import PROTOCOLS, Message, commons, messages_of
from server.messages.catalogue import Side


class Unheard(AssertionError):
    """A message that the document does not have."""


def hold(message: JSON, protocol: str, side: Side) -> str:
    """Give the name of the one message in the document that this is.

    Args:
        message: as it was on the wire.
        protocol: the endpoint's.
        side: who says it.

    Raises:
        Unheard: there is none, or more than one; with what is wrong with each that has its type.
    """
    kind = message.get("type", "")
    if protocol == "generate" and side == "client" and kind == "generate":
        kind = ""
    said = {
        name: "; ".join(each.message for each in validator.iter_errors(message))
        for name, validator in _validators(protocol, side, kind)
    }
    found = [name for name, faults in said.items() if not faults]
    if len(found) != 1:
        raise Unheard(f"{message} is {found or 'no message'} of {side} {protocol}: {said}")
    return found[0]


@cache
def _validators(protocol: str, side: Side, kind: str) -> list[tuple[str, Validator]]:
    known = [(protocol, each) for each in messages_of(protocol, side)]
    known += [("common", each) for each in commons(side)]
    if side == "server":  # a subscription may be to a session of any protocol
        known += [
            (other, each)
            for other in PROTOCOLS
            if other != protocol
            for each in messages_of(other, side)
            if each.is_numbered
        ]
    own = [
        (f"{owner}.{each.name}", _validator(each))
        for owner, each in known
        if each.kind == kind and owner in (protocol, "common")
    ]
    return own or [(f"{owner}.{m.name}", _validator(m)) for owner, m in known if m.kind == kind]


def _validator(message: Message) -> Validator:
    return Draft7Validator({"allOf": [closed(message.schema)], "components": _components()})


@cache
def _components() -> JSON:
    found: JSON = closed(asyncapi_document(needs_token=False)["components"])
    return found


def closed(schema: Any) -> Any:
    """Give a schema that takes no field which it does not name."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "required" in schema:
        found.setdefault("additionalProperties", False)
    return found


def names_of(protocol: str, side: Side) -> set[str]:
    """Name all messages of a side, by the document and not by the tables."""
    document = asyncapi_document(needs_token=False)
    channel = next(name for name, each in CHANNELS.items() if each.protocol == protocol)
    operation = document["operations"][f"{channel}.{'hear' if side == 'client' else 'say'}"]
    return {each["$ref"].rpartition("/")[2] for each in operation["messages"]}
