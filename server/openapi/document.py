"""Puts the OpenAPI document together. Must not import Quart."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from engine import JSON
from server.openapi.operations import OPERATIONS, SSE, Operation
from server.openapi.schemas import all_schemas

SSE_EVENT: JSON = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}
PROBLEM = "application/problem+json"

ANSWERS = {
    400: "The body is not JSON.",
    401: "There is no valid bearer token.",
    403: "The role may not do this, or the page's origin is foreign.",
    404: "There is none, or not for this caller.",
    409: "It does not fit the present state.",
    410: "Its retention time has passed.",
    413: "The body is too large.",
    422: "The request breaks its contract; `details` says where.",
    429: "Too often, or too many at once; `retry_after` says when again.",
    502: "The provider failed.",
    503: "The server or the provider is not available.",
    504: "It took too long.",
}

_ID: JSON = {"type": "string", "minLength": 1}
_PLACES: dict[str, JSON] = {
    "persona_id": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"},
    "content_type": {"enum": ["MCQ", "NMCQ", "SUMMARY"]},
    "stage": {"enum": ["generator", "formatter"]},
}


@cache
def openapi_document(*, needs_token: bool) -> JSON:
    """Give the document.

    Args:
        needs_token: whether there is authentication.
    """
    paths: JSON = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method] = _operation(each, needs_token)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Antiphon", "version": version("antiphon")},
        "paths": paths,
        "components": {
            "schemas": all_schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _operation(each: Operation, needs_token: bool) -> JSON:
    answers: JSON = {str(each.status): _answer(each)}
    if each.path.endswith("/cancel"):
        answers["200"] = {**answers["202"], "description": "It had ended."}
    if each.path == "/run":
        answers["422"] = {"description": "It did not pass the validator, or the input is bad."}
    fails = set(each.fails)
    if needs_token and not each.is_public:
        fails.add(401)
    for status in sorted(fails):
        media: JSON = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        if each.path == "/run" and status == 422:
            media["application/json"] = {
                "schema": {"type": "object", "required": ["success", "partial_output"]}
            }
        if each.path == "/readyz":
            media = {"application/json": {"schema": {"type": "object", "required": ["reasons"]}}}
        answers[str(status)] = {"description": ANSWERS[status], "content": media}
    found: JSON = {"summary": each.summary, "responses": answers}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _PLACES.get(name, _ID)}
        for part in each.path.split("/")
        if part.startswith("{") and (name := part.strip("{}"))
    ]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in each.query]
    if parameters:
        found["parameters"] = parameters
    if each.takes is not None:
        schema = {"$ref": f"#/components/schemas/{each.takes}"}
        found["requestBody"] = {
            "required": each.takes != "CancelRequest",
            "content": {"application/json": {"schema": schema}},
        }
    if needs_token and not each.is_public:
        found["security"] = [{"bearer": []}]
    return found


def _answer(each: Operation) -> JSON:
    if each.gives is None:
        return {"description": "Done."}
    schema = SSE_EVENT if each.media == SSE else each.gives
    return {"description": "Done.", "content": {each.media: {"schema": schema}}}
