"""What an exhibition is asked for: a curator's brief, and how the work on it is to be done.

The one rule: a command that exists keeps every rule of its contract (contract 5), so the pipeline
checks nothing again, and every field of it has an effect. Defaults and bounds stand here and
nowhere else. Pure; must not import sessions, pipelines or providers.
"""

from __future__ import annotations

import unicodedata
from datetime import date
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from engine.commands.parsing import Command, parse_command
from engine.events import JSON

Audience = Literal["general", "academic", "youth", "family", "specialists"]
NarrativeStyle = Literal["chronological", "thematic", "dialogic", "immersive"]
SpaceType = Literal["main", "project", "outdoor", "digital"]
SourceName = Literal["wikipedia", "wikidata", "artic", "met", "europeana", "catalogue"]
SOURCES: Final[tuple[SourceName, ...]] = get_args(SourceName)
"""All sources, in the order in which they are shown."""

FIRST_YEAR: Final = -5000
LAST_YEAR: Final = 2100


def _is_concept(text: str) -> str:
    """Let letters of any script (with their marks), digits, spaces and hyphens pass."""
    odd = next((char for char in text if not _is_word_char(char) and char not in " -"), None)
    if odd is not None:
        raise ValueError(
            f"may hold letters, digits, spaces and hyphens, and {odd!r} is none of these"
        )
    if not any(_is_word_char(char) for char in text):
        raise ValueError("must hold a letter or a digit")
    return text


def _is_word_char(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMN"


Concept = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=3, max_length=100),
    AfterValidator(_is_concept),
    Field(json_schema_extra={"pattern": r"^[^\W_]([^\W_]|[ -])+[^\W_]$"}),
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=200)]
ModelName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Share = Annotated[float, Field(ge=0, le=1)]
Year = Annotated[int, Field(ge=FIRST_YEAR, le=LAST_YEAR)]
Money = Annotated[float, Field(gt=0, le=1e12)]


class ExhibitionDates(Command):
    """When the exhibition is open."""

    start: date
    end: date

    @model_validator(mode="after")
    def _in_order(self) -> ExhibitionDates:
        if self.start >= self.end:
            raise ValueError("start must be before end")
        return self


class TimePeriod(Command):
    """Years of the common era, both included; negative before it. Either may be open."""

    start_year: Year | None = None
    end_year: Year | None = None

    @model_validator(mode="after")
    def _in_order(self) -> TimePeriod:
        start, end = self.start_year, self.end_year
        if start is not None and end is not None and start > end:
            raise ValueError("start_year must not be after end_year")
        return self


class CuratorBrief(Command):
    """What the exhibition is to be about, for whom, and under which conditions."""

    theme_title: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=5, max_length=200)
    ]
    theme_description: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=50, max_length=2000)
    ]
    theme_concepts: tuple[Concept, ...] = Field(min_length=1, max_length=10)
    reference_artists: tuple[Name, ...] = Field((), max_length=20)
    """Candidates by name; like all others they count when a source knows them."""
    exclude_artists: tuple[Name, ...] = Field((), max_length=100)
    target_audience: Audience = "general"
    narrative_style: NarrativeStyle = "thematic"
    """How the texts argue, and in which order the works are shown."""
    space_type: SpaceType = "main"
    """Where; the feasibility notes say which works do not go there."""
    exhibition_dates: ExhibitionDates | None = None
    duration_weeks: int = Field(12, ge=2, le=52)
    budget_max: Money | None = None
    insurance_max: Money | None = None
    include_international: bool = True
    """False: artists of one nationality, that of the reference artists or of most candidates."""
    prioritize_diversity: bool = True
    time_period: TimePeriod | None = None
    movements: tuple[Name, ...] = Field((), max_length=20)
    media: tuple[Name, ...] = Field((), max_length=20)

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concepts, each once, whatever its case."""
        return tuple({concept.casefold(): concept for concept in self.theme_concepts}.values())


class ExhibitionConfig(Command):
    """How the work is done."""

    max_artists: int = Field(15, ge=1, le=50)
    max_artworks: int = Field(50, ge=1, le=200)
    artworks_per_artist: int = Field(5, ge=1, le=50)
    min_artist_relevance: Share = 0.5
    min_artwork_relevance: Share = 0.4
    auto_select: bool = True
    """False: the session waits for a person after artists and after artworks."""
    sources: tuple[SourceName, ...] = Field(SOURCES, min_length=1)
    provider: ModelName | None = None
    model: ModelName | None = None


class ExhibitionCommand(Command):
    """A brief and its configuration."""

    curator_brief: CuratorBrief
    config: ExhibitionConfig = ExhibitionConfig()


def parse_exhibition(data: JSON) -> tuple[ExhibitionCommand, tuple[str, ...]]:
    """Give the command that a request asks for, and what is odd about it.

    Raises:
        InvalidRequest: the caller's fault, with one detail for each fault.
    """
    return parse_command(ExhibitionCommand, data)
