"""Subscribing over WebSockets: gaps, snapshots, several readers, ended and expired sessions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketConnection

from server.client import Client, Fold, Refused
from tests.system.reading import http, open_sse, wait_ended
from tests.system.server_process import ServerProcess, serving

pytestmark = pytest.mark.system

REQUEST = {"request": {"input": "a letter", "count": 1}}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with serving(
        tmp_path / "data", sim_ttft_ms=1, sim_tokens_per_s=0, sim_output_tokens=40
    ) as server:
        yield server


async def run_session(server: ServerProcess) -> list[dict[str, Any]]:
    async with Client(server.url).start("/stream", REQUEST) as stream:
        return [message async for message in stream]


async def say(connection: WebSocketConnection, **message: Any) -> None:
    await connection.send_message(json.dumps(message))


async def hear(connection: WebSocketConnection) -> dict[str, Any]:
    with trio.fail_after(10):
        message: dict[str, Any] = json.loads(await connection.get_message())
        return message


@pytest.mark.parametrize(("cursor", "goes_on_at"), [("ffffffffff:3", 1), ("{epoch}:9999", None)])
async def test_cursor_that_the_log_does_not_hold_is_answered_by_a_gap(
    server: ServerProcess, cursor: str, goes_on_at: int | None
) -> None:
    """`{"type":"gap","requested","earliest","latest"}`, never silence."""
    live = await run_session(server)
    session_id, epoch, last = live[0]["session_id"], live[0]["epoch"], live[-1]["seq"]
    async with Client(server.url).connect("/stream") as connection:
        await say(
            connection,
            type="subscribe",
            session_id=session_id,
            after=cursor.format(epoch=epoch),
        )
        assert await hear(connection) == {
            "type": "gap",
            "session_id": session_id,
            "requested": int(cursor.partition(":")[2]) + 1,
            "earliest": 1,
            "latest": last,
        }
        if goes_on_at is not None:
            message = await hear(connection)
            assert message.get("first_seq", message["seq"]) == goes_on_at
        else:
            await say(connection, type="ping")
            assert await hear(connection) == {"type": "pong"}


async def test_snapshot_of_an_ended_session_holds_its_texts_and_its_end(
    server: ServerProcess,
) -> None:
    """`"mode":"snapshot"` gives what there is, the terminal message included."""
    live = await run_session(server)
    fold = Fold()
    async with Client(server.url).follow("/stream", live[0]["session_id"], snapshot=True) as stream:
        messages = [message async for message in stream]
    assert [message["type"] for message in messages] == ["snapshot"]
    fold.take(messages[0])
    _, shown = await http(server.port, "GET", f"/api/sessions/{live[0]['session_id']}")
    assert messages[0]["terminal"] == live[-1] == shown["terminal"]
    assert messages[0]["seq"] == live[-1]["seq"]
    assert fold.parts == {part["target"]["prompt_id"]: part["text"] for part in shown["parts"]}


async def test_one_connection_reads_many_sessions_and_each_only_once(
    server: ServerProcess,
) -> None:
    """A second subscription takes the place of the first on its connection."""
    lives = [await run_session(server) for _ in range(3)]
    received: dict[str, list[int]] = {live[0]["session_id"]: [] for live in lives}
    async with Client(server.url).connect("/stream") as connection:
        for session_id in received:
            await say(connection, type="subscribe", session_id=session_id)
        ended = 0
        while ended < len(lives):
            message = await hear(connection)
            first = message.get("first_seq", message["seq"])
            received[message["session_id"]] += range(first, message["seq"] + 1)
            ended += message["type"] == "result"
    for live in lives:
        assert received[live[0]["session_id"]] == list(range(1, live[-1]["seq"] + 1))


async def test_session_that_does_not_exist_is_refused_and_the_connection_goes_on(
    server: ServerProcess,
) -> None:
    """`not_found`, as a refusal."""
    async with Client(server.url).connect("/stream") as connection:
        await say(connection, type="subscribe", session_id="none", request_id="r")
        answer = await hear(connection)
        assert (answer["code"], answer["refused"], answer["request_id"]) == ("not_found", True, "r")
        await say(connection, type="ping")
        assert await hear(connection) == {"type": "pong"}


async def test_expired_session_is_410_everywhere(tmp_path: Path) -> None:
    """Logs are kept for the retention time; then 410 `expired`, for as long again."""
    async with serving(
        tmp_path / "data", sim_ttft_ms=1, sim_tokens_per_s=0, retention_s=4
    ) as server:
        session_id = (await run_session(server))[0]["session_id"]
        path = f"/api/sessions/{session_id}"
        assert (await http(server.port, "GET", path))[0] == 200
        await trio.sleep(5.2)  # its retention time, and the engine's next look
        for method, where in (("GET", path), ("GET", f"{path}/events"), ("POST", f"{path}/cancel")):
            status, answer = await http(server.port, method, where)
            assert (status, answer["code"]) == (410, "expired"), where
        with pytest.raises(Refused) as refused:
            async with Client(server.url).follow("/stream", session_id) as stream:
                await stream.__anext__()
        assert refused.value.message["code"] == "expired"
        await server.kill()
        await server.start()
        assert (await http(server.port, "GET", path))[1]["code"] == "expired"


async def test_reader_behind_the_window_is_served_from_the_journal(tmp_path: Path) -> None:
    """A reader that falls behind the window is served from the journal, without a gap."""
    async with serving(
        tmp_path / "data", sim_ttft_ms=1, sim_tokens_per_s=2000, sim_output_tokens=2000
    ) as server:
        request = {
            "request": {"input": "long", "count": 6, "maxTokens": 4000},
            "useParallel": True,
            "detached": True,
        }
        async with Client(server.url).start("/stream", request) as stream:
            session_id = (await stream.__anext__())["session_id"]
        async with open_sse(
            server.port, f"/api/sessions/{session_id}/events", receive_buffer=4096
        ) as reader:
            shown = await wait_ended(server.port, session_id, within_s=60)
            assert shown["seq"] > 600, "the window has to be smaller than the session"
            fold, last = Fold(), 0
            with trio.fail_after(60):
                async for event in reader.events():
                    if event.data is not None:
                        assert event.data.get("first_seq", event.data["seq"]) == last + 1
                        last = event.data["seq"]
                        fold.take(event.data)
        assert last == shown["seq"]
        assert fold.parts == {part["target"]["prompt_id"]: part["text"] for part in shown["parts"]}
