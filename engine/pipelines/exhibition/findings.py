"""Findings in the form in which they are shown and kept, and the ledger of who gave what.

The one rule: each finding carries its source, the source's id and a page where people can check it.
Both sets of names stand in it (`score` and `relevance_score`, `reasoning` and
`relevance_reasoning`), for clients of either kind exist. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.events import JSON
from engine.knowledge.asking import Answer
from engine.knowledge.interface import ArtistFound, ArtworkFound
from engine.knowledge.scoring import Score


def artist_json(artist: ArtistFound, score: Score) -> JSON:
    """Give an artist."""
    return {
        "name": artist.name,
        "wikidata_id": artist.wikidata_id,
        "birth_year": artist.birth_year,
        "death_year": artist.death_year,
        "nationality": artist.nationality,
        "movements": list(artist.movements),
        **_judged(score),
        **_proof(artist),
    }


def artwork_json(work: ArtworkFound, score: Score, concept: str | None) -> JSON:
    """Give a work; `concept` is the one of the brief that it touches most."""
    return {
        "title": work.title,
        "artist_name": work.artist_name,
        "uri": work.uri,
        "date_created": work.date_created,
        "year": work.year,
        "medium": work.medium,
        "institution_name": work.institution_name,
        "iiif_manifest": work.iiif_manifest,
        "thumbnail_url": work.thumbnail_url,
        "width_cm": work.width_cm,
        "height_cm": work.height_cm,
        "concept": concept,
        **_judged(score),
        **_proof(work),
    }


def _judged(score: Score) -> JSON:
    return {
        "score": score.score,
        "relevance_score": score.score,
        "reasoning": score.reason,
        "relevance_reasoning": score.reason,
    }


def _proof(found: ArtistFound | ArtworkFound) -> JSON:
    return {
        "source": found.source,
        "source_id": found.source_id,
        "url": found.url,
        "also": list(found.also),
    }


class Ledger:
    """What each source gave to a stage, or why it gave nothing."""

    def __init__(self) -> None:
        self._rows: dict[str, JSON] = {}

    def note(self, answers: Iterable[Answer[Any]]) -> None:
        """Write down the notes of answers; a reason that is given twice stands once."""
        for answer in answers:
            note = answer.note
            row = self._rows.setdefault(
                note.source, {"source": note.source, "url": note.url, "gave": 0, "why": []}
            )
            row["gave"] += note.gave
            row["url"] = row["url"] or note.url
            if note.why and note.why not in row["why"]:
                row["why"].append(note.why)

    def as_json(self) -> list[JSON]:
        """Give the rows, in the order in which the sources were first heard of."""
        return list(self._rows.values())
