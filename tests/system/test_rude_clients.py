"""Clients that never read or send what is malformed harm no other session of the server."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from tests.system.peers import Peer, text
from tests.system.server_process import PATIENCE_S, Message, ServerProcess, open_server
from tests.system.test_malformed import FRAMES, HTTP

pytestmark = pytest.mark.system

FAST = {"ANTIPHON_SIM_TOKENS_PER_S": "0", "ANTIPHON_SIM_TTFT_MS": "0"}
MIB = 1024 * 1024


def ask(count: int = 1, **options: object) -> Message:
    request = {"input": "Explain tides", "phases": ["idea"], "count": count}
    return {"request": request, **options}


async def raw(server: ServerProcess, *, receive_buffer: int | None = None) -> Peer:
    sock = trio.socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, receive_buffer)
    await sock.connect(("127.0.0.1", server.port))
    return Peer(trio.SocketStream(sock))


async def test_clients_that_never_read(tmp_path: Path) -> None:
    """They are disconnected after the stall time; others stream on, and memory stays bounded."""
    env = {"ANTIPHON_STALL_S": "1", "ANTIPHON_SIM_OUTPUT_TOKENS": "20000", **FAST}
    async with open_server(tmp_path, env=env) as server:
        async with server.talk() as talk:
            await talk.say(ask())
            alone = await talk.to_end()
            before = server.resident_bytes
            silent = [await raw(server, receive_buffer=4096) for _ in range(10)]
            for peer in silent:
                await peer.upgrade(b"/stream")
                for _ in range(5):
                    request = {"input": "tides", "phases": ["idea"], "count": 20}
                    message = {"request": request, "detached": True}
                    await peer.send(text(json.dumps(message).encode()))
            begun = trio.current_time()
            await talk.say(ask())
            beside = await talk.to_end()
            took_s = trio.current_time() - begun
            assert beside[-1]["type"] == "result"
            assert len(alone[-1]["content"]) == len(beside[-1]["content"])
            assert took_s < PATIENCE_S / 2
            await trio.sleep(max(0.0, begun + 3 - trio.current_time()))
            for peer in silent:  # what the kernel held is read to the end: it was cut off
                await peer.rest()
                await trio.aclose_forcefully(peer.stream)
            assert server.resident_bytes - before < 300 * MIB
            await talk.say("ping")
            await talk.until("pong")


async def test_everything_malformed_beside_a_session(tmp_path: Path) -> None:
    """The malformed inputs of 48 kinds end their own connections; a session streams through it."""
    env = {"ANTIPHON_SIM_TOKENS_PER_S": "40"}
    async with open_server(tmp_path, env=env) as server, server.talk() as talk:
        await talk.say(ask(count=2))
        first = await talk.until("chunk")
        for case in HTTP + FRAMES:
            peer = await raw(server)
            if isinstance(case.answer, int):
                await peer.upgrade(b"/stream")
            for packet in case.packets:
                try:
                    await peer.send(packet.replace(b"/echo", b"/stream"))
                except trio.BrokenResourceError:
                    break  # it has had enough
            await trio.aclose_forcefully(peer.stream)
        messages = [first, *await talk.to_end()]
    assert messages[-1]["type"] == "result"
    seqs = [(message.get("first_seq", message["seq"]), message["seq"]) for message in messages]
    assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(seqs))


async def test_message_over_a_mebibyte(tmp_path: Path) -> None:
    """Messages over 1 MiB end the connection (1009); one of exactly 1 MiB is refused by name."""
    async with open_server(tmp_path, env=FAST) as server:
        peer = await raw(server)
        await peer.upgrade(b"/stream")
        await peer.send(text(b" " * MIB))
        opcode, payload = await peer.frame()
        assert (opcode, json.loads(payload)["code"]) == (1, "invalid_json")
        await peer.send(text(b" " * (MIB + 1)))
        opcode, payload = await peer.frame()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (8, 1009)
        await trio.aclose_forcefully(peer.stream)


async def test_clients_that_leave_in_mid_stream(tmp_path: Path) -> None:
    """Nothing of it is seen on stderr, whether they close or break the connection."""
    async with open_server(tmp_path, env={"ANTIPHON_GRACE_S": "0.2"}) as server:
        for number in range(6):
            async with server.talk() as talk:
                await talk.say(ask(count=2))
                await talk.until("chunk")
                if number % 2:
                    await trio.aclose_forcefully(talk.connection._stream)
                    break
        await trio.sleep(0.5)
        async with server.talk() as talk:
            await talk.say("ping")
            await talk.until("pong")
    notice, *others = server.stderr.splitlines()
    assert notice.startswith("antiphon: no authentication is configured")
    assert others == []
