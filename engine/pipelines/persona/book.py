"""What a session adds to its conversation: one exchange, kept anew with each answer.

The one rule: an answer is kept before the log says that it is complete, and a cancelled one as far
as readers were given it, marked as cut. Everything in it follows from the request and the log, so
after a crash the same exchange comes about again.
"""

from __future__ import annotations

import trio

from engine.commands.persona import Admitted
from engine.events import Part
from engine.pipelines.persona.conversations import Answer, Conversations, Exchange
from engine.pipelines.persona.voices import Voice, response_id
from engine.sessions.run import Run


class Book:
    """The exchange of one session.

    Args:
        run: the session.
        admitted: what was asked.
        conversations: where it is kept.
    """

    def __init__(self, run: Run, admitted: Admitted, conversations: Conversations) -> None:
        self._run = run
        self._admitted = admitted
        self._conversations = conversations
        self._answers: dict[str, Answer] = {}
        self._begun: dict[str, tuple[Voice, Part, int]] = {}
        self._kept: set[str] = set()
        self._writing = trio.Lock()

    def begin(self, voice: Voice, part: Part, round_number: int) -> None:
        """Learn that a voice is about to answer: whatever happens, it is to be kept."""
        self._begun[part.id] = (voice, part, round_number)

    async def keep(self, part: Part, text: str, upstream_id: str | None = None) -> None:
        """Keep a complete answer.

        Raises:
            JournalFailed, NotFound: it could not be kept.
        """
        voice, _, round_number = self._begun[part.id]
        self._answers[part.id] = _answer(
            self._run, voice, part, text, round_number, upstream_id=upstream_id
        )
        await self._write()

    async def keep_cut(self, part: Part) -> None:
        """Keep an answer that a client has cancelled, as far as it was given to readers."""
        voice, _, round_number = self._begun[part.id]
        view = self._run.view.parts.get(part.id)
        text = view.text if view is not None else ""
        self._answers[part.id] = _answer(self._run, voice, part, text, round_number, is_cut=True)
        await self._write()

    async def keep_all_cut(self) -> None:
        """Keep what is open when the whole session is cancelled; answers that failed are not.

        Cancellation: shielded, for as long as closing may take.
        """
        parts = self._run.view.parts
        open_parts = [
            (voice, part, round_number)
            for key, (voice, part, round_number) in self._begun.items()
            if key not in self._answers and (key not in parts or parts[key].state != "failed")
        ]
        if not open_parts:
            return
        for voice, part, round_number in open_parts:
            view = parts.get(part.id)
            text = view.text if view is not None else ""
            latest = view.part if view is not None else part
            self._answers[part.id] = _answer(
                self._run, voice, latest, text, round_number, is_cut=True
            )
        with trio.move_on_after(self._run.limits.close_s, shield=True):
            await self._write()

    async def _write(self) -> None:
        async with self._writing:  # the newest is written last
            answers = sorted(self._answers.values(), key=lambda each: (each.round, each.index))
            exchange = Exchange(
                key=self._run.session_id,
                kind=self._admitted.request.type,
                at=self._run.began_at,
                message=self._admitted.request.data.message,
                answers=tuple(answers),
            )
            fresh = [answer for answer in answers if answer.response_id not in self._kept]
            await self._conversations.keep(
                self._admitted.conversation_id, self._run.owner, exchange, fresh=fresh
            )
            self._kept.update(answer.response_id for answer in fresh)


def _answer(
    run: Run,
    voice: Voice,
    part: Part,
    text: str,
    round_number: int,
    *,
    is_cut: bool = False,
    upstream_id: str | None = None,
) -> Answer:
    return Answer(
        persona_id=voice.id,
        name=voice.name,
        text=text,
        response_id=response_id(run.session_id, part),
        index=voice.index,
        round=round_number,
        is_cut=is_cut,
        provider=part.provider,
        model=part.model,
        upstream_id=upstream_id,
    )
