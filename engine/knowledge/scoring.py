"""How well artists and works fit a theme: numbers from 0 to 1, each with its reason in words.

The one rule: pure functions, and a fact that is not known counts half, never as good or bad. The
weights are those of contract 5: an artist is 0.35 theme, 0.30 movement, 0.20 time, 0.15 diversity.

    theme      the share of the concepts that the artist's or work's words support; a related word
               (`themes`) counts 0.7, and concepts beyond the best three count half
    movement   1 for a movement of the brief, 0.6 for one that a concept is related to
    time       the share of the life, or the distance of the work's year, in the wanted period
    diversity  what the artist adds to those chosen already: gender, region, century

Must not import a connector, sessions, pipelines or providers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from engine.knowledge import themes
from engine.knowledge.interface import ArtistFound, ArtworkFound, TimePeriod
from engine.knowledge.wording import plain

THEME, MOVEMENT, TIME, DIVERSITY = 0.35, 0.30, 0.20, 0.15
"""An artist's weights: contract 5."""

WORK_THEME, WORK_DATE, WORK_METADATA, WORK_IMAGE = 0.50, 0.20, 0.15, 0.15
"""A work's weights. Contract 5 names the four criteria; the theme weighs most, as with artists."""

UNKNOWN = 0.5
"""What a criterion counts where nothing is known."""

