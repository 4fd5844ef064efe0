"""A script that Redis runs in one piece, known to it by its digest. Must not import coredis."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

Word: TypeAlias = str | bytes | int | float
"""One argument of a command."""


class Script:
    """A Lua script.

    Args:
        name: for people.
        text: its source.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text.strip()
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"<Script {self.name}>"

    def command(self, keys: Sequence[Word], values: Sequence[Word]) -> tuple[Word, ...]:
        """Give the command that runs it; Redis answers NOSCRIPT where it was never loaded."""
        return (b"EVALSHA", self.digest, len(keys), *keys, *values)
