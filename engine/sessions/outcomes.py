"""How a part comes out: an answer, lost after its last attempt, or cut by a cancel of its own."""

from __future__ import annotations

import msgspec

from engine.errors import AntiphonError, ProviderError
from engine.events import JSON, Part, Usage
from engine.providers.interface import FinishReason


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A complete answer of a provider."""

    part: Part
    """The part, with the attempt, provider and model that it came from."""
    text: str
    usage: Usage
    finish: FinishReason
    response_id: str | None = None
    reasoning: str = ""
    tools: tuple[JSON, ...] = ()
    first_token_s: float | None = None
    """Seconds from the call to the first text; None where there was none."""
    total_s: float = 0.0


class PartLost(AntiphonError):
    """A part could not be generated: its last attempt failed, or failing again is certain.

    Args:
        part: the part, with its last attempt.
        error: what the last attempt failed with.
    """

    def __init__(self, part: Part, error: AntiphonError) -> None:
        super().__init__(error.message, retry_after_s=error.retry_after_s)
        self.part = part
        self.error = error
        self.code = error.code  # type: ignore[misc]  # a lost part has the code of its cause


class PartCut(Exception):
    """A part was cancelled alone; its `PartCancelled` is in the log already."""

    def __init__(self, part: Part) -> None:
        super().__init__(f"part {part.id} was cancelled")
        self.part = part


def is_worth_another_attempt(error: Exception) -> bool:
    """Whether the same request may succeed if it is made again."""
    return isinstance(error, ProviderError) and error.retryable
