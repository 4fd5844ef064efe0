"""The content pipeline's messages (contract 2): events of SSE, named by their type."""

from __future__ import annotations

from server.messages.interface import (
    CODE,
    NAMED_TARGET,
    RETRY_AFTER,
    USAGE,
    Message,
    attempt,
    cancelled,
    flag,
    listing,
    number,
    or_null,
    part_cancelled,
    record,
    refused,
    shape,
    text,
    whole,
)

_STAGE = text("such as `generator` or `formatter`")
_MESSAGE = text("for people")
_PERCENT = number("percent")
_FAULTS = listing(
    shape({"line": whole(least=1), "message": text(), "section": text()}),
    "what the validator found",
)

SERVER = (
    Message(name="start", summary="It begins.", fields={"message": _MESSAGE, "stage": _STAGE}),
    Message(
        name="progress",
        summary="Where it stands.",
        fields={"stage": _STAGE, "message": _MESSAGE},
        optional={"progress": _PERCENT},
    ),
    Message(
        name="token",
        summary="More text of a stage.",
        fields={"stage": _STAGE, "token": text("add it to the stage's text")},
    ),
    Message(
        name="reasoning",
        summary="More of a model's reasoning; it is not part of the stage's text.",
        fields={"stage": _STAGE, "content": text("add it")},
    ),
    Message(
        name="draft",
        summary="The draft is written.",
        fields={
            "stage": _STAGE,
            "message": _MESSAGE,
            "progress": _PERCENT,
            "draft": text("the whole of it"),
        },
    ),
    attempt(stage=_STAGE),
    Message(
        name="part_failed",
        summary="A stage's text is lost.",
        fields={
            "target": NAMED_TARGET,
            "stage": _STAGE,
            "error": text("for people"),
            "code": CODE,
        },
    ),
    part_cancelled(stage=_STAGE),
    Message(
        name="complete",
        summary="The result: laid out and checked, or with what the validator found.",
        fields={
            "success": flag("whether it passed"),
            "output": or_null(text("the laid out text, if it passed")),
            "validation_errors": _FAULTS,
            "metadata": record("models, latencies, retries, hashes of the templates"),
            "usage": USAGE,
        },
        optional={
            "partial_output": text("the text that did not pass"),
            "code": CODE,
        },
        is_terminal=True,
    ),
    Message(
        name="error",
        summary="The session failed.",
        fields={"error": text("for people"), "code": CODE, "stage": _STAGE, "usage": USAGE},
        optional={
            "partial": record("the text of each stage so far"),
            "retry_after": RETRY_AFTER,
        },
        is_terminal=True,
    ),
    cancelled(),
    refused(error=text("for people"), stage=text("the request's, if it had one")),
)
