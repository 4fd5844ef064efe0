"""docs/how-to/authentication.md: its samples are the files, its numbers are the code's."""

from __future__ import annotations

from pathlib import Path

import pytest

from server import jwks, login
from server.connection import ConnectionLimits
from server.settings import load
from server.tokens import ROLES
from server.transports.sse import KEEP_ALIVE_S

FOLDER = Path(__file__).parents[2] / "docs" / "how-to"
PAGE = (FOLDER / "authentication.md").read_text("utf-8")


@pytest.mark.parametrize(("name", "kind"), [("env", "sh"), ("sh", "sh"), ("js", "js")])
def test_samples_on_the_page_are_the_files(name: str, kind: str) -> None:
    """Every sample is a file; `tests/system/test_how_to_authentication.py` runs them."""
    text = (FOLDER / f"authentication.{name}").read_text("utf-8")
    assert f"```{kind}\n{text}```" in PAGE


def test_variables_are_settings() -> None:
    """The server takes the sample as it stands."""
    lines = (FOLDER / "authentication.env").read_text("utf-8").splitlines()
    settings = load({}, environ=dict(line.split("=", 1) for line in lines))
    assert settings.has_authentication
    assert settings.origins() == ("https://app.example.org",)
    assert settings.token_lifetime_s == 3600


def test_numbers_on_the_page() -> None:
    """They are those of the code."""
    words = {
        f"after {jwks.AGE_S / 60:.0f} minutes": "a set's age",
        f"every {jwks.MISS_S:.0f} seconds": "unknown keys",
        f"takes {jwks.FETCH_S:.0f} seconds and 1 MiB": "a reading",
        f"up to\n{login.LONGEST_WAIT_S:.0f} seconds": "failed logins",
        f"more than {ConnectionLimits().ping_interval_s:.0f} seconds": "pings",
        f"every {KEEP_ALIVE_S:.0f} on SSE": "comments",
    }
    assert [what for text, what in words.items() if text not in PAGE] == []
    assert (jwks.MAX_BYTES, login.FREE) == (1024 * 1024, 3)
    assert all(f"`{role}`" in PAGE for role in ROLES)
