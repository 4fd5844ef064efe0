"""Shows in the summary of every run how much was simulated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

_LINES = pytest.StashKey[list[str]]()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Add a line to the run's summary."""
    return request.config.stash.setdefault(_LINES, []).append


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Planted defects are logged with their tracebacks, a few for each seed."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in config.stash.get(_LINES, []):
        terminalreporter.write_line(f"simulation: {line}")
