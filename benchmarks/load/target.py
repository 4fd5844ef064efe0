"""Where a server is, and whether it may be loaded: the loopback, or a host that is the user's."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import msgspec


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A server's address."""

    host: str
    port: int
    is_secure: bool
    base: str
    """What its paths begin with; without a slash at the end."""
    netloc: str

    def url(self, path: str) -> str:
        """Give a path's whole form on this server; a base that it begins with counts once.

        People give an OpenAI-compatible server's address with its `/v1`.
        """
        return path if path.startswith(f"{self.base}/") else self.base + path


def parse_target(url: str) -> Target:
    """Read an address.

    Raises:
        ValueError: it is none, of the form `http://host:port` or `https://…`.
    """
    parts = urlsplit(url)
    schemes = {"http": False, "ws": False, "https": True, "wss": True}
    try:
        port = parts.port
    except ValueError:
        port = None
        parts = parts._replace(netloc="")
    if parts.scheme not in schemes or not parts.hostname or parts.username is not None:
        raise ValueError(f"{url!r} is not an address of the form http://host:port")
    is_secure = schemes[parts.scheme]
    return Target(
        host=parts.hostname,
        port=port or (443 if is_secure else 80),
        is_secure=is_secure,
        base=parts.path.rstrip("/"),
        netloc=parts.netloc,
    )


def refuse_others(target: Target, allowed: tuple[str, ...]) -> None:
    """See that a load on this host is one's own affair.

    Args:
        target: where the load goes.
        allowed: hosts that the user has said to be theirs.

    Raises:
        ValueError: it is not the loopback, and nobody said that it is theirs.
        OSError: its name cannot be resolved.
    """
    if target.host in allowed:
        return
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = {str(entry[4][0]) for entry in found}
    others = sorted(
        each for each in addresses if not ipaddress.ip_address(each.partition("%")[0]).is_loopback
    )
    if others:
        raise ValueError(
            f"{target.host} is not this machine ({', '.join(others)}): a load on somebody else's "
            f"server is an attack. If it is yours, say so: --i-may-load {target.host}"
        )
