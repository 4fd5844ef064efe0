"""From source notes to exam-ready text: a draft, its layout, a check, and the layout again.

The one rule: `output` is exactly what the formatter wrote last, trimmed, and it has passed the
validator. The draft and the final text are the session's two parts; after a crash the part that is
complete is taken as it is, and the other one is written again.

Each event is one message: `init` is the start, a phase or a Progress is progress, the generator's
PartCompleted is the draft, the formatter's PartCompleted is the progress `done`, and the terminal
event's data is the object of `complete`. Must not import a sibling or a provider.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import trio

from engine.actors.unwrapping import single_error
from engine.commands.content import ContentCommand, DraftCommand, FormatCommand, parse_content
from engine.errors import ProviderBadOutput
from engine.events import JSON, Completed, Failed, Part, Progress
from engine.pipelines.content.progress import USUAL_CHARACTERS, Meter
from engine.pipelines.content.prompts import formatter_request, generator_request, retry_request
from engine.pipelines.content.reading import Fault
from engine.pipelines.content.result import Timing, result_of
from engine.pipelines.content.templates import Stage, Template, Templates
from engine.pipelines.content.validator import validate
from engine.providers.interface import GenerationRequest, Provider
from engine.sessions.outcomes import Answer
from engine.sessions.run import Run

AnyContent: TypeAlias = ContentCommand | DraftCommand | FormatCommand

RETRY_PERCENTS = (85, 90, 95)
"""Where the bar is at the first retry, at the second, and at every later one."""


class ContentPipeline:
    """The content pipeline, and each of its halves.

    Args:
        templates: where prompts come from; None: the packaged ones.
    """

    name = "content"
    is_detached = False

    def __init__(self, templates: Templates | None = None) -> None:
        self.templates = templates or Templates()

    def parse(self, data: JSON) -> tuple[AnyContent, tuple[str, ...]]:
        """Turn a request into a command; its `half` says whether it is one of the halves.

        Raises:
            InvalidRequest: with one detail for each fault.
        """
        return parse_content(data)

    async def run(self, run: Run, command: AnyContent) -> Completed | Failed:
        """Write, lay out and check.

        Raises:
            TemplateBroken: a template is missing; the message names its file.
            PartLost: generator or formatter failed for good.
            PartCut: one of them was cancelled alone, and nothing can follow without it.

        Cancellation: at any point; the provider's stream is closed.
        """
        return await _Work(run, command, self.templates).run()

    def __repr__(self) -> str:
        return f"<ContentPipeline with {self.templates!r}>"


class _Writer(msgspec.Struct, frozen=True):
    """Who writes a stage's text, and by which template."""

    provider: Provider
    model: str
    template: Template


