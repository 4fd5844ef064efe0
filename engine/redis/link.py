"""One connection to Redis that is kept up, and shared by all who ask.

Why there is no pool: coredis 6.9.0 loses a slot of its pool for each blocking read that is
cancelled, and its client may run a command twice when a connection breaks. A link has one
connection. Commands go out in the order of the calls and answers come back in that order, so a
caller that is cancelled leaves nothing behind but an answer that nobody reads. Nothing is repeated
here: whoever asks knows whether that is safe.

A connection that breaks, or that leaves a question unanswered for `redis_timeout_s`, is given up,
and a new one is tried for until it works. The old one is ended at the server first (CLIENT KILL),
so that what it still carried is not done after what the new one brings.

Must not import a journal, nor the cluster.
"""

from __future__ import annotations

import logging
import random
import ssl
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import trio

from engine.errors import JournalFailed
from engine.redis.address import RedisAddress
from engine.redis.scripts import Script, Word

if TYPE_CHECKING:
    from engine.limits import Limits
    from engine.redis.transport import RedisConnection

_logger = logging.getLogger("antiphon.redis")

_AWAY = ("MISCONF", "OOM", "MASTERDOWN", "NOREPLICAS", "READONLY", "BUSY ")
"""Errors of a server that does nothing now and may do it later: a full disk or memory, too few
replicas, a script that runs on."""


class Away(Exception):
    """Redis cannot be asked now; the message says why. What was asked may have been done."""


class NoScript(Exception):
    """Redis does not have the script (any more); nothing was done."""


class Refused(Exception):
    """Redis answered with an error that a repeat will not change."""


