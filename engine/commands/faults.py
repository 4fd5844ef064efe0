"""Says what is wrong with a request: each fault in a sentence that names field and limit.

Pydantic finds the faults; the words are ours, so that all five protocols speak alike and a text
that a contract fixes stays as it is. Pure.
"""

from __future__ import annotations

import json
from typing import Final

from pydantic_core import ErrorDetails

from engine.errors import InvalidRequest

MAX_REPORTED: Final = 20
"""Faults and warnings that are spelt out; a hostile object has room for a hundred thousand."""
MAX_SHOWN: Final = 80
"""Characters of a client's own text that a message repeats."""

Path = tuple[str | int, ...]

_WANTED: Final = {
    "string": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "an object",
    "model": "an object",
}


def refusal(faults: list[tuple[str, str]], total: int) -> InvalidRequest:
    """Make the error of these faults; `total` counts those that are not given as well."""
    spelt = faults[:MAX_REPORTED]
    message = "; ".join(message for _, message in spelt)
    if total > len(spelt):
        message += f"; and {total - len(spelt)} more"
    return InvalidRequest(message, spelt)


def genuine(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out that a list is too short where only its bad entries are missing from it."""
    parents = {detail["loc"][:-1] for detail in details}
    return [d for d in details if d["type"] != "too_short" or d["loc"] not in parents]


def fault(detail: ErrorDetails) -> tuple[str, str]:
    """Say one of pydantic's faults in a sentence that names the field and what is allowed."""
    path = dotted(detail["loc"])
    return path, _sentence(detail, _field(detail["loc"]))


def _sentence(detail: ErrorDetails, field: str) -> str:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    wanted = _WANTED.get(kind.removesuffix("_type"))
    if wanted is not None:
        return f"{field} must be {wanted}, got {shown(value)}"
    match kind:
        case "value_error":
            return str(context["error"])
        case "missing":
            return f"{field} is required"
        case "greater_than_equal":
            return f"{field} must be at least {_bound(context['ge'])}, got {shown(value)}"
        case "less_than_equal":
            return f"{field} cannot exceed {_bound(context['le'])}, got {shown(value)}"
        case "greater_than":
            return f"{field} must be greater than {_bound(context['gt'])}, got {shown(value)}"
        case "less_than":
            return f"{field} must be less than {_bound(context['lt'])}, got {shown(value)}"
        case "finite_number":
            return f"{field} must be a finite number, got {shown(value)}"
        case "int_from_float":
            return f"{field} must be a whole number, got {shown(value)}"
        case "string_too_short":
            return f"{field} must have at least {_of(context['min_length'], 'character')}"
        case "string_too_long":
            return f"{field} cannot have more than {_of(context['max_length'], 'character')}"
        case "too_short":
            return f"{field} must have at least {_of(context['min_length'], 'entry', 'entries')}"
        case "too_long":
            return f"{field} cannot have more than {_of(context['max_length'], 'entry', 'entries')}"
        case "literal_error" | "enum":
            return f"{field} must be {context['expected']}, got {shown(value)}"
    return f"{field}: {detail['msg']}"


def _bound(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _of(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def dotted(path: Path) -> str:
    """Give a path as messages name it: "request.phases.0"."""
    return ".".join(str(step) for step in path)


def _field(path: Path) -> str:
    """Name a field as a sentence does: its own name, with the place of an entry in brackets."""
    places = ""
    for step in reversed(path):
        if isinstance(step, str):
            return step + places
        places = f"[{step}]{places}"
    return f"the request{places}"


def shown(value: object) -> str:
    """Give a client's value as JSON, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