_RELATED = 0.7
_FADE_YEARS = 50
"""Years outside the period after which a work's time counts nothing."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a brief asks for, as far as scores go."""

    concepts: tuple[str, ...]
    movements: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    period: TimePeriod = TimePeriod()
    prioritize_diversity: bool = True


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A number and why."""

    score: float
    """From 0 to 1, rounded to hundredths."""
    reason: str
    """A sentence for people."""
    parts: dict[str, float]
    """{criterion: 0 to 1}, not weighted."""


# ---- artists -------------------------------------------------------------------------------------


def score_artist(
    artist: ArtistFound,
    wanted: Wanted,
    *,
    works: Sequence[ArtworkFound] = (),
    chosen: Sequence[ArtistFound] = (),
) -> Score:
    """Score an artist.

    Args:
        artist: what a source said of them.
        wanted: the brief.
        works: works by the artist that are known already; their subjects count for the theme.
        chosen: artists that are chosen before this one, for diversity.
    """
    return _with_diversity(artist, _judged(artist, wanted, works), wanted, chosen)


def _judged(artist: ArtistFound, wanted: Wanted, works: Sequence[ArtworkFound]) -> Score:
    """All but diversity, which alone depends on who else is chosen."""
    texts = [*artist.movements, *artist.tags, artist.description or ""]
    texts += [text for work in works for text in (work.title, *work.tags)]
    theme, supported = _theme(wanted.concepts, texts)
    movement, shared = _movement(artist.movements, wanted)
    time = _lifetime(artist, wanted.period)
    return Score(
        score=THEME * theme + MOVEMENT * movement + TIME * time,
        reason=_artist_reason(artist, supported, shared),
        parts={"theme": theme, "movement": movement, "time": time},
    )


def _with_diversity(
    artist: ArtistFound, judged: Score, wanted: Wanted, chosen: Sequence[ArtistFound]
) -> Score:
    diversity = _diversity(artist, chosen) if wanted.prioritize_diversity else UNKNOWN
    return Score(
        score=round(judged.score + DIVERSITY * diversity, 2),
        reason=judged.reason,
        parts={**judged.parts, "diversity": diversity},
    )


def rank_artists(
    artists: Iterable[ArtistFound],
    wanted: Wanted,
    *,
    min_score: float,
    max_artists: int,
    works: dict[str, Sequence[ArtworkFound]] | None = None,
) -> list[tuple[ArtistFound, Score]]:
    """Choose artists one after the other, each with regard to those chosen before.

    Args:
        artists: candidates; equals are taken in this order.
        wanted: the brief.
        min_score: artists below are left out.
        max_artists: how many at most.
        works: known works by the artist's name.
    """
    left = [
        (artist, _judged(artist, wanted, (works or {}).get(artist.name, ()))) for artist in artists
    ]
    chosen: list[tuple[ArtistFound, Score]] = []
    while left and len(chosen) < max_artists:
        so_far = [artist for artist, _ in chosen]
        scores = [_with_diversity(*candidate, wanted, so_far) for candidate in left]
        best = max(range(len(left)), key=lambda index: scores[index].score)
        if scores[best].score < min_score:
            break
        chosen.append((left.pop(best)[0], scores[best]))
    return chosen


# ---- works ---------------------------------------------------------------------------------------


def score_artwork(work: ArtworkFound, wanted: Wanted) -> Score:
    """Score a work by theme, date, what is known of it, and whether there is a picture."""
    texts = [work.title, *work.tags, *work.movements]
    theme, supported = _theme(wanted.concepts, texts)
    date = _date(work.year, wanted.period)
    metadata = completeness(work)
    image = 1.0 if work.iiif_manifest else 0.8 if work.thumbnail_url else 0.0
    total = WORK_THEME * theme + WORK_DATE * date + WORK_METADATA * metadata + WORK_IMAGE * image
    about = f"Its subject touches {_listed(supported)}" if supported else "Chosen for its maker"
    when = f"; made {work.date_created}" if work.date_created else ""
    where = f", at {work.institution_name}" if work.institution_name else ""
    return Score(
        score=round(total, 2),
        reason=f"{about}{when}{where}".removesuffix(".") + ".",
        parts={"theme": theme, "date": date, "metadata": metadata, "image": image},
    )


def completeness(work: ArtworkFound) -> float:
    """The share of what a loan needs that is known: date, medium, institution, both sizes."""
    facts = (work.date_created, work.medium, work.institution_name, work.width_cm, work.height_cm)
    return sum(fact is not None for fact in facts) / len(facts)


def fits_media(work: ArtworkFound, media: Sequence[str]) -> bool:
    """Whether a work is of one of the media; one whose medium is unknown is."""
    if not media or not work.medium:
        return True
    words = themes.stems(" ".join((work.medium, *work.tags))) | themes.stems(
        " ".join(media_of(work.medium))
    )
    return any(themes.stems(medium) <= words for medium in media)


def media_of(medium: str) -> tuple[str, ...]:
    """The kinds of art that materials and techniques make: "oil on canvas" is a painting."""
    words = set(plain(medium).split())
    return tuple(kind for kind, signs in _MEDIA.items() if words & signs)


_MEDIA: dict[str, frozenset[str]] = {
    "painting": frozenset(
        {"oil", "tempera", "acrylic", "fresco", "watercolour", "watercolor", "gouache", "casein"}
        | {"encaustic", "enamel", "mural"}
    ),
    "print": frozenset(
        {"woodcut", "woodblock", "etching", "engraving", "lithograph", "lithographs", "screenprint"}
        | {"silkscreen", "aquatint", "aquatints", "etchings", "drypoint", "mezzotint", "print"}
    ),
    "photography": frozenset(
        {"photograph", "gelatin", "albumen", "daguerreotype", "photogravure", "cyanotype"}
    ),
    "sculpture": frozenset(
        {"bronze", "marble", "plaster", "granite", "steel", "terracotta", "limestone", "wax"}
        | {"beeswax", "porcelain", "aluminium"}
    ),
    "drawing": frozenset({"charcoal", "chalk", "graphite", "pencil", "ink", "crayon", "pastel"}),
    "collage": frozenset({"collage", "photomontage"}),
    "textile": frozenset({"quilt", "quilted", "tapestry", "textile", "wool", "silk", "weaving"}),
    "installation": frozenset({"installation"}),
    "video": frozenset({"video", "film"}),
}


# ---- criteria ------------------------------------------------------------------------------------


def _theme(concepts: Sequence[str], texts: Sequence[str]) -> tuple[float, list[str]]:
    """How far the texts support the concepts, and which of them."""
    if not concepts:
        return UNKNOWN, []
    words = themes.stems(" ".join(texts))
    if not words:
        return 0.0, []
    supports = {concept: _support(concept, words) for concept in concepts}
    ranked = sorted(supports.values(), reverse=True)
    # Nobody has to fit all of ten concepts: beyond the best three each counts half.
    weights = [1.0 if place < 3 else 0.5 for place in range(len(ranked))]
    total = sum(value * weight for value, weight in zip(ranked, weights, strict=True))
    return round(total / sum(weights), 3), [each for each, value in supports.items() if value]


def _support(concept: str, words: frozenset[str]) -> float:
    own = themes.stems(concept)
    if own and own <= words:
        return 1.0
    if own & words or any(themes.stems(word) <= words for word in themes.related(concept)):
        return _RELATED
    return 0.0


def _movement(movements: Sequence[str], wanted: Wanted) -> tuple[float, list[str]]:
    """1 where a movement of the brief is shared; else by the concepts' related words."""
    if not movements:
        return UNKNOWN if not wanted.movements else 0.0, []
    asked = {plain(movement) for movement in wanted.movements}
    shared = [movement for movement in movements if plain(movement) in asked]
    if shared:
        return 1.0, shared
    words = themes.stems(" ".join(themes.expanded(wanted.concepts)))
    near = [movement for movement in movements if themes.stems(movement) <= words]
    if near:
        return (0.6 if asked else 0.9), near
    return (0.0 if asked else UNKNOWN), []


