"""Scores: pure numbers with reasons."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.knowledge.interface import ArtistFound, ArtworkFound, TimePeriod
from engine.knowledge.scoring import (
    DIVERSITY,
    MOVEMENT,
    THEME,
    TIME,
    WORK_DATE,
    WORK_IMAGE,
    WORK_METADATA,
    WORK_THEME,
    Wanted,
    completeness,
    fits_media,
    media_of,
    rank_artists,
    score_artist,
    score_artwork,
)

DREAMS = Wanted(concepts=("dreams",), movements=("Surrealism",))


def artist(name: str = "Someone", **fields: Any) -> ArtistFound:
    return ArtistFound(name=name, source="s", source_id=name, url="u", **fields)


def work(title: str = "Work", **fields: Any) -> ArtworkFound:
    return ArtworkFound(
        title=title, artist_name="A", uri="u", source="s", source_id=title, url="u", **fields
    )


def test_weights_are_those_of_the_contract() -> None:
    """0.35 theme, 0.30 movement, 0.20 time, 0.15 diversity; a work's weights are one in all too."""
    assert (THEME, MOVEMENT, TIME, DIVERSITY) == (0.35, 0.30, 0.20, 0.15)
    total = WORK_THEME + WORK_DATE + WORK_METADATA + WORK_IMAGE
    assert total == pytest.approx(1)


def test_perfect_artist_scores_one() -> None:
    """All four criteria met, nobody chosen before: 1.0, and the reason says why."""
    score = score_artist(artist(movements=("Surrealism",), tags=("dreams",)), DREAMS)
    assert score.score == 1.0
    assert score.reason == "The work touches dreams; belongs to Surrealism."


def test_score_is_the_weighted_sum_of_its_parts() -> None:
    """The number is nothing but its parts, weighted."""
    score = score_artist(artist(tags=("war",), gender="female"), DREAMS, chosen=[artist("B")])
    parts = score.parts
    total = 0.35 * parts["theme"] + 0.30 * parts["movement"] + 0.20 * parts["time"]
    assert score.score == pytest.approx(total + 0.15 * parts["diversity"], abs=0.005)


@pytest.mark.parametrize(
    ("tags", "theme"), [(("dream",), 1.0), (("sleep",), 0.7), (("harbour",), 0.0), ((), 0.0)]
)
def test_theme_prefers_the_word_to_a_related_one(tags: tuple[str, ...], theme: float) -> None:
    """The concept's own word counts 1, a related one 0.7, others nothing."""
    assert score_artist(artist(tags=tags), Wanted(concepts=("dreams",))).parts["theme"] == theme


def test_concepts_beyond_three_count_half() -> None:
    """Nobody has to fit all of ten concepts."""
    wanted = Wanted(concepts=("dreams", "war", "garden", "machine", "city"))
    score = score_artist(artist(tags=("dreams", "war", "garden")), wanted)
    assert score.parts["theme"] == pytest.approx(3 / 4)


def test_works_speak_for_their_artist() -> None:
    """The subjects of known works count for the artist's theme."""
    wanted = Wanted(concepts=("garden",))
    assert score_artist(artist(), wanted).parts["theme"] == 0
    assert score_artist(artist(), wanted, works=[work(tags=("garden",))]).parts["theme"] == 1


@pytest.mark.parametrize(
    ("born", "died", "time"),
    [(1880, 1950, 1.0), (1700, 1760, 0.0), (None, None, 0.5), (1920, None, 1 / 61 * 11)],
)
def test_time_is_the_share_of_the_working_life(
    born: int | None, died: int | None, time: float
) -> None:
    """Who worked wholly in the period counts 1, outside it 0, and unknown half."""
    wanted = Wanted(concepts=("x",), period=TimePeriod(start_year=1900, end_year=1950))
    score = score_artist(artist(birth_year=born, death_year=died), wanted)
    assert score.parts["time"] == pytest.approx(time, abs=0.001)


