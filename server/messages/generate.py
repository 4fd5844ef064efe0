"""StreamGenerate's messages (contract 1)."""

from __future__ import annotations

from engine import JSON
from server.messages.interface import (
    CODE,
    RETRY_AFTER,
    USAGE,
    Message,
    attempt,
    cancelled,
    or_null,
    part_cancelled,
    record,
    refused,
    text,
    whole,
)

_PHASE = text("`prima-materia`, `solutio` or `coagulatio`; empty before the first")
_AT: JSON = {"timestamp": whole("Unix time in seconds")}
_PROMPT: JSON = {"phase": _PHASE, "prompt_id": text("whose"), **_AT}

SERVER = (
    Message(name="phase_start", summary="A phase begins.", fields={"phase": _PHASE, **_AT}),
    Message(
        name="chunk",
        summary="More text of a prompt.",
        fields={
            **_PROMPT,
            "content": text("add it to the prompt's text"),
            "model": text("who writes"),
            "provider": text("whose model it is"),
            "tokens": whole("of the prompt so far"),
        },
    ),
    Message(
        name="reasoning",
        summary="More of a model's reasoning; it is not part of the prompt's text.",
        fields={**_PROMPT, "content": text("add it")},
    ),
    Message(
        name="prompt_complete",
        summary="A prompt is complete.",
        fields={
            **_PROMPT,
            "content": text("for people: which of how many"),
            "index": whole("its lane, from 0"),
            "parent_id": or_null(text("the prompt that it was made from")),
        },
    ),
    Message(
        name="prompt_failed",
        summary="A prompt is lost; the other lanes go on.",
        fields={**_PROMPT, "index": whole("its lane"), "error": text("for people"), "code": CODE},
    ),
    Message(name="phase_complete", summary="A phase is over.", fields={"phase": _PHASE, **_AT}),
    attempt(phase=_PHASE, **_AT),
    part_cancelled(phase=_PHASE, **_AT),
    Message(
        name="result",
        summary="All is done.",
        fields={
            "content": {
                **text("JSON as a text: `session_id`, `prompts`, `rankings`, `selected` …"),
                "contentMediaType": "application/json",
            },
            "usage": USAGE,
            **_AT,
        },
        is_terminal=True,
    ),
    Message(
        name="error",
        summary="The session failed.",
        fields={"phase": _PHASE, "error": text("for people"), "code": CODE, "usage": USAGE, **_AT},
        optional={
            "partial": record("what there is of a result all the same"),
            "retry_after": RETRY_AFTER,
        },
        is_terminal=True,
    ),
    cancelled(**_AT),
    refused(phase=text("the request's, if it had one"), error=text("for people"), **_AT),
)
