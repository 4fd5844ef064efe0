"""The rater's messages (contract 3): events of SSE without a name.

Among several raters each carries `raterName`; an `error` with it ends that rater alone.
"""

from __future__ import annotations

from typing import get_args

import msgspec

from engine import RaterErrorCode
from server.messages.interface import (
    CODE,
    RETRY_AFTER,
    USAGE,
    Message,
    attempt,
    cancelled,
    listing,
    number,
    one_of,
    part_cancelled,
    record,
    refused,
    shape,
    text,
)

_NAME = {"raterName": text("whose, where there are several")}
_ERROR_CODE = one_of(*get_args(RaterErrorCode), meaning="the rater's own word for it")
_PHASE = text("such as `context_processing` or `generating_feedback`")
_FEEDBACK = shape({"opinion": text(), "suggestions": listing(text())})


def _of_one(message: Message) -> Message:
    """Say that it may carry a rater's name."""
    return msgspec.structs.replace(message, optional={**message.optional, **_NAME})


SERVER = (
    Message(
        name="status",
        summary="Where it stands.",
        fields={"phase": _PHASE, "message": text("for people")},
        optional={"progress": number("percent"), **_NAME},
    ),
    Message(
        name="partial",
        summary="The feedback as far as it can be read yet; it takes the place of the one before.",
        fields={"feedback": _FEEDBACK},
        optional=_NAME,
    ),
    Message(
        name="token",
        summary="More text of a rater; at present `partial` is sent instead.",
        fields={"phase": _PHASE, "token": text("add it")},
        optional=_NAME,
    ),
    Message(
        name="reasoning",
        summary="More of a model's reasoning.",
        fields={"phase": _PHASE, "content": text("add it")},
        optional=_NAME,
    ),
    _of_one(attempt()),
    Message(
        name="rater_error",
        type="error",
        summary="One of several raters failed; the others go on.",
        fields={
            "message": text("for people"),
            "error_code": _ERROR_CODE,
            "code": CODE,
            **_NAME,
        },
    ),
    _of_one(part_cancelled(error_code=_ERROR_CODE)),
    Message(
        name="result",
        summary="The feedback, or (of several raters) `results` and `failed`.",
        fields={
            "data": record("see Feedback in the OpenAPI document"),
            "status": {"const": "complete"},
            "usage": USAGE,
        },
        is_terminal=True,
    ),
    Message(
        name="error",
        summary="The session failed.",
        fields={
            "message": text("for people"),
            "error_code": _ERROR_CODE,
            "code": CODE,
            "usage": USAGE,
        },
        optional={"retry_after": RETRY_AFTER},
        is_terminal=True,
    ),
    cancelled(error_code=_ERROR_CODE),
    refused(message=text("for people"), error_code=_ERROR_CODE),
)
