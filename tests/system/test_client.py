"""The Python client against a scripted server: never loses, never doubles, never loops for ever."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from server import client as client_module
from server.client import Client, Fold, Refused, Unreachable, Unsure
from tests.system.scripted_server import (
    Script,
    cut,
    forbid,
    make_log,
    play_all,
    play_until,
    reject,
    scripted,
)

pytestmark = pytest.mark.system

COUNT = 12
REQUEST = {"request": {"input": "x"}}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.005)
    monkeypatch.setattr(client_module, "LONGEST_WAIT_S", 0.02)


async def follow(script: Script, **options: Any) -> tuple[list[Any], Any]:
    """Follow the session to its end; gives the messages and the stream."""
    with trio.fail_after(10):
        async with scripted(script) as url:
            async with Client(url, patience_s=2).follow("/stream", "s1", **options) as stream:
                return [message async for message in stream], stream


@pytest.mark.parametrize("code", [None, 1000, 1011, 1012, 1013, 4008])
async def test_connection_lost_at_every_message(code: int | None) -> None:
    """No event is lost, doubled or out of order across a reconnect, whatever ended it."""
    log = make_log(COUNT)
    script = Script(log, *[play_until(seq, code) for seq in range(COUNT)], play_all)
    messages, stream = await follow(script)
    assert messages == log
    assert stream.reconnects == COUNT
    assert [said.get("after") for said in script.said] == [
        None,
        None,
        *[f"e1:{seq}" for seq in range(1, COUNT)],
    ]


async def test_connection_lost_during_connect() -> None:
    """A server that is not there yet, rejects for now, or dies while it answers, is tried again."""
    log = make_log(COUNT)

    async def dies(connection: WebSocketConnection, script: Script) -> None:
        await cut(connection)

    messages, stream = await follow(Script(log, reject, dies, play_until(5), reject, play_all))
    assert messages == log
    assert stream.reconnects == 4


async def test_server_that_dies_before_it_answers_the_upgrade_is_left_at_once() -> None:
    """What is lost in mid-handshake is tried again after the backoff, not after a time-out."""
    log = make_log(COUNT)
    tries = 0

    async def dies_at_first(stream: trio.SocketStream) -> None:
        nonlocal tries
        tries += 1
        if tries <= 3:
            await stream.receive_some()
            await stream.aclose()
            return
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream)
            with suppress(ConnectionClosed):
                await play_all(await request.accept(), Script(log))

    with trio.fail_after(3):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, dies_at_first, listeners)
            port = listeners[0].socket.getsockname()[1]
            async with Client(f"http://127.0.0.1:{port}").follow("/stream", "s1") as stream:
                assert [message async for message in stream] == log
            nursery.cancel_scope.cancel()
    assert tries == 4


async def test_server_restarts_between_two_connections() -> None:
    """1012 (restart), then nobody listens, then a new server under the same address."""
    log = make_log(COUNT)
    received: list[Any] = []
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()

    async def life(script: Script, life_s: float) -> None:
        from trio_websocket import serve_websocket

        with trio.move_on_after(life_s):
            await serve_websocket(script.serve, "127.0.0.1", port, ssl_context=None)

    async def lives() -> None:
        await life(Script(log, play_until(4, 1012)), 0.3)
        await trio.sleep(0.2)
        await life(Script(log, play_all), 5)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lives)
            await trio.sleep(0.05)
            async with Client(f"http://127.0.0.1:{port}").start("/stream", REQUEST) as stream:
                received = [message async for message in stream]
            nursery.cancel_scope.cancel()
    assert received == log


async def test_what_the_server_repeats_is_dropped() -> None:
    """Each message is given out once."""
    log = make_log(COUNT)

    async def repeats(connection: WebSocketConnection, script: Script) -> None:
        await script.hear(connection)
        await script.play(connection, 0, 5)
        await play_all_from(connection, script, 2)

    async def play_all_from(connection: WebSocketConnection, script: Script, after: int) -> None:
        await script.play(connection, after)
        await connection.get_message()

    messages, stream = await follow(Script(log, repeats))
    assert messages == log
    assert stream.repeats == 3


async def test_where_something_is_missing_it_asks_again() -> None:
    """A hole is never passed on: the connection is given up, and the rest is asked for."""
    log = make_log(COUNT)

    async def skips(connection: WebSocketConnection, script: Script) -> None:
        await script.hear(connection)
        await script.play(connection, 0, 4)
        await script.play(connection, 6)
        await connection.get_message()

    messages, stream = await follow(Script(log, skips, play_all))
    assert messages == log
    assert stream.holes == 1


async def test_merged_message_that_repeats_in_part_is_asked_for_again() -> None:
    """Half a message cannot be cut out of its text: it is asked for after the cursor."""
    log = make_log(COUNT)
    merged = {**log[6], "content": "5,6,7,", "first_seq": 5}

    async def merges(connection: WebSocketConnection, script: Script) -> None:
        await script.hear(connection)
        await script.play(connection, 0, 5)
        await connection.send_message(json.dumps(merged))
        await connection.get_message()

    messages, _ = await follow(Script(log, merges, play_all))
    assert messages == log


async def test_new_epoch_goes_on_behind_what_was_seen() -> None:
    """After a crash a client resumes with the old cursor, and folds the attempt."""
    old = make_log(9)[:8]
    attempt = {
        "type": "attempt",
        "target": {"prompt_id": "p"},
        "attempt": 2,
        "reason": "restart",
    }
    common = {"session_id": "s1", "epoch": "e2"}
    new = [
        {**attempt, **common, "seq": 6},
        {"type": "chunk", "prompt_id": "p", "content": "again", **common, "seq": 7},
        {"type": "result", "content": "{}", **common, "seq": 8},
    ]

    async def second(connection: WebSocketConnection, script: Script) -> None:
        await script.hear(connection)
        for message in new:
            await connection.send_message(json.dumps(message))
        await connection.get_message()

    script = Script(old, play_until(8), second)
    messages, _ = await follow(script)
    fold = Fold()
    for message in messages:
        fold.take(message)
    assert messages == [*old, *new]
    assert script.said[1]["after"] == "e1:8"
    assert fold.parts == {"p": "again"}


async def test_snapshot_stands_for_what_was_before_it() -> None:
    """`"mode":"snapshot"`, and then it goes on from S + 1; a lost connection goes on from there."""
    log = make_log(COUNT)
    snapshot = {
        "type": "snapshot",
        "session_id": "s1",
        "epoch": "e1",
        "seq": 4,
        "parts": [{"target": {"prompt_id": "p"}, "text": "1,2,3,4,"}],
    }

    async def shows(connection: WebSocketConnection, script: Script) -> None:
        await script.hear(connection)
        await connection.send_message(json.dumps(snapshot))
        await cut(connection)

    script = Script(log, shows, play_until(7), play_all)
    messages, _ = await follow(script, snapshot=True)
    fold, whole = Fold(), Fold()
    for message in messages:
        fold.take(message)
    for message in log:
        whole.take(message)
    assert messages == [snapshot, *log[4:]]
    assert fold.parts == whole.parts
    assert [said.get("mode") for said in script.said] == ["snapshot", None, None]
    assert script.said[1]["after"] == "e1:4"


async def test_gap_is_given_out_and_reading_goes_on_after_it() -> None:
    """Where the log no longer holds what was asked for: a gap, never silence."""
    log = make_log(COUNT)
    gap = {"type": "gap", "session_id": "s1", "requested": 4, "earliest": 7, "latest": COUNT}

    async def forgets(connection: WebSocketConnection, script: Script) -> None:
        await script.hear(connection)
        await connection.send_message(json.dumps(gap))
        await script.play(connection, 6)
        await connection.get_message()

    messages, stream = await follow(Script(log, forgets), after="e1:3")
    assert messages == [gap, *log[6:]]
    assert stream.holes == 0


async def test_request_that_may_have_begun_is_not_sent_again() -> None:
    """Lost between the request and its first message: asking again could run it twice."""
    script = Script(make_log(3), play_until(0), play_all)
    with trio.fail_after(5):
        async with scripted(script) as url:
            with pytest.raises(Unsure):
                async with Client(url).start("/stream", REQUEST) as stream:
                    await stream.__anext__()
    assert script.said == [REQUEST]


async def test_request_that_never_left_is_sent_when_the_server_is_there() -> None:
    """What fails while it connects has started nothing."""
    log = make_log(3)
    script = Script(log, reject, reject, play_all)
    with trio.fail_after(5):
        async with scripted(script) as url:
            async with Client(url).start("/stream", REQUEST) as stream:
                assert [message async for message in stream] == log
    assert script.said == [REQUEST]


async def test_server_that_stops_is_asked_again() -> None:
    """`shutting_down` refuses before anything was started: the request may be repeated."""
    log = make_log(3)
    refused = {"type": "error", "refused": True, "code": "shutting_down", "error": "stopping"}

    async def stops(connection: WebSocketConnection, script: Script) -> None:
        await script.hear(connection)
        await connection.send_message(json.dumps(refused))
        await connection.get_message()

    with trio.fail_after(5):
        async with scripted(Script(log, stops, play_all)) as url:
            async with Client(url).start("/stream", REQUEST) as stream:
                assert [message async for message in stream] == log


@pytest.mark.parametrize("code", ["invalid_request", "not_found", "expired"])
async def test_refusal_ends_it_at_once(code: str) -> None:
    """A refusal is the answer; trying again would give the same."""
    refused = {"type": "error", "refused": True, "code": code, "error": "no"}

    async def refuses(connection: WebSocketConnection, script: Script) -> None:
        await script.hear(connection)
        await connection.send_message(json.dumps(refused))
        await connection.get_message()

    script = Script([], refuses)
    with pytest.raises(Refused, match="no") as caught:
        await follow(script)
    assert caught.value.message["code"] == code
    assert script.connections == 1


async def test_it_gives_up_after_its_patience() -> None:
    """Refuses to loop for ever: nothing new for the patience, and it says so."""
    script = Script([], play_until(0))
    began = trio.current_time()
    with trio.fail_after(5), pytest.raises(Unreachable, match=r"tried for 0\.5 s"):
        async with scripted(script) as url:
            async with Client(url, patience_s=0.5).follow("/stream", "s1") as stream:
                await stream.__anext__()
    assert trio.current_time() - began < 2
    assert script.connections > 5


async def test_patience_begins_anew_with_each_new_message() -> None:
    """A long session over a bad line takes as long as it takes."""
    log = make_log(COUNT)

    def waits(last: int) -> Any:
        async def line(connection: WebSocketConnection, script: Script) -> None:
            await trio.sleep(0.1)
            await play_until(last)(connection, script)

        return line

    script = Script(log, *[waits(seq) for seq in range(1, COUNT)], play_all)
    with trio.fail_after(10):
        async with scripted(script) as url:
            async with Client(url, patience_s=0.5).follow("/stream", "s1") as stream:
                assert [message async for message in stream] == log


async def test_wrong_token_is_not_tried_again() -> None:
    """A rejected upgrade that is the caller's fault ends it."""
    script = Script([], forbid)
    with trio.fail_after(5), pytest.raises(Unreachable, match="answered 403"):
        async with scripted(script) as url:
            async with Client(url).follow("/stream", "s1") as stream:
                await stream.__anext__()
    assert script.connections == 1


