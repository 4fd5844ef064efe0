"""What a rater's failure is called on the wire, by what failed and where.

The one rule: the caller learns whose turn it is: to configure something, to wait, or to ask again.
Pure; must not import sessions.
"""

from __future__ import annotations

from typing import Literal

from engine.errors import (
    AntiphonError,
    DeadlineExceeded,
    ProviderError,
    ProviderNotConfigured,
    ProviderNotFound,
    ProviderTimeout,
    ProviderUnavailable,
)

RaterErrorCode = Literal[
    "LLM_NOT_AVAILABLE",
    "CONTEXT_ERROR",
    "GENERATION_FAILED",
    "GENERATION_TIMEOUT",
    "PARSE_FAILED",
    "CANCELLED",
]
Step = Literal["context", "request", "answer", "parsing"]
"""What a rater was at: building the request, waiting for an answer, reading it as it comes, or
understanding it."""

HINT = "Set a provider's key (OPENAI_API_KEY, say) or ask for the model simulated/default."


def error_code(error: AntiphonError, step: Step) -> RaterErrorCode:
    """Name a failure.

    A provider that breaks off in the middle of an answer was there, so only one that never began
    is not available.
    """
    match error:
        case ProviderNotFound() | ProviderNotConfigured():
            return "LLM_NOT_AVAILABLE"
        case ProviderTimeout() | DeadlineExceeded():
            return "GENERATION_TIMEOUT"
        case ProviderUnavailable() if step in ("context", "request"):
            return "LLM_NOT_AVAILABLE"
        case _ if step == "context" and not isinstance(error, ProviderError):
            return "CONTEXT_ERROR"
        case _ if step == "parsing":
            return "PARSE_FAILED"
    return "GENERATION_FAILED"


def message_for(error: AntiphonError, code: RaterErrorCode) -> str:
    """Say a failure; where there is no provider, what to configure."""
    if code != "LLM_NOT_AVAILABLE":
        return error.message
    return f"LLM not available: {error.message.rstrip('.')}. {HINT}"
