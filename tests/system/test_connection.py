"""What Hypercorn's own connection gets wrong (docs/project/upstream.md), over real sockets."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trio

from server.connection import MIB, ConnectionLimits
from server.listening import SEND_BUFFER_BYTES, open_listeners
from tests.system.peers import PATIENCE_S, UPGRADE, Peer, masked, serving, text
from tests.system.plain_app import make_app

pytestmark = pytest.mark.system

STALL = ConnectionLimits(stall_s=0.5, linger_s=0.5)


async def close_code(peer: Peer) -> int:
    """Read up to the close frame; give its code."""
    while True:
        opcode, payload = await peer.frame()
        if opcode == 8:
            return int.from_bytes(payload[:2], "big")


# -- finding 1: one packet ended the server


async def test_bytes_before_the_accept() -> None:
    """Bytes that come before the application accepts end that connection, not the server."""
    async with serving(make_app()) as served:
        for packets in ([UPGRADE % b"/late" + b"early"], [UPGRADE % b"/late", b"early", b"more"]):
            async with served.peer() as peer:
                for packet in packets:
                    await peer.send(packet)
                    await trio.sleep(0.02)
                await trio.sleep(0.2)
        await served.answers()


# -- finding 2: a reader that never reads held its handler, and the server, for ever


@pytest.mark.parametrize("path", [b"/only-sends", b"/only-writes"])
async def test_reader_that_never_reads(path: bytes) -> None:
    """A reader that accepts no byte for the stall time is disconnected; nobody waits for it."""
    told: dict[str, Any] = {"size": 10_000}
    async with serving(make_app(told), limits=STALL) as served:
        async with served.peer(receive_buffer=4096) as deaf, served.peer() as other:
            await deaf.upgrade(path)
            await other.upgrade(b"/ticks")
            gaps = []
            with trio.fail_after(PATIENCE_S):
                while served.connections.statistics().stalled == 0:
                    before = trio.current_time()
                    assert await other.frame() == (1, b"tick")
                    gaps.append(trio.current_time() - before)
            assert len(gaps) > 20
            assert max(gaps) < 0.3, "the reader that does not read held up the other"
            with trio.fail_after(PATIENCE_S):
                while len(served.connections) > 1:
                    assert await other.frame() == (1, b"tick")
        assert served.connections.statistics().pending_bytes == 0
    if path == b"/only-writes":
        assert told["stalled"] is True


async def test_reader_that_comes_back_after_stalling() -> None:
    """It gets what was half out, and close code 4008 where the code can be delivered."""
    limits = ConnectionLimits(stall_s=0.4, linger_s=2.0)
    async with serving(make_app(), limits=limits) as served:
        async with served.peer(receive_buffer=4096) as peer:
            await peer.upgrade(b"/only-writes")
            with trio.fail_after(PATIENCE_S):
                while served.connections.statistics().stalled == 0:  # noqa: ASYNC110
                    await trio.sleep(0.02)
            assert await close_code(peer) == 4008
            assert await peer.rest() == b""


async def test_reader_that_is_slow_but_reads() -> None:
    """A reader that is slow but takes bytes is kept, however long a write takes it."""
    async with serving(make_app({"size": 2_000_000}), limits=STALL) as served:
        async with served.peer(receive_buffer=4096) as peer:
            await peer.upgrade(b"/only-sends")
            for _ in range(12):
                await trio.sleep(0.2)
                await peer.exactly(30_000)
            assert served.connections.statistics().stalled == 0
            assert len(served.connections) == 1


async def test_stop_while_a_reader_does_not_read() -> None:
    """The server ends within the grace time and twice the linger time, whoever stalls."""
    limits = ConnectionLimits(stall_s=30.0, linger_s=0.3)
    async with serving(make_app({"size": 10_000}), limits=limits, grace_s=0.2) as served:
        async with served.peer(receive_buffer=4096) as deaf:
            await deaf.upgrade(b"/only-sends")
            await trio.sleep(0.3)
            served.stop.set()
            with trio.fail_after(0.2 + 2 * 0.3 + 0.5):
                await served.ended.wait()


# -- finding 3: Connection: close and HTTP/1.0 were never closed


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        b"GET /hello HTTP/1.0\r\nHost: test\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
    ],
    ids=["close", "HTTP/1.0", "close after a body"],
)
async def test_connection_that_is_to_close(request_: bytes) -> None:
    """The server closes after the answer when HTTP/1.1 says so or HTTP/1.0 is spoken."""
    async with serving(make_app()) as served, served.peer() as peer:
        await peer.send(request_)
        answer = await peer.rest()
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith((b"hello", b"hi"))


async def test_connection_kept_alive_too_long() -> None:
    """An idle connection is closed after the keep-alive time, and not while it is used."""
    limits = ConnectionLimits(keep_alive_s=0.4, linger_s=0.5)
    async with serving(make_app(), limits=limits) as served, served.peer() as peer:
        for _ in range(4):
            await peer.send(b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")
            assert (await peer.response())[1] == b"hello"
            await trio.sleep(0.2)
        before = trio.current_time()
        assert await peer.rest() == b""
        assert trio.current_time() - before < 1.0


# -- finding 4: a loop that only sends froze the event loop


async def test_loop_that_only_sends_to_a_peer_that_left() -> None:
    """A handler that only sends lets others run, before and after its peer has left."""
    async with serving(make_app()) as served:
        async with served.peer() as peer:
            await peer.upgrade(b"/only-sends")
            await peer.exactly(100_000)
            await served.answers()
        with trio.fail_after(PATIENCE_S):
            await served.answers()
            await served.connections.wait_empty()


async def test_loop_that_only_sends_after_a_close() -> None:
    """What is sent after the peer's close frame is dropped, and dropping lets others run."""
    async with serving(make_app()) as served, served.peer() as peer:
        await peer.upgrade(b"/only-sends")
        await peer.send(masked(0x88, b"\x03\xe8"))
        await served.answers()


