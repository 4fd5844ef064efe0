"""A whole server whose Redis goes away: sessions pause, clients are told, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from engine.testing.openai_server import open_openai_server
from tests.system.jepsen import Plan, Report, check
from tests.system.reading import http, open_sse
from tests.system.redis_server import RedisServer, redis_server
from tests.system.server_process import Message, serving

pytestmark = pytest.mark.system

WORDS = 100
PACE_S = 0.01


def ask(request_id: str) -> dict[str, object]:
    """A request for one text of `WORDS` words."""
    request = {"input": "a lighthouse", "count": 1, "phases": ["solutio"]}
    return {"request": {**request, "provider": "openai"}, "request_id": request_id}


async def wait_ready(port: int, status: int) -> Message:
    """Wait until /readyz answers so."""
    with trio.fail_after(10):
        while True:
            found, shown = await http(port, "GET", "/readyz")
            if found == status:
                answer: Message = shown
                return answer
            await trio.sleep(0.05)


async def test_sessions_pause_and_clients_are_told(tmp_path: Path) -> None:
    """Milestones wait, a cancel reaches its upstream at once, and all comes when Redis is back."""
    (tmp_path / "redis").mkdir()
    text = " ".join(f"word{number}" for number in range(WORDS))
    with redis_server(tmp_path / "redis") as redis:
        async with open_openai_server(answer=lambda request: text, pace_s=PACE_S) as upstream:
            env = {"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": "key"}
            async with (
                serving(tmp_path / "data", env=env, redis_url=redis.url) as server,
                server.talk() as talk,
            ):
                await talk.say(ask("runs on"))
                first = await talk.until("chunk")
                await talk.say(ask("is cancelled"))
                second = first
                while second["request_id"] != "is cancelled" or second["type"] != "chunk":
                    second = await talk.hear()
                events = f"/api/sessions/{first['session_id']}/events"
                async with open_sse(server.port, events, headers={"Connection": "close"}) as sse:
                    redis.kill()
                    told = await talk.until("notice")
                    assert (told["code"], told.get("seq")) == ("journal_away", None)
                    assert "journal" in str(await wait_ready(server.port, 503))
                    await talk.say(ask("too late"))
                    refused = await talk.until("error")
                    assert (refused["refused"], refused["code"]) == (True, "overloaded")
                    assert upstream.open_answers == 2
                    await talk.say({"type": "cancel", "session_id": second["session_id"]})
                    with trio.fail_after(1):
                        while upstream.open_answers > 1:  # noqa: ASYNC110 - the other end's state
                            await trio.sleep(0.01)
                    with trio.fail_after(10):
                        while upstream.open_answers:  # noqa: ASYNC110
                            await trio.sleep(0.01)
                    await trio.to_thread.run_sync(redis.start)
                    kinds: dict[str, Message] = {}
                    while len(kinds) < 3:
                        message = await talk.until("notice", "result", "cancelled")
                        kinds[message["type"]] = message
                    assert kinds["notice"]["code"] == "journal_back"
                    assert kinds["cancelled"]["session_id"] == second["session_id"]
                    assert kinds["cancelled"]["receipt"]["upstream_closed_ms"] < 1000
                    assert kinds["result"]["session_id"] == first["session_id"]
                    comments = await sse.rest()
                assert b": journal_away " in comments
                assert (await wait_ready(server.port, 200)) == {"status": "ready"}
                for session in (first, second):
                    check_whole(talk.seen, session["session_id"])


def check_whole(seen: list[Message], session_id: str) -> None:
    """See that a session's messages cover its offsets once, in order."""
    mine = [each for each in seen if each.get("session_id") == session_id and "seq" in each]
    firsts = [each.get("first_seq", each["seq"]) for each in mine]
    assert firsts == [1, *(each["seq"] + 1 for each in mine[:-1])]


async def kill_often(redis: RedisServer) -> None:
    """Kill Redis and start it again, over and over, once the server has come."""
    while b"name=antiphon-writes" not in redis.ask("CLIENT", "LIST"):  # noqa: ASYNC110
        await trio.sleep(0.05)
    while True:
        await trio.sleep(1.5)
        redis.kill()
        await trio.sleep(0.3)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(redis.start)


def assert_clean(report: Report) -> None:
    """Nothing is lost, doubled, out of order or wrong."""
    assert (report.lost, report.doubled, report.disordered, report.wrong) == ([], [], [], [])


async def test_kill_9_of_redis_under_load_loses_nothing(tmp_path: Path) -> None:
    """Redis is killed again and again while many sessions stream; the checker finds nothing."""
    (tmp_path / "redis").mkdir()
    plan = Plan(rounds=1, sessions=10, readers=2, crashes=0)
    with redis_server(tmp_path / "redis") as redis:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill_often, redis)
            report = await check(plan, tmp_path / "data", redis_url=redis.url)
            nursery.cancel_scope.cancel()
    assert_clean(report)
    assert report.states == {"completed": 10}


async def test_kill_9_of_the_server_loses_nothing_in_redis(tmp_path: Path) -> None:
    """The crash test of one machine's journal, on this one."""
    (tmp_path / "redis").mkdir()
    plan = Plan(rounds=1, sessions=8, readers=2, crashes=2)
    with redis_server(tmp_path / "redis") as redis:
        report = await check(plan, tmp_path / "data", redis_url=redis.url, lease_s=1)
    assert_clean(report)
    assert report.crashes == 2
