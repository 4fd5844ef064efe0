"""A cursor names a place in a session's log across all its lives: `<epoch>:<seq>`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import InvalidRequest
from engine.journal.interface import Epoch

MAX_DIGITS = 18
"""Of an offset: what fits into 64 bits, and Python itself refuses to read thousands of them."""


def format_cursor(epoch: str, seq: int) -> str:
    """Give a cursor in the wire's form."""
    return f"{epoch}:{seq}"


def parse_cursor(text: str) -> tuple[str, int]:
    """Read a cursor.

    Raises:
        InvalidRequest: it is not of the form `<epoch>:<seq>`.
    """
    epoch, colon, digits = text.rpartition(":")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS
    if not (colon and epoch and is_number):
        raise InvalidRequest(
            f"a cursor has the form <epoch>:<seq>, got {text[:80]!r}",
            [("after", "must be <epoch>:<seq>, as in the last message's epoch and seq")],
        )
    return epoch, int(digits)


def place(epochs: Sequence[Epoch], epoch: str, seq: int) -> int | None:
    """Give the offset after which a reader with this cursor goes on; None: no such epoch.

    What a reader saw of an earlier life beyond its durable end belongs to parts that have started
    a new attempt since, so it goes on right after that end.
    """
    for index, life in enumerate(epochs):
        if life.name == epoch:
            return min([seq, *(later.after_seq for later in epochs[index + 1 :])])
    return None