class _Work:
    """One session's work; what it keeps is in the log as well, or is only for the metadata."""

    def __init__(self, run: Run, command: AnyContent, templates: Templates) -> None:
        self._run = run
        self._command = command
        self._templates = templates
        self._began_at = trio.current_time()
        self._writers: dict[Stage, _Writer] = {}
        self._timings: dict[Stage, Timing] = {}
        self._retries = 0

    async def run(self) -> Completed | Failed:
        run, command = self._run, self._command
        await self._begin()
        if isinstance(command, FormatCommand):
            return await self._format(command, command.draft)
        draft = await self._write_draft(command)
        if isinstance(command, ContentCommand):
            return await self._format(command, draft)
        await self._show("done", "The draft is complete", 100)
        return Completed(data=self._result(draft, ()), usage=run.usage())

    # ---- load_prompts ----------------------------------------------------------------------------

    async def _begin(self) -> None:
        run, command = self._run, self._command
        stages: list[tuple[Stage, str | None]] = []
        if not isinstance(command, FormatCommand):
            stages.append(("generator", command.generator_model))
        if not isinstance(command, DraftCommand):
            stages.append(("formatter", command.formatter_model))
        run.declare([{"stage": stage, "phase": stage} for stage, _ in stages])
        if run.view.phase is None:
            await self._show("init", "Starting content generation...", None)
        await run.start_phase("load_prompts", "Loading prompt templates...", 10)
        for stage, wanted in stages:
            provider, model = run.providers.resolve(wanted or "")
            template = self._templates.load(command.content_type, stage)
            self._writers[stage] = _Writer(provider, model, template)

    async def _show(self, phase: str, message: str, percent: float | None) -> None:
        """Show progress; the bar stays where it is rather than go down."""
        if percent is not None:
            percent = max(percent, self._run.view.progress_percent)
        await self._run.emit(Progress(phase=phase, message=message, progress_percent=percent))

    # ---- generator -------------------------------------------------------------------------------

    async def _write_draft(self, command: ContentCommand | DraftCommand) -> str:
        run = self._run
        if (earlier := run.completed("generator")) is not None:
            self._timings["generator"] = msgspec.convert(
                earlier.data.get("timing", {}), type=Timing
            )
            return earlier.text
        writer = self._writers["generator"]
        message = f"Generating content using {writer.model}..."
        await run.start_phase("generator", message, 30)
        meter = Meter(
            max(30, run.view.progress_percent),
            50,
            USUAL_CHARACTERS[command.content_type] * command.num_questions,
            lambda percent: self._show("generator", message, percent),
        )
        with single_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(meter.keep_showing, run.limits.progress_s)
                answer = await run.generate(
                    self._part("generator"),
                    generator_request(command, writer.template, writer.model),
                    writer.provider,
                    on_text=meter.take,
                )
                nursery.cancel_scope.cancel(reason="the draft is written")
        timing = self._timings["generator"] = Timing(answer.total_s, answer.first_token_s)
        draft = answer.text.strip()
        if not draft:
            raise ProviderBadOutput(f"{writer.model} wrote an empty draft")
        await run.complete_part(
            answer.part,
            answer.text,
            usage=answer.usage,
            data={
                "message": "Initial draft generated",
                "progress": 50,
                "timing": msgspec.to_builtins(timing),
            },
        )
        return answer.text

    # ---- formatter and validator -----------------------------------------------------------------

    async def _format(
        self, command: ContentCommand | FormatCommand, draft: str
    ) -> Completed | Failed:
        run = self._run
        if (earlier := run.completed("formatter")) is not None:
            known = msgspec.convert(earlier.data.get("timing", {}), type=Timing)
            self._timings["formatter"] = known
            self._retries = earlier.data.get("retries", 0)
            return Completed(data=self._result(earlier.text, ()), usage=run.usage())
        writer = self._writers["formatter"]
        request = formatter_request(command, writer.template, writer.model, draft)
        await run.start_phase("formatter", f"Formatting content using {writer.model}...", 60)
        answer = await self._lay_out(self._part("formatter"), request)
        text, faults = await self._check(command, answer)
        while faults and self._retries < command.max_retries:
            self._retries += 1
            percent = RETRY_PERCENTS[min(self._retries, len(RETRY_PERCENTS)) - 1]
            message = f"Retrying formatting (attempt {self._retries})..."
            await self._show("retry", message, percent)
            part = await run.new_attempt(
                answer.part, "validation", "validation_failed", _count(faults)
            )
            request = retry_request(command, writer.template, writer.model, draft, text, faults)
            answer = await self._lay_out(part, request)
            text, faults = await self._check(command, answer)
        return await self._end(answer, text, faults)

    async def _lay_out(self, part: Part, request: GenerationRequest) -> Answer:
        answer = await self._run.generate(part, request, self._writers["formatter"].provider)
        before = self._timings.get("formatter", Timing())
        self._timings["formatter"] = Timing(
            before.total_s + answer.total_s,
            answer.first_token_s if before.first_token_s is None else before.first_token_s,
        )
        return answer

    async def _check(
        self, command: ContentCommand | FormatCommand, answer: Answer
    ) -> tuple[str, tuple[Fault, ...]]:
        message = "Validating formatted content..."
        if "validator" in self._run.view.phases:
            await self._show("validator", message, 80)
        else:
            await self._run.start_phase("validator", message, self._at_least(80))
        text = answer.text.strip()
        return text, validate(command.content_type, text, command.num_questions)

    def _at_least(self, percent: float) -> float:
        return max(percent, self._run.view.progress_percent)

    async def _end(
        self, answer: Answer, text: str, faults: tuple[Fault, ...]
    ) -> Completed | Failed:
        run = self._run
        result = self._result(text, faults)
        if faults:
            message = f"The formatted text did not pass the validator: {_count(faults)}"
            await self._show("fail", message, 100)
            return Failed(
                code="validation_failed",
                message=message,
                phase="validator",
                data=result,
                usage=run.usage(),
            )
        await run.complete_part(
            answer.part,
            text,
            usage=answer.usage,
            data={
                "stage": "done",
                "message": "Content generation complete",
                "progress": 100,
                "timing": msgspec.to_builtins(self._timings["formatter"]),
                "retries": self._retries,
            },
        )
        return Completed(data=result, usage=run.usage())

    # ---- the result ------------------------------------------------------------------------------

    def _part(self, stage: Stage) -> Part:
        writer = self._writers[stage]
        return Part(
            id=stage,
            target={"stage": stage},
            phase=stage,
            index=0 if stage == "generator" else 1,
            provider=writer.provider.name,
            model=writer.model,
        )

    def _result(self, text: str, faults: tuple[Fault, ...]) -> JSON:
        return result_of(
            self._command,
            text,
            faults,
            models={stage: writer.model for stage, writer in self._writers.items()},
            prompt_hashes={stage: writer.template.hash for stage, writer in self._writers.items()},
            timings=self._timings,
            retries=self._retries,
            total_s=trio.current_time() - self._began_at,
            usage=self._run.usage(),
        )


def _count(faults: tuple[Fault, ...]) -> str:
    first = faults[0]
    what = "1 error" if len(faults) == 1 else f"{len(faults)} errors"
    return f"{what}, the first in line {first.line} ({first.section}: {first.message})"
