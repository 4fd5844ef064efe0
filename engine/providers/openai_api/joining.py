"""Joins the pieces of text that came together: what one read of the body brought is one delta.

The rule: text keeps its order and loses nothing, and only neighbours that are text and nothing else
are joined (or reasoning and nothing else). A server that is faster than its reader, or a proxy that
gathers, sends tens of events in one packet; each would go all the way to the log alone, to be
joined there. Pure; must not import its siblings.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.providers.interface import Delta


def joined(deltas: Sequence[Delta], max_chars: int) -> list[Delta]:
    """Join neighbouring pieces of text, and of reasoning.

    Args:
        deltas: what one read brought, in order.
        max_chars: no joined piece is longer; one that is longer already stays as it is.
    """
    found: list[Delta] = []
    run: list[str] = []
    is_text, size = True, 0

    def close() -> None:
        if run:
            text = "".join(run)
            found.append(Delta(text=text) if is_text else Delta(reasoning=text))
            run.clear()

    for delta in deltas:
        text = delta.text or delta.reasoning
        if not _is_plain(delta):
            close()
            found.append(delta)
            continue
        size += len(text)
        if bool(delta.text) is not is_text or size > max_chars:
            close()
            is_text, size = bool(delta.text), len(text)
        run.append(text)
    close()
    return found


def _is_plain(delta: Delta) -> bool:
    """Whether it is a piece of text, or one of reasoning, and tells nothing else."""
    return (
        (delta.text == "") is not (delta.reasoning == "")
        and delta.tool is None
        and delta.usage is None
        and delta.finish is None
        and delta.response_id is None
        and delta.model is None
        and delta.tokens is None
        and delta.provider is None
    )