# -- finding 5: a handler that does not receive never learned of the disconnect


async def test_handler_that_never_receives() -> None:
    """A handler that does not receive ends soon after its peer left, whatever the peer sent."""
    told: dict[str, Any] = {}
    limits = ConnectionLimits(silence_s=0.6, ping_interval_s=0.2, linger_s=0.3)
    async with serving(make_app(told), limits=limits) as served:
        async with served.peer() as peer:
            await peer.upgrade(b"/deaf")
            await peer.send(text(b"hello") * 200)
            await trio.sleep(0.05)
        with trio.fail_after(PATIENCE_S):
            await served.connections.wait_empty()
        assert told == {"deaf ended": True}


# -- finding 12: a handler that raises closed with 1000


async def test_application_that_raises() -> None:
    """An application that breaks is answered with 1011, internal error.

    Through Quart it is 1000, for Quart catches the error and closes by itself: the transport
    catches first.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            raise RuntimeError("on purpose")
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

    async with serving(app) as served, served.peer() as peer:
        await peer.upgrade(b"/")
        assert await close_code(peer) == 1011
        assert await peer.rest() == b""


# -- finding 13: a graceful stop cut sockets without a word


async def test_stop_with_a_websocket_open() -> None:
    """A WebSocket that its handler does not close gets 1012 when the grace time is over."""
    async with serving(make_app(), grace_s=0.2) as served, served.peer() as peer:
        await peer.upgrade(b"/deaf")
        served.stop.set()
        assert await close_code(peer) == 1012
        assert await peer.rest() == b""


async def test_stop_with_a_connection_idle() -> None:
    """Idle connections end at once when the server stops; it does not wait for the grace time."""
    async with serving(make_app(), grace_s=30.0) as served, served.peer() as peer:
        await peer.send(b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")
        await peer.response()
        served.stop.set()
        with trio.fail_after(2):
            assert await peer.rest() == b""
            await peer.stream.aclose()
            await served.ended.wait()


async def test_stop_while_a_request_runs() -> None:
    """A request that runs when the server stops is answered to its end."""
    async with serving(make_app(), grace_s=5.0) as served, served.peer() as peer:
        await peer.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345")
        await trio.sleep(0.05)
        served.stop.set()
        await trio.sleep(0.05)
        await peer.send(b"67890")
        assert (await peer.response())[1] == b"1234567890"
        assert await peer.rest() == b""


# -- finding 14: nobody checked the pongs


async def test_websocket_that_is_silent() -> None:
    """The server pings; a peer that answers nothing is dropped, one that answers is kept."""
    limits = ConnectionLimits(ping_interval_s=0.2, silence_s=0.7, linger_s=0.3)
    async with serving(make_app(), limits=limits) as served:
        async with served.peer() as silent, served.peer() as alive:
            await silent.upgrade(b"/deaf")
            await alive.upgrade(b"/deaf")
            for _ in range(8):
                assert await alive.frame() == (9, b"")
                await alive.send(masked(0x8A, b""))
            assert len(served.connections) == 1
            assert (await silent.rest())[:4] == b"\x89\x00\x89\x00"


# -- finding 15: empty binary messages, and messages that are too long


async def test_message_that_is_too_long() -> None:
    """A message over 1 MiB gets 1009 and ends the connection; one of 1 MiB is taken."""
    async with serving(make_app()) as served, served.peer() as peer:
        await peer.upgrade()
        await peer.send(text(b"a" * MIB))
        assert await peer.frame() == (1, b"a" * MIB)
        await peer.send(text(b"a" * (MIB + 1)))
        assert await close_code(peer) == 1009
        assert await peer.rest() == b""
        with trio.fail_after(PATIENCE_S):
            await served.connections.wait_empty()


async def test_message_that_is_binary_and_empty() -> None:
    """An empty binary message arrives as None, which handlers treat as empty."""
    async with serving(make_app()) as served, served.peer() as peer:
        await peer.upgrade()
        await peer.send(masked(0x82, b""))
        assert await peer.frame() == (2, b"")


# -- finding 16: four hundred connects took 1.4 s


async def test_many_connections_at_once() -> None:
    """The backlog takes a burst: no connect has to be repeated, which costs it a second."""
    async with serving(make_app()) as served:
        took: list[float] = []

        async def connect() -> None:
            before = trio.current_time()
            async with served.peer() as peer:
                took.append(trio.current_time() - before)
                await peer.upgrade()

        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                for _ in range(300):
                    nursery.start_soon(connect)
        assert max(took) < 0.9


# -- the rest of what a connection does


async def test_requests_one_after_the_other_in_one_packet() -> None:
    """Pipelined requests are answered in order, each once."""
    async with serving(make_app()) as served, served.peer() as peer:
        await peer.send(
            b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n"
            b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\none"
            b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\ntwo\r\n4\r\n and\r\n0\r\n\r\n"
            b"HEAD /hello HTTP/1.1\r\nHost: test\r\n\r\n"
            b"GET /streamed HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        )
        bodies = [(await peer.response())[1] for _ in range(3)]
        assert bodies == [b"hello", b"one", b"two and"]
        head = await peer.until(b"\r\n\r\n")
        assert b"content-length: 5" in head
        assert (await peer.response())[1] == b"0.1.2."
        assert await peer.rest() == b""


async def test_body_that_waits_for_100_continue() -> None:
    """Who asks for 100 Continue gets it, and then the answer."""
    async with serving(make_app()) as served, served.peer() as peer:
        await peer.send(
            b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert (await peer.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await peer.send(b"hi")
        assert (await peer.response())[1] == b"hi"


async def test_body_of_ten_megabytes() -> None:
    """A long body passes both ways, in bounded memory."""
    data = bytes(range(256)) * 40_000
    async with (
        serving(make_app(), send_buffer_bytes=SEND_BUFFER_BYTES) as served,
        served.peer() as peer,
    ):
        head = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % len(data)
        with trio.fail_after(PATIENCE_S):
            await peer.send(head + data)
            assert (await peer.response())[1] == data


async def test_upgrade_that_offers_deflate() -> None:
    """permessage-deflate and h2c are declined: the answer does not speak of them."""
    async with serving(make_app()) as served, served.peer() as peer:
        offer = b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        await peer.send((UPGRADE % b"/echo").replace(b"\r\n\r\n", offer))
        head = (await peer.until(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 101")
        assert b"extensions" not in head
    async with serving(make_app()) as served, served.peer() as peer:
        await peer.send(
            b"GET /hello HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
        )
        assert (await peer.response())[1] == b"hello"
        await peer.send(b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (await peer.response())[1] == b"hello"


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_response_written_through_the_wire(version: bytes) -> None:
    """Chunks written directly and those of the response mix in order; HTTP/1.0 has no chunks."""
    told: dict[str, Any] = {}
    expected = b"first\n" + b"".join(b"%d\n" % number for number in range(200)) + b"last\n"
    async with serving(make_app(told)) as served, served.peer() as peer:
        await peer.send(b"GET /sse HTTP/%b\r\nHost: test\r\n\r\n" % version)
        if version == b"1.1":
            assert (await peer.response())[1] == expected
            assert told == {"open": True}
            await peer.send(b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")
            assert (await peer.response())[1] == b"hello"
        else:
            assert (await peer.rest()).partition(b"\r\n\r\n")[2] == expected
            assert told == {"open": False}


async def test_head_of_a_response_written_through_the_wire() -> None:
    """The answer to HEAD has no body, whoever writes it."""
    async with serving(make_app()) as served, served.peer() as peer:
        await peer.send(b"HEAD /sse HTTP/1.1\r\nHost: test\r\n\r\n")
        await peer.until(b"\r\n\r\n")
        await peer.send(b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (await peer.until(b"\r\n")).startswith(b"HTTP/1.1 200")


async def test_connection_closed_over_unread_bytes() -> None:
    """The answer to what nobody wants to read is followed by an end, not by a reset."""
    async with serving(make_app()) as served, served.peer() as peer:
        await peer.send(b"GET /" + b"a" * 200_000)
        assert (await peer.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 431")
        with trio.fail_after(PATIENCE_S):
            assert await peer.stream.receive_some() == b""


async def test_closing_handshake() -> None:
    """A close from the peer is answered with its code, then the connection is closed."""
    async with serving(make_app()) as served, served.peer() as peer:
        await peer.upgrade()
        await peer.send(masked(0x88, b"\x0f\xa0bye"))
        assert await peer.frame() == (8, b"\x0f\xa0bye")
        assert await peer.rest() == b""


async def test_server_without_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no descriptor left the server waits, and accepts again when there is one."""
    accept = trio.SocketListener.accept
    failures = iter(range(2))

    async def scarce(listener: trio.SocketListener) -> trio.SocketStream:
        stream = await accept(listener)
        if next(failures, None) is not None:
            await stream.aclose()
            raise OSError(24, "Too many open files")
        return stream

    monkeypatch.setattr(trio.SocketListener, "accept", scarce)
    async with serving(make_app()) as served:
        for _ in range(2):
            async with served.peer() as peer:
                await peer.rest()
        await served.answers()


async def test_sockets_that_two_processes_share() -> None:
    """With SO_REUSEPORT several listeners share a port; without it the second is refused."""
    [first] = open_listeners("127.0.0.1", 0, reuse_port=True)
    port = first.socket.getsockname()[1]
    [second] = open_listeners("127.0.0.1", port, reuse_port=True)
    with pytest.raises(OSError, match="in use"):
        open_listeners("127.0.0.1", port)
    assert first.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await first.aclose()
    await second.aclose()