def test_diversity_rises_with_what_is_rare() -> None:
    """Among men, a woman adds more; with the brief's wish off it makes no difference."""
    chosen = [artist(f"M{n}", gender="male", nationality="French") for n in range(3)]
    woman = artist("W", gender="female", nationality="Mexican")
    man = artist("M", gender="male", nationality="French")
    scores = [score_artist(each, DREAMS, chosen=chosen).parts["diversity"] for each in (woman, man)]
    assert scores[0] > scores[1]
    off = Wanted(concepts=("dreams",), prioritize_diversity=False)
    equal = {score_artist(each, off, chosen=chosen).parts["diversity"] for each in (woman, man)}
    assert len(equal) == 1


def test_ranking_mixes_where_scores_are_equal() -> None:
    """Chosen one after the other, equals alternate; the bounds on score and number hold."""
    men = [
        artist(f"M{n}", gender="male", movements=("Surrealism",), tags=("dreams",))
        for n in range(4)
    ]
    women = [
        artist(f"W{n}", gender="female", movements=("Surrealism",), tags=("dreams",))
        for n in range(2)
    ]
    weak = artist("Weak", birth_year=1500, tags=("harbour",), movements=("Baroque",))
    ranked = rank_artists([*men, *women, weak], DREAMS, min_score=0.5, max_artists=4)
    names = [each.name for each, _ in ranked]
    assert len(names) == 4
    assert names[:2] == ["M0", "W0"]
    everyone = rank_artists([*men, *women, weak], DREAMS, min_score=0.5, max_artists=99)
    assert "Weak" not in {each.name for each, _ in everyone}


def test_artwork_score_counts_theme_date_facts_and_picture() -> None:
    """A complete work on the theme with a manifest scores 1; each lack costs."""
    facts = {"date_created": "1931", "medium": "oil", "institution_name": "M"}
    full = work(
        tags=("dreams",), year=1931, iiif_manifest="m", width_cm=1.0, height_cm=1.0, **facts
    )
    wanted = Wanted(concepts=("dreams",), period=TimePeriod(start_year=1920, end_year=1940))
    assert score_artwork(full, wanted).score == 1.0
    assert score_artwork(work(tags=("dreams",)), wanted).score < 0.7
    late = work(tags=("dreams",), year=1965)
    assert score_artwork(late, wanted).parts["date"] == 0.5
    assert completeness(work(medium="oil")) == 0.2
    assert "at M" in score_artwork(full, wanted).reason


@pytest.mark.parametrize(
    ("medium", "kind"),
    [
        ("Oil on canvas", "painting"),
        ("Colour woodblock print", "print"),
        ("Gelatin silver print", "photography"),
        ("Bronze", "sculpture"),
        ("Charcoal on paper", "drawing"),
    ],
)
def test_medium_is_known_by_its_materials(medium: str, kind: str) -> None:
    """A brief asks for paintings, a museum says oil on canvas."""
    assert kind in media_of(medium)
    assert fits_media(work(medium=medium), (kind,))
    assert not fits_media(work(medium=medium), ("video",))
    assert fits_media(work(medium=None), ("video",))


WORDS = st.sampled_from(["dreams", "war", "Surrealism", "garden", "", "ütf", "a b c"])


@given(
    concepts=st.lists(WORDS, max_size=10),
    movements=st.lists(WORDS, max_size=4),
    tags=st.lists(WORDS, max_size=5),
    born=st.none() | st.integers(-500, 2020),
    died=st.none() | st.integers(-500, 2020),
    start=st.none() | st.integers(-500, 2020),
    end=st.none() | st.integers(-500, 2020),
)
def test_scores_stay_between_0_and_1(
    concepts: list[str],
    movements: list[str],
    tags: list[str],
    born: int | None,
    died: int | None,
    start: int | None,
    end: int | None,
) -> None:
    """Whatever is known or odd, every number is from 0 to 1 and has a reason."""
    wanted = Wanted(
        concepts=tuple(concepts),
        movements=tuple(movements),
        period=TimePeriod(start_year=start, end_year=end),
    )
    someone = artist(birth_year=born, death_year=died, movements=tuple(movements), tags=tuple(tags))
    for score in (
        score_artist(someone, wanted, chosen=[someone]),
        score_artwork(work(tags=tuple(tags), year=born), wanted),
    ):
        assert 0 <= score.score <= 1
        assert all(0 <= part <= 1 for part in score.parts.values())
        assert score.reason.endswith(".")
