"""Puts the OpenAPI document together. Must not import Quart."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from engine import JSON, ProviderInfo
from server.openapi.answers import answer_schemas, failure, feed, named, stream
from server.openapi.operations import OPERATIONS, Operation
from server.openapi.schemas import request_schemas

_ID: JSON = {"type": "string", "minLength": 1}
_PLACES: dict[str, JSON] = {
    "persona_id": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"},
    "content_type": {"enum": ["MCQ", "NMCQ", "SUMMARY"]},
    "stage": {"enum": ["generator", "formatter"]},
}

_OF_TOKENS = (429, 503)
"""A user's requests have a pace, and the issuer's keys may not be there."""
_OF_BODIES = (400, 408, 413)
_OF_CHANGES = 403
"""A page of a foreign origin may change nothing; it may read nothing either, by its browser."""


def openapi_document(*, needs_token: bool, providers: Iterable[ProviderInfo] = ()) -> JSON:
    """Give the document of this very process.

    Args:
        needs_token: whether there is authentication.
        providers: whose models requests may name.
    """
    paths: JSON = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method] = _operation(each, needs_token)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Antiphon", "version": version("antiphon")},
        "paths": paths,
        "components": {
            "schemas": {**request_schemas(providers), **answer_schemas()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _operation(each: Operation, needs_token: bool) -> JSON:
    answers = {each.status: _answer(each)}
    for status, meaning in each.also.items():
        answers[status] = {"description": meaning}
        if status != 204:
            answers[status]["content"] = answers[each.status]["content"]
    for status in _failures(each, needs_token):
        answers[status] = failure(status, each.own.get(status))
    found: JSON = {
        "summary": each.summary,
        "responses": {str(status): answers[status] for status in sorted(answers)},
    }
    if parameters := _parameters(each):
        found["parameters"] = parameters
    if each.takes is not None:
        found["requestBody"] = {
            "required": each.takes != "CancelRequest",
            "content": {"application/json": {"schema": named(each.takes)}},
        }
    if needs_token and not each.is_public:
        found["security"] = [{"bearer": []}]
    return found


def _failures(each: Operation, needs_token: bool) -> set[int]:
    fails = set(each.fails)
    if each.takes is not None:
        fails.update(_OF_BODIES)
    if each.method != "get":
        fails.add(_OF_CHANGES)
    if needs_token:
        fails.update(_OF_TOKENS if each.is_public else (401, *_OF_TOKENS))
    return fails


def _parameters(each: Operation) -> list[JSON]:
    found: list[JSON] = [
        {"name": name, "in": "path", "required": True, "schema": _PLACES.get(name, _ID)}
        for part in each.path.split("/")
        if part.startswith("{") and (name := part.strip("{}"))
    ]
    for place, schemas in (("query", each.query), ("header", each.headers)):
        found += [{"name": name, "in": place, "schema": schemas[name]} for name in schemas]
    return found


def _answer(each: Operation) -> JSON:
    if each.streams == "moments":
        return feed()
    if each.streams is not None:
        return stream(None if each.streams == "any" else each.streams)
    if each.gives is None:
        return {"description": "Done."}
    content: JSON = {each.media: {"schema": each.gives}}
    if each.page:
        content["text/html"] = {"schema": {"type": "string"}}
    return {"description": "Done.", "content": content}
