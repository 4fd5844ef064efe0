"""What docs/reference/resume.md shows runs as it stands there, and its times are the code's."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
import trio

from server.client import FIRST_WAIT_S, LONGEST_WAIT_S
from server.transports.sse import KEEP_ALIVE_S
from tests.system.server_process import serving

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "resume.md").read_text(encoding="utf-8")


async def test_the_client_example_prints_the_texts(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    async with serving(tmp_path / "data", sim_ttft_ms=1, sim_tokens_per_s=0) as server:
        with trio.fail_after(60):
            done = await trio.run_process(
                [sys.executable, "-W", "error", "-c", code, server.url, "Explain backpressure"],
                cwd=ROOT,
                env=os.environ,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
    assert done.returncode == 0, done.stderr.decode()
    assert "backpressure" in done.stdout.decode().lower()


def test_the_times_on_the_page_are_the_ones_in_the_code() -> None:
    assert (
        f"Wait before you come back: {FIRST_WAIT_S:g} s, doubled up to {LONGEST_WAIT_S:g} s" in PAGE
    )
    assert f"| a comment | each {KEEP_ALIVE_S:g} s" in PAGE
