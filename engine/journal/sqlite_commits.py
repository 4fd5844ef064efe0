"""What the SQLite journal's writer is given: writes, each with what became of it.

The rule: the loop's thread fills a group, the writer's thread works on it, and the loop's thread
ends it; never two at once. Must not import another journal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.errors import AntiphonError
from engine.journal.interface import Batch


class Append:
    """A batch to be written, of about a size; `error` is what is wrong with it alone."""

    __slots__ = ("batch", "error", "result", "size_bytes")

    def __init__(self, batch: Batch, size_bytes: int) -> None:
        self.batch = batch
        self.size_bytes = size_bytes
        self.error: AntiphonError | None = None
        self.result = None


class Call:
    """Any other change; `change` is given the writer, in its turn, and its answer is `result`."""

    __slots__ = ("change", "error", "result")

    def __init__(self, change: Callable[[Any], Any]) -> None:
        self.change = change
        self.error: AntiphonError | None = None
        self.result: Any = None
