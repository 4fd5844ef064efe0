"""Reads the code blocks of the seed documents, so that tests use their very text."""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER = Path(__file__).parent
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(seed: int, language: str) -> list[str]:
    """Give the code blocks of one document in one language, in order.

    Args:
        seed: its number, 1 to 5.
        language: as it stands behind the fence.
    """
    [path] = _FOLDER.glob(f"{seed}-*.md")
    found = [text for kind, text in _BLOCK.findall(path.read_text("utf-8")) if kind == language]
    assert found, f"{path.name} has no {language} block"
    return found
