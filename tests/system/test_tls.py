"""The same connection behind TLS."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from server.connection import ConnectionLimits
from tests.system.certificate import tls_pair
from tests.system.peers import PATIENCE_S, masked, serving, text
from tests.system.plain_app import make_app

pytestmark = pytest.mark.system


async def test_requests_and_frames_through_tls() -> None:
    """HTTP and WebSocket work through TLS, and the end is told by close_notify."""
    tls, trust = tls_pair()
    async with serving(make_app(), tls=tls, trust=trust) as served:
        await served.answers()
        async with served.peer() as peer:
            await peer.upgrade()
            await peer.send(text(b"a" * 100_000))
            assert await peer.frame() == (1, b"a" * 100_000)
            await peer.send(masked(0x88, b"\x03\xe8"))
            assert await peer.frame() == (8, b"\x03\xe8")
            assert await peer.rest() == b""


async def test_peer_that_prefers_http2() -> None:
    """HTTP/2 is not agreed on: WebSocket over it breaks in Hypercorn."""
    tls, trust = tls_pair()
    async with serving(make_app(), tls=tls, trust=trust) as served, served.peer() as peer:
        assert isinstance(peer.stream, trio.SSLStream)
        await peer.stream.do_handshake()
        assert peer.stream.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize(
    "hello",
    [b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\0" * 500, b""],
    ids=["plain HTTP", "half a hello", "garbage", "silence"],
)
async def test_handshake_that_fails(hello: bytes) -> None:
    """A handshake that fails, or never ends, ends that connection alone."""
    tls, trust = tls_pair()
    limits = ConnectionLimits(handshake_s=0.4, linger_s=0.5)
    async with serving(make_app(), tls=tls, trust=trust, limits=limits) as served:
        stream = await trio.open_tcp_stream("127.0.0.1", served.port)
        async with stream:
            if hello:
                await stream.send_all(hello)
            with trio.fail_after(PATIENCE_S):
                try:
                    while await stream.receive_some():
                        pass
                except trio.BrokenResourceError:
                    pass
        await served.answers()


async def test_reader_behind_tls_that_never_reads() -> None:
    """It is disconnected after the stall time; no code, for half a record is out."""
    told: dict[str, Any] = {}
    tls, trust = tls_pair()
    limits = ConnectionLimits(stall_s=0.5, linger_s=0.3)
    async with serving(make_app(told), tls=tls, trust=trust, limits=limits) as served:
        async with served.peer(receive_buffer=4096) as peer:
            await peer.upgrade(b"/only-writes")
            with trio.fail_after(PATIENCE_S):
                await served.connections.wait_empty()
            assert served.connections.statistics().stalled == 1
            assert told == {"stalled": True}


async def test_reader_behind_tls_that_is_slow() -> None:
    """A reader that is slow but takes bytes is kept, through TLS as well."""
    tls, trust = tls_pair()
    limits = ConnectionLimits(stall_s=0.5, linger_s=0.3)
    async with serving(
        make_app({"size": 2_000_000}), tls=tls, trust=trust, limits=limits
    ) as served:
        async with served.peer(receive_buffer=4096) as peer:
            await peer.upgrade(b"/only-sends")
            for _ in range(10):
                await trio.sleep(0.2)
                await peer.exactly(30_000)
            assert len(served.connections) == 1
