"""`antiphon users` and `antiphon token`: who may come in, and with what.

With `--url` on a running server, as an admin; else in the journal of the data folder. Who has the
secret in the environment is an admin: a token is made for the request.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import httpx2
import trio

from engine import JSON, AntiphonError, JournalFailed, MemoryJournal
from server.access import make_tokens
from server.serving import open_journal
from server.settings import Settings
from server.tokens import ROLES, Role
from server.users import Users

DONE, FAILED, USAGE = 0, 1, 2
HTTP_S = 30.0
OURS_S = 60.0
"""How long the token is valid that a command makes for itself."""


class Failed(Exception):
    """The command cannot be done; the message says what to do."""


class Registry(Protocol):
    """Where users are."""

    async def add(self, name: str, password: str, role: str, replace: bool) -> None:
        """Add a user."""
        ...

    async def all(self) -> list[tuple[str, str]]:
        """Give names and roles."""
        ...

    async def remove(self, name: str) -> None:
        """Drop a user."""
        ...


def add(settings: Settings, name: str, *, role: str, password_stdin: bool, replace: bool) -> int:
    """Add a user; gives the exit code."""
    password = _password(password_stdin)
    if password is None:
        return USAGE

    async def act(registry: Registry) -> None:
        await registry.add(name, password, role, replace)
        print(f"user {name}, role {role}")

    return _run(settings, act)


def show_all(settings: Settings) -> int:
    """List the users; gives the exit code."""

    async def act(registry: Registry) -> None:
        for name, role in await registry.all():
            print(f"{name}  {role}")

    return _run(settings, act)


def remove(settings: Settings, name: str) -> int:
    """Drop a user; gives the exit code."""

    async def act(registry: Registry) -> None:
        await registry.remove(name)
        print(f"user {name} is gone; tokens of theirs are valid until they expire")

    return _run(settings, act)


def token(settings: Settings, name: str, *, role: str | None, lifetime_s: float | None) -> int:
    """Print a token for a user of ours, or for any name whose role is given."""
    tokens = make_tokens(settings)
    if tokens is None or not tokens.can_issue:
        print("antiphon: set ANTIPHON_JWT_SECRET: tokens are signed with it", file=sys.stderr)
        return FAILED

    def issue(known_role: Role) -> None:
        text, _ = tokens.issue(name, known_role, lifetime_s or settings.token_lifetime_s)
        print(text)

    if role is not None:
        issue(role)  # type: ignore[arg-type]  # click has checked it
        return DONE

    async def act(registry: Registry) -> None:
        found = dict(await registry.all()).get(name)
        if found not in ROLES:
            raise Failed(f"there is no user {name}; add one, or say --role")
        issue(found)  # type: ignore[arg-type]  # one of the roles

    return _run(settings, act)


def _password(from_stdin: bool) -> str | None:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        print("antiphon: there is no terminal to ask on; use --password-stdin", file=sys.stderr)
        return None
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        print("antiphon: the two are not the same", file=sys.stderr)
        return None
    return password


# ---- where they are ------------------------------------------------------------------------------


def _run(settings: Settings, act: Callable[[Registry], Awaitable[None]]) -> int:
    code = FAILED
    try:
        trio.run(_act, settings, act)
        code = DONE
    except* (Failed, AntiphonError) as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        text = str(error)
        if isinstance(error, JournalFailed) and "in use" in text:
            text = f"a server is using the journal in {settings.data}; ask it with --url"
        print(f"antiphon: {text}", file=sys.stderr)
    return code


async def _act(settings: Settings, act: Callable[[Registry], Awaitable[None]]) -> None:
    if settings.url:
        async with httpx2.AsyncClient(
            base_url=settings.url, headers=_headers(settings), timeout=HTTP_S
        ) as http:
            await act(_OnServer(http))
        return
    async with open_journal(settings, settings.limits()) as journal:
        if isinstance(journal, MemoryJournal):
            raise Failed("the memory journal forgets users; set ANTIPHON_JOURNAL=sqlite")
        await act(_AtRest(Users(journal)))


def _headers(settings: Settings) -> dict[str, str]:
    text = settings.token
    tokens = make_tokens(settings)
    if not text and tokens is not None and tokens.can_issue:
        text, _ = tokens.issue("antiphon users", "admin", OURS_S)
    return {"Authorization": f"Bearer {text}"} if text else {}


class _AtRest:
    def __init__(self, users: Users) -> None:
        self._users = users

    async def add(self, name: str, password: str, role: str, replace: bool) -> None:
        await self._users.add(name, password, role, replace=replace)

    async def all(self) -> list[tuple[str, str]]:
        return [(user.name, user.role) for user in await self._users.all()]

    async def remove(self, name: str) -> None:
        await self._users.remove(name)


class _OnServer:
    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def add(self, name: str, password: str, role: str, replace: bool) -> None:
        user = {"name": name, "password": password, "role": role, "replace": replace}
        await self._ask("POST", "/api/users", json=user)

    async def all(self) -> list[tuple[str, str]]:
        answer = await self._ask("GET", "/api/users")
        return [(user["name"], user["role"]) for user in answer["users"]]

    async def remove(self, name: str) -> None:
        await self._ask("DELETE", f"/api/users/{name}")

    async def _ask(self, method: str, path: str, **more: Any) -> JSON:
        try:
            response = await self._http.request(method, path, **more)
            answer = response.json() if response.content else {}
        except (httpx2.HTTPError, ValueError) as error:
            raise Failed(f"{self._http.base_url} cannot be reached: {error}") from None
        if response.is_error:
            raise Failed(f"{answer.get('detail')} ({answer.get('code')})")
        assert isinstance(answer, dict)
        return answer
