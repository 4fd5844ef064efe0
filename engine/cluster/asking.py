"""Questions from one process to the one that runs a session, and their answers.

A question is repeated under one id until it is answered or its time is over, to whoever holds the
session by then; a process does what it is asked for once, and gives the same answer again. Must not
import sessions, the journal, pipelines or providers.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import trio

from engine.cluster.interface import Board
from engine.cluster.messages import (
    Answer,
    Ask,
    Elsewhere,
    Message,
    Request,
    error_of,
    failure,
)
from engine.errors import AntiphonError, Internal, Unreachable
from engine.limits import Limits

_logger = logging.getLogger("antiphon.cluster")

REPEAT_S = 1.0
"""A question that has no answer yet is asked again."""
PAUSE_S = 0.1
"""How long to wait where nobody runs the session at the moment."""
REMEMBERED = 4096
"""Answers that are kept for those who ask again; also how many may be worked on at once."""


class Nobody:
    """No process holds the session."""


class Asking:
    """Both sides of questions.

    Args:
        board: says who holds a session.
        limits: `ask_s` counts.
        new_id: makes a question's id.
        send: posts a message.
    """

    def __init__(
        self,
        board: Board,
        limits: Limits,
        new_id: Callable[[], str],
        send: Callable[[str, Message], None],
    ) -> None:
        self._board = board
        self._limits = limits
        self._new_id = new_id
        self._send = send
        self._open: dict[str, trio.MemorySendChannel[Answer | Elsewhere]] = {}
        self._given: OrderedDict[str, Answer] = OrderedDict()
        self._working: set[str] = set()

    # ---- who asks --------------------------------------------------------------------------------

    async def ask(self, session_id: str, request: Request) -> bool:
        """Have the process that runs a session do something; done when this gives True.

        False says that no process holds it: it has ended, or never was.

        Raises:
            Unreachable: nobody has answered in time; it may be done all the same.
            AntiphonError: what the process answered.

        Cancellation: it may be done all the same.
        """
        ask = Ask(ask_id=self._new_id(), session_id=session_id, request=request)
        send, receive = trio.open_memory_channel[Answer | Elsewhere](8)
        self._open[ask.ask_id] = send
        try:
            with trio.move_on_after(self._limits.ask_s):
                while True:
                    answer = await self._try(ask, receive)
                    if isinstance(answer, Nobody):
                        return False
                    if isinstance(answer, Answer):
                        if answer.error:
                            raise error_of(answer)
                        return True
                    await trio.sleep(PAUSE_S)
        finally:
            del self._open[ask.ask_id]
        raise Unreachable(
            f"the process that runs session {session_id} has not answered in time", retry_after_s=1
        )

    async def _try(
        self, ask: Ask, receive: trio.MemoryReceiveChannel[Answer | Elsewhere]
    ) -> Answer | Elsewhere | Nobody | None:
        try:
            holding = (await self._board.holdings([ask.session_id])).get(ask.session_id)
        except Unreachable:
            return None
        if holding is None:
            return Nobody()
        if not holding.is_alive:
            return None
        self._send(holding.process, ask)
        with trio.move_on_after(REPEAT_S):
            return await receive.receive()
        return None

    def answered(self, answer: Answer | Elsewhere) -> None:
        """Take an answer; one that nobody waits for any more is dropped."""
        waiting = self._open.get(answer.ask_id)
        if waiting is not None:
            try:
                waiting.send_nowait(answer)
            except trio.WouldBlock:
                pass  # it is the same answer again

    # ---- who is asked ----------------------------------------------------------------------------

    def is_new(self, ask_id: str) -> bool:
        """Whether a question has to be answered now: nobody is at it, and there is room."""
        return ask_id not in self._working and len(self._working) < REMEMBERED

    async def answer(self, ask: Ask, serve: Callable[[], Awaitable[bool]]) -> Answer | Elsewhere:
        """Do what is asked for, unless it was done: then give the same answer.

        Args:
            ask: the question.
            serve: does it; False: the session is not here. Raises AntiphonError for who asks.

        Cancellation: it may be done, and nobody is told.
        """
        known = self._given.get(ask.ask_id)
        if known is not None:
            return known
        self._working.add(ask.ask_id)
        try:
            if not await serve():
                return Elsewhere(session_id=ask.session_id, ask_id=ask.ask_id)
            answer = Answer(ask_id=ask.ask_id)
        except AntiphonError as error:
            answer = failure(ask.ask_id, error)
        except Exception as error:  # the firewall between sessions; who asked is told
            _logger.exception("a question about session %s failed", ask.session_id)
            answer = failure(ask.ask_id, Internal(f"an internal error ({type(error).__name__})"))
        finally:
            self._working.discard(ask.ask_id)
        self._given[ask.ask_id] = answer
        if len(self._given) > REMEMBERED:
            self._given.popitem(last=False)
        return answer
