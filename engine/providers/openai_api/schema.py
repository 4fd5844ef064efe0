"""Whether a JSON schema may be sent as a strict one.

OpenAI's strict mode takes a schema only where every object lists all its properties as required and
allows no others (https://platform.openai.com/docs/guides/structured-outputs); a schema that does
not is refused with 400, so it is sent as a plain one. Pure; imports nothing of the engine.
"""

from __future__ import annotations

from typing import Any


def is_strict(schema: Any) -> bool:
    """Whether every object in the schema is closed and has all its properties required."""
    if isinstance(schema, list):
        return all(is_strict(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required", ())) != set(properties):
            return False
    return all(is_strict(value) for value in schema.values())
