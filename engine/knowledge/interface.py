"""What a source of knowledge is: it is asked for artists, artworks and meanings, and gives facts.

The one rule: **no fact without its source**. Everything that is found says which source said it
(`source`), under which id (`source_id`) and where people can check it (`url`); what the source did
not say is None, never guessed. Exhibition's pipeline asks `engine.knowledge.sources`, which asks
all sources side by side; the sources know nothing of sessions, pipelines or language models.

Must not import sessions, pipelines or providers, nor a sibling.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

# ---- questions -----------------------------------------------------------------------------------


class TimePeriod(msgspec.Struct, frozen=True, kw_only=True):
    """Years of the common era, both included; negative before it. None is open."""

    start_year: int | None = None
    end_year: int | None = None


class ArtistQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which artists are wanted. What is empty does not narrow the answer.

    With `names` the question is "do these people exist?" and the other fields are ignored: that
    is how a brief's reference artists and a model's proposals are confirmed.
    """

    names: tuple[str, ...] = ()
    concepts: tuple[str, ...] = ()
    """The theme's words: "dreams", "the unconscious"."""
    movements: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    period: TimePeriod = TimePeriod()
    """Years in which the artist was alive."""
    limit: int = 30


class ArtworkQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which works of one artist, or on one theme, are wanted.

    Either `artist_name` or `concepts` has to be given. Where both are, all works of the artist
    count, and those on the theme come first.
    """

    artist_name: str = ""
    artist_wikidata_id: str | None = None
    concepts: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    period: TimePeriod = TimePeriod()
    """Years in which the work was made. Works without a known year are kept."""
    limit: int = 10


# ---- answers -------------------------------------------------------------------------------------


class ArtistFound(msgspec.Struct, frozen=True, kw_only=True):
    """One artist, as one source knows them."""

    name: str
    wikidata_id: str | None = None
    """The letter Q and a number."""
    birth_year: int | None = None
    death_year: int | None = None
    movements: tuple[str, ...] = ()
    nationality: str | None = None
    gender: str | None = None
    """As the source says it, in lower case: "female", "male", "non-binary"."""
    tags: tuple[str, ...] = ()
    """Subjects and media that the source connects with the artist."""
    description: str | None = None
    also: tuple[str, ...] = ()
    """Other records that were merged into this one and filled its gaps: "wikidata:Q5577"."""
    source: str
    """The source's name, as in `Source.name`."""
    source_id: str
    """The source's own id."""
    url: str
    """Where people can read it."""


class ArtworkFound(msgspec.Struct, frozen=True, kw_only=True):
    """One work, as one source knows it."""

    title: str
    artist_name: str
    uri: str
    """The work's identity on the web: an entity's or an object's address."""
    date_created: str | None = None
    """The date in the source's words: "c. 1665", "1907–08"."""
    year: int | None = None
    """The year in which it was finished, as far as the source says."""
    medium: str | None = None
    institution_name: str | None = None
    iiif_manifest: str | None = None
    """Only where the source gave one."""
    thumbnail_url: str | None = None
    width_cm: float | None = None
    height_cm: float | None = None
    movements: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    wikidata_id: str | None = None
    also: tuple[str, ...] = ()
    """Other records that were merged into this one and filled its gaps: "wikidata:Q5577"."""
    source: str
    source_id: str
    url: str


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What a concept means, in a source's words."""

    concept: str
    """As it was asked for."""
    title: str
    """As the source calls it."""
    text: str
    context: str = ""
    """A short description of what kind of thing it is: "art movement"."""
    confidence: float
    """0 to 1: how well the source's subject fits the word that was asked for."""
    source: str
    source_id: str
    url: str


class SourceNote(msgspec.Struct, frozen=True, kw_only=True):
    """What one source gave to one question, or why it gave nothing."""

    source: str
    gave: int
    """Number of findings."""
    why: str = ""
    """A sentence for people when something went wrong; "" when all was well."""
    url: str = ""
    """The source's page for people."""


# ---- the interface -------------------------------------------------------------------------------


class Source(Protocol):
    """A place where facts about art are kept.

    The sources here raise SourceFailed when they cannot answer; `Sources`, which is what a
    pipeline holds, turns that into a `SourceNote`. A source need not know about everything: an
    encyclopedia finds no artworks and gives an empty list.
    """

    @property
    def name(self) -> str:
        """The word by which a configuration chooses it: "wikidata", "catalogue"."""
        ...

    @property
    def url(self) -> str:
        """The source's page for people, for the proposal's list of sources."""
        ...

    async def find_artists(self, query: ArtistQuery) -> list[ArtistFound]:
        """Find artists, the best first, at most `query.limit`.

        Raises:
            SourceFailed: the source could not be asked, or its answer could not be read.

        Cancellation: at any point; the request's connection is closed.
        """
        ...

    async def find_artworks(self, query: ArtworkQuery) -> list[ArtworkFound]:
        """Find works, the best first, at most `query.limit`. Raises and cancels as above."""
        ...

    async def define(self, concept: str) -> Definition | None:
        """Say what a concept means; None where the source does not know or does not define."""
        ...

    async def aclose(self) -> None:
        """Release what it holds. The source must not be used afterwards."""
        ...
