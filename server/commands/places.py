"""Where sessions are looked up: on a running server, or in a journal at rest.

Both give the wire's own messages, so that what a command shows does not depend on where they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx2
import trio

from engine import (
    JSON,
    Journal,
    NotFound,
    SqliteJournal,
    cancel_at_rest,
    find_at_rest,
    read_at_rest,
)
from server.client import Client, Stream
from server.protocols import all_codecs
from server.protocols.encoding import Encoder, tell
from server.serving import journal_path
from server.session_api import record_json
from server.settings import Settings

ANY_SOCKET = "/stream"
"""Every WebSocket takes subscriptions to every session; this one is always there."""


class Failed(Exception):
    """The command cannot be done; the message says what to do."""


class Place(Protocol):
    """Somewhere with sessions."""

    async def sessions(self, query: dict[str, str]) -> JSON:
        """Give a page of sessions, newest first: {sessions, cursor}."""
        ...

    def reading(
        self, session_id: str, after: str | None
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[JSON, float]]]:
        """Read a session's messages after a cursor, each with its Unix time."""
        ...

    async def cancel(self, session_id: str) -> JSON:
        """Cancel a session; gives {session_id, state}."""
        ...


@asynccontextmanager
async def open_place(settings: Settings) -> AsyncIterator[Place]:
    """Open the server that `--url` names, else the journal in the data folder.

    Raises:
        Failed: there is no journal. JournalFailed: a server is using it.
    """
    if settings.url:
        headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
        async with httpx2.AsyncClient(base_url=settings.url, headers=headers, timeout=30) as http:
            yield _OnServer(settings, http)
        return
    path = journal_path(settings)
    if not path.exists():
        raise Failed(
            f"there is no journal at {path}; name its folder with --data, or a server with --url"
        )
    async with _opened(path, settings) as journal:
        yield _AtRest(journal)


@asynccontextmanager
async def _opened(path: Path, settings: Settings) -> AsyncIterator[Journal]:
    journal = SqliteJournal(path, settings.limits())
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        yield journal
        nursery.cancel_scope.cancel(reason="the command is done")


class _OnServer:
    def __init__(self, settings: Settings, http: httpx2.AsyncClient) -> None:
        self._client = Client(settings.url, token=settings.token)
        self._http = http

    async def sessions(self, query: dict[str, str]) -> JSON:
        return await self._ask("GET", "/api/sessions", params=query)

    @asynccontextmanager
    async def reading(
        self, session_id: str, after: str | None
    ) -> AsyncIterator[AsyncIterator[tuple[JSON, float]]]:
        async with self._client.follow(ANY_SOCKET, session_id, after=after) as stream:
            yield _timed(stream)

    async def cancel(self, session_id: str) -> JSON:
        return await self._ask("POST", f"/api/sessions/{session_id}/cancel")

    async def _ask(self, method: str, path: str, **more: Any) -> JSON:
        try:
            response = await self._http.request(method, path, **more)
            answer = response.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise Failed(f"{self._http.base_url} cannot be reached: {error}") from None
        if response.is_error:
            raise Failed(f"{answer.get('detail')} ({answer.get('code')})")
        assert isinstance(answer, dict)
        return answer


async def _timed(stream: Stream) -> AsyncIterator[tuple[JSON, float]]:
    async for message in stream:
        yield message, float(message.get("timestamp") or 0)


class _AtRest:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def sessions(self, query: dict[str, str]) -> JSON:
        state: Any = query.get("state")
        records, cursor = await self._journal.sessions(
            protocol=query.get("protocol"),
            states=(state,) if state else (),
            limit=int(query["limit"]),
            cursor=query.get("cursor"),
        )
        return {"sessions": [record_json(record) for record in records], "cursor": cursor}

    @asynccontextmanager
    async def reading(
        self, session_id: str, after: str | None
    ) -> AsyncIterator[AsyncIterator[tuple[JSON, float]]]:
        record = await find_at_rest(self._journal, session_id)
        codec = next((each for each in all_codecs() if each.protocol == record.protocol), None)
        if codec is None:
            raise NotFound(f"no codec speaks the protocol {record.protocol!r}")
        encoder = Encoder(codec, tell(record))
        async with aclosing(read_at_rest(self._journal, record, after)) as entries:
            yield ((encoder.fields(entry), entry.at) async for entry in entries)

    async def cancel(self, session_id: str) -> JSON:
        record = await cancel_at_rest(self._journal, session_id)
        return {"session_id": session_id, "state": record.state}
