"""Briefs: what is taken, what is refused and how, and what comes back from a journal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.commands.exhibition import SOURCES, parse_exhibition
from engine.errors import InvalidRequest
from engine.knowledge.sources import SOURCE_NAMES

BRIEF = {
    "theme_title": "Dreams Unchained",
    "theme_description": "How artists gave a form to dreams, to the unconscious and to desire.",
    "theme_concepts": ["dreams", "desire"],
}


def parse(config: dict[str, Any] | None = None, **fields: Any) -> Any:
    command, warnings = parse_exhibition(
        {"curator_brief": {**BRIEF, **fields}, **({} if config is None else {"config": config})}
    )
    assert warnings == ()
    return command


def test_defaults() -> None:
    """What a brief does not say has the contract's default."""
    command = parse()
    brief, config = command.curator_brief, command.config
    assert (brief.duration_weeks, brief.include_international) == (12, True)
    assert (brief.prioritize_diversity, brief.reference_artists) == (True, ())
    assert (config.max_artists, config.max_artworks, config.artworks_per_artist) == (15, 50, 5)
    assert (config.min_artist_relevance, config.min_artwork_relevance) == (0.5, 0.4)
    assert config.auto_select is True
    assert config.sources == SOURCES == SOURCE_NAMES


def test_a_command_survives_the_journal() -> None:
    """What a command serialises itself to is the same command again."""
    command = parse(
        {"max_artists": 3, "sources": ["met", "catalogue"], "auto_select": False},
        exhibition_dates={"start": "2027-03-01", "end": "2027-06-01"},
        time_period={"start_year": 1900, "end_year": 1970},
        budget_max=50_000,
        movements=["Surrealism"],
    )
    stored = json.loads(json.dumps(command.model_dump(mode="json", exclude_defaults=True)))
    assert parse_exhibition(stored) == (command, ())


@pytest.mark.parametrize(
    "concepts",
    [["夢の世界"], ["सपने देखना"], ["l é"], ["avant-garde 2"], ["ö" * 100], ["a-b"] * 10],
)
def test_concepts_of_any_script(concepts: list[str]) -> None:
    """Letters of any script with their marks, digits, spaces and hyphens make a concept."""
    assert parse(theme_concepts=concepts).curator_brief.theme_concepts == tuple(concepts)


def test_concepts_count_once() -> None:
    """A concept that is said twice, in whatever case, is looked up once."""
    assert parse(theme_concepts=["Dreams", "dreams"]).curator_brief.concepts == ("dreams",)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"theme_title": "Four"}, "theme_title"),
        ({"theme_title": "x" * 201}, "theme_title"),
        ({"theme_title": " " * 9}, "theme_title"),
        ({"theme_description": "Too short."}, "theme_description"),
        ({"theme_description": "x" * 2001}, "theme_description"),
        ({"theme_concepts": []}, "theme_concepts"),
        ({"theme_concepts": ["abc"] * 11}, "theme_concepts"),
        ({"theme_concepts": ["ab"]}, "theme_concepts.0"),
        ({"theme_concepts": ["x" * 101]}, "theme_concepts.0"),
        ({"theme_concepts": ["dreams!"]}, "theme_concepts.0"),
        ({"theme_concepts": ["<b>dream</b>"]}, "theme_concepts.0"),
        ({"theme_concepts": ["- - -"]}, "theme_concepts.0"),
        ({"theme_concepts": "dreams"}, "theme_concepts"),
        ({"reference_artists": ["Somebody"] * 21}, "reference_artists"),
        ({"target_audience": "everybody"}, "target_audience"),
        ({"narrative_style": "linear"}, "narrative_style"),
        ({"space_type": "attic"}, "space_type"),
        ({"duration_weeks": 1}, "duration_weeks"),
        ({"duration_weeks": 53}, "duration_weeks"),
        ({"budget_max": 0}, "budget_max"),
        ({"insurance_max": -1}, "insurance_max"),
        ({"exhibition_dates": {"start": "2027-06-01", "end": "2027-06-01"}}, "exhibition_dates"),
        ({"exhibition_dates": {"start": "soon", "end": "2027-06-01"}}, "exhibition_dates.start"),
        ({"time_period": {"start_year": 1970, "end_year": 1900}}, "time_period"),
        ({"time_period": {"start_year": "1900"}}, "time_period.start_year"),
    ],
)
def test_rules_of_the_brief(fields: dict[str, Any], path: str) -> None:
    """Each rule of the brief is kept, and the refusal names the field."""
    with pytest.raises(InvalidRequest) as refused:
        parse(**fields)
    assert [where for where, _ in refused.value.details] == [f"curator_brief.{path}"]


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"max_artists": 0}, "max_artists"),
        ({"max_artists": 51}, "max_artists"),
        ({"max_artworks": 201}, "max_artworks"),
        ({"artworks_per_artist": 0}, "artworks_per_artist"),
        ({"min_artist_relevance": 1.1}, "min_artist_relevance"),
        ({"min_artwork_relevance": -0.1}, "min_artwork_relevance"),
        ({"auto_select": "no"}, "auto_select"),
        ({"sources": []}, "sources"),
        ({"sources": ["louvre"]}, "sources.0"),
        ({"provider": ""}, "provider"),
    ],
)
def test_rules_of_the_configuration(config: dict[str, Any], path: str) -> None:
    """Each rule of the configuration is kept, and the refusal names the field."""
    with pytest.raises(InvalidRequest) as refused:
        parse(config)
    assert [where for where, _ in refused.value.details] == [f"config.{path}"]


def test_unknown_fields_are_named() -> None:
    """A field that is not known is a warning with the nearest allowed one."""
    _, warnings = parse_exhibition({"curator_brief": {**BRIEF, "theme_concept": ["x"]}})
    assert 'the nearest allowed one is "theme_concepts"' in warnings[0]
