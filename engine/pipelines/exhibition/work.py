"""What the stages of one session share: the command, who writes, whom to ask, and the bar."""

from __future__ import annotations

from typing import Final

import trio

from engine.commands.exhibition import ExhibitionCommand
from engine.events import JSON, Part, Progress
from engine.knowledge.sources import Sources
from engine.providers.interface import Directory, Provider
from engine.sessions.run import Run

STAGES: Final = ("theme_refinement", "artist_discovery", "artwork_discovery", "proposal_generation")


class Work:
    """One session at work.

    Args:
        run: the session.
        command: what it is asked for.
        sources: whom to ask for facts.
    """

    def __init__(self, run: Run, command: ExhibitionCommand, sources: Sources) -> None:
        self.run = run
        self.command = command
        self.sources = sources
        self.provider, self.model = writer_of(command, run.providers)
        self.bar = trio.Lock()
        """Held from the reading of the bar to its next event: tasks that emit at once are run in
        any order, and the bar would go back."""

    def done(self, stage: str) -> JSON | None:
        """Give what a finished stage found, from the log; None: it is not finished."""
        return self.run.view.data.get(stage)

    def was_cancelled(self, part_id: str) -> bool:
        """Whether a client cancelled a part alone, in this life of the session or before."""
        view = self.run.view.parts.get(part_id)
        return view is not None and view.state == "cancelled"

    def stage_part(self, stage: str) -> Part:
        """Give the part that stands for a whole stage, so that it can be cancelled alone."""
        return Part(id=stage, target={"stage": stage}, phase=stage, index=STAGES.index(stage))

    async def show(self, stage: str, message: str, percent: float) -> None:
        """Show progress; the bar never goes down."""
        async with self.bar:
            percent = max(percent, self.run.view.progress_percent)
            await self.run.emit(Progress(phase=stage, message=message, progress_percent=percent))


def writer_of(command: ExhibitionCommand, providers: Directory) -> tuple[Provider, str]:
    """Give the provider and the model that a configuration names, or the default ones.

    Raises:
        ProviderNotFound, ProviderNotConfigured: there is none of that name.
    """
    config = command.config
    if config.provider is None:
        return providers.resolve(config.model or "")
    provider = providers.get(config.provider)
    return provider, config.model or provider.default_model
