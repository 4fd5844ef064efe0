"""Sessions over SSE: replay, live, resume, the forms of an event, and how a stream ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from server.client import Client, Fold
from tests.system.reading import Event, http, open_sse, wait_ended
from tests.system.server_process import ServerProcess, serving

pytestmark = pytest.mark.system

QUICK: dict[str, Any] = {"sim_ttft_ms": 1, "sim_tokens_per_s": 0, "sim_output_tokens": 40}
REQUEST = {"request": {"input": "a naïve café ☕ of the œuvre", "count": 1}}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with serving(tmp_path / "data", **QUICK) as server:
        yield server


async def run_session(server: ServerProcess, **extra: Any) -> list[dict[str, Any]]:
    async with Client(server.url).start("/stream", {**REQUEST, **extra}) as stream:
        return [message async for message in stream]


async def events_of(server: ServerProcess, path: str, **more: Any) -> list[Event]:
    with trio.fail_after(20):
        async with open_sse(server.port, path, **more) as reader:
            assert reader.status == 200
            return [event async for event in reader.events()]


def said(events: list[Event]) -> list[Event]:
    return [event for event in events if event.data is not None]


def offsets(events: list[Event]) -> list[int]:
    """Give every offset that the events cover."""
    return [
        seq
        for event in said(events)
        for seq in range(event.data.get("first_seq", event.data["seq"]), event.data["seq"] + 1)
    ]


async def test_ended_session_is_replayed_from_the_start_and_the_stream_ends(
    server: ServerProcess,
) -> None:
    """`GET /api/sessions/{id}/events`; absent a cursor: from the start; ends after the terminal."""
    live = await run_session(server, request_id="r1")
    events = said(await events_of(server, f"/api/sessions/{live[0]['session_id']}/events"))
    assert offsets(events) == list(range(1, live[-1]["seq"] + 1))
    assert [event.data for event in events if event.data["type"] != "chunk"] == [
        message for message in live if message["type"] != "chunk"
    ]
    assert all(
        event.id == f"{event.data['epoch']}:{event.data['seq']}" and event.name is None
        for event in events
    )
    assert events[-1].data["type"] == "result"
    assert {event.data["request_id"] for event in events} == {"r1"}
    here, there = Fold(), Fold()
    for message in live:
        here.take(message)
    for event in events:
        there.take(event.data)
    assert here.parts == there.parts
    assert "☕" in "".join(here.parts.values())


@pytest.mark.parametrize("how", ["header", "query"])
async def test_every_cursor_resumes_right_after_it(server: ServerProcess, how: str) -> None:
    """`Last-Event-ID: <epoch>:<seq>` or `?after=`: no event is lost, doubled or out of order."""
    live = await run_session(server)
    path = f"/api/sessions/{live[0]['session_id']}/events"
    last = live[-1]["seq"]
    for seq in range(last):
        cursor = f"{live[0]['epoch']}:{seq}"
        if how == "header":  # and it is stronger than the query, which an EventSource repeats
            events = await events_of(
                server, f"{path}?after={live[0]['epoch']}:0", headers={"Last-Event-ID": cursor}
            )
        else:
            events = await events_of(server, f"{path}?after={cursor}")
        assert offsets(events) == list(range(seq + 1, last + 1))


async def test_reader_that_has_it_all_gets_204_and_is_not_called_again(
    server: ServerProcess,
) -> None:
    """An EventSource reconnects after each end of a stream; 204 tells it to stop."""
    live = await run_session(server)
    status, _ = await http(
        server.port,
        "GET",
        f"/api/sessions/{live[0]['session_id']}/events",
        headers={"Last-Event-ID": f"{live[-1]['epoch']}:{live[-1]['seq']}"},
    )
    assert status == 204


async def test_head_says_not_to_cache_or_buffer(server: ServerProcess) -> None:
    """`Cache-Control: no-cache`, `X-Accel-Buffering: no`; HEAD gives the head alone."""
    live = await run_session(server)
    path = f"/api/sessions/{live[0]['session_id']}/events"
    for method in ("GET", "HEAD"):
        async with open_sse(server.port, path, method=method) as reader:
            assert reader.status == 200
            assert reader.headers["cache-control"] == "no-cache"
            assert reader.headers["x-accel-buffering"] == "no"
            assert reader.headers["content-type"].startswith("text/event-stream")


async def test_http_1_0_reader_gets_the_same_events_without_chunks(server: ServerProcess) -> None:
    """A proxy that speaks HTTP/1.0 is served too; the body ends with the connection."""
    live = await run_session(server)
    path = f"/api/sessions/{live[0]['session_id']}/events"
    events = await events_of(server, path)
    with trio.fail_after(10):
        async with open_sse(server.port, path, version="1.0") as reader:
            body = await reader.rest()
    assert b"\n\n".join(event.raw for event in said(events)) + b"\n\n" == body


async def test_cursor_that_cannot_be_read(server: ServerProcess) -> None:
    """A cursor that breaks the contract is 422, in either place, also where another one counts."""
    live = await run_session(server)
    path = f"/api/sessions/{live[0]['session_id']}/events"
    for query, header in (("nonsense", ""), ("e:-1", ""), ("", "nonsense"), ("nonsense", "e:1")):
        headers = {"Last-Event-ID": header}
        answer = await http(server.port, "GET", f"{path}?after={query}", headers=headers)
        assert (answer[0], answer[1]["code"]) == (422, "invalid_request"), (query, header)


async def test_session_that_does_not_exist(server: ServerProcess) -> None:
    """404 `not_found`, as a problem."""
    status, answer = await http(server.port, "GET", "/api/sessions/none/events")
    assert (status, answer["code"]) == (404, "not_found")


@pytest.mark.parametrize("cursor", ["ffffffffff:3", "{epoch}:9999"])
async def test_cursor_that_the_log_does_not_hold_is_a_gap_and_never_silence(
    server: ServerProcess, cursor: str
) -> None:
    """`{"type":"gap","requested","earliest","latest"}`, then what there is."""
    live = await run_session(server)
    session_id, epoch, last = live[0]["session_id"], live[0]["epoch"], live[-1]["seq"]
    path = f"/api/sessions/{session_id}/events?after={cursor.format(epoch=epoch)}"
    gap, *events = said(await events_of(server, path))
    assert gap.id is None
    assert gap.data == {
        "type": "gap",
        "session_id": session_id,
        "requested": int(cursor.partition(":")[2]) + 1,
        "earliest": 1,
        "latest": last,
    }
    assert offsets(events) == ([] if "{" in cursor else list(range(1, last + 1)))


async def test_live_readers_see_each_event_at_once_and_in_one_write(tmp_path: Path) -> None:
    """Replay, then live; several subscribers may read one session at once, late ones too."""
    async with serving(tmp_path / "data", sim_ttft_ms=50, sim_tokens_per_s=50) as server:
        client = Client(server.url)
        folds = [Fold() for _ in range(4)]
        counts: list[list[int]] = [[] for _ in folds]

        async def read(index: int, session_id: str, wait_s: float) -> None:
            await trio.sleep(wait_s)
            path = f"/api/sessions/{session_id}/events"
            async with open_sse(server.port, path) as reader:
                async for event in reader.events():
                    if event.data is not None:
                        folds[index].take(event.data)
                        counts[index] += offsets([event])

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                async with client.start("/stream", REQUEST) as stream:
                    async for message in stream:
                        if message["seq"] == 1:
                            for index in range(len(folds)):
                                nursery.start_soon(read, index, message["session_id"], index * 0.7)
        _, shown = await http(server.port, "GET", f"/api/sessions/{message['session_id']}")
        texts = {part["target"]["prompt_id"]: part["text"] for part in shown["parts"]}
        for fold, seen in zip(folds, counts, strict=True):
            assert fold.parts == texts
            assert seen == list(range(1, message["seq"] + 1))


async def test_attached_session_ends_when_its_sse_reader_stays_away(tmp_path: Path) -> None:
    """An attached session is cancelled when its last subscriber leaves for the grace time."""
    async with serving(
        tmp_path / "data", sim_ttft_ms=50, sim_tokens_per_s=20, grace_s=0.3
    ) as server:
        leave = trio.Event()
        sessions, told = trio.open_memory_channel[str](1)

        async def start_and_leave() -> None:
            async with Client(server.url).start("/stream", REQUEST) as stream:
                await sessions.send((await stream.__anext__())["session_id"])
                await leave.wait()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start_and_leave)
            path = f"/api/sessions/{(session_id := await told.receive())}"
            async with open_sse(server.port, f"{path}/events") as reader:
                await anext(reader.events())
                leave.set()
                await trio.sleep(0.8)
                assert (await http(server.port, "GET", path))[1]["state"] == "running"
        shown = await wait_ended(server.port, session_id)
        assert shown["terminal"]["reason"] == "disconnect"


async def test_drain_says_so_and_ends_the_stream_which_resumes_after_the_restart(
    tmp_path: Path,
) -> None:
    """`draining` before a planned stop; the session goes on after it under a new epoch."""
    async with serving(
        tmp_path / "data", sim_ttft_ms=50, sim_tokens_per_s=30, drain_s=0.5
    ) as server:
        fold, last = Fold(), ""
        async with Client(server.url).start("/stream", {**REQUEST, "detached": True}) as stream:
            session_id = (await stream.__anext__())["session_id"]
        path = f"/api/sessions/{session_id}/events"
        types = []
        with trio.fail_after(20):
            async with open_sse(server.port, path) as reader:
                async for event in reader.events():
                    if event.data is None:
                        continue
                    if not types:
                        server.terminate()
                    types.append(event.data["type"])
                    fold.take(event.data)
                    last = event.id or last
            assert await server.wait() == 0
        assert "draining" in types
        assert "result" not in types
        await server.start()
        resumed = await events_of(server, path, headers={"Last-Event-ID": last})
        for event in said(resumed):
            fold.take(event.data)
        assert offsets(resumed)[0] <= int(last.partition(":")[2]) + 1
        assert said(resumed)[-1].data["type"] == "result"
        assert "attempt" in [event.data["type"] for event in said(resumed)]
        _, shown = await http(server.port, "GET", f"/api/sessions/{session_id}")
        assert fold.parts == {part["target"]["prompt_id"]: part["text"] for part in shown["parts"]}


async def test_reader_that_takes_no_byte_is_closed_after_the_stall_time(tmp_path: Path) -> None:
    """A reader whose socket accepts no byte for the stall time: the connection is closed."""
    async with serving(
        tmp_path / "data", sim_ttft_ms=1, sim_tokens_per_s=0, sim_output_tokens=30_000, stall_s=1
    ) as server:
        session_id = ""
        big = {"request": {"input": "long", "count": 8, "maxTokens": 32000}}
        async with Client(server.url).start("/stream", {**big, "detached": True}) as stream:
            session_id = (await stream.__anext__())["session_id"]
        path = f"/api/sessions/{session_id}/events"
        await wait_ended(server.port, session_id)
        with trio.fail_after(30):
            async with open_sse(server.port, path, receive_buffer=4096) as reader:
                await trio.sleep(4)
                with pytest.raises(trio.BrokenResourceError):
                    async for _ in reader.events():
                        pass
