"""Hosts that are cut off from each other behave as docs/explanation/cluster.md says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from trio_websocket import open_websocket_url

from server.client import Fold
from server.tokens import Tokens
from tests.system.hosts import Hosts, open_hosts
from tests.system.redis_server import RedisServer
from tests.system.server_process import PATIENCE_S, ServerProcess

pytestmark = pytest.mark.system

SECRET = "a secret that is longer than the hash of any algorithm in these tests"
LEASE_S = 2
SETTINGS: dict[str, Any] = {
    "jwt_secret": SECRET,
    "lease_s": LEASE_S,
    "drain_s": 0,
    "sim_ttft_ms": 50,
    "sim_tokens_per_s": 40,
    "sim_output_tokens": 200,
}
LONG = {"request": {"input": "tides", "phases": ["idea"], "count": 1}, "detached": True}


def authorized() -> dict[str, str]:
    return {"Authorization": f"Bearer {Tokens(SECRET).issue('ada', 'editor', 3600)[0]}"}


class Listener:
    """A client that stays on one connection, and folds what it hears."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.fold = Fold()
        self.seen: list[dict[str, Any]] = []
        self.ended = trio.Event()
        self.begun = trio.Event()
        self.session_id = ""

    async def run(self, message: dict[str, Any]) -> None:
        url = f"ws://{self.server.host}:{self.server.port}/stream"
        headers = list(authorized().items())
        async with open_websocket_url(url, extra_headers=headers) as connection:
            await connection.send_message(json.dumps(message))
            while not self.ended.is_set():
                heard = json.loads(await connection.get_message())
                self.seen.append(heard)
                self.fold.take(heard)
                if "session_id" in heard:
                    self.session_id = heard["session_id"]
                if heard["type"] == "chunk":
                    self.begun.set()
                if heard["type"] in ("result", "cancelled", "error"):
                    self.ended.set()

    def check(self) -> None:
        """No offset comes twice in one epoch; one terminal message; the text is the result's."""
        places = [(m["epoch"], m["seq"]) for m in self.seen if "seq" in m]
        assert len(set(places)) == len(places)
        assert self.seen[-1]["type"] == "result", self.seen[-1]
        [prompt] = json.loads(self.seen[-1]["content"])["prompts"]
        assert self.fold.parts[prompt["id"]] == prompt["content"]

    @property
    def epochs(self) -> list[str]:
        return list(dict.fromkeys(message["epoch"] for message in self.seen if "epoch" in message))


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[tuple[Hosts, ServerProcess, ServerProcess]]:
    """Two servers and a Redis, each on a host of its own."""
    (folder / "redis").mkdir()
    with open_hosts(2) as hosts:
        redis = RedisServer(
            folder / "redis",
            *("--bind", *map(hosts.redis_address, (1, 2)), "127.0.0.1"),
            *("--protected-mode", "no"),
            within=hosts.within(0),
            host="127.0.0.1",
        )
        async with AsyncExitStack() as stack:
            redis.start_unseen()
            stack.callback(redis.kill)
            servers = []
            for number in (1, 2):
                server = ServerProcess(
                    folder / f"data{number}",
                    host=hosts.address(number),
                    within=hosts.within(number),
                    redis_url=f"redis://{hosts.redis_address(number)}:{redis.port}",
                    **SETTINGS,
                )
                stack.push_async_callback(_killed, server)
                await server.start()
                servers.append(server)
            yield hosts, servers[0], servers[1]


async def _killed(server: ServerProcess) -> None:
    with trio.move_on_after(5, shield=True):
        if server.is_running:
            await server.kill()


async def readiness(server: ServerProcess) -> int:
    async with httpx2.AsyncClient(base_url=server.url, timeout=5) as http:
        return (await http.get("/readyz")).status_code


async def until_ready(server: ServerProcess, status: int) -> None:
    with trio.fail_after(PATIENCE_S):
        while await readiness(server) != status:  # noqa: ASYNC110 another process has no event
            await trio.sleep(0.1)


async def test_owner_cut_off_from_redis_loses_its_session_and_no_text(tmp_path: Path) -> None:
    """After the lease another host goes on; the stale owner shows no end of its own, and its
    client, on one connection all the time, ends with the same text as everybody.
    """
    async with cluster(tmp_path) as (hosts, owner, other):
        mine, theirs = Listener(owner), Listener(other)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mine.run, LONG)
            with trio.fail_after(PATIENCE_S):
                await mine.begun.wait()
                subscribe = {"type": "subscribe", "session_id": mine.session_id}
                nursery.start_soon(theirs.run, subscribe)
                await theirs.begun.wait()
                hosts.cut(1)
                await theirs.ended.wait()  # taken over, and finished elsewhere
            assert not mine.ended.is_set(), mine.seen[-1]
            await until_ready(owner, 503)
            hosts.mend(1)
            with trio.fail_after(PATIENCE_S):
                await mine.ended.wait()
            await until_ready(owner, 200)
        told = [message["code"] for message in mine.seen if message["type"] == "notice"]
        assert told[:1] == ["journal_away"]
        assert told[1:] in ([], ["journal_back"]), "it may come after the end of the session"
        for listener in (mine, theirs):
            listener.check()
            assert len(listener.epochs) == 2, listener.epochs
        assert mine.seen[-1]["content"] == theirs.seen[-1]["content"]
        again = Listener(owner)
        with trio.fail_after(PATIENCE_S):
            await again.run({**LONG, "request": {**LONG["request"], "input": "dunes"}})
        again.check()


async def test_host_that_owns_nothing_is_cut_off_and_comes_back(tmp_path: Path) -> None:
    """The session goes on at its owner in the same epoch; the cut-off reader catches up."""
    async with cluster(tmp_path) as (hosts, owner, other):
        mine, theirs = Listener(owner), Listener(other)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mine.run, LONG)
            with trio.fail_after(PATIENCE_S):
                await mine.begun.wait()
                subscribe = {"type": "subscribe", "session_id": mine.session_id}
                nursery.start_soon(theirs.run, subscribe)
                await theirs.begun.wait()
                hosts.cut(2)
                await mine.ended.wait()
            assert not theirs.ended.is_set()
            hosts.mend(2)
            with trio.fail_after(PATIENCE_S):
                await theirs.ended.wait()
        for listener in (mine, theirs):
            listener.check()
        assert mine.epochs == theirs.epochs
        assert len(mine.epochs) == 1