def _lifetime(artist: ArtistFound, period: TimePeriod) -> float:
    """The share of the working life (from 20 on) in the period."""
    if period.start_year is None and period.end_year is None:
        return 1.0
    if artist.birth_year is None:
        return UNKNOWN
    begin = artist.birth_year + 20
    end = max(artist.death_year or artist.birth_year + 80, begin)
    lower = begin if period.start_year is None else max(begin, period.start_year)
    upper = end if period.end_year is None else min(end, period.end_year)
    return round(max(0, upper - lower + 1) / (end - begin + 1), 3)


def _date(year: int | None, period: TimePeriod) -> float:
    """1 in the period, fading to 0 at `_FADE_YEARS` outside it."""
    if period.start_year is None and period.end_year is None:
        return 1.0
    if year is None:
        return UNKNOWN
    before = (period.start_year - year) if period.start_year is not None else 0
    after = (year - period.end_year) if period.end_year is not None else 0
    return round(max(0.0, 1 - max(before, after, 0) / _FADE_YEARS), 3)


def _diversity(artist: ArtistFound, chosen: Sequence[ArtistFound]) -> float:
    """How rare the artist's gender, nationality and century are among those chosen before."""
    if not chosen:
        return 1.0
    traits: list[tuple[object, list[object]]] = [
        (artist.gender, [each.gender for each in chosen]),
        (artist.nationality, [each.nationality for each in chosen]),
        (_century(artist), [_century(each) for each in chosen]),
    ]
    rarity = [
        UNKNOWN if trait is None else 1 - others.count(trait) / len(others)
        for trait, others in traits
    ]
    return round(sum(rarity) / len(rarity), 3)


def _century(artist: ArtistFound) -> int | None:
    return None if artist.birth_year is None else artist.birth_year // 100


def _artist_reason(artist: ArtistFound, supported: list[str], shared: list[str]) -> str:
    pieces = []
    if supported:
        pieces.append(f"the work touches {_listed(supported)}")
    if shared:
        pieces.append(f"belongs to {_listed(shared)}")
    elif artist.movements:
        pieces.append(f"known for {_listed(artist.movements[:2])}")
    if not pieces:
        pieces.append(f"named by {artist.source}")
    text = "; ".join(pieces)
    return text[0].upper() + text[1:] + "."


def _listed(words: Sequence[str]) -> str:
    shown = list(words[:4])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
