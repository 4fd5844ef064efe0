"""Whether a JSON value satisfies a schema, for the keywords that the filler knows.

Used where a filler has to choose: `oneOf` wants exactly one of its schemas to match, and a value of
`enum` must keep the other keywords too. Not a validator for clients. Pure.
"""

from __future__ import annotations

import math
import re
from typing import Any

from engine.events import JSON

Schema = JSON | bool


def resolve(schema: Schema, root: Schema) -> Schema:
    """Follow `$ref` to a schema without one; siblings of a `$ref` are merged into it.

    Raises:
        LookupError: the reference points nowhere, or only at itself.
    """
    seen: set[str] = set()
    while isinstance(schema, dict) and "$ref" in schema:
        reference = schema["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#") or reference in seen:
            raise LookupError(f"cannot follow $ref {reference!r}")
        seen.add(reference)
        siblings = {key: value for key, value in schema.items() if key != "$ref"}
        target = _point(reference, root)
        if not siblings or not isinstance(target, dict):
            schema = target
        elif "$ref" in target:
            schema = {**target, **siblings}
        else:
            schema = merge(target, siblings)
    return schema


def _point(reference: str, root: Schema) -> Schema:
    node: Any = root
    for step in reference[1:].split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        try:
            node = node[int(step)] if isinstance(node, list) else node[step]
        except (KeyError, IndexError, TypeError, ValueError):
            raise LookupError(f"cannot follow $ref {reference!r}") from None
    if not isinstance(node, dict | bool):
        raise LookupError(f"cannot follow $ref {reference!r}")
    return node


def merge(one: JSON, other: JSON) -> JSON:
    """Give a schema that wants what both want, as far as keywords can say it."""
    merged = dict(one)
    for key, value in other.items():
        mine = merged.get(key)
        if mine is None or mine == value:
            merged[key] = value
        elif key in ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"):
            merged[key] = max(mine, value)
        elif key in ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"):
            merged[key] = min(mine, value)
        elif key == "required":
            merged[key] = [*mine, *(name for name in value if name not in mine)]
        elif key == "properties":
            merged[key] = {**mine}
            for name, schema in value.items():
                merged[key][name] = {"allOf": [mine[name], schema]} if name in mine else schema
        elif key == "enum":
            merged[key] = [item for item in mine if any(same(item, own) for own in value)]
        elif key == "type":
            merged[key] = _both_types(mine, value)
        elif key in ("items", "additionalProperties"):
            merged[key] = {"allOf": [mine, value]}
        elif key in ("title", "description", "default", "examples", "$defs", "definitions"):
            merged[key] = value
        else:
            merged.setdefault("allOf", [])
            merged["allOf"] = [*merged["allOf"], {key: value}]
    return merged


def _both_types(one: str | list[str], other: str | list[str]) -> list[str]:
    ones, others = ([t] if isinstance(t, str) else t for t in (one, other))
    both = [t for t in ones if t in others]
    if "integer" not in both and {"integer", "number"} <= {*ones, *others}:
        both.append("integer")
    return both


def same(one: Any, other: Any) -> bool:
    """Compare as JSON does: 1 is 1.0, and no number is a boolean."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other) and isinstance(one, str) == isinstance(other, str)


def matches(value: Any, schema: Schema, root: Schema) -> bool:
    """Say whether a value satisfies a schema."""
    schema = resolve(schema, root)
    if isinstance(schema, bool):
        return schema
    if "const" in schema and not same(value, schema["const"]):
        return False
    if "enum" in schema and not any(same(value, item) for item in schema["enum"]):
        return False
    types = schema.get("type")
    if types is not None:
        names = [types] if isinstance(types, str) else types
        if not any(has_type(value, name) for name in names):
            return False
    if not all(matches(value, part, root) for part in schema.get("allOf", ())):
        return False
    if "anyOf" in schema and not any(matches(value, part, root) for part in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(matches(value, part, root) for part in schema["oneOf"]) != 1:
        return False
    match value:
        case bool():
            return True
        case str():
            return _text_matches(value, schema)
        case int() | float():
            return number_matches(value, schema)
        case list():
            return _list_matches(value, schema, root)
        case dict():
            return _object_matches(value, schema, root)
    return True


def has_type(value: Any, name: str) -> bool:
    """Say whether a value has one of JSON's types; 1.0 is an integer."""
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and (name == "number" or float(value).is_integer())


def _text_matches(value: str, schema: JSON) -> bool:
    return bool(
        schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf)
        and re.search(schema.get("pattern", ""), value) is not None
    )


def number_matches(value: float, schema: JSON) -> bool:
    """Say whether a number keeps a schema's bounds and steps."""
    step = schema.get("multipleOf")
    if step is not None:
        quotient = value / step
        if int(quotient) != quotient:
            return False
    return bool(
        schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
        and value > schema.get("exclusiveMinimum", -math.inf)
        and value < schema.get("exclusiveMaximum", math.inf)
    )


def _list_matches(value: list[Any], schema: JSON, root: Schema) -> bool:
    first = schema.get("prefixItems", [])
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        return False
    if schema.get("uniqueItems") and any(
        same(value[i], value[j]) for i in range(len(value)) for j in range(i)
    ):
        return False
    return all(map(lambda v, s: matches(v, s, root), value, first)) and all(
        matches(item, schema.get("items", True), root) for item in value[len(first) :]
    )


def _object_matches(value: JSON, schema: JSON, root: Schema) -> bool:
    known = schema.get("properties", {})
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", math.inf):
        return False
    if any(name not in value for name in schema.get("required", ())):
        return False
    return all(
        matches(
            item, known[name] if name in known else schema.get("additionalProperties", True), root
        )
        for name, item in value.items()
    )
