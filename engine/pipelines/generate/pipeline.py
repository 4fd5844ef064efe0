"""The generate pipeline: phases as actors, joined by mailboxes, and lanes that run through them.

    input ─► prima-materia ─► mailbox ─► solutio ─► mailbox ─► coagulatio ─► ranking, selection
             `count` lanes                `count` lanes         `count` lanes

One actor a phase. With `use_parallel` it works on all lanes at once and passes each one on as soon
as its text is complete; without, it works on one lane at a time and passes them on when its phase
is complete. Either way `phase_start` and `phase_complete` come in the request's order: a phase
begins with its first lane, which the phase before has let go, and its mailbox ends only after that
phase has said that it is complete.

A lane that fails or is cancelled is lost alone. Nothing that a restart needs is held here: prompts
that the log has as complete are not made again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from engine.actors import Mailbox, Sender, serve
from engine.commands.generate import GenerateCommand
from engine.errors import InvalidRequest
from engine.events import JSON, Completed, Failed, PartFailed
from engine.pipelines.generate.concluding import conclude
from engine.pipelines.generate.plan import Lane, PhasePlan, PhaseRefused, plan_phases, prompt_id
from engine.pipelines.generate.prompts import PERSONAS, persona_text
from engine.pipelines.generate.result import Outcomes
from engine.pipelines.generate.similarity import most_similar
from engine.pipelines.generate.writing import Writer
from engine.sessions.admission import Admission
from engine.sessions.outcomes import PartCut, PartLost
from engine.sessions.run import Run
from engine.supervision import ChildSpec, open_supervisor

EARLIER_RESULTS = 5
"""Of the same owner, that the first phase is told about."""


class PersonaPrompts(Protocol):
    """The service "persona_prompts": where registered personas' system prompts are looked up."""

    def __call__(self, persona_id: str) -> Awaitable[str | None]:
        """Give a persona's system prompt; None: nobody has this id."""
        ...


class GeneratePipeline:
    """Turns an idea into prompts; see the module."""

    name = "generate"
    is_detached = False

    def parse(self, data: JSON) -> tuple[GenerateCommand, tuple[str, ...]]:
        """Turn a request into a command; see `GenerateCommand.parse`."""
        return GenerateCommand.parse(data)

    async def admit(self, command: GenerateCommand, admission: Admission) -> GenerateCommand:
        """Refuse a request with a persona that nobody is.

        Raises:
            InvalidRequest: nobody knows the persona.

        Cancellation: nothing was started.
        """
        await _persona(admission.services, command.request.persona)
        return command

    async def run(self, run: Run, command: GenerateCommand) -> Completed | Failed:
        """Make the prompts, rank them, and choose one where that was asked for.

        Raises:
            InvalidRequest: nobody knows the persona any more.
            JournalFailed: something could not be made durable.

        Cancellation: every provider's stream is closed.
        Backpressure: an attached session waits for its fastest reader.
        """
        try:
            plans = plan_phases(command, run.providers)
        except PhaseRefused as refused:
            return Failed(code=refused.code, message=refused.message, phase=refused.phase)
        persona = await _persona(run.services, command.request.persona)
        earlier: list[str] = []
        if command.include_context:
            results = await run.earlier_results()
            earlier = await most_similar(command.request.input, results, EARLIER_RESULTS)
        run.declare(
            {"prompt_id": prompt_id(run.session_id, phase, index), "phase": phase}
            for phase in command.phases
            for index in range(command.request.count)
        )
        writer = Writer(run, command, persona=persona, earlier=earlier)
        await _Phases(run, command, plans, writer).run()
        outcomes = Outcomes(run.session_id, command, run.view_ahead())
        return await conclude(run, command, plans[-1], outcomes)


