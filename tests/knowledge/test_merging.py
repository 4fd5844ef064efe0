"""Merging findings of several sources, and spreading works over artists."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.knowledge.interface import ArtistFound, ArtworkFound
from engine.knowledge.merging import merge_artists, merge_artworks, spread


def artist(name: str, source: str, **fields: Any) -> ArtistFound:
    return ArtistFound(name=name, source=source, source_id=f"{source}-{name}", url=source, **fields)


def work(
    title: str, source: str = "met", *, by: str = "Claude Monet", **fields: Any
) -> ArtworkFound:
    fields = {"source_id": f"{source}-{title}", **fields}
    return ArtworkFound(
        title=title, artist_name=by, uri=source, source=source, url=source, **fields
    )


def test_artists_of_one_name_are_one_and_fill_each_other() -> None:
    """The first source's word stands, gaps are filled, and the identity stays the first one's."""
    [one] = merge_artists(
        [
            artist("Salvador Dalí", "catalogue", birth_year=1904, movements=("Surrealism",)),
            artist("Dalí, Salvador", "wikidata", wikidata_id="Q5577", birth_year=1905),
            artist("Salvador Dali", "moma", death_year=1989, movements=("surrealism", "Dada")),
        ]
    )
    assert (one.source, one.source_id) == ("catalogue", "catalogue-Salvador Dalí")
    assert (one.birth_year, one.death_year, one.wikidata_id) == (1904, 1989, "Q5577")
    assert one.movements == ("Surrealism", "Dada")
    assert one.also == ("wikidata:wikidata-Dalí, Salvador", "moma:moma-Salvador Dali")


def test_namesakes_are_two() -> None:
    """Different Wikidata ids, or births far apart, are different people."""
    assert len(merge_artists([artist("A B", "x", wikidata_id="Q1"), artist("A B", "y")])) == 1
    two_ids = [artist("A B", "x", wikidata_id="Q1"), artist("A B", "y", wikidata_id="Q2")]
    assert len(merge_artists(two_ids)) == 2
    far_apart = [artist("A B", "x", birth_year=1600), artist("A B", "y", birth_year=1700)]
    assert len(merge_artists(far_apart)) == 2


def test_same_work_from_two_sources_is_one() -> None:
    """Articles and subtitles in brackets do not tell works apart."""
    [one] = merge_artworks(
        [
            work("The Starry Night", "wikidata", year=1889),
            work("Starry Night (Saint-Rémy)", "moma", width_cm=92.1, height_cm=73.7),
        ]
    )
    assert (one.source, one.width_cm, one.year) == ("wikidata", 92.1, 1889)


def test_different_works_stay_apart() -> None:
    """Other years, other makers, other ids, and two records of one museum are other works."""
    for one, other in (
        (work("Haystacks", year=1885), work("Haystacks", "artic", year=1891)),
        (work("Self-Portrait"), work("Self-Portrait", "artic", by="Judith Leyster")),
        (work("X", wikidata_id="Q1"), work("X", "artic", wikidata_id="Q2")),
        (work("The Thinker", source_id="1"), work("The Thinker", source_id="2")),
    ):
        assert merge_artworks([one, other]) == [one, other]


def test_same_record_twice_is_one() -> None:
    """The Met's record by its interface and by its file is one record, whatever the title."""
    assert len(merge_artworks([work("A", source_id="1"), work("A, detail", source_id="1")])) == 1


def test_wikidata_id_joins_works_of_different_titles() -> None:
    """Translations of a title are one work where the id says so."""
    works = [work("Les Nymphéas", wikidata_id="Q1"), work("Water Lilies", "x", wikidata_id="Q1")]
    assert len(merge_artworks(works)) == 1


def test_half_a_size_is_not_completed_by_another_source() -> None:
    """A size is one fact: two halves from two sources are none."""
    [one] = merge_artworks(
        [work("A", height_cm=10.0), work("A", "artic", height_cm=99.0, width_cm=99.0)]
    )
    assert (one.height_cm, one.width_cm) == (10.0, None)


def test_spread_gives_every_artist_a_turn() -> None:
    """One prolific artist does not fill the rooms; bounds cut off the weakest of a round."""
    works = [(work(f"M{n}"), 0.9 - n / 100) for n in range(5)]
    works += [(work("G", by="Vincent van Gogh"), 0.5), (work("H", by="Hokusai"), 0.4)]
    chosen = [pair[0].title for pair in spread(works, per_artist=2, max_works=3)]
    assert chosen == ["M0", "G", "H"]
    chosen = [pair[0].title for pair in spread(works, per_artist=2, max_works=99)]
    assert chosen == ["M0", "G", "H", "M1"]


@given(
    st.lists(
        st.builds(
            lambda title, source, year, qid: work(
                title, source, year=year, wikidata_id=qid, source_id=f"{title}{year}"
            ),
            st.sampled_from(["A", "The A", "B", ""]),
            st.sampled_from(["met", "artic", "moma"]),
            st.none() | st.integers(1900, 1905),
            st.none() | st.sampled_from(["Q1", "Q2"]),
        ),
        max_size=12,
    )
)
def test_merging_again_changes_little_and_loses_no_record(works: list[ArtworkFound]) -> None:
    """Every finding is one that came in, by its identity, and never more than came in."""
    merged = merge_artworks(works)
    assert len(merged) <= len(works)
    identities = {(each.source, each.source_id) for each in works}
    assert {(each.source, each.source_id) for each in merged} <= identities
    assert len({(each.source, each.source_id) for each in merged}) == len(merged)
