"""Every section of the page in a real browser: run, cancel, offline, reload, and for everybody."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.system.page.driving import answering, drive
from tests.system.server_process import ServerProcess, environment, open_server

pytestmark = pytest.mark.system

FILE = "sections.mjs"
PACE = {
    "ANTIPHON_SIM_TOKENS_PER_S": "70",
    "ANTIPHON_SIM_TTFT_MS": "80",
    "ANTIPHON_OFFLINE": "1",
}
SECRET = "a secret that is long enough for a signature, and then some"
ROOT = Path(__file__).parents[3]
WORDS = ("persona", "content", "rater", "exhibition")
"""Generate has a file of its own."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with open_server(tmp_path, env=PACE) as server:
        yield server


@pytest.mark.parametrize(
    ("check", "width", "scheme"),
    [
        ("run", 1440, "light"),
        ("cancel", 375, "dark"),
        ("offline", 375, "light"),
        ("reload", 1440, "dark"),
    ],
)
@pytest.mark.parametrize("name", WORDS)
async def test_section(
    server: ServerProcess, tmp_path: Path, name: str, check: str, width: int, scheme: str
) -> None:
    """Run, cancel, drop the connection and see it resume, reload; each in a look of its own."""
    await drive(server, FILE, check, tmp_path, name=name, width=width, scheme=scheme)


async def test_conversation_goes_on(server: ServerProcess, tmp_path: Path) -> None:
    """One column for each persona, with Cancel and Retry; the conversation goes on."""
    await drive(server, FILE, "conversation", tmp_path)


async def test_content_without_streaming(server: ServerProcess, tmp_path: Path) -> None:
    """The streaming switch off: it waits for `/run`; Copy and Download give the output."""
    await drive(server, FILE, "plain", tmp_path)


async def test_content_in_two_halves(server: ServerProcess, tmp_path: Path) -> None:
    """The two halves: a person edits the draft between them."""
    await drive(server, FILE, "halves", tmp_path)


async def test_raters_one_by_one(server: ServerProcess, tmp_path: Path) -> None:
    """For each rater Cancel and Retry, on/off, suggestions with tick boxes; x of y raters done."""
    await drive(server, FILE, "raters", tmp_path)


async def test_text_that_does_not_pass(tmp_path: Path) -> None:
    """Validation errors as "Line N: …", and the text that has them."""
    text = "This is no question at all."
    async with answering(tmp_path, text) as server:
        await drive(server, FILE, "invalid", tmp_path, text=text)


async def test_keyboard_alone(server: ServerProcess, tmp_path: Path) -> None:
    """All of it works without a mouse, and the focus can be seen."""
    await drive(server, FILE, "keyboard", tmp_path)


async def test_selection_by_clicking(server: ServerProcess, tmp_path: Path) -> None:
    """Selection by clicking when asked for; a reload shows it again; the proposal prints."""
    await drive(server, FILE, "choose", tmp_path)


async def test_raw_messages(server: ServerProcess, tmp_path: Path) -> None:
    """The raw messages in a side panel: connect, choose a type, send, watch."""
    await drive(server, FILE, "raw", tmp_path)


async def test_login_where_there_are_users(tmp_path: Path) -> None:
    """Login where authentication is on: known over a reload; a proposal prints; who is no admin."""
    settings = {"ANTIPHON_JWT_SECRET": SECRET}
    await trio.run_process(
        [
            sys.executable,
            "-m",
            "server",
            "users",
            "add",
            "ada",
            "--role",
            "editor",
            "--password-stdin",
            "--data",
            str(tmp_path / "data"),
        ],
        stdin=b"correct horse battery",
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT), **settings),
        capture_stdout=True,
    )
    async with open_server(tmp_path, env={**PACE, **settings}) as server:
        await drive(server, FILE, "login", tmp_path)


@pytest.mark.parametrize("name", ["generate", *WORDS, "observer"])
async def test_accessible(server: ServerProcess, tmp_path: Path, name: str) -> None:
    """Light and dark, at 375 and 1440 px: axe finds no serious violation, nothing overflows."""
    await drive(server, FILE, "accessible", tmp_path, name=name)
