"""Reads the file that a command is given."""

from __future__ import annotations

import sys
from pathlib import Path

MAX_BYTES = 10 * 1000 * 1000
"""No request may be longer."""


def read_text(file: str) -> str | None:
    """Give a file's text, "-" being standard input; None: it cannot be read, and why was said."""
    try:
        if file == "-":
            return sys.stdin.read(MAX_BYTES)
        with Path(file).open("rb") as opened:
            return opened.read(MAX_BYTES).decode("utf-8-sig")
    except OSError as error:
        print(f"antiphon: {file} cannot be read: {error.strerror}", file=sys.stderr)
    except UnicodeDecodeError:
        print(f"antiphon: {file} is not UTF-8", file=sys.stderr)
    return None
