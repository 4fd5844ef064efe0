"""Persona chat: one persona, or many that answer at once on one socket (the fan-out)."""

from __future__ import annotations

from typing import Any

from benchmarks.load.adapters.antiphon import TEXT, OursAdapter

BUILT_IN = (
    "tech_enthusiast",
    "creative_writer",
    "data_scientist",
    "devils_advocate",
    "frugal_engineer",
    "history_detective",
    "kind_teacher",
    "night_nurse",
    "product_sceptic",
    "stoic_gardener",
)
"""The personas that every server of ours has."""


def personas(
    *, request: dict[str, Any] | None = None, path: str = "/ws", personas: str = "1"
) -> OursAdapter:
    """Chat with personas.

    Args:
        request: the whole request, in the place of the one that is made here.
        path: the WebSocket's.
        personas: ids with commas between them, or how many of the built-in ones.

    Raises:
        ValueError: so many are not built in.
    """
    ids = personas.split(",")
    if personas.isdigit():
        number = int(personas)
        if not 1 <= number <= len(BUILT_IN):
            raise ValueError(f"--option personas={number}: 1 to {len(BUILT_IN)} are built in")
        ids = list(BUILT_IN[:number])
    body = request or (
        {"type": "chat", "data": {"message": TEXT, "persona_id": ids[0]}}
        if len(ids) == 1
        else {"type": "multi_chat", "data": {"message": TEXT, "persona_ids": ids}}
    )
    return OursAdapter(wire="websocket", path=path, request=body, mark=("data", "message"))
