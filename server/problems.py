"""Errors over HTTP: RFC 9457 `application/problem+json` with the common `code`."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any

from quart import Response

from engine import (
    JSON,
    AntiphonError,
    BudgetExceeded,
    Conflict,
    DeadlineExceeded,
    Expired,
    Forbidden,
    InvalidJson,
    InvalidRequest,
    NotFound,
    Overloaded,
    ProviderAuth,
    ProviderError,
    ProviderNotConfigured,
    ProviderNotFound,
    ProviderTimeout,
    RateLimited,
    ShuttingDown,
    TooLarge,
    Unauthenticated,
    Unreachable,
    UnsupportedType,
)
from server.protocols.encoding import to_json

_log = logging.getLogger("antiphon.server")

STATUS: dict[type[AntiphonError], int] = {
    InvalidJson: 400,
    UnsupportedType: 422,
    InvalidRequest: 422,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Expired: 410,
    Conflict: 409,
    TooLarge: 413,
    RateLimited: 429,
    Overloaded: 503,
    Unreachable: 503,
    ShuttingDown: 503,
    DeadlineExceeded: 504,
    BudgetExceeded: 422,
    ProviderNotFound: 422,
    ProviderNotConfigured: 422,
    ProviderAuth: 502,
    ProviderTimeout: 504,
    ProviderError: 502,
}
"""The status of each error; a class that is not here has that of its nearest base, else 500."""


def status_of(error: AntiphonError) -> int:
    """Give the HTTP status of an error."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


STATUS_OF_CODE: dict[str, int] = {
    kind.code: status for kind, status in reversed(STATUS.items()) if kind is not BudgetExceeded
}
"""The status of an error of which only the code is left: a session's that has ended."""


def problem(error: AntiphonError) -> Response:
    """Give the response for an error of ours."""
    more: JSON = {}
    if isinstance(error, InvalidRequest) and error.details:
        more["details"] = [{"path": path, "message": text} for path, text in error.details]
    return problem_of(error.code, error.message, status_of(error), error.retry_after_s, **more)


def problem_of(
    code: str,
    detail: str,
    status: int | None = None,
    retry_after_s: float | None = None,
    **more: Any,
) -> Response:
    """Give the response for an error by its code.

    Args:
        code: one of the common codes.
        detail: a sentence for people.
        status: HTTP's; None: as the code has it.
        retry_after_s: seconds after which a repeat may succeed.
        more: further fields of the body.
    """
    status = status or STATUS_OF_CODE.get(code) or (502 if code.startswith("provider_") else 500)
    body = {**_body(status, code, detail), **more}
    headers: dict[str, str] = {}
    if retry_after_s is not None:
        body["retry_after"] = retry_after_s
        headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return _response(body, status, headers)


def http_problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Give the response for an error of HTTP's own: no such page, a wrong method, a long body."""
    codes = {404: "not_found", 405: "invalid_request", 413: "too_large", 400: "invalid_request"}
    code = codes.get(status, "internal" if status >= 500 else "invalid_request")
    return _response(_body(status, code, detail), status, headers or {})


def internal_problem(error: BaseException) -> Response:
    """Give the response for a defect of ours; the log has the traceback."""
    _log.error("a request failed", exc_info=error)
    return _response(_body(500, "internal", "an internal error"), 500, {})


def _body(status: int, code: str, detail: str) -> JSON:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }


def _response(body: JSON, status: int, headers: dict[str, str]) -> Response:
    return Response(
        to_json(body), status=status, headers=headers, content_type="application/problem+json"
    )
