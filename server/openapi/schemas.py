"""The bodies of requests, as JSON schemas.

The one rule: a command is described by its own schema, so the document and the checks cannot
differ. Must not import Quart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from engine import (
    JSON,
    ChatRequest,
    ContentCommand,
    DraftCommand,
    ExhibitionCommand,
    FormatCommand,
    GenerateCommand,
    MultiChatRequest,
    OpenAIChatRequest,
    Persona,
    ProviderInfo,
    RaterBatchCommand,
    RaterCommand,
)
from server.messages.connection import OPTIONS
from server.protocols.control import TARGETS
from server.tokens import ROLES
from server.users import NAME_PATTERN, PASSWORD_CHARACTERS

TEXT: JSON = {"type": "string"}
INK = r"[^\s\u0085]"
"""What trimming leaves; that U+0085 is space too is known to Unicode, and not to every regex."""
_MODEL: JSON = {"type": "string", "pattern": "^[^/]+/.*[^/]$", "maxLength": 200}


def _of(*required: str) -> JSON:
    return {"type": "object", "required": list(required)}


BEYOND = "x-beyond-schema"
"""Says what a request needs that no schema can say; without it the answer is 422."""

_BEYOND = {
    "ExhibitionDates": "start must be before end",
    "TimePeriod": "start_year must not be after end_year",
}
_BUDGET = "a call that the budget does not allow is not made: `too_large`"


def request_schemas(providers: Iterable[ProviderInfo]) -> JSON:
    """Give the schemas of all bodies, by name.

    Args:
        providers: whose models requests may name.
    """
    found: JSON = {
        "SelectRequest": {
            "type": "object",
            "required": ["selected_indices"],
            "properties": {
                "selected_indices": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0},
                    "minItems": 1,
                    "uniqueItems": True,
                },
            },
        },
        "CancelRequest": {
            "type": "object",
            "properties": {
                "reason": TEXT,
                "target": {
                    "type": ["object", "null"],
                    "properties": dict.fromkeys(TARGETS, TEXT),
                    "additionalProperties": False,
                    "minProperties": 1,
                },
            },
        },
        "Credentials": {
            **_of("username", "password"),
            "properties": {
                name: {"type": "string", "minLength": 1, "maxLength": 1024}
                for name in ("username", "password")
            },
        },
        "User": {
            **_of("name", "password", "role"),
            "properties": {
                "name": {"type": "string", "pattern": f"^{NAME_PATTERN}$"},
                "password": {
                    "type": "string",
                    "minLength": PASSWORD_CHARACTERS[0],
                    "maxLength": PASSWORD_CHARACTERS[1],
                },
                "role": {"enum": list(ROLES)},
            },
        },
        "Template": {
            **_of("text"),
            "properties": {"text": {"type": "string", "pattern": r"\{\{TEXT_TO_ANALYZE\}\}"}},
        },
        "Restrictions": {
            "type": "object",
            "additionalProperties": False,
            "properties": {role: {"type": ["array", "null"], "items": _MODEL} for role in ROLES},
        },
    }
    for name, model in (
        ("ExhibitionRequest", ExhibitionCommand),
        ("ContentRequest", ContentCommand),
        ("DraftRequest", DraftCommand),
        ("FormatRequest", FormatCommand),
        ("RaterRequest", RaterCommand),
        ("RaterBatchRequest", RaterBatchCommand),
        ("Persona", Persona),
    ):
        found |= _of_model(name, model)
    for name, text in _BEYOND.items():
        found[name][BEYOND] = text
    found |= _models(found, [each for each in providers if each.configured])
    for each in found["Characteristics"]["properties"].values():
        if "array" in str(each):  # one text stands for a list of one
            each.setdefault("anyOf", [dict(each)]).append(TEXT)
            each.pop("type", None)
    persona = found["Persona"]
    found["PersonaFields"] = {  # its id stands in the address
        **persona,
        "properties": {key: each for key, each in persona["properties"].items() if key != "id"},
        "required": [key for key in persona["required"] if key != "id"],
    }
    return found


def socket_schemas() -> JSON:
    """Give the schemas of what starts a session over a WebSocket, by name."""
    found = _of_model("GenerateRequest", GenerateCommand)
    found["GenerateRequest"]["properties"]["type"] = {"const": "generate"}
    for name, model in (
        ("OpenAIChatRequest", OpenAIChatRequest),
        ("ChatRequest", ChatRequest),
        ("MultiChatRequest", MultiChatRequest),
    ):
        found |= _of_model(name, model)
    return found


def _models(found: JSON, providers: list[ProviderInfo]) -> JSON:
    """Say which models there are, where a request that names another one is refused.

    A rater's model is any text: one that is not there is the session's error, LLM_NOT_AVAILABLE.
    """
    names = [provider.name for provider in providers]
    if not names:
        return {}
    listed = [*names, *sorted({model for each in providers for model in each.models})]
    prefixes = "|".join(re.escape(name) for name in names)
    whole: JSON = {"type": "string", "pattern": rf"^({prefixes})/[!-~]+$", "maxLength": 200}
    model = {"$ref": "#/components/schemas/Model"}
    for name in ("ContentRequest", "DraftRequest", "FormatRequest"):
        for field in ("generator_model", "formatter_model"):
            if field in found[name]["properties"]:
                found[name]["properties"][field] = {"anyOf": [model, {"type": "null"}]}
    config = found["ExhibitionConfig"]
    config["properties"]["provider"] = {"enum": [*names, None]}
    any_model = config["properties"]["model"]
    config["anyOf"] = [
        {"properties": {"provider": {"enum": names}, "model": any_model}, "required": ["provider"]},
        {
            "properties": {
                "provider": {"type": "null"},
                "model": {"anyOf": [model, {"type": "null"}]},
            }
        },
    ]
    return {
        "Model": {
            "description": "A provider, a provider's model, or a model that a provider lists.",
            "anyOf": [{"enum": listed}, whole],
        }
    }


def _of_model(name: str, model: type[BaseModel]) -> JSON:
    """Give a command's schema and those that it refers to, by the wire's names."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    inner = schema.pop("$defs", {})
    if name != "Persona":
        schema["properties"].pop("half", None)
        schema["required"] = [each for each in schema.get("required", ()) if each != "half"]
        budget = {**OPTIONS["token_budget"], BEYOND: _BUDGET}
        schema["properties"] |= {**OPTIONS, "token_budget": budget}
    return {each: _spelt(value) for each, value in {name: schema, **inner}.items()}


def _or_null(schema: JSON) -> JSON:
    """Say that null stands for "not given" where a list or an object may stand."""
    if schema.get("type") in ("array", "object") or "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def _spelt(schema: Any) -> Any:
    """Let null stand for what is not given, and say of trimmed texts what they need at least."""
    if isinstance(schema, list):
        return [_spelt(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _spelt(value) for key, value in schema.items() if key != "title"}
    if isinstance(schema.get("properties"), dict):
        found["properties"] = {
            key: _spelt(value) if key in schema.get("required", ()) else _or_null(_spelt(value))
            for key, value in schema["properties"].items()
        }
        found["required"] = list(schema.get("required", ()))
    if found.get("type") == "string" and "minLength" in found and "pattern" not in found:
        least = found["minLength"]
        found["pattern"] = INK if least <= 1 else rf"{INK}[\s\S]{{{least - 2},}}{INK}"
    return found
