"""Redis URLs: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import pytest

from engine.errors import InvalidRequest
from engine.redis.address import RedisAddress, parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://redis.example", RedisAddress(host="redis.example")),
        ("redis://[::1]:7000/2", RedisAddress(host="::1", port=7000, db=2)),
        (
            "rediss://ann:p%40ss@h:1?db=3",
            RedisAddress(host="h", port=1, db=3, username="ann", password="p@ss", is_tls=True),
        ),
        ("redis://:secret@h", RedisAddress(host="h", password="secret")),
        ("unix:///run/redis.sock?db=1", RedisAddress(path="/run/redis.sock", db=1)),
    ],
)
def test_url_is_read(url: str, address: RedisAddress) -> None:
    """Scheme, credentials, host, port, database; percent-encoded where need be."""
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "begins with redis"),
        ("http://h", "begins with redis"),
        ("redis://", "names no server"),
        ("unix://host/path", "names no server"),
        ("unix://", "names no server"),
        ("redis://h:port", "port"),
        ("redis://h:99999", "port"),
        ("redis://h/zero", "database has to be a number"),
        ("redis://h?timeout=1", "unknown option 'timeout'; allowed are db, ca"),
    ],
)
def test_what_is_no_redis_url_is_refused(url: str, why: str) -> None:
    """The message names what is wrong and what is allowed."""
    with pytest.raises(InvalidRequest, match=why):
        parse_address(url)


def test_password_is_never_shown() -> None:
    """Neither in its name, nor in its repr, nor in an error."""
    assert "secret" not in repr(parse_address("redis://ann:secret@h"))
    assert "secret" not in parse_address("redis://ann:secret@h").name
    with pytest.raises(InvalidRequest) as refused:
        parse_address("redis://ann:secret@h:port")
    assert "secret" not in refused.value.message
