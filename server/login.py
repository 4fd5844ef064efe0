"""Logging in, slowed after failures.

The one rule: guessing costs the guesser time and never the server a queue. After `FREE` failures
for a name each further try waits, twice as long as the one before; while one does, others for that
name are refused. A right password forgets the failures. Must not import Quart.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec
import trio

from engine import RateLimited, Unauthenticated
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

    def wait_s(self) -> float:
        if self.failures < FREE:
            return 0.0
        return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self.failures - FREE, 10))


class Login:
    """Gives tokens for names and passwords.

    Args:
        users: who there is.
        tokens: has to have a secret.
        lifetime_s: how long a token is valid.
    """

    def __init__(self, users: Users, tokens: Tokens, *, lifetime_s: float) -> None:
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
            raise RateLimited(
                "too many failed logins with this name", retry_after_s=max(1.0, tries.wait_s())
            )
        if self._running >= AT_ONCE:
            raise RateLimited("too many logins at this moment", retry_after_s=1.0)
        tries.running += 1
        self._running += 1
        try:
            await trio.sleep(tries.wait_s())
            user = await self._users.check(name, password)
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

    def _recall(self, name: str) -> _Tries:
        tries = self._tries.get(name)
        if tries is None or (not tries.running and trio.current_time() - tries.last_at > FORGET_S):
            tries = self._tries[name] = _Tries()
        self._tries.move_to_end(name)
        if len(self._tries) > REMEMBERED:
            self._tries.popitem(last=False)
        return tries
