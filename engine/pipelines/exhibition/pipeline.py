"""The exhibition at work: four stages, and a person's choice after two of them.

The one rule: no fact without its source. What a finished stage found is its PhaseCompleted event's
data, what people chose is their Selected event, and a text is its part; so after a crash the same
code runs again and goes on with the first thing that the log does not have. Must not import a
sibling, nor a provider or a source by name.
"""

from __future__ import annotations

from engine.commands.exhibition import ExhibitionCommand, parse_exhibition
from engine.errors import Internal
from engine.events import JSON, Completed, Failed
from engine.knowledge.interface import TimePeriod
from engine.knowledge.scoring import Wanted
from engine.knowledge.sources import Sources
from engine.pipelines.exhibition import artists, artworks
from engine.pipelines.exhibition.artists import discover_artists
from engine.pipelines.exhibition.artworks import discover_artworks
from engine.pipelines.exhibition.proposal import build_proposal, chosen
from engine.pipelines.exhibition.theme import refine_theme
from engine.pipelines.exhibition.work import STAGES, Work, writer_of
from engine.sessions.admission import Admission
from engine.sessions.run import Run

SERVICE = "sources"
"""The name under which the engine's owner hands over an open `Sources`."""

VALIDATED, PROPOSING = 5.0, 95.0
"""Percent."""


class ExhibitionPipeline:
    """The exhibition."""

    name = "exhibition"
    is_detached = True

    def parse(self, data: JSON) -> tuple[ExhibitionCommand, tuple[str, ...]]:
        """Turn a request into a command.

        Raises:
            InvalidRequest: with one detail for each fault.
        """
        return parse_exhibition(data)

    async def admit(self, command: ExhibitionCommand, admission: Admission) -> ExhibitionCommand:
        """Refuse a provider that is not there, before anything is started.

        Raises:
            ProviderNotFound, ProviderNotConfigured: it is not.
        """
        writer_of(command, admission.providers)
        return command

    def pauses(self, command: ExhibitionCommand) -> int:
        """Say how often a session waits for a person."""
        return 0 if command.config.auto_select else 2

    async def run(self, run: Run, command: ExhibitionCommand) -> Completed | Failed:
        """Work through the stages.

        Raises:
            PartLost: a text could not be written; what finished stages found is in the log.
            Internal: there are no sources to ask.

        Cancellation: at any point; a stage or a text can be cancelled alone.
        """
        sources = run.services.get(SERVICE)
        if not isinstance(sources, Sources):
            raise Internal("exhibitions need the engine's service 'sources'")
        run.declare([{"stage": stage, "phase": stage} for stage in STAGES[:-1]])
        work = Work(run, command, sources)
        await run.start_phase("validation", "The brief is complete", VALIDATED)
        await refine_theme(work)
        wanted = wanted_by(command)
        await discover_artists(work, wanted)
        await _select(work, artists.STAGE, "artists", artists.END)
        picked = chosen(artists.STAGE, "artists", run.view.data, run.view.selected)
        await discover_artworks(work, picked, wanted)
        await _select(work, artworks.STAGE, "artworks", artworks.END)
        await run.start_phase(STAGES[-1], "Putting the proposal together", PROPOSING)
        proposal = build_proposal(
            run.session_id,
            command,
            results=run.view.data,
            selected=run.view.selected,
            created_at=run.created_at,
            now=run.now(),
            is_complete=True,
        )
        return Completed(data=proposal, usage=run.usage())

    def __repr__(self) -> str:
        return "<ExhibitionPipeline>"


def wanted_by(command: ExhibitionCommand) -> Wanted:
    """Give what of a brief bears on scores."""
    brief = command.curator_brief
    period = TimePeriod()
    if brief.time_period is not None:
        period = TimePeriod(
            start_year=brief.time_period.start_year, end_year=brief.time_period.end_year
        )
    return Wanted(
        concepts=brief.concepts,
        movements=brief.movements,
        media=brief.media,
        period=period,
        prioritize_diversity=brief.prioritize_diversity,
    )


async def _select(work: Work, stage: str, key: str, percent: float) -> None:
    """Let a person choose, if the request wants that and there is something to choose.

    When the time is over, all candidates are taken: they are the best already, for a stage gives
    no more than what would be shown without a choice.
    """
    run = work.run
    candidates: list[JSON] = run.view.data[stage][key]
    if work.command.config.auto_select or not candidates:
        return
    await run.wait_selection(
        stage,
        candidates,
        expires_in_s=run.limits.selection_s,
        best=list(range(len(candidates))),
        progress_percent=percent,
    )
