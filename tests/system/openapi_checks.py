"""Schemathesis's hooks: when a request that fits its schema may be refused all the same.

The one rule: only where the document says so. A schema cannot say which of two dates comes first,
or how many tokens are enough; there the document has `x-beyond-schema`, and nowhere else is a 422
an answer to a request that fits.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.request import Request, urlopen

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

from server.app import BODY_BYTES
from server.openapi.schemas import BEYOND


@schemathesis.check
def accepts_what_the_document_allows(ctx: Any, response: Any, case: Any) -> bool | None:
    """A request that fits is refused for what stands in `x-beyond-schema`, or for its size."""
    if response.status_code == 422 and _is_beyond(response.json(), case):
        return None
    if response.status_code == 413 and len(response.request.body) > BODY_BYTES:
        return None
    found: bool | None = positive_data_acceptance(ctx, response, case)
    return found


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Lift restrictions again, lest the rest of the run meets nothing but 403."""
    if case.path == "/api/models/restrictions" and response.status_code == 200:
        token = response.request.headers["Authorization"]
        request = Request(
            response.request.url,
            data=json.dumps({"admin": None}).encode(),
            headers={"Authorization": token, "Content-Type": "application/json"},
            method="PUT",
        )
        with urlopen(request, timeout=10):
            pass


def _is_beyond(answer: Any, case: Any) -> bool:
    if answer.get("success") is False:
        return "application/json" in case.operation.definition.raw["responses"]["422"]["content"]
    if answer["code"] == "too_large":
        return isinstance(case.body, dict) and case.body.get("token_budget") is not None
    schemas = case.operation.schema.raw_schema["components"]["schemas"]
    rules = {schema[BEYOND] for schema in schemas.values() if BEYOND in schema}
    details = answer.get("details", ())
    return bool(details) and all(_says(rules, each["message"]) for each in details)


def _says(rules: set[str], message: str) -> bool:
    return any(rule in message for rule in rules)
