"""`antiphon exhibit`: an exhibition in the terminal, here or on a server."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import httpx2
import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from engine import JSON, AntiphonError, InvalidJson
from server import exhibition_api
from server.client import Client, Refused, Stream, Unreachable
from server.commands.streaming import (
    FAILED,
    Desk,
    Here,
    JsonLines,
    Messages,
    Show,
    attend,
    exit_code,
    in_terminal,
    is_terminal_device,
    open_desk,
)
from server.protocols.control import parse_body
from server.settings import Settings

HTTP_S = 30.0
"""The longest that one call of a server may take."""


def run(
    settings: Settings,
    *,
    brief: Path,
    max_artists: int | None,
    max_artworks: int | None,
    choose: bool,
    provider: str | None,
    model: str | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Curate; gives the exit code."""
    try:
        request = _read(brief)
    except (OSError, AntiphonError) as error:
        print(f"antiphon: {brief}: {error}", file=sys.stderr)
        return FAILED
    config = request.setdefault("config", {})
    said = {"max_artists": max_artists, "max_artworks": max_artworks}
    said |= {"provider": provider, "model": model}  # type: ignore[dict-item]
    config.update({name: value for name, value in said.items() if value is not None})
    if choose:
        config["auto_select"] = False
    show: _Show = JsonShow() if as_json else Screen() if is_terminal_device() else Lines()

    return in_terminal(_exhibit, settings, request, show, out)


async def _exhibit(settings: Settings, request: JSON, show: _Show, out: Path | None) -> int:
    code = FAILED
    try:
        async with open_desk(settings) as desk:
            mine = _Desk(desk, settings, show, out=out)
            code = exit_code(await attend(mine, "exhibition", "", request, show))
    except* (Unreachable, AntiphonError) as failed:
        error: BaseException = failed
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        print(f"antiphon: {error}", file=sys.stderr)
    return code


class _Desk:
    """Starts exhibitions, with choices and the proposal seen to."""

    def __init__(self, desk: Desk, settings: Settings, show: _Show, *, out: Path | None) -> None:
        self._desk = desk
        self._settings = settings
        self._show = show
        self._out = out

    @asynccontextmanager
    async def start(self, protocol: str, path: str, request: JSON) -> AsyncIterator[Messages]:
        async with self._open(protocol, path, request) as exhibition:
            yield _Watching(exhibition, self._show, out=self._out)

    @asynccontextmanager
    async def _open(self, protocol: str, path: str, request: JSON) -> AsyncIterator[_Exhibition]:
        settings = self._settings
        if not settings.url:
            async with self._desk.start(protocol, path, request) as here:
                assert isinstance(here, Here)
                yield _InProcess(here)
            return
        headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
        http = httpx2.AsyncClient(base_url=settings.url, headers=headers, timeout=HTTP_S)
        async with http:
            answer = await _call(http, "POST", "/api/curator/submit", json=request)
            session_id = answer["session_id"]
            client = Client(settings.url, token=settings.token)
            async with client.follow(answer["websocket_url"], session_id) as messages:
                yield _OnServer(http, messages, session_id)


def _read(path: Path) -> JSON:
    """Read a brief; a file may hold the brief alone, or {curator_brief, config}.

    Raises:
        OSError: it cannot be read. InvalidJson, InvalidRequest: it is no JSON object.
    """
    try:
        request = parse_body(path.read_bytes())
    except InvalidJson as error:
        raise InvalidJson(error.message.replace("the message", "it")) from None
    return request if "curator_brief" in request else {"curator_brief": request}


class _Show(Show, Protocol):
    """What is shown besides messages."""

    def show_proposal(self, proposal: JSON) -> None:
        """Take the whole."""
        ...

    def pause(self) -> None:
        """Leave the terminal to a question."""
        ...


class _Exhibition(Messages, Protocol):
    """An exhibition, wherever it runs."""

    async def __anext__(self) -> JSON: ...

    async def choose(self, stage: str, indices: list[int]) -> None:
        """Choose among the candidates."""
        ...

    async def proposal(self) -> JSON:
        """Give the proposal."""
        ...


class _InProcess:
    def __init__(self, here: Here) -> None:
        self._here = here

    def __aiter__(self) -> _InProcess:
        return self

    async def __anext__(self) -> JSON:
        return await anext(self._here)

    async def cancel(self) -> None:
        await self._here.cancel()

    async def choose(self, stage: str, indices: list[int]) -> None:
        await self._here.engine.select(self._here.session_id, stage, indices)

    async def proposal(self) -> JSON:
        picture = await self._here.engine.picture(self._here.session_id)
        return exhibition_api.proposal_in(picture, now=self._here.engine.now())


class _OnServer:
    def __init__(self, http: httpx2.AsyncClient, messages: Stream, session_id: str) -> None:
        self._http = http
        self._messages = messages
        self._session_id = session_id

    def __aiter__(self) -> _OnServer:
        return self

    async def __anext__(self) -> JSON:
        return await anext(self._messages)

    async def cancel(self) -> None:
        await self._messages.cancel()

    async def choose(self, stage: str, indices: list[int]) -> None:
        kind = "select-artists" if stage == "artist_discovery" else "select-artworks"
        path = f"/api/sessions/{self._session_id}/{kind}"
        await _call(self._http, "POST", path, json={"selected_indices": indices})

    async def proposal(self) -> JSON:
        answer = await _call(self._http, "GET", f"/api/proposals/{self._session_id}")
        proposal: JSON = answer["proposal"]
        return proposal


