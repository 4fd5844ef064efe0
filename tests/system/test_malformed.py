"""What a peer gets wrong, or does on purpose, ends its own connection: no other, and no server."""

from __future__ import annotations

import logging
import socket
import struct
from dataclasses import dataclass

import pytest
import trio
from hypercorn.protocol.ws_stream import Handshake

from server.connection import MIB, ConnectionLimits
from tests.system.peers import KEY, UPGRADE, masked, serving, text
from tests.system.plain_app import make_app

pytestmark = pytest.mark.system

LIMITS = ConnectionLimits(keep_alive_s=0.4, linger_s=0.5)


@dataclass(frozen=True)
class Case:
    """Bytes, in packets, and how the answer begins: a status, or a close code."""

    name: str
    packets: tuple[bytes, ...]
    answer: bytes | int
    path: bytes = b"/echo"


def headers(*lines: bytes, start: bytes = b"GET /hello HTTP/1.1") -> bytes:
    return b"\r\n".join((start, *lines)) + b"\r\n\r\n"


def upgrade(**changes: bytes | None) -> bytes:
    fields: dict[str, bytes | None] = {
        "Host": b"test",
        "Upgrade": b"websocket",
        "Connection": b"Upgrade",
        "Sec-WebSocket-Version": b"13",
        "Sec-WebSocket-Key": KEY,
    }
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [name.encode() + b": " + value for name, value in fields.items() if value is not None]
    return headers(*lines, start=b"GET /echo HTTP/1.1")


HOST = b"Host: test"
POST = b"POST /echo HTTP/1.1"
HTTP = [
    Case("bytes before the answer", (UPGRADE % b"/echo" + text(b"early"),), b"400"),
    Case("bytes before the accept", (UPGRADE % b"/late", text(b"early"), text(b"e")), b"400"),
    Case("two upgrades in a packet", (UPGRADE % b"/echo" * 2,), b"400"),
    Case("an upgrade without a key", (upgrade(Sec_WebSocket_Key=None),), b"400"),
    Case("an upgrade of an old version", (upgrade(Sec_WebSocket_Version=b"8"),), b"400"),
    Case("an upgrade with a body", (upgrade(Content_Length=b"5") + b"hello",), b"400"),
    Case("an upgrade in HTTP/1.0", ((UPGRADE % b"/echo").replace(b"/1.1", b"/1.0"),), b"400"),
    Case("an upgrade that posts", ((UPGRADE % b"/echo").replace(b"GET", b"POST"),), b"200"),
    Case("a header beyond ASCII", (upgrade(Connection=b"Upgr\xe4de"),), b"405"),
    Case("a protocol beyond ASCII", (upgrade(Sec_WebSocket_Protocol=b"\xff"),), b"400"),
    Case("garbage", (bytes(range(256)) * 4,), b"400"),
    Case("TLS to a plain port", (bytes.fromhex("16030100f8010000f40303") + b"\0" * 99,), b"400"),
    Case("a head without an end", (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 9000,), b"431"),
    Case("a line without an end", (b"GET /" + b"a" * 40000,), b"431"),
    Case("half a request, then silence", (b"GET /hello HT",), b""),
    Case("silence", (), b""),
    Case("no Host", (headers(),), b"400"),
    Case("a space in a name", (headers(HOST, b"na me: x"),), b"400"),
    Case("a zero in a header", (headers(HOST, b"name: a\0b"),), b"400"),
    Case("a target beyond ASCII", (headers(HOST, start=b"GET /\xff HTTP/1.1"),), b"400"),
    Case("a length that is none", (headers(HOST, b"Content-Length: ten", start=POST),), b"400"),
    Case("a length below zero", (headers(HOST, b"Content-Length: -1", start=POST),), b"400"),
    Case("two lengths", (headers(HOST, b"Content-Length: 1\r\nContent-Length: 2"),), b"400"),
    Case("an unknown coding", (headers(HOST, b"Transfer-Encoding: gzip", start=POST),), b"501"),
    Case("HTTP/2", (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9,), b"505"),
    Case(
        "a chunk without a size",
        (headers(HOST, b"Transfer-Encoding: chunked", start=POST) + b"zz\r\n",),
        b"400",
    ),
]
FRAMES = [
    Case("a frame without a mask", (masked(0x81, b"hello", mask=False),), 1002),
    Case("a reserved bit", (masked(0xC1, b"hello"),), 1002),
    Case("a reserved data opcode", (masked(0x83, b"hello"),), 1002),
    Case("a reserved control opcode", (masked(0x8B, b"hello"),), 1002),
    Case("a continuation of nothing", (masked(0x80, b"hello"),), 1002),
    Case("a text within a text", (masked(0x01, b"a"), masked(0x81, b"b")), 1002),
    Case("a ping in fragments", (masked(0x09, b"a"),), 1002),
    Case("a close in fragments", (masked(0x08, b"\x03\xe8"),), 1002),
    Case("a ping of 126 bytes", (masked(0x89, b"a" * 126),), 1002),
    Case("a length that begins with 1", (masked(0x82, b"", size=b"\x7f\x80" + b"\0" * 7),), 1002),
    Case("a length longer than needed", (masked(0x82, b"abc", size=b"\x7e\0\x03"),), 1002),
    Case("text that is not UTF-8", (text(b"\xc3\x28"),), 1007),
    Case("a surrogate in UTF-8", (text(b"\xed\xa0\x80"),), 1007),
    Case("text that ends in a character", (text(b"\xe2\x82"),), 1007),
    Case("a close reason not UTF-8", (masked(0x88, b"\x03\xe8\xff"),), 1007),
    Case("a close of one byte", (masked(0x88, b"\x03"),), 1002),
    Case("a close code never sent", (masked(0x88, b"\x03\xed"),), 1002),
    Case("a close code out of range", (masked(0x88, b"\x00\x01"),), 1002),
    Case("a message over 1 MiB", (text(b"a" * (MIB + 1)),), 1009),
    Case("fragments over 1 MiB", (masked(1, b"a" * MIB), masked(0x80, b"b")), 1009),
    Case(
        "a promise of 4 GiB",
        (masked(0x82, b"b" * (MIB + 1), size=b"\x7f" + b"\0\0\0\1" * 2),),
        1009,
    ),
    Case("a close, and more", (masked(0x88, b"\x03\xe8") + text(b"more"),), 1000),
]


