"""Opens the port, and serves an ASGI application on it until it is told to stop.

The one rule: it ends in time, whoever stalls. It takes the place of Hypercorn's worker
(`hypercorn.trio.serve`): several processes are started independently of each other and share the
port by SO_REUSEPORT, because Hypercorn's own workers do not share fairly and end each other
(docs/project/upstream.md). Signals are the business of whoever calls. Must not import the engine
or Quart.
"""

from __future__ import annotations

import logging
import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import LifespanTimeoutError, wrap_app

from server.connection import Connection, ConnectionLimits, hypercorn_config
from server.connections import Connections

BACKLOG = 2048
"""Connections that may wait to be accepted: with 100, 400 at one time took 1.4 s, now 0.6 s."""

GRACE_S = 3.0
"""How long running requests and WebSockets may go on after the stop."""

RESTART = 1012
"""Close code for WebSockets that the application did not close before the grace time ended."""

SEND_BUFFER_BYTES = 256 * 1024
"""What the kernel may hold for one peer. Left alone it grows to 4 MiB: memory without a bound, and
a reader that left would be noticed hours later."""

USER_TIMEOUT_S = 60.0
"""The kernel's own limit for bytes that nobody acknowledges: a second line behind the wire's."""

log = logging.getLogger("antiphon.listening")


def open_listeners(
    host: str,
    port: int,
    *,
    backlog: int = BACKLOG,
    reuse_port: bool = False,
    send_buffer_bytes: int = SEND_BUFFER_BYTES,
) -> list[trio.SocketListener]:
    """Bind and listen: one listener for each address that the name stands for.

    Args:
        host: a name or an address. A name of several addresses gets the same port on each.
        port: 0 takes a free one.
        backlog: connections that may wait to be accepted.
        reuse_port: let several processes listen on the port; the kernel spreads the connections.
        send_buffer_bytes: the kernel's buffer for each connection; it doubles this for itself.

    Raises:
        OSError: the address cannot be had; whose port it is, the caller has to find out.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = dict.fromkeys((family, address) for family, _, _, _, address in infos)
    listeners: list[trio.SocketListener] = []
    try:
        for family, address in addresses:
            if listeners and port == 0:
                chosen = listeners[0].socket.getsockname()[1]
                address = (address[0], chosen, *address[2:])
            sock = _bound(family, address, reuse_port, send_buffer_bytes)
            sock.listen(backlog)
            listeners.append(trio.SocketListener(trio.socket.from_stdlib_socket(sock)))
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


def open_tls(certfile: Path | str, keyfile: Path | str) -> ssl.SSLContext:
    """Give the settings for TLS: our certificate, and HTTP/1.1 alone.

    WebSocket over HTTP/2 breaks in Hypercorn; HTTP/2 belongs to a proxy in front.

    Raises:
        OSError: a file cannot be read.
        ssl.SSLError: certificate and key do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certfile, keyfile)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def serve(
    app: Any,
    listeners: Sequence[trio.SocketListener],
    *,
    limits: ConnectionLimits | None = None,
    tls: ssl.SSLContext | None = None,
    connections: Connections | None = None,
    grace_s: float = GRACE_S,
    shutdown_trigger: Callable[[], Awaitable[object]] = trio.sleep_forever,
    task_status: trio.TaskStatus[Sequence[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an ASGI application until the trigger returns.

    Then it stops accepting, idle connections end, the others have the grace time, and what is
    left after it is closed (WebSockets with 1012), in at most twice the linger time.

    Args:
        app: an ASGI application; its lifespan is run around everything.
        listeners: from `open_listeners`; closed here.
        limits: the bounds of each connection.
        tls: from `open_tls`; without it the connections are in clear text.
        connections: where they are counted, for whoever shows numbers.
        grace_s: seconds after the trigger in which requests may end by themselves.
        shutdown_trigger: awaited; when it returns, the server stops.
        task_status: gives the listeners once the application has started.

    Raises:
        hypercorn.utils.LifespanFailureError: the application did not start.

    Cancellation: everything ends at once, sockets are closed.
    """
    limits = limits or ConnectionLimits()
    connections = connections if connections is not None else Connections()
    config = hypercorn_config(limits)
    config.shutdown_timeout = max(grace_s, 1.0)
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")
    context = WorkerContext(None)
    state: dict[str, Any] = {}
    lifespan = Lifespan(wrapped, config, state)

    async def handle(stream: trio.SocketStream) -> None:
        await connections.serve(
            Connection(wrapped, config, context, state.copy(), stream, limits, tls=tls)
        )

    async with trio.open_nursery() as lifespan_nursery:
        await lifespan_nursery.start(lifespan.handle_lifespan)
        with suppress(trio.ClosedResourceError):  # an application that knows no lifespan
            await lifespan.wait_for_startup()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connections.tick, limits.tick_s())
            async with trio.open_nursery() as accepting:
                # It survives having no descriptors left: it waits and tries again.
                accepting.start_soon(_serve_listeners, handle, listeners, nursery)
                task_status.started(listeners)
                await shutdown_trigger()
                accepting.cancel_scope.cancel()
            await context.terminated.set()
            await _drain(connections, grace_s, limits.linger_s)
            nursery.cancel_scope.cancel()
        with suppress(LifespanTimeoutError, trio.ClosedResourceError):
            await lifespan.wait_for_shutdown()
        lifespan_nursery.cancel_scope.cancel()


async def _serve_listeners(
    handle: Callable[[trio.SocketStream], Awaitable[None]],
    listeners: Sequence[trio.SocketListener],
    nursery: trio.Nursery,
) -> None:
    await trio.serve_listeners(handle, list(listeners), handler_nursery=nursery)


async def _drain(connections: Connections, grace_s: float, linger_s: float) -> None:
    connections.end_idle()
    with trio.move_on_after(grace_s):
        await connections.wait_empty()
    if len(connections):
        log.info("%d connections outlasted the grace time and are closed", len(connections))
        connections.end_all(code=RESTART)
        with trio.move_on_after(2 * linger_s):
            await connections.wait_empty()


def _bound(
    family: socket.AddressFamily, address: Any, reuse_port: bool, send_buffer_bytes: int
) -> socket.socket:
    """Make one listening socket; what is set here, accepted sockets inherit."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # Else the name "localhost" could not be bound for both kinds of address.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            milliseconds = math.ceil(USER_TIMEOUT_S * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock
