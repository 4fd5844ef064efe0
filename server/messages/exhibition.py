"""The exhibition's messages (contract 5)."""

from __future__ import annotations

import msgspec

from engine import JSON
from server.messages.interface import (
    CODE,
    RETRY_AFTER,
    USAGE,
    Message,
    attempt,
    cancelled,
    listing,
    one_of,
    or_null,
    part_cancelled,
    record,
    refused,
    text,
    whole,
)

_STAGE = text("such as `theme_refinement` or `artist_discovery`")
_CHOSEN_STAGE = one_of("artist_discovery", "artwork_discovery")
_TIME: JSON = {"type": "string", "format": "date-time"}
_WHERE: dict[str, JSON] = {
    "stage": _STAGE,
    "progress": or_null(whole("percent")),
    "message": text("for people"),
    "updated_at": _TIME,
}

CONNECTED = Message(
    name="connected",
    summary="The connection's first message; everything that has happened follows.",
    fields={"session_id": text("which session"), "message": text("for people")},
    is_numbered=False,
)


def _with_stage(message: Message) -> Message:
    """Say that it may carry the stage that the client named."""
    return msgspec.structs.replace(message, optional={**message.optional, "stage": _STAGE})


SERVER = (
    Message(name="progress", summary="Where it stands.", fields=_WHERE),
    Message(
        name="chunk",
        summary="More of one of the theme's texts.",
        fields={
            "stage": _STAGE,
            "field": text("which text, such as `curatorial_statement`"),
            "content": text("add it"),
        },
    ),
    Message(
        name="item",
        summary="An artist or an artwork, as soon as it is found.",
        fields={
            "stage": _STAGE,
            "kind": one_of("artist", "artwork"),
            "data": record("as in the stage's `stage_complete`"),
        },
    ),
    Message(
        name="stage_complete",
        summary="A stage is over, and this is what it found.",
        fields={
            **_WHERE,
            "completed_stage": text("the same as `stage`"),
            "data": record("the theme's texts and concepts, `artists`, or `artworks`"),
        },
    ),
    Message(
        name="selection_required",
        summary="It waits for a choice; at `expires_at` the best are taken.",
        fields={
            "stage": _CHOSEN_STAGE,
            "candidates": listing({"type": "object"}, "what there is to choose from"),
            "expires_at": _TIME,
        },
    ),
    Message(
        name="selected",
        summary="The choice was made.",
        fields={
            "stage": _CHOSEN_STAGE,
            "selected_indices": listing(whole(), "which candidates, from 0"),
            "selected_count": whole("how many"),
            "by": one_of("client", "expiry", meaning="by a person, or by time"),
        },
    ),
    attempt(),
    part_cancelled(),
    Message(
        name="completed",
        summary="The proposal is complete.",
        fields={
            "stage": {"const": "completed"},
            "progress": {"const": 100},
            "message": text("for people"),
            "proposal_url": text("where it is"),
            "usage": USAGE,
        },
        is_terminal=True,
    ),
    Message(
        name="error",
        summary="The session failed; what its stages found is kept.",
        fields={
            "message": text("for people"),
            "error": text("the bare reason"),
            "code": CODE,
            "stage": _STAGE,
            "usage": USAGE,
        },
        optional={"retry_after": RETRY_AFTER},
        is_terminal=True,
    ),
    cancelled(),
    _with_stage(refused(message=text("for people"), error=text("the same"))),
)
