"""The observer: the running system in a browser, and its feed for admins alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.system.page.driving import drive
from tests.system.reading import http, open_sse
from tests.system.server_process import open_server

pytestmark = pytest.mark.system

SECRET = "a secret that is long enough for a signature, and then some"


async def test_session_is_watched_and_cancelled(tmp_path: Path) -> None:
    """The tree of sessions, supervisors and actors; a session's timeline of parts, with cancel."""
    async with open_server(tmp_path, env={"ANTIPHON_SIM_TOKENS_PER_S": "30"}) as server:
        await drive(server, "observer.mjs", "watch", tmp_path)


async def test_feed_gives_whole_moments(tmp_path: Path) -> None:
    """`GET /api/observer` (SSE): each event is the whole of a moment."""
    async with open_server(tmp_path) as server, server.talk() as talk:
        await talk.say({"request": {"input": "Explain tides", "count": 1}})
        started = await talk.hear()
        with trio.fail_after(20):
            async with open_sse(server.port, "/api/observer") as reader:
                moments = []
                async for event in reader.events():
                    if event.data is not None:
                        moments.append(event.data)
                    if len(moments) == 2:
                        break
        await talk.say({"type": "cancel"})
        await talk.to_end()
        assert moments[0]["sessions"][0]["session_id"] == started["session_id"]
        assert moments[1]["at"] - moments[0]["at"] > 0.3
        assert moments[0]["actors"][0]["name"] == "engine"


async def test_feed_is_for_admins_where_there_are_users(tmp_path: Path) -> None:
    """Admin only when authentication is on."""
    async with open_server(tmp_path, env={"ANTIPHON_JWT_SECRET": SECRET}) as server:
        status, _ = await http(server.port, "GET", "/api/observer")
        assert status == 401
