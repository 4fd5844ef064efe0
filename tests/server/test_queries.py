"""Numbers in a URL's query."""

from __future__ import annotations

import pytest

from engine import InvalidRequest
from server.queries import whole_number


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("200", 200), ("007", 7)])
def test_whole_number(text: str, number: int) -> None:
    """A whole number from 1 to the greatest that is allowed."""
    assert whole_number({"limit": text}, "limit", most=200) == number


def test_parameter_that_is_not_there() -> None:
    """None says that the default is to be taken."""
    assert whole_number({}, "limit", most=200) is None


@pytest.mark.parametrize(
    "text", ["", "0", "201", "-1", "+1", "1.0", " 1", "x", "²", "٣", "9" * 5000, "0" * 9 + "9" * 9]
)
def test_anything_else_is_refused(text: str) -> None:
    """The answer names the parameter and what is allowed; a number of 5,000 digits is no crash."""
    with pytest.raises(InvalidRequest, match="limit must be a whole number from 1 to 200"):
        whole_number({"limit": text}, "limit", most=200)
