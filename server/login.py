"""Logging in, slowed after failures.

The one rule: guessing costs the guesser time and never the server a queue. After `FREE` failures
for a name each further try waits, twice as long as the one before; while one does, others for that
name are refused. A right password forgets the failures. In a cluster the failures of all processes
count, and one tries a name at a time in all of them. Must not import Quart.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import trio

from engine import Counting, RateLimited, Unauthenticated
from server.tokens import Tokens
from server.users import Users

FREE = 3
"""Failures before the first wait: people mistype."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0

FORGET_S = 15 * 60.0
"""Failures are forgotten after this time without another one."""

REMEMBERED = 10_000
"""Names with failures; the oldest one is forgotten first."""


AT_ONCE = 32
"""Logins that are worked on or wait; hashing takes a core, so more would only wait longer."""


REMEMBERED_FAILURES = 16
"""Failures of a name that all processes count together: enough for the longest wait."""

TURN_S = 30.0
"""For so long at most one process keeps others from trying a name: the wait, and hashing."""

GIVE_BACK_S = 1.0
"""How long giving a place back may take when everything else has been cancelled."""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A token, and for whom."""

    token: str
    role: str
    expires_at: float
    """Unix time in seconds."""


class _Tries:
    """What is remembered of a name."""

    __slots__ = ("failures", "last_at", "running")

    def __init__(self) -> None:
        self.failures = 0
        self.running = 0
        self.last_at = trio.current_time()


def _wait_s(failures: int) -> float:
    if failures < FREE:
        return 0.0
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - FREE, 10))


class _Others:
    """What all processes know of a name while one tries it."""

    __slots__ = ("failures", "has_failed")

    def __init__(self) -> None:
        self.failures: int | None = None
        """None: the board is away."""
        self.has_failed: bool | None = None
        """None: the password was not looked at."""


def _too_many(failures: int) -> RateLimited:
    return RateLimited(
        "too many failed logins with this name", retry_after_s=max(1.0, _wait_s(failures))
    )


class Login:
    """Gives tokens for names and passwords.

    Args:
        users: who there is.
        tokens: has to have a secret.
        lifetime_s: how long a token is valid.
        counting: counts failures for all processes; None: there is one.
    """

    def __init__(
        self,
        users: Users,
        tokens: Tokens,
        *,
        lifetime_s: float,
        counting: Counting | None = None,
    ) -> None:
        self._counting = counting
        self._users = users
        self._tokens = tokens
        self._lifetime_s = lifetime_s
        self._tries: OrderedDict[str, _Tries] = OrderedDict()
        self._running = 0

    async def enter(self, name: str, password: str) -> Granted:
        """Give a token.

        Raises:
            Unauthenticated: name or password is wrong; never which.
            RateLimited: there are failures, and somebody tries this name already; or too many
                people log in at this moment.

        Cancellation: the try counts as none.
        """
        tries = self._recall(name)
        if tries.running and tries.failures + tries.running >= FREE:
            raise _too_many(tries.failures)
        if self._running >= AT_ONCE:
            raise RateLimited("too many logins at this moment", retry_after_s=1.0)
        tries.running += 1
        self._running += 1
        try:
            async with self._anywhere(name) as others:
                if others.failures is not None:
                    tries.failures = others.failures
                await trio.sleep(_wait_s(tries.failures))
                user = await self._users.check(name, password)
                others.has_failed = user is None
        finally:
            tries.running -= 1
            self._running -= 1
        if user is None:
            tries.failures += 1
            tries.last_at = trio.current_time()
            raise Unauthenticated("the name or the password is wrong")
        self._tries.pop(name, None)
        token, expires_at = self._tokens.issue(user.name, user.role, self._lifetime_s)
        return Granted(token=token, role=user.role, expires_at=expires_at)

    @asynccontextmanager
    async def _anywhere(self, name: str) -> AsyncIterator[_Others]:
        """Try a name as one of all processes; a try counts as a failure until it is over.

        Raises:
            RateLimited: there are failures, and another process tries the name already.

        Cancellation: the try counts as none.
        """
        others, counting = _Others(), self._counting
        if counting is None:
            yield others
            return
        this = uuid.uuid4().hex
        try:
            found = await counting.take_place(
                "logins", name, this, limit=REMEMBERED_FAILURES, window_s=FORGET_S
            )
            others.failures = None if found is None else found.others
            if others.failures is not None and others.failures >= FREE:
                turn = await counting.take_place(
                    "login turns", name, this, limit=1, window_s=TURN_S
                )
                if turn is not None and not turn.is_taken:
                    raise _too_many(others.failures)
            yield others
        finally:
            with trio.move_on_after(GIVE_BACK_S, shield=True):
                if others.failures is not None and others.failures >= FREE:
                    await counting.give_place_back("login turns", name, this)
                if others.has_failed is not True:  # right: all is forgotten; else: none was made
                    forgets = "" if others.has_failed is False else this
                    await counting.give_place_back("logins", name, forgets)

    def _recall(self, name: str) -> _Tries:
        tries = self._tries.get(name)
        if tries is None or (not tries.running and trio.current_time() - tries.last_at > FORGET_S):
            tries = self._tries[name] = _Tries()
        self._tries.move_to_end(name)
        if len(self._tries) > REMEMBERED:
            self._tries.popitem(last=False)
        return tries
