"""The plan of a run: who does each phase, and the prompts that will be made, before any is.

The one rule: a prompt's id follows from its session, phase and lane, so it is the same in every
attempt and after every restart. Pure. Must not import sessions.
"""

from __future__ import annotations

from functools import lru_cache
from uuid import NAMESPACE_OID, uuid5

import msgspec

from engine.commands.generate import GenerateCommand, PhaseConfig
from engine.errors import ProviderNotConfigured, ProviderNotFound
from engine.events import Part
from engine.providers.interface import Directory, Provider


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One of the `count` copies of the input, as the next phase receives it."""

    index: int
    """From 0."""
    text: str
    parent_id: str | None = None
    """The prompt that the text is; None: it is the input itself."""


class PhasePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of a run, and who does it."""

    phase: str
    place: int
    """Among the phases of this run, from 0."""
    provider: Provider
    model: str

    def part(self, session_id: str, lane: Lane) -> Part:
        """Give the part that this phase makes of a lane's text."""
        key = prompt_id(session_id, self.phase, lane.index)
        return Part(
            id=key,
            target={"prompt_id": key},
            phase=self.phase,
            index=lane.index,
            provider=self.provider.name,
            model=self.model,
            parent_id=lane.parent_id,
        )


class PhaseRefused(Exception):
    """A phase has nobody to do it; nothing has begun.

    Args:
        phase: which one.
        error: what is wrong with its provider.
    """

    def __init__(self, phase: str, error: ProviderNotFound | ProviderNotConfigured) -> None:
        cause = "provider not found" if isinstance(error, ProviderNotFound) else error.message
        super().__init__(f"Failed to get provider: {cause}")
        self.phase = phase
        self.code = error.code
        self.message = f"Failed to get provider: {cause}"


def plan_phases(command: GenerateCommand, providers: Directory) -> tuple[PhasePlan, ...]:
    """Settle who does each phase.

    Raises:
        PhaseRefused: a phase's provider is unknown, or lacks its key.
    """
    plans = []
    for place, phase in enumerate(command.phases):
        try:
            provider, model = _choose(command.config_of(phase), providers)
        except (ProviderNotFound, ProviderNotConfigured) as error:
            raise PhaseRefused(phase, error) from error
        plans.append(PhasePlan(phase=phase, place=place, provider=provider, model=model))
    return tuple(plans)


def _choose(config: PhaseConfig | None, providers: Directory) -> tuple[Provider, str]:
    if config is None:
        return providers.resolve("")
    provider = providers.get(config.provider)
    return provider, config.model or provider.default_model


@lru_cache(maxsize=4096)
def prompt_id(session_id: str, phase: str, index: int) -> str:
    """Give the id of the prompt that a phase makes in a lane: a UUID, always the same."""
    return str(uuid5(NAMESPACE_OID, f"{session_id}/{phase}/{index}"))
