"""What a session has used, part by part: every attempt and every judge counts, for all are paid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.events import JSON, Usage

if TYPE_CHECKING:
    from engine.sessions.view import View


class UsageBook:
    """Adds up usage under the targets that clients know."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[str, tuple[JSON, Usage]] = {}

    def add(self, key: str, label: JSON, usage: Usage) -> None:
        """Count a call under a key; `label` is how the row is shown."""
        _, before = self._rows.get(key, (label, Usage()))
        self._rows[key] = (label, before + usage)

    def of(self, key: str) -> Usage:
        """Give what was counted under a key."""
        row = self._rows.get(key)
        return row[1] if row else Usage()

    @property
    def total(self) -> Usage:
        """Give the sum of all."""
        total = Usage()
        for _, usage in self._rows.values():
            total = total + usage
        return total

    def as_json(self) -> JSON:
        """Give the wire's form: totals, and a row for each part."""
        shown = usage_json(self.total)
        shown["by_part"] = [{**label, **usage_json(usage)} for label, usage in self._rows.values()]
        return shown


def usage_of(view: View) -> UsageBook:
    """Give what the parts that are done have used, as far as the log tells."""
    book = UsageBook()
    for done in view.parts.values():
        if done.completed is not None:
            book.add(done.part.id, done.part.target, done.completed.usage)
    return book


def usage_json(usage: Usage) -> JSON:
    """Give one usage in the wire's form."""
    shown: JSON = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.estimated:
        shown["estimated"] = True
    return shown
