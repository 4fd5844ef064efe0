"""The bytes' way to Redis: opened by us, spoken over by coredis.

The one module that imports coredis; it is itself imported when Redis is first used. A connection
of coredis's own that fails before its socket is open leaves memory streams behind that warn when
they are collected, so it gets a socket that is open already.
"""

from __future__ import annotations

import socket
import ssl

import anyio
from anyio.abc import ByteStream, SocketAttribute
from coredis import exceptions
from coredis.connection import BaseConnection, TCPLocation

from engine.redis.address import RedisAddress

__all__ = ["RedisConnection", "exceptions", "open_stream"]


class RedisConnection(BaseConnection):
    """A connection over a stream that is open; `run` closes it.

    Args:
        address: where it leads to.
        stream: the open stream.
        name: what `CLIENT LIST` shows.
    """

    def __init__(self, address: RedisAddress, stream: ByteStream, name: str) -> None:
        super().__init__(
            TCPLocation(host=address.host, port=address.port),
            username=address.username or None,
            password=address.password or None,
            db=address.db,
            client_name=name,
        )
        self._address = address
        self._open = stream

    async def _connect(self) -> ByteStream:
        return self._open

    def describe(self) -> str:
        """Name it for people."""
        return f"<RedisConnection {self._address.name}>"


async def open_stream(address: RedisAddress, ssl_context: ssl.SSLContext | None) -> ByteStream:
    """Open a socket to Redis, with TLS where that is asked for.

    Raises:
        OSError: it cannot be reached, or TLS failed.
    """
    if address.path:
        return await anyio.connect_unix(address.path)
    if ssl_context is None:
        stream: ByteStream = await anyio.connect_tcp(address.host, address.port)
    else:
        stream = await anyio.connect_tcp(
            address.host,
            address.port,
            tls=True,
            ssl_context=ssl_context,
            tls_standard_compatible=False,
        )
    stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return stream