class Link:
    """A connection to Redis; `run` has to run for it to exist.

    Args:
        address: where Redis is.
        name: what `CLIENT LIST` shows: what this connection is for.
        limits: `redis_timeout_s`, `redis_connect_s`, `journal_probe_s` and `redis_lanes` count.
        scripts: loaded into Redis whenever a connection begins.
        waits_s: how long its commands may wait in Redis besides, as reads that block do.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        name: str,
        limits: Limits,
        scripts: Sequence[Script] = (),
        waits_s: float = 0.0,
    ) -> None:
        self.address = address
        self.problem = "it has not been asked yet"
        """Why there is no connection; "" when there is one."""
        self._name = name
        self._limits = limits
        self._scripts = scripts
        self._waits_s = waits_s
        self._connection: RedisConnection | None = None
        self._connected = trio.Event()
        self._lanes = trio.CapacityLimiter(limits.redis_lanes)
        self._old: tuple[str, int] | None = None  # the server's run, and our id there

    def __repr__(self) -> str:
        return f"<Link {self._name} to {self.address.name}: {self.problem or 'up'}>"

    # ---- life -----------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a connection up until cancelled; `started` with the first one.

        Raises:
            JournalFailed: the first connection failed, or coredis is not installed.

        Cancellation: whoever waits for an answer gets Away.
        """
        _import_transport()
        ssl_context = _ssl_context(self.address)
        is_first = True
        delay_s = self._limits.redis_retry_s
        while True:
            async with trio.open_nursery() as nursery:
                try:
                    ended = await self._connect(ssl_context, nursery)
                    delay_s = self._limits.redis_retry_s
                    if is_first:
                        is_first = False
                        task_status.started()
                    else:
                        _logger.warning("%s: Redis at %s is back", self._name, self.address.name)
                    why = await self._stay(ended)
                except Away as error:
                    why = str(error)
                finally:
                    self._connection = None
                    if self._connected.is_set():  # who waits for it waits on
                        self._connected = trio.Event()
                    nursery.cancel_scope.cancel(reason="the connection is given up")
            if is_first:
                raise JournalFailed(f"Redis at {self.address.name} cannot be used: {why}")
            if not self.problem:
                _logger.warning("%s: Redis at %s is away: %s", self._name, self.address.name, why)
            self.problem = f"Redis at {self.address.name} is away: {why}"
            await trio.sleep(delay_s * random.uniform(0.5, 1.0))
            delay_s = min(2 * delay_s, self._limits.redis_max_retry_s)

    async def _connect(
        self, ssl_context: ssl.SSLContext | None, nursery: trio.Nursery
    ) -> trio.Event:
        """Begin a connection; gives the event of its end.

        Raises:
            Away: it failed.
        """
        from engine.redis import transport

        ended = trio.Event()

        async def be_connected(connection: RedisConnection, *, task_status: Any) -> None:
            try:
                await connection.run(task_status=task_status)
            finally:
                ended.set()

        try:
            with trio.fail_after(self._limits.redis_connect_s):
                stream = await transport.open_stream(self.address, ssl_context)
                connection = transport.RedisConnection(self.address, stream, self._name)
                await nursery.start(partial(be_connected, connection))
        except trio.TooSlowError:
            raise Away("it does not answer") from None
        except Exception as error:
            raise Away(_reason(error)) from error
        run_id = await self._end_old(connection)
        for script in self._scripts:
            await self._ask(connection, (b"SCRIPT LOAD", script.text))
        self._old = (run_id, connection.client_id or 0)
        self._connection, self.problem = connection, ""
        self._connected.set()
        return ended

    async def _end_old(self, connection: RedisConnection) -> str:
        """See that what the connection before this one carried is done now or never."""
        info: bytes = await self._ask(connection, (b"INFO", b"server"))
        run_id = info.partition(b"run_id:")[2].split(b"\r\n", 1)[0].decode()
        if self._old is not None and self._old[0] == run_id:
            try:
                await self._ask(connection, (b"CLIENT KILL", b"ID", self._old[1]))
            except Refused as error:  # it has gone, or our user may not
                _logger.debug("Redis at %s: CLIENT KILL: %s", self.address.name, error)
        return run_id

    async def _stay(self, ended: trio.Event) -> str:
        """Look after a connection until it is lost; gives why.

        Raises:
            Away: it does not answer.
        """
        while not ended.is_set():
            with trio.move_on_after(self._limits.journal_probe_s):
                await ended.wait()
            if not (self._waits_s or ended.is_set()):  # who waits asks often enough
                await self.ask(b"PING")
        return "the connection was lost"

    # ---- asking ---------------------------------------------------------------------------------

    async def wait_connected(self) -> None:
        """Wait until there is a connection.

        Cancellation: nothing has changed.
        """
        await self._connected.wait()

    async def ask(self, *words: Word) -> Any:
        """Send a command, and give its answer.

        Raises:
            Away: there is no connection, or it broke; the command may have been done.
            NoScript: the script that it runs is not loaded.
            Refused: Redis answered with an error.

        Cancellation: the command may be done. Backpressure: waits while `redis_lanes` callers of
        this link wait for answers.
        """
        async with self._lanes:
            return await self._ask(self._usable(), words)

    async def ask_all(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """Send commands as one pipeline; gives for each its answer, or its error as `ask` raises.

        Cancellation: any of them may be done.
        """
        connection = self._usable()
        requests = [_send(connection, words) for words in commands]
        found: list[Any] = []
        with trio.move_on_after(self._limits.redis_timeout_s + self._waits_s):
            for request in requests:
                try:
                    found.append(await request)
                except Exception as error:
                    found.append(_translated(error))
        if len(found) < len(requests):
            connection.invalidate("unanswered")
            found += [Away("it does not answer")] * (len(requests) - len(found))
        return found

    async def run_script(self, script: Script, keys: Sequence[Word], values: Sequence[Word]) -> Any:
        """Run a script; raises as `ask`, but that a script that Redis lost is loaded again."""
        try:
            return await self.ask(*script.command(keys, values))
        except NoScript:
            await self.load_scripts()
            return await self.ask(*script.command(keys, values))

    async def load_scripts(self) -> None:
        """Load the scripts again: somebody has flushed them.

        Raises:
            Away: as `ask`.
        """
        for script in self._scripts:
            await self.ask(b"SCRIPT LOAD", script.text)

    def _usable(self) -> RedisConnection:
        connection = self._connection
        if connection is None or not connection.usable:
            raise Away(self.problem or "the connection was lost")
        return connection

    async def _ask(self, connection: RedisConnection, words: Sequence[Word]) -> Any:
        return await self._answer(connection, _send(connection, words))

    async def _answer(self, connection: RedisConnection, request: Any) -> Any:
        try:
            with trio.fail_after(self._limits.redis_timeout_s + self._waits_s):
                return await request
        except trio.TooSlowError:
            connection.invalidate("unanswered")  # answers come in order: nothing more will
            raise Away("it does not answer") from None
        except Exception as error:
            raise _translated(error) from error


def is_passing(text: str) -> bool:
    """Whether an error of Redis may be over when it is asked again."""
    return text.startswith(_AWAY)


def _send(connection: RedisConnection, words: Sequence[Word]) -> Any:
    command, *rest = words
    assert isinstance(command, bytes)
    try:
        return connection.create_request(command, *rest, decode=False)
    except Exception as error:
        raise Away(_reason(error)) from error


def _translated(error: Exception) -> Exception:
    """Turn an error of coredis into one of ours: what may get better, and what never will."""
    from engine.redis.transport import exceptions

    text = _reason(error)
    if isinstance(error, exceptions.NoScriptError):
        return NoScript(text)
    is_away = isinstance(
        error,
        exceptions.ConnectionError | exceptions.AuthenticationError | exceptions.ReadOnlyError,
    )
    if is_away or is_passing(text) or not isinstance(error, exceptions.RedisError):
        return Away(text)
    return Refused(text)


def _import_transport() -> ModuleType:
    """Give the module that knows coredis.

    Raises:
        JournalFailed: coredis is not installed.
    """
    try:
        from engine.redis import transport
    except ImportError as error:
        raise JournalFailed(
            "Redis needs the package coredis, which is not installed: install antiphon[redis]"
        ) from error
    return transport


def _ssl_context(address: RedisAddress) -> ssl.SSLContext | None:
    try:
        return address.ssl_context()
    except OSError as error:  # also what is no certificate
        raise JournalFailed(f"the Redis URL's ca {address.ca} cannot be used: {error}") from error


def _reason(error: BaseException) -> str:
    """Say why, in the words of the innermost error: the outer ones only name the address."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, BaseExceptionGroup):
        return _reason(error.exceptions[0])
    if type(error).__name__ == "AuthenticationRequiredError":  # its text explains HELLO
        return "it asks for a password, and the URL has none"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).rpartition("): ")[2]  # without the address, which we name ourselves
    return text or type(error).__name__
