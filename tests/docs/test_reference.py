"""The generated reference pages say what the code says."""

from __future__ import annotations

from docs.generate import stale


def test_generated_pages_are_in_step() -> None:
    """Wire reference and settings tables are generated from the code; `make docs` writes them."""
    assert stale() == []
