"""The AsyncAPI document: every WebSocket is in it, and all that it refers to is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from engine import JSON, all_pipelines, open_engine
from engine.testing.scripted_provider import ScriptedProvider
from server.app import create_app
from server.asyncapi import asyncapi_document
from server.hub import Bounds, Hub
from server.protocols import all_codecs
from tests.pipelines.rig import Shelf


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def resolve(document: JSON, reference: str) -> Any:
    node: Any = document
    for key in reference.removeprefix("#/").split("/"):
        node = node[key]
    return node


async def test_every_websocket_is_in_the_document() -> None:
    """No endpoint is forgotten, and none is made up."""
    provider = ScriptedProvider([])
    async with open_engine(providers=Shelf(provider), pipelines=all_pipelines()) as engine:
        app = create_app(Hub(engine, all_codecs(), bounds=Bounds(), drain_s=1))
        answer = await app.test_client().get("/asyncapi.json")
        served = await answer.get_json()
    rules = [rule.rule for rule in app.url_map.iter_rules() if rule.websocket]
    document = asyncapi_document(needs_token=False)
    assert served == document
    assert {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule) for rule in rules} == {
        channel["address"] for channel in document["channels"].values()
    }


@pytest.mark.parametrize("needs_token", [False, True])
def test_what_it_refers_to_is_there(needs_token: bool) -> None:
    document = asyncapi_document(needs_token=needs_token)
    found = set(references(document))
    assert len(found) > 100
    for reference in found:
        assert resolve(document, reference)


def test_each_message_is_used_and_described() -> None:
    """None is there that nobody may say, but those of protocols that have no WebSocket to start."""
    document = asyncapi_document(needs_token=False)
    used = {
        reference["$ref"].rpartition("/")[2]
        for operation in document["operations"].values()
        for reference in operation["messages"]
    }
    unused = {"content.refused", "rater.refused"}
    assert document["components"]["messages"].keys() - used == unused
    assert all(message["summary"] for message in document["components"]["messages"].values())


def test_a_token_is_asked_for_where_there_is_authentication() -> None:
    secured = asyncapi_document(needs_token=True)
    assert all(operation["security"] for operation in secured["operations"].values())
    assert "securitySchemes" not in asyncapi_document(needs_token=False)["components"]
