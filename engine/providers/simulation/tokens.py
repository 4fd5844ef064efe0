"""The simulated tokeniser: a token is a word of at most twelve characters with its leading space.

A longer word is split each twelve characters; white space at the very end is a token of its own.
Joining the tokens of a text gives the text, character for character. Pure.
"""

from __future__ import annotations

import re

MAX_WORD = 12
"""Characters of a word in one token: most English words stay whole, and no token is long."""

_TOKEN = re.compile(rf"\s*\S{{1,{MAX_WORD}}}|\s+")


def tokenise(text: str) -> list[str]:
    """Cut a text into tokens; `"".join` gives it back."""
    return _TOKEN.findall(text)
