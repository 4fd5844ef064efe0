"""Open a connection, plain or TLS, and read it as fast or as slowly as a client is to be."""

from __future__ import annotations

import socket
import ssl

import trio

from benchmarks.load.limits import CONNECT_S, READ_BYTES, SLOW_BUFFER_BYTES, SLOW_READ_BYTES
from benchmarks.load.target import Target
from benchmarks.load.wires.interface import LOST, Lost

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


async def dial(target: Target, *, is_slow: bool = False) -> Stream:
    """Open a connection.

    Args:
        target: where to.
        is_slow: the kernel's receive buffer is as small as can be; with the usual one a server
            would notice a slow reader only after megabytes.

    Raises:
        Lost: it cannot be opened.

    Cancellation: nothing is left open.
    """
    try:
        with trio.fail_after(CONNECT_S):
            return await _dial(target, is_slow)
    except trio.TooSlowError:
        raise Lost("connect_timeout") from None
    except LOST as error:
        raise Lost(_reason(error)) from None


def _reason(error: BaseException) -> str:
    """Say why a connection did not open: trio puts the cause, or one for each address, beneath."""
    causes = (error, error.__cause__, *getattr(error.__cause__, "exceptions", ()))
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "connect_refused"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "connect_tls"
    return "connect_failed"


async def _dial(target: Target, is_slow: bool) -> Stream:
    stream = await trio.open_tcp_stream(target.host, target.port)
    if is_slow:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
    if not target.is_secure:
        return stream
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    secure = trio.SSLStream(stream, context, server_hostname=target.host, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(secure)
        raise
    return secure


async def read(stream: Stream, bytes_per_s: float | None) -> bytes:
    """Read what is there, no faster than `bytes_per_s`; empty at the end."""
    if bytes_per_s is None:
        return bytes(await stream.receive_some(READ_BYTES))
    data = bytes(await stream.receive_some(SLOW_READ_BYTES))
    await trio.sleep(len(data) / bytes_per_s)
    return data
