"""Several voices at once: each by itself, or in rounds, and one more that merges what they said.

    round 1: every persona ──► round 2: every one that is still in, with the others' answers ──► …
                                                                       last: the synthesis

The one rule: a voice that fails, hangs or is cancelled is lost alone; the others never wait for
more than a round's end. Only when nobody has answered does the session fail.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial

from engine.commands.persona import MultiChat
from engine.errors import EngineError, Internal
from engine.events import JSON, Completed, Failed, Part, PartCompleted, PartFailed
from engine.pipelines.persona.answering import Speaker, say_status
from engine.pipelines.persona.conversations import Answer, Exchange
from engine.pipelines.persona.history import budget, hear
from engine.pipelines.persona.prompts import (
    SYNTHESIS_INSTRUCTIONS,
    instructions_for,
    merged,
    rebuttal_for,
    rebutted,
    side_by_side,
)
from engine.pipelines.persona.voices import Voice
from engine.providers.interface import GenerationRequest, Message
from engine.sessions.outcomes import PartCut, PartLost
from engine.sessions.run import Run
from engine.sessions.usage import usage_json
from engine.supervision import Lost, Member, fan_out

_logger = logging.getLogger("antiphon.engine")


class Panel:
    """The voices of one `multi_chat`.

    Args:
        run: the session.
        asked: what was asked.
        voices: the personas in the request's order; the synthesis, if asked for, is the last.
        exchanges: what was said before.
        speaker: has them answer.
    """

    def __init__(
        self,
        run: Run,
        asked: MultiChat,
        voices: Sequence[Voice],
        exchanges: Sequence[Exchange],
        speaker: Speaker,
    ) -> None:
        self._run = run
        self._asked = asked
        self._personas = [voice for voice in voices if not voice.is_synthesis]
        self._synthesis = next((voice for voice in voices if voice.is_synthesis), None)
        self._exchanges = exchanges
        self._speaker = speaker
        self._rounds: list[dict[str, PartCompleted]] = []
        """Of each round: the completed answers by persona, in the request's order."""

    async def run(self, conversation_id: str) -> Completed | Failed:
        """Hear them all; gives the terminal event.

        Raises:
            PartCut: every one of them was cancelled alone.
            EngineError: something of ours failed; that ends all of them.

        Cancellation: every provider's stream is closed.
        """
        self._run.declare({"persona_id": voice.id} for voice in self._personas)
        if self._synthesis is not None:
            self._run.declare([{"persona_id": self._synthesis.id}])
        speaking = self._personas
        for number in range(1, self._asked.round_count + 1):
            answers = await self._hear_round(number, speaking)
            self._rounds.append(answers)
            speaking = [voice for voice in speaking if voice.id in answers]
        last = self._rounds[-1]
        if not last:
            return self._nobody()
        combined = await self._combine(last)
        return Completed(data=self._result(last, combined, conversation_id))

    # ---- rounds ----------------------------------------------------------------------------------

    async def _hear_round(self, number: int, voices: Sequence[Voice]) -> dict[str, PartCompleted]:
        parts = [(voice, self._part(voice, number)) for voice in voices]
        for _, part in parts:  # all at once and in order, before anyone speaks
            if part.id not in self._run.view.parts:
                await say_status(self._run, part, "starting")
        await self._hear(
            [(voice, part, self._request(voice, number)) for voice, part in parts], number
        )
        done = {voice.id: self._run.completed(part.id) for voice, part in parts}
        return {key: each for key, each in done.items() if key is not None and each is not None}

    async def _hear(
        self, speeches: Sequence[tuple[Voice, Part, GenerationRequest]], number: int
    ) -> None:
        """Have voices answer at once; what becomes of each is in the log afterwards.

        Raises:
            EngineError: something failed that is none of one voice's alone.
        """
        if not speeches:
            return
        outcomes = await fan_out(
            [
                Member(id=part.id, fn=partial(self._answer, voice, part, request, number))
                for voice, part, request in speeches
            ]
        )
        for (_, part, _), outcome in zip(speeches, outcomes, strict=True):
            if isinstance(outcome, Lost):
                await self._report(part, outcome.error)

    async def _answer(
        self, voice: Voice, part: Part, request: GenerationRequest, number: int, _attempt: int
    ) -> None:
        known = self._run.view.parts.get(part.id)
        if known is not None and known.state == "failed":  # before a restart
            return
        try:
            await self._speaker.speak(voice, part, request, round_number=number)
        except PartLost as lost:
            await self._run.emit(PartFailed(part=lost.part, code=lost.code, message=lost.message))
        except PartCut:
            pass  # its PartCancelled is in the log already

    async def _report(self, part: Part, error: Exception) -> None:
        """Tell of a voice that was lost by a fault of ours.

        Raises:
            EngineError: it is none of this voice's alone.
        """
        if isinstance(error, EngineError):
            raise error
        _logger.error("session %s: %s failed", self._run.session_id, part.id, exc_info=error)
        message = f"an internal error ended this answer ({type(error).__name__})"
        await self._run.emit(PartFailed(part=part, code=Internal.code, message=message))

    def _part(self, voice: Voice, number: int) -> Part:
        return voice.part(number, rounds=self._asked.round_count)

    def _request(self, voice: Voice, number: int) -> GenerationRequest:
        assert voice.persona is not None
        others = [each for each in self._personas if each is not voice]
        beside = [each.persona for each in others if each.persona is not None]
        instructions = instructions_for(voice.persona, beside)
        now: tuple[Message, ...] = (Message(role="user", content=self._asked.message),)
        if number > 1:
            before = self._rounds[-1]
            instructions = rebuttal_for(voice.persona, beside, number, self._asked.round_count)
            now = rebutted(
                self._asked.message,
                _spoken(voice, before[voice.id or ""]),
                [_spoken(each, before[each.id or ""]) for each in others if each.id in before],
            )
        heard = hear(
            self._exchanges,
            persona_id=voice.id,
            beside=[each.id for each in others if each.id is not None],
            budget_tokens=budget(
                voice.provider.profile.context_tokens,
                instructions=instructions,
                messages=now,
                max_tokens=self._asked.max_tokens,
            ),
        )
        return GenerationRequest(
            instructions=instructions,
            messages=(*heard.messages, *now),
            model=voice.model,
            temperature=voice.temperature,
            max_tokens=self._asked.max_tokens,
            metadata={"purpose": "chat" if number == 1 else "debate", "persona": voice.id or ""},
        )

    # ---- the end ---------------------------------------------------------------------------------

    async def _combine(self, answers: Mapping[str, PartCompleted]) -> str:
        """Merge the answers, or set them side by side where nobody is to merge them, or can."""
        spoken = [
            _spoken(voice, answers[voice.id or ""])
            for voice in self._personas
            if voice.id in answers
        ]
        voice = self._synthesis
        if voice is None or len(spoken) < 2:
            return side_by_side(spoken)
        part = voice.part()
        if part.id not in self._run.view.parts:
            await say_status(self._run, part, "starting")
        request = GenerationRequest(
            instructions=SYNTHESIS_INSTRUCTIONS,
            messages=merged(self._asked.message, spoken),
            model=voice.model,
            temperature=voice.temperature,
            max_tokens=self._asked.max_tokens,
            metadata={"purpose": "synthesis"},
        )
        await self._hear([(voice, part, request)], self._asked.round_count + 1)
        done = self._run.completed(part.id)
        return done.text if done is not None else side_by_side(spoken)

    def _nobody(self) -> Failed:
        """Nobody has answered: the last failure ends the session.

        Raises:
            PartCut: there is no failure, they were all cancelled.
        """
        views = self._run.view.parts.values()
        failures = [view.failed for view in views if view.failed is not None]
        if not failures:
            raise PartCut(self._part(self._personas[-1], len(self._rounds)))
        others = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        return Failed(
            code=failures[-1].code,
            message=f"nobody has answered: {failures[-1].message}{others}",
            phase=failures[-1].part.phase,
            data={"partial": self._run.view.partial(), **self._lost()},
        )

    def _result(
        self, answers: Mapping[str, PartCompleted], combined: str, conversation_id: str
    ) -> JSON:
        synthesis = self._synthesis.part().id if self._synthesis is not None else ""
        done = self._run.completed(synthesis)
        result: JSON = {
            "response": combined,
            "output_text": combined,
            "model": done.part.model if done is not None else None,
            "response_id": done.data["response_id"] if done is not None else None,
            "persona_id": None,
            "reasoning_summary": None,
            "tool_calls": [],
            "combined": combined,
            "responses": self._shown(answers),
            **self._lost(),
            "conversation_id": conversation_id,
            "usage": self._run.usage(),
        }
        if self._asked.mode == "debate":
            result["rounds"] = [self._shown(each) for each in self._rounds]
        return result

    def _shown(self, answers: Mapping[str, PartCompleted]) -> list[JSON]:
        return [
            _shown(voice, answers[voice.id or ""])
            for voice in self._personas
            if voice.id in answers
        ]

    def _lost(self) -> JSON:
        failed, cancelled = [], []
        for view in self._run.view.parts.values():
            row: JSON = {**view.part.target, "index": view.part.index}
            if view.failed is not None:
                failed.append({**row, "code": view.failed.code, "message": view.failed.message})
            elif view.state == "cancelled":
                cancelled.append({**row, "partial": view.text})
        return {
            "failed": sorted(failed, key=lambda row: row["index"]),
            "cancelled": sorted(cancelled, key=lambda row: row["index"]),
        }


def _spoken(voice: Voice, done: PartCompleted) -> Answer:
    return Answer(
        persona_id=voice.id,
        name=voice.name,
        text=done.text,
        response_id=done.data["response_id"],
        index=voice.index,
    )


def _shown(voice: Voice, done: PartCompleted) -> JSON:
    return {
        **done.part.target,
        "name": voice.name,
        "index": voice.index,
        "response": done.text,
        "response_id": done.data["response_id"],
        "provider": done.part.provider,
        "model": done.part.model,
        "finish_reason": done.data["finish_reason"],
        "usage": usage_json(done.usage),
        "latency": done.data["latency"],
    }
