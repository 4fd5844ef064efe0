"""Logging in, slowed after failures."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from engine.errors import RateLimited, Unauthenticated
from server.login import AT_ONCE, FREE, LONGEST_WAIT_S, Login
from server.tokens import Tokens
from server.users import User

SECRET = "a secret of more than thirty-two bytes, for tests"


class Few:
    """One user, checked in no time or as slowly as a test wants it."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.checked = 0

    async def check(self, name: str, password: str) -> User | None:
        self.checked += 1
        await trio.sleep(self.takes_s)
        right = (name, password) == ("ada", "right")
        return User(name=name, role="admin", password_hash="") if right else None


def login(users: Few) -> Login:
    return Login(users, Tokens(SECRET), lifetime_s=60)  # type: ignore[arg-type]


async def fail(entry: Login, name: str = "ada") -> float:
    """Fail once; gives how long that took."""
    began_at = trio.current_time()
    with pytest.raises(Unauthenticated):
        await entry.enter(name, "wrong")
    return trio.current_time() - began_at


async def test_failures_are_slowed_and_a_success_forgets_them(autojump_clock: MockClock) -> None:
    """The first few are free, then each waits twice as long, up to a bound."""
    entry = login(Few())
    waits = [await fail(entry) for _ in range(FREE + 6)]
    assert waits == [0.0] * FREE + [0.5, 1.0, 2.0, 4.0, LONGEST_WAIT_S, LONGEST_WAIT_S]
    assert await fail(entry, "bob") == 0.0
    granted = await entry.enter("ada", "right")
    assert (granted.role, await fail(entry)) == ("admin", 0.0)


async def test_guesses_side_by_side_are_refused(autojump_clock: MockClock) -> None:
    """Many at once do not get around the wait, and none of them is hashed."""
    users = Few(takes_s=1.0)
    entry = login(users)
    codes: list[str] = []

    async def guess() -> None:
        try:
            await entry.enter("ada", "wrong")
        except (Unauthenticated, RateLimited) as error:
            codes.append(error.code)

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(guess)
    assert codes.count("unauthenticated") == users.checked == FREE
    assert codes.count("rate_limited") == 100 - FREE


async def test_logins_with_many_names_are_bounded(autojump_clock: MockClock) -> None:
    """Hashing takes a core: a flood of names is refused, and leaves nothing behind."""
    users = Few(takes_s=1.0)
    entry = login(users)
    refused: list[str] = []

    async def guess(name: str) -> None:
        try:
            await entry.enter(name, "wrong")
        except RateLimited as error:
            refused.append(error.code)
        except Unauthenticated:
            pass

    async with trio.open_nursery() as nursery:
        for number in range(AT_ONCE + 20):
            nursery.start_soon(guess, f"user {number}")
    assert (users.checked, len(refused)) == (AT_ONCE, 20)
    with trio.move_on_after(0.5):
        await entry.enter("ada", "right")
    assert (await entry.enter("ada", "right")).role == "admin"
