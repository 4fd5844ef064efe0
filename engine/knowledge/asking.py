"""The actor around one source: a bounded mailbox, a few lanes, a time-out, an answer always.

The one rule: every question that was taken gets exactly one answer, within its time-out, whatever
the source does. A failure is an answer with a note. One source that hangs, crashes or floods us
touches neither the others nor whoever asks.

The actors are children of the supervisor in `open_sources` and serve all sessions of the process,
so that a source's pace holds for all of them together. Must not import a connector, sessions,
pipelines or providers.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec
import trio

from engine.actors import Mailbox, serve
from engine.errors import SourceFailed
from engine.knowledge.interface import Source, SourceNote
from engine.limits import Limits

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class Answer(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What one source gave to one question."""

    note: SourceNote
    found: tuple[T, ...] = ()


class Question(Generic[T]):
    """One question to one source, on its way.

    Args:
        work: what to call on the source.
        reply: where the answer goes; has room for it, so that replying never waits.
        timeout_s: counted from now, waiting in the mailbox included.
    """

    def __init__(
        self,
        work: Callable[[Source], Awaitable[Sequence[T]]],
        reply: trio.MemorySendChannel[Answer[T]],
        *,
        timeout_s: float,
    ) -> None:
        self.work = work
        self.timeout_s = timeout_s
        self.scope = trio.CancelScope(deadline=trio.current_time() + timeout_s)
        self._reply = reply
        self._is_wanted = True

    def answer(self, answer: Answer[T]) -> None:
        """Hand the answer to whoever asked, unless they have gone."""
        if self._is_wanted:
            self._reply.send_nowait(answer)

    def forget(self) -> None:
        """Nobody waits for the answer any more: end the work. Never blocks."""
        self._is_wanted = False
        self.scope.cancel()


class SourceActor:
    """One source with its mailbox.

    Args:
        lanes: questions that it works on at a time.
    """

    def __init__(self, source: Source, *, lanes: int, limits: Limits) -> None:
        self.source = source
        self._lanes = lanes
        self._timeout_s = limits.source_timeout_s
        self._mailbox = Mailbox[Question[Any]](f"source {source.name}", limits.source_mailbox)

    async def run(self, incarnation: int) -> None:
        """Work on questions until cancelled; what a supervisor runs."""
        await serve(self._mailbox, self._handle, lanes=self._lanes)

    def ask_nowait(
        self,
        work: Callable[[Source], Awaitable[Sequence[T]]],
        reply: trio.MemorySendChannel[Answer[T]],
    ) -> Question[T]:
        """Put a question into the mailbox. When that is full, the answer is a note, at once."""
        question = Question(work, reply, timeout_s=self._timeout_s)
        try:
            self._mailbox.send_nowait(question)
        except trio.WouldBlock:
            question.answer(self._nothing("has too many questions waiting"))
        except trio.ClosedResourceError:
            question.answer(self._nothing("is closed"))
        return question

    async def aclose(self) -> None:
        """Answer what still waits with a note, take no more, and close the source.

        Cancellation: the mailbox is closed all the same.
        """
        self._mailbox.close_sending()
        try:
            while True:
                self._mailbox.receive_nowait().answer(self._nothing("is closed"))
        except (trio.EndOfChannel, trio.WouldBlock):
            self._mailbox.close()
        await self.source.aclose()

    async def _handle(self, question: Question[Any]) -> None:
        answer = self._nothing("was stopped")
        try:
            answer = await self._work(question)
        finally:
            question.answer(answer)

    async def _work(self, question: Question[T]) -> Answer[T]:
        """Do the work under the question's scope, and turn every end of it into an answer."""
        name = self.source.name
        with question.scope:
            try:
                found = tuple(await question.work(self.source))
            except SourceFailed as failure:
                return self._nothing(failure.message)
            except Exception:  # supervises one question: a defect must not end its neighbours
                _logger.exception("source %s crashed", name)
                return self._nothing("could not be read because of a defect of ours")
            return Answer(
                note=SourceNote(source=name, gave=len(found), url=self.source.url), found=found
            )
        return self._nothing(f"did not answer within {question.timeout_s:g} s")

    def _nothing(self, why: str) -> Answer[Any]:
        name = self.source.name
        sentence = why if why.startswith(name) else f"{name} {why}"
        return Answer(note=SourceNote(source=name, gave=0, why=sentence, url=self.source.url))

    def __repr__(self) -> str:
        waiting = self._mailbox.statistics().depth
        return f"<SourceActor {self.source.name}, {self._lanes} lanes, {waiting} waiting>"
