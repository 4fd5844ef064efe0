"""The object of `complete`: what a run came to, and how.

The one rule: a text that did not pass is never `output`; it is `partial_output` beside its errors.
Pure; must not import sessions or providers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from engine.commands.content import ContentCommand, DraftCommand, FormatCommand
from engine.events import JSON
from engine.pipelines.content.reading import Fault
from engine.pipelines.content.templates import Stage


class Timing(msgspec.Struct, frozen=True):
    """How long a stage's text took, in seconds; all attempts together."""

    total_s: float = 0.0
    first_token_s: float | None = None


def result_of(
    command: ContentCommand | DraftCommand | FormatCommand,
    text: str,
    faults: Sequence[Fault],
    *,
    models: Mapping[Stage, str],
    prompt_hashes: Mapping[Stage, str],
    timings: Mapping[Stage, Timing],
    retries: int,
    total_s: float,
    usage: JSON,
) -> JSON:
    """Give the object of `complete`.

    Args:
        command: what was asked for.
        text: the formatter's text of the last attempt, trimmed; in the first half the draft.
        faults: what the validator found in it.
        models: by stage, the model that wrote.
        prompt_hashes: by stage, the hash of its template.
        timings: by stage, in the order in which they were written.
        retries: how often the formatter was asked again.
        total_s: seconds since the work began.
        usage: the session's tokens, in the wire's form.
    """
    first = next(iter(timings.values()), Timing())
    metadata: JSON = {
        "content_type": command.content_type,
        "num_questions": command.num_questions,
        **{f"{stage}_model": model for stage, model in models.items()},
        "formatter_retries": retries,
        "latencies": {stage: round(timing.total_s, 3) for stage, timing in timings.items()},
        "time_to_first_token": None
        if first.first_token_s is None
        else round(first.first_token_s, 3),
        "total_time": round(total_s, 3),
        "usage": usage,
        "prompt_hashes": dict(prompt_hashes),
    }
    result: JSON = {
        "success": not faults,
        "output": None if faults else text,
        "validation_errors": [
            {"line": fault.line, "message": fault.message, "section": fault.section}
            for fault in faults
        ],
        "metadata": metadata,
    }
    if faults:
        result["partial_output"] = text
    return result
