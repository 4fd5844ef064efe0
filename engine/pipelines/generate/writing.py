"""Writes one prompt: streams it, improves it where that was asked for, and completes it.

The one rule: the text that readers hold when a prompt completes is the prompt's text. So each
improvement is a new attempt, and where an earlier draft was the best, one more attempt gives its
text again. Must not import ranking or judge: what happens after the last phase is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.commands.generate import GenerateCommand
from engine.errors import ProviderBadOutput
from engine.events import Part
from engine.pipelines.generate.optimizing import (
    Draft,
    Verdict,
    optimize,
    read_verdict,
    score_request,
)
from engine.pipelines.generate.plan import Lane, PhasePlan
from engine.pipelines.generate.prompts import improve_request, phase_request
from engine.sessions.outcomes import Answer, PartLost
from engine.sessions.run import Run


class Writer:
    """Writes the prompts of one run.

    Args:
        run: the session.
        command: what was asked for.
        persona: what the persona adds to the instructions.
        earlier: results that the first phase may lean on.
    """

    def __init__(
        self, run: Run, command: GenerateCommand, *, persona: str, earlier: Sequence[str]
    ) -> None:
        self._run = run
        self._command = command
        self._persona = persona
        self._earlier = earlier

    async def write(self, plan: PhasePlan, lane: Lane) -> str:
        """Make a lane's text into a prompt; gives its text, when the log has it as complete.

        Raises:
            PartLost: its last attempt failed, or brought no text.
            PartCut: a client cancelled this prompt alone.

        Cancellation: the provider's stream is closed; the text so far is in the log.
        Backpressure: waits where the session waits for its fastest reader.
        """
        part = plan.part(self._run.session_id, lane)
        request = phase_request(
            self._command,
            plan.phase,
            lane.text,
            index=lane.index,
            persona=self._persona,
            model=plan.model,
            earlier=self._earlier if plan.place == 0 else (),
        )
        answer = await self._run.generate(part, request, plan.provider)
        if not answer.text.strip():
            raise PartLost(answer.part, ProviderBadOutput(f"{plan.provider.name} wrote nothing"))
        part, draft = answer.part, _draft(answer)
        if self._command.optimize:
            part, draft = await _Improving(self, plan, lane, part).improve(draft)
        await self._run.complete_part(
            part,
            draft.text,
            usage=draft.usage,
            data={} if draft.score is None else {"score": draft.score},
            soon=True,
        )
        return draft.text


def _draft(answer: Answer) -> Draft:
    return Draft(text=answer.text, usage=answer.usage, model=answer.part.model)


class _Improving:
    """One prompt on its way through the optimizing loop; `part` is its newest attempt."""

    def __init__(self, writer: Writer, plan: PhasePlan, lane: Lane, part: Part) -> None:
        self._run = writer._run
        self._command = writer._command
        self._persona = writer._persona
        self._plan = plan
        self._lane = lane
        self._part = part

    async def improve(self, first: Draft) -> tuple[Part, Draft]:
        """Run the loop; gives the best draft, and the attempt in which readers hold its text."""
        best, last = await optimize(
            first,
            judge=self._judge,
            improve=self._write_next,
            target=self._command.optimize_target_score,
            max_iterations=self._command.optimize_max_iterations,
        )
        if last is None or last.text != best.text:
            await self._begin_attempt()
            # The text keeps the name of the model that wrote it, whoever wrote in between.
            self._part = msgspec.structs.replace(self._part, model=best.model)
            await self._run.write(self._part, best.text, best.usage.output_tokens)
        return self._part, best

    async def _judge(self, draft: Draft) -> Verdict | None:
        request = score_request(
            self._command,
            self._plan.phase,
            source=self._lane.text,
            prompt=draft.text,
            model=self._plan.model,
        )
        try:
            answer = await self._run.ask(
                request, self._plan.provider, purpose="score", part=self._part
            )
            return read_verdict(answer.text)
        except (PartLost, ProviderBadOutput):
            return None

    async def _write_next(self, best: Draft) -> Draft | None:
        assert best.verdict is not None
        request = improve_request(
            self._command,
            self._plan.phase,
            source=self._lane.text,
            prompt=best.text,
            critique=best.verdict.critique,
            persona=self._persona,
            model=self._plan.model,
        )
        await self._begin_attempt()
        try:
            answer = await self._run.generate(self._part, request, self._plan.provider)
        except PartLost as lost:  # what was good before is not lost with it
            self._part = lost.part
            return None
        self._part = answer.part
        return _draft(answer) if answer.text.strip() else None

    async def _begin_attempt(self) -> None:
        self._part = await self._run.new_attempt(self._part, "optimize")
