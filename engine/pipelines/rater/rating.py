"""One rater at work: its request, its phases, its feedback as it is written, and its result.

The one rule: a rater's progress never goes down, and each phase is said once, whatever is tried
again. Alone, a rater's phases are the session's; among others, they name the rater. Its completed
part is its phase `complete`, and holds its result. Must not import a sibling or a provider.
"""

from __future__ import annotations

import msgspec
import trio

from engine.actors.unwrapping import single_error
from engine.commands.rater import RaterBatchCommand, RaterCommand
from engine.errors import ProviderBadOutput, TooLarge
from engine.events import JSON, Item, Part, Progress, Usage
from engine.pipelines.rater.failures import Step
from engine.pipelines.rater.parsing import Feedback, parse_feedback, parse_partial
from engine.pipelines.rater.prompts import Prepared, prepare, repair_request
from engine.pipelines.rater.reader import Reader
from engine.providers.interface import GenerationRequest, Provider
from engine.sessions.outcomes import Answer
from engine.sessions.run import Run

PHASES: dict[str, tuple[str, float]] = {
    "context_processing": ("Processing rater context and plot point...", 20),
    "evaluating": ("Evaluating plot point against criteria...", 50),
    "generating_feedback": ("Generating detailed feedback...", 75),
    "parsing": ("Processing rater feedback...", 90),
    "complete": ("Rater feedback complete", 100),
}
"""Each phase's message and percentage, in order."""


class Rating:
    """One rater's work.

    Args:
        run: the session.
        command: the story and the plot point.
        part: the rater's part; its target names the rater where there are several.
        rater_name: who judges.
        rater_prompt: by what.
        is_alone: whether the rater's phases are the session's.
    """

    def __init__(
        self,
        run: Run,
        command: RaterCommand | RaterBatchCommand,
        part: Part,
        *,
        rater_name: str,
        rater_prompt: str,
        is_alone: bool,
    ) -> None:
        self.part = part
        self.rater_name = rater_name
        self.step: Step = "context"
        """Where it is, to name a failure by."""
        self._run = run
        self._command = command
        self._rater_prompt = rater_prompt
        self._is_alone = is_alone
        self._began_at = trio.current_time()
        self._said: set[str] = set()
        self._floor_percent = run.view.progress_percent
        self._usage = Usage()

    @property
    def own(self) -> JSON:
        """What each of its messages carries: among others, its name."""
        return {} if self._is_alone else {"raterName": self.rater_name}

    async def run(self) -> JSON:
        """Judge, and give the rater's `data`.

        Raises:
            AntiphonError: it failed; `step` says where.
            PartCut: it was cancelled alone.

        Cancellation: at any point; the provider's stream is closed.
        """
        if (earlier := self._run.completed(self.part.id)) is not None:
            result: JSON = earlier.data["result"]
            return result
        await self._say("context_processing")
        provider, model = self._run.providers.resolve(self._command.model or "")
        self.part = msgspec.structs.replace(self.part, provider=provider.name, model=model)
        prepared = self._prepare(provider, model)
        await self._say("evaluating")
        answer, feedback = await self._judge(prepared.request, provider)
        return await self._complete(prepared, answer, feedback)

    # ---- before ----------------------------------------------------------------------------------

    def _prepare(self, provider: Provider, model: str) -> Prepared:
        prepared = prepare(
            self._command,
            rater_name=self.rater_name,
            rater_prompt=self._rater_prompt,
            model=model,
            budget_tokens=self._run.limits.rater_context_tokens,
        )
        window = provider.profile.context_tokens
        if prepared.tokens + self._command.max_tokens > window:
            raise TooLarge(
                f"the rater's prompt and the plot point take about {prepared.tokens:,} tokens; "
                f"with {self._command.max_tokens:,} for the answer that is more than the "
                f"{window:,} of {provider.name}"
            )
        return prepared

    async def _say(self, phase: str) -> None:
        """Say that a phase begins; once, and never with a lower percentage than before."""
        message, percent = PHASES[phase]
        if self._is_alone:
            await self._run.start_phase(phase, message, percent)
        elif phase not in self._said:
            self._said.add(phase)
            await self._run.emit(
                Progress(
                    phase=phase,
                    message=message,
                    progress_percent=max(percent, self._floor_percent),
                    part=self.part,
                    data=self.own,
                )
            )

    # ---- the answer ------------------------------------------------------------------------------

    async def _judge(
        self, request: GenerationRequest, provider: Provider
    ) -> tuple[Answer, Feedback]:
        answer = await self._ask(self.part, request, provider)
        await self._say("parsing")
        self.step = "parsing"
        feedback = parse_feedback(answer.text)
        if feedback is None:
            why = "the answer has no opinion and suggestions that could be read"
            self.part = await self._run.new_attempt(
                answer.part, "validation", "provider_bad_output", why
            )
            answer = await self._ask(self.part, repair_request(request, answer.text), provider)
            self.step = "parsing"
            feedback = parse_feedback(answer.text)
        if feedback is None:
            raise ProviderBadOutput(
                f"{provider.name} gave no opinion and suggestions that could be read, "
                "and a repair did not help"
            )
        return answer, feedback

    async def _ask(self, part: Part, request: GenerationRequest, provider: Provider) -> Answer:
        """Have the part written, showing what can be read of it yet."""
        self.step = "request"
        reader = Reader(self._run, part)
        with single_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow, reader)
                try:
                    answer = await self._run.generate(
                        part, request, provider, on_text=reader.take, quiet=True
                    )
                finally:
                    self.step = "answer" if reader.has_begun else self.step
                reader.finish()
        self.part = answer.part
        self._usage += answer.usage
        return answer

    async def _follow(self, reader: Reader) -> None:
        """Say that feedback is written, then show it, at most once in `partial_s`."""
        shown: Feedback | None = None
        while await reader.wait():
            await self._say("generating_feedback")
            if reader.finished.is_set() and shown is not None:
                return  # the result follows at once, and the last partial was just shown
            partial = parse_partial(reader.text)
            if partial is not None and partial != shown:
                shown = partial
                await self._run.emit(
                    Item(
                        phase="generating_feedback",
                        kind="partial",
                        data={"feedback": partial.as_json(), **self.own},
                        part=self.part,
                    )
                )
            with trio.move_on_after(self._run.limits.partial_s):
                await reader.finished.wait()

    # ---- after -----------------------------------------------------------------------------------

    async def _complete(self, prepared: Prepared, answer: Answer, feedback: Feedback) -> JSON:
        data: JSON = {
            "raterName": self.rater_name,
            "feedback": feedback.as_json(),
            "context_metadata": {
                "tokens": prepared.tokens,
                "processing_time": round(trio.current_time() - self._began_at, 3),
                "total_elements": prepared.total_elements,
                "filtered_elements": prepared.filtered_elements,
                "truncated": prepared.is_truncated,
            },
            "usage": self._run.usage() if self._is_alone else self._own_usage(),
        }
        message, percent = PHASES["complete"]
        await self._run.complete_part(
            answer.part,
            answer.text,
            usage=answer.usage,
            data={
                "phase": "complete",
                "message": message,
                "progress": percent,
                **self.own,
                "result": data,
            },
        )
        return data

    def _own_usage(self) -> JSON:
        usage = self._usage
        counted: JSON = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        }
        return {**counted, "estimated": True} if usage.estimated else counted

    def __repr__(self) -> str:
        return f"<Rating of {self.rater_name!r}, {self.step}>"
