"""The proposal: everything that the stages found, as one object.

The one rule: a function of the command, the stages' results and the people's choices, all of which
are in the session's log. So an exhibition that failed or is still at work has a proposal as well:
the same object, marked incomplete. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from engine.commands.exhibition import ExhibitionCommand, NarrativeStyle, parse_exhibition
from engine.events import JSON, Completed, Selected
from engine.pipelines.exhibition.feasibility import feasibility_notes
from engine.pipelines.exhibition.texts import RULES
from engine.sessions.view import View

FIT, FACTS = 0.8, 0.2
"""What relevance and completeness count in the quality."""


def proposal_of(
    session_id: str, command: JSON, view: View, *, created_at: float, now: float
) -> JSON:
    """Give the proposal of a session, whole or as far as it came.

    Args:
        session_id: the session.
        command: as the journal has it.
        view: the fold of its log.
        created_at: when it was started; Unix time in seconds.
        now: for what is still being worked on; Unix time in seconds.
    """
    if isinstance(view.terminal, Completed):
        return view.terminal.data
    ended_at = view.terminal_entry.at if view.terminal_entry is not None else now
    parsed, _ = parse_exhibition(command)
    return build_proposal(
        session_id,
        parsed,
        results=view.data,
        selected=view.selected,
        created_at=created_at,
        now=ended_at,
        is_complete=False,
    )


def build_proposal(
    session_id: str,
    command: ExhibitionCommand,
    *,
    results: Mapping[str, JSON],
    selected: Mapping[str, Selected],
    created_at: float,
    now: float,
    is_complete: bool,
) -> JSON:
    """Put the proposal together."""
    brief = command.curator_brief
    theme = results.get("theme_refinement", {})
    artists = chosen("artist_discovery", "artists", results, selected)
    works = chosen("artwork_discovery", "artworks", results, selected)
    artworks = arranged(works, brief.narrative_style, brief.concepts)
    notes = [note for result in results.values() for note in result.get("notes", [])]
    return {
        "session_id": session_id,
        **{rule.name: theme.get(rule.name) for rule in RULES},
        "concepts": theme.get("concepts", []),
        "artists": artists,
        "artworks": artworks,
        "quality_score": quality(artists, artworks),
        "metrics": metrics(artists, artworks),
        "loans": loans(artworks),
        "feasibility_notes": [
            *notes,
            *(
                feasibility_notes(brief, command.config, artists, artworks, now=now)
                if "artwork_discovery" in results
                else ("What is feasible can be said once artworks have been looked for.",)
            ),
        ],
        "sources": sources_of(results),
        "complete": is_complete,
        "created_at": datetime.fromtimestamp(created_at, UTC).isoformat().replace("+00:00", "Z"),
        "processing_time": round(max(0.0, now - created_at), 3),
    }


def chosen(
    stage: str, key: str, results: Mapping[str, JSON], selected: Mapping[str, Selected]
) -> list[JSON]:
    """Give a stage's findings, or those of them that a person chose."""
    found: list[JSON] = results.get(stage, {}).get(key, [])
    choice = selected.get(stage)
    return found if choice is None else [found[index] for index in choice.selected_indices]


def arranged(
    artworks: Sequence[JSON], style: NarrativeStyle, concepts: Sequence[str]
) -> list[JSON]:
    """Put the works into the order in which a narrative style shows them.

    Chronological: by year, those without one last. Thematic: by the brief's concepts. Dialogic: no
    artist twice in a row as long as another one is left. Immersive: the largest first.
    """
    match style:
        case "chronological":
            return sorted(artworks, key=lambda work: (work["year"] is None, work["year"] or 0))
        case "thematic":
            places = {concept: place for place, concept in enumerate(concepts)}
            return sorted(artworks, key=lambda work: places.get(work["concept"], len(places)))
        case "dialogic":
            return _taking_turns(artworks)
        case "immersive":
            return sorted(artworks, key=lambda work: -_area(work))


def _taking_turns(artworks: Sequence[JSON]) -> list[JSON]:
    by_artist: dict[str, list[JSON]] = defaultdict(list)
    for work in artworks:
        by_artist[work["artist_name"]].append(work)
    turns = max((len(works) for works in by_artist.values()), default=0)
    return [
        works[turn] for turn in range(turns) for works in by_artist.values() if len(works) > turn
    ]


def _area(work: JSON) -> float:
    area: float = (work["width_cm"] or 0.0) * (work["height_cm"] or 0.0)
    return area


def quality(artists: Sequence[JSON], artworks: Sequence[JSON]) -> float:
    """From 0 to 1: the mean relevance of artists and works, and how much of the works is known."""
    if not artists or not artworks:
        return 0.0
    relevance = (_mean(artists, "score") + _mean(artworks, "score")) / 2
    facts = ("date_created", "medium", "institution_name", "width_cm", "height_cm", "thumbnail_url")
    known = sum(work[fact] is not None for work in artworks for fact in facts)
    return round(FIT * relevance + FACTS * known / (len(facts) * len(artworks)), 2)


def _mean(found: Sequence[JSON], key: str) -> float:
    return float(sum(each[key] for each in found)) / len(found)


def metrics(artists: Sequence[JSON], artworks: Sequence[JSON]) -> JSON:
    """Count what there is."""
    return {
        "artists": len(artists),
        "artworks": len(artworks),
        "with_iiif": sum(work["iiif_manifest"] is not None for work in artworks),
        "with_image": sum(
            work["thumbnail_url"] is not None or work["iiif_manifest"] is not None
            for work in artworks
        ),
        "with_dimensions": sum(
            work["width_cm"] is not None and work["height_cm"] is not None for work in artworks
        ),
    }


def loans(artworks: Sequence[JSON]) -> list[JSON]:
    """Give the works by institution, most first; those without a known one under null, last."""
    by_lender: dict[str | None, list[JSON]] = defaultdict(list)
    for work in artworks:
        entry = {key: work[key] for key in ("title", "artist_name", "uri")}
        by_lender[work["institution_name"]].append(entry)
    rows = [
        {"institution": lender, "count": len(works), "artworks": works}
        for lender, works in by_lender.items()
    ]
    return sorted(rows, key=lambda row: (row["institution"] is None, -_int(row["count"])))


def _int(value: Any) -> int:
    return int(value)


_GAVE = {
    "theme_refinement": "definitions",
    "artist_discovery": "artists",
    "artwork_discovery": "artworks",
}


def sources_of(results: Mapping[str, JSON]) -> list[JSON]:
    """Say what each source gave to the stages, or why it gave nothing."""
    rows: dict[str, JSON] = {}
    for stage, kind in _GAVE.items():
        for note in results.get(stage, {}).get("sources", []):
            row = rows.setdefault(
                note["source"],
                {
                    "source": note["source"],
                    "url": note["url"],
                    **dict.fromkeys(_GAVE.values(), 0),
                    "why": [],
                },
            )
            row[kind] += note["gave"]
            row["url"] = row["url"] or note["url"]
            row["why"] += [why for why in note["why"] if why not in row["why"]]
    return list(rows.values())