@pytest.mark.parametrize("case", HTTP, ids=lambda case: case.name)
async def test_request_that_is_malformed(case: Case) -> None:
    """A bad request is answered where an answer can be read, and ends that connection alone."""
    async with serving(make_app(), limits=LIMITS) as served:
        async with served.peer() as peer:
            for packet in case.packets:
                await peer.send(packet)
                await trio.sleep(0.02)
            assert isinstance(case.answer, bytes)
            answer = await peer.rest()
        assert answer.startswith(b"HTTP/1.1 " + case.answer if case.answer else b"")
        assert bool(answer) == bool(case.answer), answer
        await served.answers()


@pytest.mark.parametrize("case", FRAMES, ids=lambda case: case.name)
async def test_frame_that_breaks_the_protocol(case: Case) -> None:
    """Violations of RFC 6455 end a connection (1002, 1007), and messages over 1 MiB (1009)."""
    async with serving(make_app(), limits=LIMITS) as served:
        async with served.peer() as peer:
            await peer.upgrade(case.path)
            for packet in case.packets:
                await peer.send(packet)
            opcode, payload = await peer.frame()
            assert (opcode, int.from_bytes(payload[:2], "big")) == (8, case.answer)
            assert await peer.rest() == b"", "something followed the close frame"
        await served.answers()


async def test_server_after_every_malformed_input() -> None:
    """One server meets all of it, from peers that leave without a word, and serves on."""
    async with serving(make_app(), limits=LIMITS) as served:
        for case in HTTP + FRAMES:
            async with served.peer() as peer:
                if isinstance(case.answer, int):
                    await peer.upgrade(case.path)
                for packet in case.packets:
                    await peer.send(packet)
                linger = struct.pack("ii", 1, 0)  # closing resets the connection
                peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await served.answers()
        with trio.fail_after(5):
            await served.connections.wait_empty()
        assert served.connections.statistics().total == len(HTTP + FRAMES) + 1


async def test_connection_that_breaks_inside(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing escapes a connection: what goes wrong inside is logged, and closes it alone."""
    async with serving(make_app(), limits=LIMITS) as served:
        async with served.peer() as peer:
            with caplog.at_level(logging.WARNING), monkeypatch.context() as patch:
                patch.delattr(Handshake, "is_valid")  # a defect in the parser under us
                await peer.send(upgrade())
                assert await peer.rest() == b""
        assert "a connection broke and was closed" in caplog.text
        await served.answers()
