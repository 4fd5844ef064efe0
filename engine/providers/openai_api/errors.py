"""Translate the SDK's errors and a stream's own error events, once, at the border.

The one rule: no key, header or address with credentials passes, whatever the server echoes; the
foreign error that stays behind as `__cause__` is scrubbed too, because tracebacks are logged. Must
not import anything of the engine but its errors.

    the server or the network                       the engine's error        retryable
    no answer, or silence, for longer than allowed  ProviderTimeout           yes
    connection refused, reset, TLS, DNS             ProviderUnavailable       yes
    401, 403; no quota left (429)                   ProviderAuth              no
    429                                             ProviderRateLimited       yes
    408                                             ProviderTimeout           yes
    409, 5xx                                        ProviderUnavailable       yes
    every other 4xx (bad request, no such model)    ProviderRefused           no
    not JSON, or JSON of another shape              ProviderBadOutput         yes
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import anyio
import httpx2
import msgspec
import openai

from engine.errors import (
    ProviderAuth,
    ProviderBadOutput,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)

FOREIGN: tuple[type[Exception], ...] = (
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.StreamError,
    httpx2.InvalidURL,
    json.JSONDecodeError,
    msgspec.MsgspecError,
    ssl.SSLError,
    OSError,
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)
"""What the SDK and what it stands on may raise."""

MAX_MESSAGE_CHARS = 500
"""A server's own message is cut here: some answer with a page of HTML."""

_SECRETS = re.compile(
    r"""(?ix)
      \b(?:bearer|basic)\s+[^\s"',;]+               # a header's value
    | \b(?:authorization|(?:x-)?(?:goog-)?api[-_]?key|token|secret|password)"?\s*[:=]\s*
      (?:"[^"]*"|'[^']*'|[^\s"'&,;]+)              # name: value, name=value
    | \b(?:sk|pk|rk|or|gsk|xai|key)-[\w*.-]{6,}    # keys of the known providers, masked or not
    | \bAIza[\w-]{10,}
    | (?<=://)[^/\s@]+@                            # https://user:password@host
    | (?<=[?&])key=[^&\s]+
    """
)


def scrub(text: str, key: str = "") -> str:
    """Make a foreign text fit to be shown: without secrets, on one line, of bounded length.

    Args:
        text: any text.
        key: the key in use, which is removed wherever it stands.
    """
    if len(key) >= 4:
        text = text.replace(key, "[key]")
    text = _SECRETS.sub("[removed]", text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"


def translate(error: Exception, *, provider: str, key: str = "") -> ProviderError:
    """Give the engine's error for a foreign one; raise it `from` the foreign one.

    Args:
        error: one of `FOREIGN`. It is scrubbed in place.
        provider: the name that the sentence begins with.
        key: the key in use.
    """
    said = _message_of(error)
    _scrub_in_place(error, key)
    match error:
        case openai.APITimeoutError() | httpx2.TimeoutException() | TimeoutError():
            return ProviderTimeout(f"{provider} did not answer in time")
        case openai.APIStatusError():
            return _of_status(error, f"{provider} answered {error.status_code}", scrub(said, key))
        case json.JSONDecodeError() | msgspec.MsgspecError() | openai.APIResponseValidationError():
            return ProviderBadOutput(f"{provider} sent something that is not of its protocol")
        case openai.APIConnectionError() | httpx2.ConnectError():
            return ProviderUnavailable(f"{provider} cannot be reached")
        case httpx2.InvalidURL() | httpx2.UnsupportedProtocol():
            return ProviderUnavailable(f"{provider} has an address that cannot be used")
        case _:
            return ProviderUnavailable(f"{provider} dropped the connection")


def reported(
    error: Mapping[str, Any] | str, *, provider: str, key: str = "", response_failed: bool = False
) -> ProviderError:
    """Give the engine's error for one that came as an event in the middle of a stream.

    Args:
        error: {"message", "code", "type"} of any types, or only the sentence.
        provider: the name that the sentence begins with.
        key: the key in use.
        response_failed: whether the provider gave up an answer that it had begun.
    """
    fields: Mapping[str, Any] = {"message": error} if isinstance(error, str) else error
    code = str(fields.get("code") or fields.get("type") or "")
    said = scrub(str(fields.get("message") or code or "no reason given"), key)
    sentence = f"{provider} failed in mid-stream: {said}"
    status = int(code) if code.isdigit() else None
    if code in _AUTH_CODES or status in (401, 402, 403):
        return ProviderAuth(sentence)
    if "rate_limit" in code or status == 429:
        return ProviderRateLimited(sentence)
    if code in _REFUSED_CODES or (status is not None and 400 <= status < 500 and status != 408):
        return ProviderRefused(sentence)
    return ProviderUnavailable(sentence)


_AUTH_CODES = frozenset({"insufficient_quota", "invalid_api_key", "authentication_error"})
_REFUSED_CODES = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "invalid_prompt",
        "invalid_request_error",
        "context_length_exceeded",
        "model_not_found",
    }
)


def _of_status(error: openai.APIStatusError, answered: str, said: str) -> ProviderError:
    sentence = f"{answered}: {said}" if said else answered
    status = error.status_code
    if status in (401, 403) or error.code in _AUTH_CODES:
        return ProviderAuth(sentence)
    if status == 429:
        return ProviderRateLimited(sentence, retry_after_s=_retry_after_s(error.response.headers))
    if status == 408:
        return ProviderTimeout(sentence)
    if status == 409 or status >= 500:
        return ProviderUnavailable(sentence, retry_after_s=_retry_after_s(error.response.headers))
    return ProviderRefused(sentence)


def _retry_after_s(headers: httpx2.Headers) -> float | None:
    """Read Retry-After: seconds or a date (RFC 9110, 10.2.3), or the more exact retry-after-ms."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
            return float(value) * unit_s
        if value and name == "retry-after":
            try:
                return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
            except ValueError:
                return None
    return None


def _message_of(error: Exception) -> str:
    """Find the sentence in an error's body: {"error": {"message"}} and its relatives."""
    if not isinstance(error, openai.APIError):
        return str(error)
    body: object = error.body
    for _ in range(3):
        if isinstance(body, list) and body:  # Google wraps its error in a list
            body = body[0]
        elif isinstance(body, Mapping):
            inner = body.get("error") or body.get("message") or body.get("detail")
            if inner is None:
                break
            body = inner
        else:
            break
    if isinstance(body, str) and not body.lstrip().startswith("<"):
        return body
    return ""


def _scrub_in_place(error: BaseException, key: str) -> None:
    for link in (error, error.__cause__, error.__context__):
        if link is None or isinstance(link, ProviderError):
            continue
        if any(isinstance(argument, str) for argument in link.args):
            link.args = tuple(
                scrub(argument, key) if isinstance(argument, str) else argument
                for argument in link.args
            )
        if isinstance(link, openai.APIError):
            link.message = scrub(link.message, key)
            link.body = None
