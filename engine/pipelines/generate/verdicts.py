"""Reading a judge's answer: JSON that was asked for by a schema, and checked all the same.

Pure. A model may fence its JSON or talk around it; it may not make up an id, leave a field out or
go beyond a scale. Whatever breaks that is `ProviderBadOutput`, and each caller knows what it does
without a verdict. Must not import sessions.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.errors import ProviderBadOutput
from engine.events import JSON


def read_object(text: str) -> JSON:
    """Give the JSON object in a model's answer: the whole of it, or the widest braces.

    Raises:
        ProviderBadOutput: there is none.
    """
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise ProviderBadOutput("the judge's answer holds no JSON object")
    try:
        value = msgspec.json.decode(text[start : end + 1])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProviderBadOutput(f"the judge's answer is no valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ProviderBadOutput("the judge's answer is no JSON object")
    return value


def read_number(answer: JSON, field: str, least: float, most: float) -> float:
    """Give a number of an answer.

    Raises:
        ProviderBadOutput: it is missing, no number, or beyond its scale.
    """
    value: Any = answer.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProviderBadOutput(f"the judge gave no {field}")
    if not least <= value <= most:  # nor does NaN lie between them
        raise ProviderBadOutput(f"the judge's {field} is not from {least:g} to {most:g}")
    return float(value)


def read_text(answer: JSON, field: str) -> str:
    """Give a text of an answer.

    Raises:
        ProviderBadOutput: it is missing or no text.
    """
    value = answer.get(field)
    if not isinstance(value, str):
        raise ProviderBadOutput(f"the judge gave no {field}")
    return value.strip()
