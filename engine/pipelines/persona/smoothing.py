"""Evens out bursts: words leave one by one, at the rate at which the model writes them.

The one rule: nothing is kept that the model has written for longer than `MAX_LAG_S`, and nothing is
lost: a pause of the model's is a pause here, and only its bursts are spread. Wraps a provider; the
upstream is read at its own pace by a task, and closed when the context is left. Must not import
sessions.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import AsyncIterator, Sequence
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
CATCH_UP: Final = 1.2
"""Words leave so much faster than they come, so that no lag adds up."""
MAX_BUFFER: Final = 4_096
"""Words that wait; then the upstream is read no further."""
_NOTHING: Final = Delta(tokens=0)
_WORD: Final = re.compile(r"\s*\S+\s+")


class Pace:
    """When each word is due: a burst is spread over the time that the model took for as much.

    The rate is that of the whole answer so far: all characters after the first piece, over the time
    in which they came. What comes in one piece is due from then on, or from where the piece before
    it ends, and at the latest `MAX_LAG_S` after it came. Pure.
    """

    __slots__ = ("_began_at", "_chars", "_free_at")

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._chars = 0
        self._free_at = float("-inf")

    def spread(self, lengths: Sequence[int], now: float) -> list[float]:
        """Give the moments at which the words of a piece are due.

        Args:
            lengths: the characters of each word.
            now: when the piece came, in trio's seconds.
        """
        total = sum(lengths)
        if self._began_at is None:
            self._began_at = now  # what comes first tells nothing: it waited for the model
        else:
            self._chars += total
        rate = self._chars / (now - self._began_at) if now > self._began_at else 0.0
        start = max(now, self._free_at)
        took_s = total / (rate * CATCH_UP) if rate else 0.0
        end = max(start, min(start + took_s, now + MAX_LAG_S))
        self._free_at = end
        ahead = itertools.accumulate(lengths, initial=0)
        step_s = (end - start) / max(total, 1)
        return [start + step_s * chars for chars, _ in zip(ahead, lengths, strict=False)]


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
        self._waiting: deque[tuple[float, Delta]] = deque()
        self._held = ""
        self._owed = 0  # tokens that no word has been counted for yet
        self._failure: Exception | None = None
        self._is_over = False
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
        self._let_go()
        self._is_over = True
        self._came.unpark_all()

    def _take(self, delta: Delta) -> None:
        """Take a delta apart: what it says besides its text, its words, and its end."""
        rest = msgspec.structs.replace(delta, text="", tokens=0, finish=None, usage=None)
        if rest != _NOTHING:
            self._waiting.append((0.0, rest))
        if delta.text:
            self._owed += delta.tokens if delta.tokens is not None else count_tokens(delta.text)
            words, self._held = split_words(self._held + delta.text)
            self._push(words)
        if delta.finish is not None:
            self._let_go()
        if delta.finish is not None or delta.usage is not None:
            end = Delta(finish=delta.finish, usage=delta.usage, tokens=0)
            self._waiting.append((0.0, end))

    def _let_go(self) -> None:
        """Give the last word, which nothing will complete any more."""
        if self._held:
            self._push([self._held])
            self._held = ""

    def _push(self, words: Sequence[str]) -> None:
        due = self._pace.spread([len(word) for word in words], trio.current_time())
        for at, word in zip(due, words, strict=True):
            # Of a word alone nobody knows the tokens: the first one is counted for its piece.
            self._waiting.append((at, Delta(text=word, tokens=self._owed)))
            self._owed = 0

    def __aiter__(self) -> _Answer:
        return self

    async def __anext__(self) -> Delta:
        while not self._waiting:
            if self._is_over:
                if self._failure is not None:
                    raise self._failure
                raise StopAsyncIteration
            await self._came.park()
        due, delta = self._waiting[0]
        await trio.sleep_until(max(due, trio.current_time()))
        self._waiting.popleft()
        self._room.unpark()
        return delta
