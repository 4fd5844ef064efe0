"""Our own users: names, roles and argon2 hashes, as documents of the journal.

The one rule: hashing never runs on the event loop, and a login takes as long for a name that does
not exist as for a wrong password. Must not import Quart.
"""

from __future__ import annotations

import re
import time
from typing import Literal

import argon2
import msgspec
import trio

from engine import Conflict, Document, InvalidRequest, Journal, NotFound
from server.tokens import ROLES, Role

COLLECTION = "users"
PASSWORD_CHARACTERS = (8, 1024)
"""The shortest password and the longest."""

HASHING = 2
"""Hashes at one time: each takes 64 MiB and a core for about 50 ms."""

NAME_PATTERN = "[A-Za-z0-9_.@+-]{1,128}"
_NAME = re.compile(NAME_PATTERN)


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user of ours."""

    name: str
    role: Role
    password_hash: str


class Users:
    """Adds users, and knows them again.

    Args:
        journal: where they are kept.
        hasher: argon2id with the library's parameters; a test may take cheaper ones.
    """

    def __init__(self, journal: Journal, hasher: argon2.PasswordHasher | None = None) -> None:
        self._journal = journal
        self._hasher = hasher or argon2.PasswordHasher()
        self._limiter = trio.CapacityLimiter(HASHING)
        self._decoy: str | None = None

    async def add(self, name: str, password: str, role: str, *, replace: bool = False) -> User:
        """Make a user durable.

        Raises:
            InvalidRequest: name, password or role is not allowed.
            Conflict: the name is taken, and it is not to be replaced.
            JournalFailed: it could not be written.
        """
        _check(name, password, role)
        if not replace and await self.get(name) is not None:
            raise Conflict(f"there is a user named {name} already")
        user = User(name=name, role=role, password_hash=await self._hash(password))  # type: ignore[arg-type]  # checked
        await self._journal.put(
            Document(
                collection=COLLECTION,
                key=name,
                owner=name,
                value={"role": user.role, "password_hash": user.password_hash},
                updated_at=time.time(),
            )
        )
        return user

    async def get(self, name: str) -> User | None:
        """Give a user, or None."""
        document = await self._journal.get(COLLECTION, name)
        return None if document is None else _user(document)

    async def all(self) -> tuple[User, ...]:
        """Give all users, by name."""
        documents = await self._journal.documents(COLLECTION)
        return tuple(sorted(map(_user, documents), key=lambda user: user.name))

    async def remove(self, name: str) -> None:
        """Drop a user; tokens that they have are valid until they expire.

        Raises:
            NotFound: there is none of this name.
        """
        if not await self._journal.remove(COLLECTION, name):
            raise NotFound(f"there is no user named {name}")

    async def check(self, name: str, password: str) -> User | None:
        """Give the user whose name and password these are, or None.

        Cancellation: the hash is computed to its end in its thread; nothing else is left.
        """
        user = await self.get(name) if _NAME.fullmatch(name) else None
        if self._decoy is None:
            self._decoy = await self._hash("nobody's password")
        wanted = self._decoy if user is None else user.password_hash
        verdict = await trio.to_thread.run_sync(
            self._verify, wanted, password[: PASSWORD_CHARACTERS[1]], limiter=self._limiter
        )
        return user if verdict == "right" else None

    async def _hash(self, password: str) -> str:
        return await trio.to_thread.run_sync(self._hasher.hash, password, limiter=self._limiter)

    def _verify(self, password_hash: str, password: str) -> Literal["right", "wrong"]:
        try:
            self._hasher.verify(password_hash, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return "wrong"
        except UnicodeEncodeError:  # half a surrogate pair: nobody's password
            return "wrong"
        return "right"


def _check(name: str, password: str, role: str) -> None:
    least, most = PASSWORD_CHARACTERS
    faults = []
    if not _NAME.fullmatch(name):
        faults.append(("name", "must have 1 to 128 letters, digits or . _ @ + -"))
    if not least <= len(password) <= most:
        faults.append(("password", f"must have {least} to {most} characters"))
    if role not in ROLES:
        faults.append(("role", f"must be {' or '.join(ROLES)}"))
    if faults:
        raise InvalidRequest("; ".join(f"{path} {text}" for path, text in faults), faults)


def _user(document: Document) -> User:
    value = document.value
    return User(name=document.key, role=value["role"], password_hash=value["password_hash"])
