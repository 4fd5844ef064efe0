"""Feasibility: what a proposal's own facts say about showing it here, then, and for that money.

The one rule: arithmetic on what is known, in sentences. No price and no date is guessed; where a
rule of thumb is used, the sentence names it. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from engine.commands.exhibition import CuratorBrief, ExhibitionConfig
from engine.events import JSON
from engine.knowledge.scoring import media_of

LIGHT_WEEKS: Final = 12
"""Rule of thumb of conservators: works on paper, photographs and textiles rest after so long."""
LOAN_WEEKS: Final = 26
"""Rule of thumb of registrars: a loan is asked for half a year ahead at least."""
PROJECT_CM: Final = 300.0
"""The longest side of a work that a small room takes."""
_DELICATE: Final = frozenset({"print", "photography", "drawing", "collage", "textile"})
_INDOORS: Final = _DELICATE | {"painting", "video", "installation"}


def feasibility_notes(
    brief: CuratorBrief,
    config: ExhibitionConfig,
    artists: Sequence[JSON],
    artworks: Sequence[JSON],
    *,
    now: float,
) -> list[str]:
    """Say what stands in the way, and what has to be done.

    Args:
        brief: the conditions.
        config: how many artists and works were wanted.
        artists: those in the proposal.
        artworks: those in the proposal.
        now: Unix time in seconds.
    """
    return [
        *_found(config, artists, artworks),
        *_loans(artworks),
        *_space(brief, artworks),
        *_time(brief, artworks, now),
        *_money(brief, artworks),
    ]


def _found(
    config: ExhibitionConfig, artists: Sequence[JSON], artworks: Sequence[JSON]
) -> Iterator[str]:
    if not artists:
        yield (
            "No artist reached the relevance asked for: name movements or reference artists, or "
            "lower min_artist_relevance."
        )
    elif len(artists) < config.max_artists:
        yield f"{_count(len(artists), 'artist')} fit; room was for {config.max_artists}."
    if artists and not artworks:
        yield "No work reached the relevance asked for: lower min_artwork_relevance."
    elif artworks and len(artworks) < config.max_artworks:
        yield f"{_count(len(artworks), 'work')} fit; room was for {config.max_artworks}."


def _loans(artworks: Sequence[JSON]) -> Iterator[str]:
    lenders = {work["institution_name"] for work in artworks if work["institution_name"]}
    unknown = sum(not work["institution_name"] for work in artworks)
    if lenders:
        yield f"Loans have to be asked of {_count(len(lenders), 'institution')}."
    if unknown:
        yield f"Where {_count(unknown, 'work')} can be borrowed is not known."


def _space(brief: CuratorBrief, artworks: Sequence[JSON]) -> Iterator[str]:
    match brief.space_type:
        case "digital":
            blind = sum(not (work["iiif_manifest"] or work["thumbnail_url"]) for work in artworks)
            if blind:
                yield f"{_count(blind, 'work')} cannot be shown digitally: no picture is known."
        case "outdoor":
            indoors = sum(bool(_kinds(work) & _INDOORS) for work in artworks)
            if indoors:
                yield f"{_count(indoors, 'work')} cannot be shown outdoors for their material."
        case "project":
            large = sum(max(_size(work)) > PROJECT_CM for work in artworks)
            if large:
                yield f"{_count(large, 'work')} may be too large: a side is over {PROJECT_CM:g} cm."
        case "main":
            unknown = sum(min(_size(work)) == 0 for work in artworks)
            if unknown:
                yield f"The size of {_count(unknown, 'work')} has to be asked for."


def _time(brief: CuratorBrief, artworks: Sequence[JSON], now: float) -> Iterator[str]:
    weeks = float(brief.duration_weeks)
    dates = brief.exhibition_dates
    if dates is not None:
        weeks = (dates.end - dates.start).days / 7
        if abs(weeks - brief.duration_weeks) >= 1:
            yield (
                f"The dates make {weeks:.1f} weeks, the brief says {brief.duration_weeks}; the "
                "dates count."
            )
        left = (dates.start - datetime.fromtimestamp(now, UTC).date()).days / 7
        if left < 0:
            yield "The exhibition's first day has passed."
        elif left < LOAN_WEEKS and artworks:
            yield (
                f"{math.floor(left)} weeks are left until the first day; loans are usually asked "
                f"for {LOAN_WEEKS} weeks ahead."
            )
    delicate = sum(bool(_kinds(work) & _DELICATE) for work in artworks)
    if delicate and weeks > LIGHT_WEEKS:
        yield (
            f"{_count(delicate, 'work')} on paper or textile should not be in the light for more "
            f"than about {LIGHT_WEEKS} of the {weeks:.0f} weeks: plan to change them."
        )


def _money(brief: CuratorBrief, artworks: Sequence[JSON]) -> Iterator[str]:
    if not artworks:
        return
    lenders = {work["institution_name"] for work in artworks if work["institution_name"]}
    if brief.budget_max is not None:
        each = brief.budget_max / len(artworks)
        yield (
            f"The budget of {brief.budget_max:,.0f} leaves {each:,.0f} for each of "
            f"{_count(len(artworks), 'work')} from {_count(len(lenders), 'lender')}, transport "
            "and installation included."
        )
    if brief.insurance_max is not None:
        each = brief.insurance_max / len(artworks)
        yield (
            f"The insurance limit of {brief.insurance_max:,.0f} allows an average value of "
            f"{each:,.0f} for each work; values are asked of the lenders."
        )


def _kinds(work: JSON) -> set[str]:
    return set(media_of(work["medium"])) if work["medium"] else set()


def _size(work: JSON) -> tuple[float, float]:
    return work["width_cm"] or 0.0, work["height_cm"] or 0.0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
