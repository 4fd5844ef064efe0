"""The programs of tutorial and how-to, as they stand on their pages, against one real server."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio

from server.client import FIRST_WAIT_S, LONGEST_WAIT_S
from tests.requirements import ROOT, need_node
from tests.system.server_process import serving

DOCS = ROOT / "docs"
PAGES = {
    "tutorial/first_program.py": "tutorial/first_program.md",
    "how-to/client.js": "how-to/clients.md",
    "how-to/client_sse.py": "how-to/clients.md",
    "how-to/many_personas.py": "how-to/many_personas.md",
}
PRELOAD = ROOT / "tests" / "system" / "node" / "preload.cjs"
USE = """
const base = process.env.BASE;
let dropped = false;
const request = { request: { input: 'Explain backpressure', phases: ['idea'], count: 2 } };
const first = follow(base, request, (parts, message) => {
  if (message.type === 'chunk' && !dropped) { dropped = true; first.drop(); }
  if (message.type === 'result') {
    const texts = JSON.parse(message.content).prompts.map((each) => each.content).sort();
    const seen = [...parts.values()].filter(Boolean).sort();
    console.log('dropped', dropped, 'same', JSON.stringify(texts) === JSON.stringify(seen));
    stop();
  }
});
function stop() {
  const second = follow(base, request, (parts, message) => {
    if (message.type === 'chunk') second.cancel();
    if (message.type === 'cancelled') console.log('cancelled', message.reason);
  });
}
"""


@pytest.mark.parametrize("sample", PAGES)
def test_samples_on_the_pages_are_the_files(sample: str) -> None:
    text = (DOCS / sample).read_text("utf-8")
    assert text in (DOCS / PAGES[sample]).read_text("utf-8")


def test_the_waits_on_the_page_are_those_of_our_client() -> None:
    page = (DOCS / "how-to" / "clients.md").read_text("utf-8")
    assert f"wait ({FIRST_WAIT_S:g} s, doubled up to {LONGEST_WAIT_S:g} s" in page


async def printed(*command: str, **variables: str) -> str:
    with trio.fail_after(60):
        done = await trio.run_process(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.system
async def test_programs_run(tmp_path: Path) -> None:
    """Cancel with a receipt, a reader that leaves and comes back, SSE, many voices, a browser's."""
    python = [sys.executable, "-W", "error"]
    async with serving(tmp_path / "data", sim_ttft_ms=20, sim_tokens_per_s=200) as server:
        said = await printed(*python, str(DOCS / "tutorial/first_program.py"), server.url)
        assert "cancelled; receipt: {'accepted_at_seq'" in said
        assert "all of it: " in said
        sse = await printed(
            *python, str(DOCS / "how-to/client_sse.py"), server.url, "Notes on the tides."
        )
        offsets = [int(line.split()[0]) for line in sse.splitlines()]
        assert offsets[0] == 2
        assert offsets == sorted(set(offsets))
        assert sse.splitlines()[-1].endswith(" complete")
        voices = await printed(*python, str(DOCS / "how-to/many_personas.py"), server.url)
        assert "data_scientist was cut at" in voices
        assert voices.count(" took ") == 2
        node, variables = need_node()
        code = (DOCS / "how-to/client.js").read_text("utf-8") + USE
        lines = await printed(
            node, "--require", str(PRELOAD), "-e", code, BASE=server.url, **variables
        )
        assert lines.splitlines() == ["dropped true same true", "cancelled client"]
