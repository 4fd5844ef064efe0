"""Evens out bursts: words leave one by one, at the rate at which the model writes them.

The one rule: nothing is kept that the model has written for longer than `MAX_LAG_S`, and nothing is
lost: a pause of the model's is a pause here, and only its bursts are spread. Wraps a provider; the
upstream is read at its own pace by a task, and closed when the context is left. Must not import
sessions.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import trio

from engine.actors.unwrapping import single_error
from engine.pipelines.persona.wrapping import Wrapper
from engine.providers.interface import Delta, GenerationRequest, count_tokens

MAX_LAG_S: Final = 0.5
"""How far a word may come behind the model: more would be felt as waiting."""
MAX_HELD_CHARS: Final = 24
"""A word that goes on for longer is given in pieces: there are scripts without spaces."""
MAX_BUFFER: Final = 4_096
"""Words that wait; then the upstream is read no further."""
_WORD: Final = re.compile(r"\s*\S+\s+")


class Pace:
    """How long to wait before a word, from what has come so far. Pure but for its sums.

    The rate is that of the whole answer: all characters after the first burst, over the time in
    which they came. Where more waits than `MAX_LAG_S` allows, it is given faster.
    """

    __slots__ = ("_began_at", "_chars", "_last_at")

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._last_at = 0.0
        self._chars = 0

    def came(self, chars: int, now: float) -> None:
        """Learn that text has come."""
        if self._began_at is None:
            self._began_at = now  # what comes first tells nothing: it waited for the model
        else:
            self._chars += chars
        self._last_at = now

    def wait_s(self, chars: int, waiting_chars: int) -> float:
        """Give the seconds that a word takes.

        Args:
            chars: the word's.
            waiting_chars: all that waits, the word included.
        """
        spread = MAX_LAG_S * chars / max(waiting_chars, 1)
        if self._began_at is None or not self._chars or self._last_at <= self._began_at:
            return 0.0
        rate = self._chars / (self._last_at - self._began_at)
        return min(chars / rate, spread)


def split_words(text: str) -> tuple[list[str], str]:
    """Give the complete words of a text with the space after them, and the rest that may go on."""
    words = _WORD.findall(text)
    rest = text[sum(map(len, words)) :]
    while len(rest) > MAX_HELD_CHARS:
        words.append(rest[:MAX_HELD_CHARS])
        rest = rest[MAX_HELD_CHARS:]
    return words, rest


class Smoothed(Wrapper):
    """A provider whose text comes word by word."""

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        """Ask the provider, and give its answer word by word; see `Provider.stream`.

        Cancellation: the upstream is closed; words that waited were seen by nobody.
        Backpressure: the upstream is read `MAX_BUFFER` words ahead, and no further.
        """
        async with self._inner.stream(request) as deltas:
            with single_error():
                async with trio.open_nursery() as nursery:
                    answer = _Answer()
                    nursery.start_soon(answer.read, deltas)
                    yield answer
                    nursery.cancel_scope.cancel(reason="the answer was left")


class _Answer:
    """One answer: a task reads, the iterator gives."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._waiting: deque[Delta] = deque()
        self._chars = 0
        self._held = ""
        self._owed = 0  # tokens that no word has been counted for yet
        self._failure: Exception | None = None
        self._is_over = False
        self._next_at = 0.0
        self._came = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()

    async def read(self, deltas: AsyncIterator[Delta]) -> None:
        """Read the upstream to its end, or to its failure, which is raised after the last word."""
        try:
            async for delta in deltas:
                self._take(delta)
                self._came.unpark_all()
                while len(self._waiting) >= MAX_BUFFER:
                    await self._room.park()
        except Exception as error:  # it belongs to whoever reads the words
            self._failure = error
        self._push(self._held)
        self._held, self._is_over = "", True
        self._came.unpark_all()

    def _take(self, delta: Delta) -> None:
        if not delta.text:
            if delta.finish is not None:
                self._push(self._held)
                self._held = ""
            self._waiting.append(delta)
            return
        self._pace.came(len(delta.text), trio.current_time())
        words, self._held = split_words(self._held + delta.text)
        tokens = delta.tokens if delta.tokens is not None else count_tokens(delta.text)
        # What a delta says besides its text goes ahead of its words; its tokens are counted with
        # the next word that leaves, for of a word alone nobody knows them.
        rest = msgspec.structs.replace(delta, text="", tokens=0, finish=None, usage=None)
        if rest != Delta(tokens=0):
            self._waiting.append(rest)
        self._owed += tokens
        for word in words:
            self._push(word)
        if delta.finish is not None:
            self._push(self._held)
            self._held = ""
        if delta.finish is not None or delta.usage is not None:
            self._waiting.append(Delta(finish=delta.finish, usage=delta.usage, tokens=0))

    def _push(self, text: str) -> None:
        if text:
            self._waiting.append(Delta(text=text, tokens=self._owed))
            self._owed = 0
            self._chars += len(text)

    def __aiter__(self) -> _Answer:
        return self

    async def __anext__(self) -> Delta:
        while not self._waiting:
            if self._is_over:
                if self._failure is not None:
                    raise self._failure
                raise StopAsyncIteration
            await self._came.park()
        delta = self._waiting.popleft()
        if delta.text:
            await trio.sleep_until(max(self._next_at, trio.current_time()))
            wait_s = self._pace.wait_s(len(delta.text), self._chars)
            self._chars -= len(delta.text)
            self._next_at = trio.current_time() + wait_s
        else:
            await trio.lowlevel.checkpoint()
        self._room.unpark()
        return delta
