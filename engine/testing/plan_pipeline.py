"""The simulation's own pipeline: it does what a plan says, with all that pipelines may use.

The one rule: nothing is decided here. Which parts there are, in which order they are worked on,
what their providers say and what breaks stands in the plan. Must not import the engine's pipelines.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, Protocol

import trio
from pydantic import BaseModel

from engine.actors.mailbox import Mailbox
from engine.errors import Escalated, JournalFailed
from engine.events import JSON, Completed, Failed, Part, PartFailed, Progress
from engine.pipelines.interface import AnyPipeline
from engine.providers.interface import Delta, GenerationRequest, Message, Provider
from engine.sessions.outcomes import PartCut, PartLost
from engine.sessions.run import Run
from engine.supervision import Lost, Member, fan_out
from engine.testing.account import Account
from engine.testing.family import Tape, run_family
from engine.testing.family_plan import FamilyPlan
from engine.testing.scripted_provider import ScriptedProvider
from engine.testing.workload import PartPlan, PhasePlan, Workload


class Planted(Exception):
    """What a part that is a bomb raises: a defect of a pipeline."""


class Simulated(AnyPipeline, Protocol):
    """A pipeline with the provider doubles that it uses, so that these can be looked at."""

    @property
    def directory(self) -> Any:
        """What the engine gets for its providers."""
        ...

    def data(self, place: int) -> JSON:
        """Give the request of one session."""
        ...

    def open_calls(self, place: int) -> int:
        """How many provider calls of a session are open."""
        ...

    def written(self, place: int) -> dict[str, str]:
        """Give, for each part that one call alone writes, what its last call gave."""
        ...


class PlanCommand(BaseModel):
    """Which session of the workload to run."""

    place: int


class PlanPipeline:
    """Does what a session's plan says, with everything that a pipeline may use."""

    name = "plan"
    is_detached = False
    directory = None

    def __init__(self, workload: Workload, violate: Callable[[str], None]) -> None:
        self.plans = workload.sessions
        self.providers = {
            (place, part.id): ScriptedProvider(*part.scripts, name=part.id, close_s=part.close_s)
            for place, session in enumerate(workload.sessions)
            for phase in session.phases
            for part in phase.parts
        }
        self.tapes: list[tuple[FamilyPlan, Tape]] = []
        """What each family went through."""
        self._random = Random(workload.seed)
        self.account: Account | None = None
        """Behind which limits all calls are made; None: there are none."""
        if workload.provider is not None:
            doubles = {_address(*key): double for key, double in self.providers.items()}
            self.account = Account(workload.provider, workload.limits, doubles, violate)

    def data(self, place: int) -> JSON:
        """See `Simulated.data`."""
        return {"place": place}

    def parse(self, data: JSON) -> tuple[PlanCommand, tuple[str, ...]]:
        """See `Pipeline.parse`."""
        return PlanCommand(**data), ()

    async def run(self, run: Run, command: PlanCommand) -> Completed | Failed:
        """See `Pipeline.run`."""
        plan = self.plans[command.place]
        run.declare({"prompt_id": part.id} for phase in plan.phases for part in phase.parts)
        run.declare({"phase": phase.name} for phase in plan.phases)
        soon = _is_hasty(command.place)
        for phase in plan.phases:
            await run.start_phase(phase.name, soon=soon)
            if phase.is_chain:
                await self._chain(run, command.place, phase)
            else:
                await self._side_by_side(run, command.place, phase)
            if phase.family is not None:
                await self._family(run, phase.name, phase.family)
            await run.complete_phase(phase.name, data={"parts": len(phase.parts)}, soon=soon)
        return Completed(data={"parts": sorted(run.view_ahead().parts)})

    async def _side_by_side(self, run: Run, place: int, phase: PhasePlan) -> None:
        members = [
            Member(part.id, partial(self._make, run, place, phase, part)) for part in phase.parts
        ]
        for outcome in await fan_out(members, lanes=phase.lanes):
            if isinstance(outcome, Lost) and isinstance(outcome.error, JournalFailed):
                raise outcome.error

    async def _chain(self, run: Run, place: int, phase: PhasePlan) -> None:
        mailbox = Mailbox[PartPlan](phase.name, 1)

        async def first() -> None:
            async with mailbox.clone() as sender:
                mailbox.close_sending()
                for part in phase.parts:
                    await sender.send(part)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            try:
                async for part in mailbox:
                    with suppress(Planted):
                        await self._make(run, place, phase, part, 1)
            finally:
                mailbox.close()

    async def _family(self, run: Run, phase: str, plan: FamilyPlan) -> None:
        tape = Tape()
        self.tapes.append((plan, tape))

        async def work(child_id: str) -> None:
            await run.emit(Progress(phase=phase, message=child_id))

        try:
            await run_family(plan, tape, work, self._random.random)
        except Escalated:
            if plan.is_fatal:
                raise

    async def _make(
        self, run: Run, place: int, phase: PhasePlan, plan: PartPlan, _attempt: int
    ) -> None:
        known = run.view.parts.get(plan.id)
        if known is not None and known.state != "running":
            return
        part = Part(id=plan.id, target={"prompt_id": plan.id}, phase=phase.name)
        provider: Provider = self.providers[place, plan.id]
        request = _request(plan.id)
        if self.account is not None:
            provider, request = self.account.provider, _request(_address(place, plan.id))
        try:
            match plan.kind:
                case "bomb":
                    await trio.sleep(0.02)
                    raise Planted(plan.id)
                case "write":
                    for piece in plan.pieces:
                        await run.write(part, piece)
                    await run.complete_part(part, "".join(plan.pieces), soon=_is_hasty(place))
                case "ask":
                    with suppress(PartLost):
                        await run.ask(request, provider, part=part)
                case _:
                    is_quiet = plan.kind == "quiet"
                    answer = await run.generate(part, request, provider, quiet=is_quiet)
                    if plan.kind == "improve":
                        part = await run.new_attempt(answer.part, "optimize")
                        answer = await run.generate(part, request, provider)
                    await run.complete_part(
                        answer.part, answer.text, usage=answer.usage, soon=_is_hasty(place)
                    )
        except PartLost as lost:
            await run.emit(PartFailed(part=lost.part, code=lost.code, message=lost.message))
        except PartCut:
            pass

    def open_calls(self, place: int) -> int:
        """How many provider calls of a session are open."""
        return sum(
            provider.open_calls for (owner, _), provider in self.providers.items() if owner == place
        )

    def written(self, place: int) -> dict[str, str]:
        """What the last call of each part's provider gave."""
        texts = {}
        for part in (part for phase in self.plans[place].phases for part in phase.parts):
            provider = self.providers[place, part.id]
            if part.kind in ("generate", "improve", "quiet") and provider.calls:
                script = part.scripts[min(len(provider.calls), len(part.scripts)) - 1]
                deltas = [step for step in script if isinstance(step, Delta)]
                given = deltas[: provider.calls[-1].given]
                texts[part.id] = "".join(delta.text for delta in given)
        return texts


def _request(content: str) -> GenerationRequest:
    messages = (Message(role="user", content=content),)
    return GenerationRequest(messages=messages, model="script", max_tokens=30)


def _is_hasty(place: int) -> bool:
    """Whether a session goes on while its milestones are being committed: every other one does."""
    return place % 2 == 0


def _address(place: int, part: str) -> str:
    """Name a part of a session, for an account that serves them all."""
    return f"{place}/{part}"
