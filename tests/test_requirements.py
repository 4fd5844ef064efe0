"""What is missing skips a test with the reason, and fails it where everything is required."""

from __future__ import annotations

import pytest

from tests.requirements import missing, need_program

HINT = "install it"


def test_missing_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that need what is not installed are skipped with the reason."""
    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="there is no antiphon-none: install it"):
        need_program("antiphon-none", hint=HINT)


def test_missing_program_where_all_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """`REQUIRE_ALL=1` turns such a skip into a failure."""
    monkeypatch.setenv("REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="REQUIRE_ALL is set, and there is no"):
        need_program("antiphon-none", hint=HINT)


@pytest.mark.parametrize("value", ["", "0"])
def test_requirement_that_is_switched_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("REQUIRE_ALL", value)
    with pytest.raises(pytest.skip.Exception, match="no moon"):
        missing("no moon")


def test_program_under_its_second_name() -> None:
    """The first of the names that is installed is taken."""
    assert need_program("antiphon-none", "sh", hint=HINT).endswith("/sh")
