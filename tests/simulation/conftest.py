"""Shows in the summary of every run how much was simulated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Add a line to the run's summary; it travels with the test's report between processes."""

    def add(line: str) -> None:
        request.node.user_properties.append(("simulation", line))

    return add


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Planted defects are logged with their tracebacks, a few for each seed."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("passed", []):
        for name, line in report.user_properties:
            if name == "simulation":
                terminalreporter.write_line(f"simulation: {line}")
