"""Every error that the engine raises or reports, as one tree, divided by whose fault it is.

    AntiphonError
    ├── CallerError            the request is wrong: repeat it unchanged and it fails again
    │   ├── InvalidRequest, UnsupportedType, NotFound, Expired, Conflict, TooLarge
    │   ├── Unauthenticated, Forbidden
    │   └── ProviderNotFound, ProviderNotConfigured
    ├── FlowError              nobody is wrong: there is too much, or it is too late
    │   └── RateLimited, Overloaded, Unreachable, ShuttingDown, DeadlineExceeded, BudgetExceeded
    ├── ProviderError          the source of text failed
    │   └── ProviderAuth, ProviderRateLimited, ProviderTimeout, ProviderUnavailable,
    │       ProviderRefused, ProviderBadOutput
    ├── SourceFailed           a museum's or an encyclopedia's service failed; becomes a note
    └── EngineError            our fault
        ├── ValidationFailed, TemplateBroken, Escalated, Internal
        └── JournalFailed
            └── Fenced

Each class carries the wire's `code` and whether trying again can help (`retryable`). Errors reach
clients as events, by the same road as data; foreign errors are translated once, at the border,
with `raise … from`. Must not import anything of the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

ErrorCode = Literal[
    "invalid_json",
    "invalid_request",
    "unsupported_type",
    "unauthenticated",
    "forbidden",
    "not_found",
    "expired",
    "conflict",
    "too_large",
    "rate_limited",
    "overloaded",
    "provider_not_found",
    "provider_not_configured",
    "provider_auth",
    "provider_rate_limited",
    "provider_timeout",
    "provider_unavailable",
    "provider_refused",
    "provider_bad_output",
    "validation_failed",
    "deadline_exceeded",
    "shutting_down",
    "internal",
]
"""The codes that a client can meet; contract 0 lists them, and they are for ever."""


class AntiphonError(Exception):
    """The root of the tree.

    Args:
        message: one sentence for people, without keys, headers or addresses with credentials.
        retry_after_s: seconds after which a repeat may succeed, where that is known.
    """

    code: ClassVar[ErrorCode] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


# ---- the caller's -------------------------------------------------------------------------------


class CallerError(AntiphonError):
    """The request is wrong; the same request will fail again."""


class InvalidRequest(CallerError):
    """A request breaks its contract.

    Args:
        message: a sentence that names what is wrong and what is allowed.
        details: one `(path, message)` pair for each fault, the path in dots from the request's top.
    """

    code = "invalid_request"

    def __init__(self, message: str, details: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


class InvalidJson(CallerError):
    """The text is not JSON."""

    code = "invalid_json"


class UnsupportedType(CallerError):
    """A message's `type` is none that this endpoint knows."""

    code = "unsupported_type"


class NotFound(CallerError):
    """It does not exist, or not for this caller: the two are never told apart."""

    code = "not_found"


class Expired(CallerError):
    """It existed, and its retention time has passed."""

    code = "expired"


class Conflict(CallerError):
    """The request does not fit the present state."""

    code = "conflict"


class TooLarge(CallerError):
    """A body or message is larger than its bound."""

    code = "too_large"


class Unauthenticated(CallerError):
    """No valid credentials came with the request."""

    code = "unauthenticated"


class Forbidden(CallerError):
    """The credentials are valid and do not allow this."""

    code = "forbidden"


class ProviderNotFound(CallerError):
    """No provider has this name."""

    code = "provider_not_found"


class ProviderNotConfigured(CallerError):
    """The provider is known, and a key or an address is missing."""

    code = "provider_not_configured"


# ---- flow ---------------------------------------------------------------------------------------


class FlowError(AntiphonError):
    """Too much or too late."""


class RateLimited(FlowError):
    """This caller asks too often."""

    code = "rate_limited"
    retryable = True


class Overloaded(FlowError):
    """The process, connection or caller has as many sessions as it may have."""

    code = "overloaded"
    retryable = True


class Unreachable(FlowError):
    """Another process, or what the processes share, does not answer at present."""

    code = "overloaded"
    retryable = True


class ShuttingDown(FlowError):
    """The process is draining and takes nothing new."""

    code = "shutting_down"
    retryable = True


class DeadlineExceeded(FlowError):
    """The session's time is used up."""

    code = "deadline_exceeded"


class BudgetExceeded(FlowError):
    """The work is larger than the session's token budget: what is left allows no further call."""

    code = "too_large"


# ---- the provider's -----------------------------------------------------------------------------


class ProviderError(AntiphonError):
    """A source of text failed; raised by providers and their wrappers only."""


class ProviderAuth(ProviderError):
    """The provider did not accept the key."""

    code = "provider_auth"


class ProviderRateLimited(ProviderError):
    """The provider answered 429, or our own rate towards it is used up."""

    code = "provider_rate_limited"
    retryable = True


class ProviderTimeout(ProviderError):
    """The provider did not answer, or fell silent, for longer than its time-out."""

    code = "provider_timeout"
    retryable = True


class ProviderUnavailable(ProviderError):
    """The provider cannot be reached, answered 5xx, dropped the stream, or its breaker is open."""

    code = "provider_unavailable"
    retryable = True


class ProviderRefused(ProviderError):
    """The provider or its content filter declined the request; a repeat will be declined too."""

    code = "provider_refused"


class ProviderBadOutput(ProviderError):
    """The answer broke the protocol: bad JSON, or no finish reason."""

    code = "provider_bad_output"
    retryable = True


# ---- a source of knowledge's ---------------------------------------------------------------------

SourceFault = Literal["timeout", "unavailable", "rate_limited", "refused", "bad_answer"]


class SourceFailed(AntiphonError):
    """A source of knowledge could not be asked, or its answer could not be read.

    Raised inside `engine.knowledge` only, where it turns into a note: no session ends by it.

    Args:
        message: one sentence for people, without keys.
        fault: `timeout`, `unavailable` (no connection, 5xx, breaker open), `rate_limited` (429),
            `refused` (any other 4xx) or `bad_answer` (not what the API documents).
        retry_after_s: as the source asked for it.
    """

    code = "provider_unavailable"

    def __init__(
        self, message: str, *, fault: SourceFault, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.fault = fault

    @property
    def is_transient(self) -> bool:
        """Whether the same question may succeed a little later."""
        return self.fault in ("timeout", "unavailable", "rate_limited")


# ---- ours ---------------------------------------------------------------------------------------


class EngineError(AntiphonError):
    """Something of ours failed."""


class ValidationFailed(EngineError):
    """What the models wrote did not pass the pipeline's checks after the last retry."""

    code = "validation_failed"


class TemplateBroken(EngineError):
    """A prompt template is missing or unusable; the message names its file."""

    code = "internal"


class JournalFailed(EngineError):
    """A write to the journal failed; what it would have made durable is not promised."""

    code = "internal"


class Fenced(JournalFailed):
    """The session's log has begun another life elsewhere: this process owns it no longer.

    No session ends by it: it goes on where its new owner is.
    """

    code = "internal"


class Escalated(EngineError):
    """A supervisor gave up; the error that it gave up on, if there was one, is the `__cause__`.

    Args:
        supervisor: the supervisor's name.
        child_id: the child whose exit was the last straw.
        reason: why it was not restarted.
    """

    code = "internal"

    def __init__(self, supervisor: str, child_id: str, reason: str) -> None:
        super().__init__(f"supervisor {supervisor!r} gave up on {child_id!r}: {reason}")
        self.supervisor = supervisor
        self.child_id = child_id
        self.reason = reason


class Internal(EngineError):
    """A defect. The message says which actor; the log has the traceback."""

    code = "internal"