async def test_cancel_is_asked_again_after_a_lost_connection() -> None:
    """A cancel cannot get lost with its connection."""
    log = make_log(6)
    wanted = {"type": "cancel", "session_id": "s1"}

    async def deaf(connection: WebSocketConnection, script: Script) -> None:
        await script.play(connection, await script.hear(connection), 2)
        script.said.append(json.loads(await connection.get_message()))
        await cut(connection)

    async def hears(connection: WebSocketConnection, script: Script) -> None:
        after = await script.hear(connection)
        script.said.append(json.loads(await connection.get_message()))
        await script.play(connection, after)
        await connection.get_message()

    script = Script(log, deaf, hears)
    with trio.fail_after(5):
        async with scripted(script) as url:
            async with Client(url).follow("/stream", "s1") as stream:
                received = []
                async for message in stream:
                    received.append(message)
                    if message["seq"] == 2:
                        await stream.cancel()
    assert received == log
    assert script.said.count(wanted) == 2


async def test_caller_who_leaves_early_leaves_nothing_behind() -> None:
    """Leaving the block closes the connection; a caller's own error comes out as it is."""
    script = Script(make_log(COUNT), play_all)
    with trio.fail_after(5):
        async with scripted(script) as url:
            with pytest.raises(KeyError):
                async with Client(url).follow("/stream", "s1") as stream:
                    await stream.__anext__()
                    raise KeyError("mine")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://"])
def test_address_that_is_none(url: str) -> None:
    """The caller's mistake is named at once."""
    with pytest.raises(ValueError, match="http://host:port"):
        Client(url)
