"""What can be asked of the content pipeline: the whole of it, or one of its halves.

The one rule: the two halves together are the whole. A person edits the draft between them, so the
first takes source notes and the second takes a draft. Which of the three a request is says its
`half`; a server sets it by the endpoint. Pure; must not import sessions, pipelines or providers.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from engine.commands.parsing import Command, parse_command
from engine.errors import InvalidRequest
from engine.events import JSON

ContentType = Literal["MCQ", "NMCQ", "SUMMARY"]
Half = Literal["whole", "draft", "format"]
Model = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
SourceText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=10, max_length=500_000)
]
Share = Annotated[float, Field(ge=0, le=1)]


class _Content(Command):
    """What all three have."""

    content_type: ContentType
    num_questions: int = Field(5, ge=1, le=20)
    """For NMCQ the total of all vignettes' questions."""
    focus_areas: str | None = Field(None, max_length=10_000)


class _Generating(_Content):
    """What needs a generator."""

    input_text: SourceText
    """Source notes, 10 to 500,000 characters after trimming."""
    generator_model: Model | None = None
    """`provider/model`, or a model's name; None: the configured one."""
    generator_temperature: Share = 0.51
    generator_top_p: Share = 0.95


class _Formatting(_Content):
    """What needs a formatter."""

    formatter_model: Model | None = None
    """`provider/model`, or a model's name; None: the configured one."""
    formatter_temperature: Share = 0.51
    formatter_top_p: Share = 0.95
    max_retries: int = Field(1, ge=0, le=5)
    """How often the formatter may try again after a text that did not pass the validator."""


class ContentCommand(_Generating, _Formatting):
    """Write a draft, lay it out, and check the layout."""

    half: Literal["whole"] = "whole"


class DraftCommand(_Generating):
    """Write a draft and stop, so that a person can edit it."""

    half: Literal["draft"]


class FormatCommand(_Formatting):
    """Lay a given draft out and check the layout."""

    half: Literal["format"]
    draft: SourceText
    """The draft, 10 to 500,000 characters after trimming."""


_CLASSES: dict[str, type[ContentCommand | DraftCommand | FormatCommand]] = {
    "whole": ContentCommand,
    "draft": DraftCommand,
    "format": FormatCommand,
}


def parse_content(
    data: JSON,
) -> tuple[ContentCommand | DraftCommand | FormatCommand, tuple[str, ...]]:
    """Give the command that a request asks for, and what is odd about it.

    Raises:
        InvalidRequest: the caller's fault; `half` is unknown, or a field breaks its rule.
    """
    half = data.get("half", "whole") if isinstance(data, dict) else "whole"
    if not isinstance(half, str) or half not in _CLASSES:
        message = f"half must be {', '.join(map(repr, _CLASSES))}"
        raise InvalidRequest(message, [("half", message)])
    return parse_command(_CLASSES[half], data)
