"""The proposal's parts: order, quality, loans, and what the facts say about feasibility."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.commands.exhibition import parse_exhibition
from engine.events import JSON
from engine.knowledge.scoring import Score
from engine.pipelines.exhibition.feasibility import feasibility_notes
from engine.pipelines.exhibition.findings import artwork_json
from engine.pipelines.exhibition.proposal import arranged, loans, quality
from tests.pipelines.exhibition.doubles import artwork, request

NOW = datetime(2027, 1, 4, tzinfo=UTC).timestamp()
FIT = Score(score=0.8, reason="It fits.", parts={})


def work(title: str, maker: str = "Ada Ash", concept: str | None = None, **fields: Any) -> JSON:
    return artwork_json(artwork(title, maker, **fields), FIT, concept)


def titles(works: list[JSON]) -> str:
    return "".join(each["title"] for each in works)


@pytest.mark.parametrize(
    ("style", "order"),
    [("chronological", "CABD"), ("thematic", "BDAC"), ("dialogic", "ACBD"), ("immersive", "BACD")],
)
def test_a_narrative_style_is_an_order(style: Any, order: str) -> None:
    """By year; by the brief's concepts; artists in turn; the largest first."""
    works = [
        work("A", "Ada", "desire", year=1930, width_cm=50.0, height_cm=50.0),
        work("B", "Ada", "dreams", year=1940, width_cm=90.0, height_cm=90.0),
        work("C", "Bea", None, year=1920, width_cm=40.0, height_cm=40.0),
        work("D", "Bea", "dreams", year=None, width_cm=None, height_cm=None),
    ]
    assert titles(arranged(works, style, ("dreams", "desire"))) == order


def notes(works: list[JSON], config: JSON | None = None, **fields: Any) -> str:
    command, _ = parse_exhibition(request(config, **fields))
    people = [{"name": "Ada Ash"}]
    brief = command.curator_brief
    return "\n".join(feasibility_notes(brief, command.config, people, works, now=NOW))


@pytest.mark.parametrize(
    ("fields", "works", "note"),
    [
        ({"space_type": "outdoor"}, [work("A")], "1 work cannot be shown outdoors"),
        ({"space_type": "project"}, [work("A", width_cm=400.0)], "may be too large"),
        (
            {"space_type": "digital"},
            [work("A", thumbnail_url=None)],
            "cannot be shown digitally: no picture is known",
        ),
        ({"space_type": "main"}, [work("A", width_cm=None)], "size of 1 work has to be asked"),
        ({"duration_weeks": 20}, [work("A", medium="woodcut")], "12 of the 20 weeks"),
        ({"budget_max": 5000}, [work("A"), work("B")], "leaves 2,500 for each of 2 works"),
        ({"insurance_max": 1e6}, [work("A")], "average value of 1,000,000"),
        (
            {"exhibition_dates": {"start": "2027-02-01", "end": "2027-05-01"}},
            [work("A")],
            "4 weeks are left",
        ),
        (
            {"exhibition_dates": {"start": "2028-02-01", "end": "2028-03-01"}},
            [work("A")],
            "The dates make 4.1 weeks, the brief says 12",
        ),
        (
            {"exhibition_dates": {"start": "2026-02-01", "end": "2026-05-01"}},
            [work("A")],
            "first day has passed",
        ),
        ({}, [work("A", institution_name=None)], "Where 1 work can be borrowed is not known"),
        ({}, [], "lower min_artwork_relevance"),
    ],
)
def test_feasibility(fields: JSON, works: list[JSON], note: str) -> None:
    """Space, weeks, dates, budget and insurance each say what they mean for these works."""
    assert note in notes(works, **fields)


def test_nothing_is_said_without_a_reason() -> None:
    """A work that can be shown gives no warning."""
    said = notes([work("A")], {"max_artists": 1, "max_artworks": 1})
    assert said == "Loans have to be asked of 1 institution."


def test_loans_by_institution() -> None:
    """The lender of most works comes first; works without a known one come last."""
    works = [work("A", institution_name=None), work("B"), work("C"), work("D")]
    works[3]["institution_name"] = "Tate"
    rows = [(row["institution"], row["count"]) for row in loans(works)]
    assert rows == [("Museum of One", 2), ("Tate", 1), (None, 1)]


def test_quality() -> None:
    """Relevance counts 0.8, what is known of the works 0.2; nothing is worth nothing."""
    assert quality([{"score": 0.6}], [work("A")]) == pytest.approx(0.76)
    assert quality([], []) == 0.0
