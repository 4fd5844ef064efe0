"""The samples of docs/how-to/own.md: pipeline, tests and provider, as they stand there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest

from engine.testing.provider_suite import ProviderSuite, Upstream
from tests.requirements import ROOT

FOLDER = ROOT / "docs" / "how-to"
PAGE = (FOLDER / "own.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["own_pipeline", "own_provider", "own_tests"])
def test_samples_on_the_page_are_the_files(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text("utf-8")
    assert f"```python\n{text}```" in PAGE


def own(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return __import__(name)


@pytest.mark.parametrize(
    "test",
    [
        "test_the_shorter_one_wins",
        "test_a_call_that_breaks_is_tried_again",
        "test_a_cancel_closes_every_call",
    ],
)
def test_the_tests_of_the_page(test: str, monkeypatch: pytest.MonkeyPatch) -> None:
    getattr(own("own_tests", monkeypatch), test)()


def test_the_program_of_the_page() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / "own_pipeline.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "haiku-1" in done.stdout
    assert "the shorter one:" in done.stdout


@pytest.mark.system
class TestTheProviderOfThePage(ProviderSuite):
    """It keeps the contract of providers; with real processes, so in real time."""

    @asynccontextmanager
    async def open_provider(self) -> AsyncIterator[Upstream]:
        async with _upstream(pause_s=0.01) as upstream:
            yield upstream

    @asynccontextmanager
    async def open_failing_provider(self) -> AsyncIterator[Upstream]:
        async with _upstream(program="raise SystemExit(1)") as upstream:
            yield upstream


@asynccontextmanager
async def _upstream(**options: object) -> AsyncIterator[Upstream]:
    sys.path.insert(0, str(FOLDER))
    try:
        provider = __import__("own_provider").ProgramProvider(**options)
    finally:
        sys.path.remove(str(FOLDER))
    yield Upstream(provider=provider, count_open=lambda: int(provider.open_calls))
