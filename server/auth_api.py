"""Logging in and adding users over HTTP (contract 2, Around it)."""

from __future__ import annotations

from engine import JSON, InvalidRequest, NotFound
from server.login import Login
from server.session_api import iso
from server.users import Users

MAX_CHARACTERS = 1024


async def log_in(login: Login | None, body: JSON) -> JSON:
    """Give a token for a name and a password.

    Raises:
        InvalidRequest: one of them is missing. Unauthenticated: they are wrong.
        RateLimited: too many failures. NotFound: this server signs no tokens.
    """
    if login is None:
        raise NotFound("this server signs no tokens: it has no ANTIPHON_JWT_SECRET")
    name, password = _texts(body, "username", "password")
    granted = await login.enter(name, password)
    return {
        "token": granted.token,
        "role": granted.role,
        "expires_at": iso(granted.expires_at),
    }


async def add_user(users: Users, body: JSON) -> JSON:
    """Add a user of ours.

    Raises:
        InvalidRequest: a field is missing or not allowed. Conflict: the name is taken.
    """
    name, password = _texts(body, "name", "password")
    role = body.get("role")
    user = await users.add(
        name, password, role if isinstance(role, str) else "", replace=body.get("replace") is True
    )
    return {"name": user.name, "role": user.role}


async def list_users(users: Users) -> JSON:
    """List our users; without their hashes."""
    return {"users": [{"name": user.name, "role": user.role} for user in await users.all()]}


def _texts(body: JSON, *names: str) -> list[str]:
    values = [body.get(name) for name in names]
    faults = [
        (name, f"must be a string of 1 to {MAX_CHARACTERS} characters")
        for name, value in zip(names, values, strict=True)
        if not (isinstance(value, str) and 1 <= len(value) <= MAX_CHARACTERS)
    ]
    if faults:
        raise InvalidRequest("; ".join(f"{path} {text}" for path, text in faults), faults)
    return [str(value) for value in values]
