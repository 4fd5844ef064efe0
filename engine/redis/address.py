"""Where Redis is: the setting's URL, read once, with every part checked.

Must not import coredis: the settings are checked where it is not installed.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from engine.errors import InvalidRequest

FORMS = "redis://[user:password@]host[:port][/db], rediss://… or unix:///path/to/socket[?db=n]"
_OPTIONS = ("db", "ca")


class RedisAddress(msgspec.Struct, frozen=True, kw_only=True):
    """One Redis server, and one of its databases."""

    host: str = ""
    port: int = 6379
    path: str = ""
    """The socket's path, in the place of host and port."""
    db: int = 0
    username: str = ""
    password: str = ""
    is_tls: bool = False
    ca: Path | None = None
    """The certificate authority to trust, where it is not one that the system knows."""

    @property
    def name(self) -> str:
        """What people may see of it: no credentials."""
        return f"{self.path or f'{self.host}:{self.port}'}/{self.db}"

    def __repr__(self) -> str:
        return f"<RedisAddress {self.name}>"

    def ssl_context(self) -> ssl.SSLContext | None:
        """Give what TLS needs; certificate and host name are always checked.

        Raises:
            OSError: the file of the authority cannot be read.
        """
        return ssl.create_default_context(cafile=self.ca) if self.is_tls else None


def parse_address(url: str) -> RedisAddress:
    """Read a URL.

    Raises:
        InvalidRequest: it is none of a Redis; the message says what is wrong, and never a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidRequest(f"the Redis URL has no valid port; allowed are {FORMS}") from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise InvalidRequest(f"a Redis URL begins with redis, rediss or unix; allowed are {FORMS}")
    options = parse_qs(parts.query, keep_blank_values=True)
    for name in options:
        if name not in _OPTIONS:
            raise InvalidRequest(
                f"the Redis URL has an unknown option {name!r}; allowed are {', '.join(_OPTIONS)}"
            )
    is_unix = parts.scheme == "unix"
    if bool(parts.hostname) == is_unix or (is_unix and not parts.path):
        raise InvalidRequest(f"the Redis URL names no server; allowed are {FORMS}")
    db = options["db"][0] if "db" in options else "" if is_unix else parts.path.strip("/")
    if db and not db.isdecimal():
        raise InvalidRequest(f"the Redis URL's database has to be a number, not {db!r}")
    return RedisAddress(
        host=parts.hostname or "",
        port=port or 6379,
        path=unquote(parts.path) if is_unix else "",
        db=int(db or 0),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        is_tls=parts.scheme == "rediss",
        ca=Path(options["ca"][0]) if "ca" in options else None,
    )