async def _call(http: httpx2.AsyncClient, method: str, path: str, **more: Any) -> JSON:
    try:
        response = await http.request(method, path, **more)
        answer = response.json()
    except (httpx2.HTTPError, ValueError) as error:
        raise Unreachable(f"{http.base_url} cannot be reached") from error
    if response.is_error:
        problem = {"type": "error", "error": answer.get("detail"), "code": answer.get("code")}
        raise Refused({**problem, "refused": True})
    assert isinstance(answer, dict)
    return answer


class _Watching:
    """Messages on their way to the terminal: asks for choices, and fetches the proposal."""

    def __init__(self, exhibition: _Exhibition, show: _Show, *, out: Path | None) -> None:
        self._exhibition = exhibition
        self._show = show
        self._out = out
        self._question = trio.CancelScope()

    async def __aiter__(self) -> AsyncIterator[JSON]:
        async for message in self._exhibition:
            yield message
            if message["type"] == "selection_required":
                await self._ask(message)
            elif message["type"] == "completed":
                proposal = await self._exhibition.proposal()
                if self._out is not None:
                    await trio.Path(self._out).write_text(
                        json.dumps(proposal, ensure_ascii=False, indent=2) + "\n"
                    )
                self._show.show_proposal(proposal)

    async def cancel(self) -> None:
        await self._exhibition.cancel()
        self._question.cancel()  # the terminal message is behind it

    async def _ask(self, message: JSON) -> None:
        """Ask for a choice, until the session waits no longer: then it takes the best ones."""
        self._show.pause()
        left_s = datetime.fromisoformat(message["expires_at"]).timestamp() - time.time()
        self._question = trio.move_on_after(max(0.0, left_s))
        with self._question:
            await self._choose(message)
        if self._question.cancelled_caught:
            print(file=sys.stderr)

    async def _choose(self, message: JSON) -> None:
        """Read a choice from the keyboard: numbers, or nothing for all."""
        count = len(message["candidates"])
        for number, each in enumerate(message["candidates"], start=1):
            name = each.get("title") or each.get("name")
            print(f"{number:3}. {name} ({each['score']:.2f}) {each['reasoning']}", file=sys.stderr)
        while True:
            print("Which? Numbers, or Enter for all: ", end="", file=sys.stderr, flush=True)
            line = await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
            indices = read_choice(line, count)
            if indices is not None:
                break
            print(f"Numbers from 1 to {count}, each once, with spaces between.", file=sys.stderr)
        await self._exhibition.choose(message["stage"], indices)


def read_choice(line: str, count: int) -> list[int] | None:
    """Give the indices of a line of numbers; an empty line is all, None what cannot be read."""
    words = line.replace(",", " ").split()
    if not words:
        return list(range(count))
    if not all(word.isascii() and word.isdigit() and 1 <= int(word) <= count for word in words):
        return None
    indices = [int(word) - 1 for word in words]
    return indices if len(set(indices)) == len(indices) else None


class JsonShow(JsonLines):
    """Each message as a line, and the proposal as the last one."""

    def show_proposal(self, proposal: JSON) -> None:
        """Print it."""
        self.show({"type": "proposal", "proposal": proposal})

    def pause(self) -> None:
        """Nothing is in the way."""


class Lines:
    """For pipes: a line for each stage and finding, then the proposal."""

    def show(self, message: JSON) -> None:
        """Print what matters of a message."""
        match message["type"]:
            case "progress":
                print(f"{message['progress'] or 0:3}% {message['message']}", flush=True)
            case "stage_complete":
                print(f"{message['progress']:3}% {message['message']}", flush=True)
            case "attempt":
                print(f"     again, attempt {message['attempt']}: {message['code']}", flush=True)

    def show_proposal(self, proposal: JSON) -> None:
        """Print it."""
        print("\n" + "\n".join(_proposal_lines(proposal)), flush=True)

    def pause(self) -> None:
        """Nothing is in the way."""

    def close(self) -> None:
        """Nothing is left to do."""


class Screen:
    """For terminals: a bar, then the proposal."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            console=Console(),
        )
        self._task = self._bar.add_task("starting", total=100)

    def show(self, message: JSON) -> None:
        """Move the bar."""
        if message["type"] in ("progress", "stage_complete", "completed"):
            self._bar.start()
            text = message["message"]
            self._bar.update(self._task, completed=message["progress"] or 0, description=text)

    def show_proposal(self, proposal: JSON) -> None:
        """Print it."""
        self._bar.stop()
        print("\n" + "\n".join(_proposal_lines(proposal)))

    def pause(self) -> None:
        """Stop the bar; the next message starts it again."""
        self._bar.stop()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()


def _proposal_lines(proposal: JSON) -> list[str]:
    """Give what a person reads of a proposal."""
    artists = [f"  {each['name']} ({each['score']:.2f})" for each in proposal["artists"]]
    works = [
        f"  {each['title']}, {each['artist_name']}, {each['date_created'] or 'n.d.'}"
        + (f", {each['institution_name']}" if each["institution_name"] else "")
        for each in proposal["artworks"]
    ]
    return [
        f"{proposal['exhibition_title']}: {proposal['subtitle'] or ''}".rstrip(": "),
        "",
        proposal["curatorial_statement"] or "",
        "",
        f"Artists ({len(artists)})",
        *artists,
        f"Works ({len(works)})",
        *works,
        "Feasibility",
        *(f"  {note}" for note in proposal["feasibility_notes"]),
    ]
