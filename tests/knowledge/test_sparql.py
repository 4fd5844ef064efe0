"""The questions to Wikidata: a user's words stay words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.knowledge import sparql
from engine.knowledge.interface import ArtistQuery, ArtworkQuery, TimePeriod

_LITERAL = re.compile(r'"(?:[^"\\\n\r]|\\["\\])*"@[a-z]+')


@given(st.text(max_size=60))
def test_literal_has_no_way_out(text: str) -> None:
    """Quotes, backslashes and line ends are escaped: the text is one literal, whatever it is."""
    assert _LITERAL.fullmatch(sparql.literal(text))


@given(st.text(alphabet='ab"\\{}\n ', min_size=1, max_size=20))
def test_questions_without_their_literals_are_the_same_for_all_words(text: str) -> None:
    """Nothing outside the quotes depends on what a user wrote."""
    for ask in (
        lambda word: sparql.artists(ArtistQuery(names=(word,))),
        lambda word: sparql.artworks(ArtworkQuery(artist_name=word)),
    ):
        assert _LITERAL.sub("", ask(text)) == _LITERAL.sub("", ask("plain"))


@pytest.mark.parametrize(
    "question",
    [
        sparql.artists(
            ArtistQuery(
                concepts=("dreams",),
                movements=("Surrealism",),
                genres=("portrait",),
                period=TimePeriod(start_year=1920, end_year=1950),
                limit=7,
            )
        ),
        sparql.artworks(
            ArtworkQuery(
                artist_wikidata_id="Q5577",
                artist_name="Salvador Dalí",
                period=TimePeriod(start_year=1930),
                limit=7,
            )
        ),
        sparql.artworks(ArtworkQuery(concepts=("water",), limit=7)),
    ],
)
def test_question_is_balanced_and_bounded(question: str) -> None:
    """Braces and brackets close, and the service never has to give more than was asked for."""
    bare = _LITERAL.sub("", question)
    for opening, closing in ("{}", "()"):
        assert bare.count(opening) == bare.count(closing)
    assert "LIMIT 7" in bare


def test_artists_are_asked_by_movement_genre_subject_and_time() -> None:
    """Each way in which an artist can belong to the theme is a branch, in the usual spellings."""
    question = sparql.artists(
        ArtistQuery(
            concepts=("dream",),
            movements=("Surrealism",),
            genres=("portrait",),
            period=TimePeriod(start_year=1920, end_year=1950),
        )
    )
    for piece in ("wdt:P135", "wdt:P136", "wdt:P180", "<= 1950", ">= 1920", '"surrealism"@en'):
        assert piece in question
    assert question.count("UNION") == 2


def test_known_id_is_asked_for_instead_of_the_name() -> None:
    """With a Wikidata id no label has to match."""
    question = sparql.artworks(ArtworkQuery(artist_name="X", artist_wikidata_id="Q5577"))
    assert "wdt:P170 wd:Q5577" in question
    assert "VALUES" not in question