async def _persona(services: Mapping[str, Any], persona: str) -> str:
    if persona in PERSONAS:
        return persona_text(persona)
    lookup: PersonaPrompts | None = services.get("persona_prompts")
    system_prompt = await lookup(persona) if lookup is not None else None
    if system_prompt is None:
        message = f'unknown persona "{persona}"; allowed are {", ".join(PERSONAS)}'
        message += " and the ids of registered personas"
        raise InvalidRequest(message, [("request.persona", message)])
    return persona_text(persona, system_prompt)


# ---- the phases ---------------------------------------------------------------------------------


class _Phases:
    """The phase actors of one run, and the mailboxes between them."""

    def __init__(
        self,
        run: Run,
        command: GenerateCommand,
        plans: Sequence[PhasePlan],
        writer: Writer,
    ) -> None:
        self._run = run
        self._command = command
        self._plans = plans
        self._writer = writer
        self._begun = set(run.view.phases)
        self._came_through: set[str] = set()  # phases of which at least one lane is complete
        self._has_failed = False

    async def run(self) -> None:
        """Send every lane through every phase.

        An actor is not restarted: what another try can help is tried again inside it, as an
        attempt that readers are told of. What is left is a defect, and ends the session.
        """
        count = self._command.request.count
        first = inbox = Mailbox[Lane]("input", size=count)
        async with open_supervisor(f"generate {self._run.session_id}", intensity=0) as supervisor:
            for plan in self._plans:
                outbox = Mailbox[Lane](f"after {plan.phase}", size=count)
                actor = partial(self._actor, plan, inbox, outbox.clone())
                outbox.close_sending()
                await supervisor.start(ChildSpec(plan.phase, actor, restart="transient"))
                inbox = outbox
            inbox.close()  # nobody receives what the last phase has finished
            for index in range(count):
                await first.send(Lane(index=index, text=self._command.request.input))
            first.close_sending()

    async def _actor(
        self, plan: PhasePlan, inbox: Mailbox[Lane], outbox: Sender[Lane], _incarnation: int
    ) -> None:
        is_parallel = self._command.use_parallel
        is_last = plan is self._plans[-1]
        finished: list[Lane] = []

        async def handle(lane: Lane) -> None:
            done = await self._pass(plan, lane)
            if done is None or is_last:
                return
            if is_parallel:
                await outbox.send(done)
            else:
                finished.append(done)

        with outbox:
            await serve(inbox, handle, lanes=self._command.request.count if is_parallel else 1)
            await self._end_phase(plan)
            for lane in finished:
                await outbox.send(lane)

    async def _pass(self, plan: PhasePlan, lane: Lane) -> Lane | None:
        """Take a lane through a phase; None: it is lost."""
        run = self._run
        part = plan.part(run.session_id, lane)
        known = run.view.parts.get(part.id)
        if known is not None and known.state != "running":  # before a restart
            self._has_failed |= known.state == "failed"
            return self._next_lane(plan, lane, known.text) if known.completed else None
        if plan.phase not in self._begun:  # once, and before the first lane's first chunk
            self._begun.add(plan.phase)
            percent = 100 * plan.place / len(self._plans)
            await run.start_phase(plan.phase, progress_percent=percent, soon=True)
        try:
            text = await self._writer.write(plan, lane)
        except PartLost as lost:
            self._has_failed = True
            await run.emit(PartFailed(part=lost.part, code=lost.code, message=lost.message))
            return None
        except PartCut:
            return None
        return self._next_lane(plan, lane, text)

    def _next_lane(self, plan: PhasePlan, lane: Lane, text: str) -> Lane:
        self._came_through.add(plan.phase)
        part_id = prompt_id(self._run.session_id, plan.phase, lane.index)
        return Lane(index=lane.index, text=text, parent_id=part_id)

    async def _end_phase(self, plan: PhasePlan) -> None:
        """Say that a phase is complete, unless no lane came so far or all were lost by failing."""
        if plan.phase not in self._begun:
            return
        if plan.phase in self._came_through or not self._has_failed:
            percent = 100 * (plan.place + 1) / len(self._plans)
            await self._run.complete_phase(plan.phase, progress_percent=percent, soon=True)
