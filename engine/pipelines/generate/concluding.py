"""The end of a run: the ranking, the selection, and the terminal event.

The one rule: once a prompt of the last phase exists, the run completes. Embeddings and judge may
fail; then words are counted, and the ranking selects. Must not import the phases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.commands.generate import GenerateCommand
from engine.errors import AntiphonError, ProviderBadOutput
from engine.events import Completed, Failed
from engine.pipelines.generate.judge import (
    Selection,
    read_selection,
    select_by_ranking,
    selection_request,
)
from engine.pipelines.generate.plan import PhasePlan
from engine.pipelines.generate.prompts import MAX_EARLIER_CHARS, cut
from engine.pipelines.generate.ranking import Ranking, rank, semantic_score
from engine.pipelines.generate.result import Outcomes
from engine.pipelines.generate.similarity import likenesses
from engine.providers.interface import Provider
from engine.sessions.outcomes import PartLost
from engine.sessions.run import Run

MAX_EMBEDDED_CHARS: Final = 24_000
"""Of one text: embedding models take some 8,000 tokens, and the head of a prompt says it all."""


async def conclude(
    run: Run, command: GenerateCommand, last: PhasePlan, outcomes: Outcomes
) -> Completed | Failed:
    """Rank what came through, have one chosen where that was asked for, and give the result.

    Args:
        run: the session.
        command: what was asked for.
        last: the last phase; its provider judges and embeds.
        outcomes: what became of the prompts.

    Cancellation: the judge's stream is closed.
    """
    candidates = outcomes.candidates()
    failures = outcomes.in_state("failed")
    if not candidates and failures:
        return _all_lost(outcomes)
    rankings = await _rank(last.provider, command, candidates)
    selected = None
    if command.auto_select and candidates:
        selected = await _select(run, command, last, candidates, rankings)
    if candidates:
        best = selected.prompt_id if selected is not None else rankings[0].prompt_id
        await run.remember(cut(dict(candidates)[best], MAX_EARLIER_CHARS))
    return Completed(data=outcomes.as_json(rankings, selected))


def _all_lost(outcomes: Outcomes) -> Failed:
    """End a run in which no lane came through: by its last failure, with what there is."""
    failures = [view.failed for view in outcomes.in_state("failed") if view.failed is not None]
    last = failures[-1]
    others = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return Failed(
        code=last.code,
        message=f"every lane was lost: {last.message}{others}",
        phase=last.part.phase,
        data={"partial": outcomes.as_json()},
    )


async def _rank(
    provider: Provider, command: GenerateCommand, candidates: Sequence[tuple[str, str]]
) -> list[Ranking]:
    text, contents = command.request.input, [content for _, content in candidates]
    vectors = await _embed(provider, [text, *contents])
    if vectors is None:
        semantics = await likenesses(text, contents)
    else:
        semantics = [semantic_score(vectors[0], vector) for vector in vectors[1:]]
    return rank(
        text,
        candidates,
        semantics=semantics,
        temperature=command.request.temperature,
        weights=command.weights,
    )


async def _embed(provider: Provider, texts: Sequence[str]) -> list[list[float]] | None:
    """Give the texts' embeddings; None where the provider has none, or fails: words are counted."""
    if not provider.profile.embeddings or len(texts) < 2:
        return None
    try:
        vectors = await provider.embed([cut(text, MAX_EMBEDDED_CHARS) for text in texts])
    except AntiphonError:
        return None
    if vectors is None or len(vectors) != len(texts) or len({len(v) for v in vectors}) != 1:
        return None
    return vectors


async def _select(
    run: Run,
    command: GenerateCommand,
    last: PhasePlan,
    candidates: Sequence[tuple[str, str]],
    rankings: Sequence[Ranking],
) -> Selection:
    """Have a judge choose; where that fails, the top of the ranking is chosen."""
    request = selection_request(
        command,
        candidates,
        model=last.model,
        context_tokens=last.provider.profile.context_tokens,
    )
    try:
        answer = await run.ask(request, last.provider, purpose="judge")
        return read_selection(answer.text, candidates)
    except (PartLost, ProviderBadOutput) as error:
        return select_by_ranking(rankings, candidates, error.message)
