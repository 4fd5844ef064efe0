"""Numbers in a URL's query. Must not import Quart."""

from __future__ import annotations

from collections.abc import Mapping

from engine import InvalidRequest


def whole_number(query: Mapping[str, str], name: str, *, most: int) -> int | None:
    """Read a parameter that is a whole number from 1; None: it is not there.

    Args:
        query: the parameters, as they came.
        name: which of them.
        most: the greatest that is allowed.

    Raises:
        InvalidRequest: it is no such number.
    """
    text = query.get(name)
    if text is None:
        return None
    is_short = len(text) <= len(str(most))  # Python refuses to read numbers of 5,000 digits
    if not (is_short and text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        rule = f"must be a whole number from 1 to {most}"
        raise InvalidRequest(f"{name} {rule}", [(name, rule)])
    return int(text)
