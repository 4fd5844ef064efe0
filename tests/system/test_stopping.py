"""SIGTERM and SIGINT: clients are told, sessions finish or are set aside, it ends in time."""

from __future__ import annotations

import json
import signal
import sqlite3
from pathlib import Path

import pytest
import trio
from trio_websocket import ConnectionClosed

from tests.system.peers import Peer, text
from tests.system.server_process import Message, ServerProcess, Talk, open_server

pytestmark = pytest.mark.system

DRAIN_S = 1.0
IN_TIME_S = DRAIN_S + 1.0
"""Contract: within drain + 1 s."""
SLACK_S = 0.5
"""For the interpreter's own end, on a busy machine."""
SLOW = {"ANTIPHON_DRAIN_S": str(DRAIN_S), "ANTIPHON_SIM_TOKENS_PER_S": "20"}


def ask(**options: object) -> Message:
    request = {"input": "Explain tides", "phases": ["idea"], "count": 1}
    return {"request": request, **options}


async def ends(server: ServerProcess, since: float, *, within_s: float, code: int = 0) -> float:
    assert await server.wait() == code
    took_s = trio.current_time() - since
    assert took_s < within_s + SLACK_S
    return took_s


async def goodbye(talk: Talk) -> tuple[list[Message], int]:
    """Read to the close; gives the messages and the close code."""
    start = len(talk.seen)
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await talk.hear()
    assert closed.value.reason is not None
    return talk.seen[start:], closed.value.reason.code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stop_with_nothing_to_do(tmp_path: Path, number: signal.Signals) -> None:
    """An idle client hears `draining` and 1012, and the process ends at once with 0."""
    async with open_server(tmp_path, env=SLOW) as server, server.talk() as talk:
        await talk.say("ping")
        await talk.until("pong")
        begun = trio.current_time()
        server.signal(number)
        messages, code = await goodbye(talk)
        await ends(server, begun, within_s=1.0)
    assert messages == [{"type": "draining", "grace": DRAIN_S}]
    assert code == 1012


async def test_stop_with_clients_of_every_kind(tmp_path: Path) -> None:
    """Idle, streaming, stalled and half-open clients: it ends within the drain time and 1 s."""
    async with open_server(tmp_path, env=SLOW) as server:
        peers = []
        for number in range(3):
            sock = trio.socket.socket()
            sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
            await sock.connect(("127.0.0.1", server.port))
            peers.append(Peer(trio.SocketStream(sock)))
            if number == 0:  # never reads again
                await peers[0].upgrade(b"/stream")
                for _ in range(20):
                    await peers[0].send(text(json.dumps(ask(detached=True)).encode()))
            elif number == 1:  # half a request
                await peers[1].send(b"GET /stream HT")
        async with server.talk() as idle, server.talk() as talk:
            await talk.say(ask())
            await talk.until("chunk")
            begun = trio.current_time()
            server.signal(signal.SIGTERM)
            messages, code = await goodbye(talk)
            _, idle_code = await goodbye(idle)
            await ends(server, begun, within_s=IN_TIME_S)
        for peer in peers:
            await trio.aclose_forcefully(peer.stream)
    assert code == idle_code == 1012
    kinds = [message["type"] for message in messages]
    assert "draining" in kinds
    assert "cancelled" not in kinds, "with SQLite a session is set aside, not cancelled"


@pytest.mark.parametrize("is_told_twice", [False, True])
async def test_stop_while_the_disk_stalls(tmp_path: Path, is_told_twice: bool) -> None:
    """A write that hangs cannot be cancelled; the process ends within the drain time and 1 s."""
    async with open_server(tmp_path, env=SLOW) as server, server.talk() as talk:
        await talk.say(ask(detached=True))
        await talk.until("chunk")
        # What a disk does that does not answer: nobody can write until the lock is gone.
        holder = sqlite3.connect(tmp_path / "data" / "journal.sqlite3", isolation_level=None)
        try:
            holder.execute("BEGIN IMMEDIATE")
            await trio.sleep(0.2)  # until a write hangs
            begun = trio.current_time()
            server.signal(signal.SIGTERM)
            within_s = IN_TIME_S
            if is_told_twice:
                await talk.until("draining")
                server.signal(signal.SIGTERM)
                within_s = 1.0
            with pytest.raises(ConnectionClosed):
                while True:
                    await talk.hear()
            await ends(server, begun, within_s=within_s)
        finally:
            holder.close()
    assert "something still stalls" in server.stderr


async def test_second_signal(tmp_path: Path) -> None:
    """A second SIGTERM ends it at once."""
    env = {**SLOW, "ANTIPHON_DRAIN_S": "30"}
    async with open_server(tmp_path, env=env) as server, server.talk() as talk:
        server.ends_with = None
        await talk.say(ask())
        await talk.until("chunk")
        server.signal(signal.SIGTERM)
        await talk.until("draining")
        begun = trio.current_time()
        server.signal(signal.SIGTERM)
        with trio.fail_after(5):
            await server.wait()
        assert trio.current_time() - begun < 1.0 + SLACK_S
    assert "ending at once" in server.stderr


async def test_session_that_finishes_within_the_grace(tmp_path: Path) -> None:
    """Running sessions finish within the grace, and their clients hear the end before 1012."""
    env = {"ANTIPHON_DRAIN_S": "10", "ANTIPHON_SIM_TOKENS_PER_S": "200"}
    async with open_server(tmp_path, env=env) as server, server.talk() as talk:
        await talk.say(ask())
        await talk.until("chunk")
        server.signal(signal.SIGTERM)
        messages, code = await goodbye(talk)
        assert [message["type"] for message in messages][-1] == "result"
        assert code == 1012
        assert await server.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_detached_session_over_a_restart(tmp_path: Path, number: signal.Signals) -> None:
    """It goes on after the restart; a client resumes with its old cursor and loses no token."""
    env = {**SLOW, "ANTIPHON_DRAIN_S": "0"}
    request = {"input": "Explain tides", "phases": ["idea", "human"], "count": 1}
    async with open_server(tmp_path, env=env) as server, server.talk() as talk:
        await talk.say({"request": request, "detached": True})
        while (await talk.until("chunk"))["phase"] != "solutio":
            pass
        last = talk.seen[-1]
        server.ends_with = None
        server.signal(number)
        await server.wait()
    folded: dict[str, str] = {}
    seen = [message for message in talk.seen if "seq" in message]
    env = {**SLOW, "ANTIPHON_SIM_TOKENS_PER_S": "400"}
    async with open_server(tmp_path, env=env) as server, server.talk() as talk:
        after = f"{last['epoch']}:{last['seq']}"
        subscribe = {"type": "subscribe", "session_id": last["session_id"], "after": after}
        await talk.say(subscribe)
        messages = await talk.to_end()
    for message in (*seen, *messages):
        if message["type"] == "chunk":
            prompt_id = message["prompt_id"]
            folded[prompt_id] = folded.get(prompt_id, "") + message["content"]
        elif message["type"] == "attempt":
            folded[message["target"]["prompt_id"]] = ""
    result = json.loads(messages[-1]["content"])
    assert folded == {prompt["id"]: prompt["content"] for prompt in result["prompts"]}
    assert len(folded) == 2
    assert messages[-1]["epoch"] != last["epoch"]
    [attempt] = [message for message in messages if message["type"] == "attempt"]
    assert (attempt["reason"], attempt["attempt"]) == ("restart", 2)
    assert [m["phase"] for m in (*seen, *messages) if m["type"] == "phase_start"] == [
        "prima-materia",
        "solutio",
    ]
