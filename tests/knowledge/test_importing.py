"""Imports of museums' open data; the samples in data/ have the layouts as they are published."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio

from engine.errors import InvalidRequest
from engine.knowledge.catalogue import Catalogue, open_catalogue
from engine.knowledge.importing import ImportProgress, SkippedRow, import_csv
from engine.knowledge.interface import ArtistFound, ArtistQuery, ArtworkFound, ArtworkQuery
from engine.limits import Limits

DATA = Path(__file__).parent / "data"
LIMITS = Limits()


async def work_of(catalogue: Catalogue, artist: str, source: str, title: str) -> ArtworkFound:
    works = await catalogue.find_artworks(ArtworkQuery(artist_name=artist, limit=100))
    [work] = [each for each in works if each.source == source and each.title.startswith(title)]
    return work


async def artist_of(catalogue: Catalogue, name: str, source: str) -> ArtistFound:
    def read(rows: list[ArtistFound]) -> ArtistFound:
        [artist] = [row for row in rows if row.source == source]
        return artist

    # One name is one answer in a search; the catalogue's own entry would come first.
    await catalogue.run(
        lambda shelves: shelves._database.execute("DELETE FROM artists WHERE source = 'catalogue'")
    )
    return read(await catalogue.find_artists(ArtistQuery(names=(name,))))


@pytest.mark.parametrize(
    ("file", "layout", "artists", "artworks", "skipped"),
    [
        ("moma_artworks.csv", "MoMA Artworks.csv", 0, 3, {"no Title": 1, "no Artist": 1}),
        ("moma_artists.csv", "MoMA Artists.csv", 3, 0, {}),
        ("tate_artwork_data.csv", "Tate artwork_data.csv", 0, 2, {"the title is not known": 1}),
        ("tate_artist_data.csv", "Tate artist_data.csv", 2, 0, {}),
        ("nga_objects.csv", "National Gallery of Art objects.csv", 0, 2, {"no title": 1}),
        (
            "nga_constituents.csv",
            "National Gallery of Art constituents.csv",
            1,
            0,
            {"not the artist of an object": 1, "not a person": 1},
        ),
        ("met_objects.csv", "The Met MetObjects.csv", 2, 3, {"no Artist Display Name": 1}),
    ],
)
async def test_layout_is_detected_and_a_repeat_changes_nothing(
    file: str, layout: str, artists: int, artworks: int, skipped: dict[str, int]
) -> None:
    """Each published file is known by its header, read whole, and imported once."""
    async with open_catalogue() as catalogue:
        report = await import_csv(catalogue, DATA / file, limits=LIMITS)
        size = await catalogue.size()
        again = await import_csv(catalogue, DATA / file, limits=LIMITS)
        assert await catalogue.size() == size
    assert report.layout == layout
    assert (report.changed_artists, report.changed_artworks) == (artists, artworks)
    assert report.reasons == skipped
    assert report.rows == max(artists, artworks) + sum(skipped.values())
    assert again == msgspec.structs.replace(report, changed_artists=0, changed_artworks=0)


async def test_moma_row_is_read() -> None:
    """MoMA's centimetres, years out of words, and ids."""
    async with open_catalogue() as catalogue:
        await import_csv(catalogue, DATA / "moma_artworks.csv", limits=LIMITS)
        await import_csv(catalogue, DATA / "moma_artists.csv", limits=LIMITS)
        work = await work_of(catalogue, "Vincent van Gogh", "moma", "The Starry Night")
        artist = await artist_of(catalogue, "Doroteo Arnaiz", "moma")
    assert (work.year, work.date_created) == (1889, "Saint Rémy, June 1889")
    assert (work.height_cm, work.width_cm) == (73.7, 92.1)
    assert work.source_id == "79802"
    assert work.tags == ("Painting", "Painting & Sculpture")
    assert work.iiif_manifest is None
    assert (artist.birth_year, artist.death_year) == (1936, None)


async def test_tate_row_is_read() -> None:
    """Tate's names turned round, millimetres, and its swapped width and height."""
    async with open_catalogue() as catalogue:
        await import_csv(catalogue, DATA / "tate_artwork_data.csv", limits=LIMITS)
        work = await work_of(catalogue, "William Blake", "tate", "Job's Evil Dreams")
    assert work.artist_name == "William Blake"
    assert (work.height_cm, work.width_cm) == (19.7, 15.2)
    assert work.source_id == "A00022"
    assert work.url.startswith("https://www.tate.org.uk/art/artworks/")


async def test_nga_row_is_read() -> None:
    """The gallery's dimensions in words, and its Wikidata ids."""
    async with open_catalogue() as catalogue:
        await import_csv(catalogue, DATA / "nga_objects.csv", limits=LIMITS)
        await import_csv(catalogue, DATA / "nga_constituents.csv", limits=LIMITS)
        work = await work_of(catalogue, "Claude Monet", "nga", "Woman with a Parasol")
        sheet = await work_of(catalogue, "Anonymous Artist", "nga", "Untitled")
        artist = await artist_of(catalogue, "Claude Monet", "nga")
    assert (work.height_cm, work.width_cm) == (100.0, 81.0)
    assert work.wikidata_id == "Q1752990"
    assert (sheet.height_cm, sheet.width_cm) == (20.3, 15.2)
    assert artist.wikidata_id == "Q296"


async def test_met_row_is_read() -> None:
    """The Met's first artist; "After" is another hand and vouches for no artist."""
    async with open_catalogue() as catalogue:
        await import_csv(catalogue, DATA / "met_objects.csv", limits=LIMITS)
        wave = await work_of(catalogue, "Hokusai", "met", "Under the Wave")
        gogh = await catalogue.find_artworks(ArtworkQuery(artist_name="Vincent van Gogh", limit=99))
        artist = await artist_of(catalogue, "Vincent van Gogh", "met")
    assert (wave.height_cm, wave.width_cm, wave.year) == (25.7, 37.9, 1832)
    assert "Waves" in wave.tags
    assert "Old Man" not in {work.title for work in gogh}
    assert (artist.birth_year, artist.death_year, artist.wikidata_id) == (1853, 1890, "Q5582")


async def test_changed_row_replaces_the_old_one_and_its_index(tmp_path: Path) -> None:
    """A museum's correction is taken, and the full-text search no longer finds the old words."""
    text = (DATA / "moma_artworks.csv").read_text(encoding="utf-8-sig")
    corrected = tmp_path / "Artworks.csv"
    corrected.write_text(text.replace("The Persistence of Memory", "Melting Zwieback"))
    async with open_catalogue() as catalogue:
        await import_csv(catalogue, DATA / "moma_artworks.csv", limits=LIMITS)
        report = await import_csv(catalogue, corrected, limits=LIMITS)
        [found] = await catalogue.find_artworks(ArtworkQuery(concepts=("zwieback",)))
        old = await catalogue.find_artworks(ArtworkQuery(concepts=("persistence",), limit=50))
    assert report.changed_artworks == 1
    assert found.source_id == "79018"
    assert "moma" not in {work.source for work in old}


async def test_bad_rows_are_skipped_with_their_numbers(tmp_path: Path) -> None:
    """A short row, a huge cell and an empty line do not end an import."""
    header, first, *_ = (DATA / "moma_artists.csv").read_text().splitlines(keepends=True)
    path = tmp_path / "Artists.csv"
    huge = '9,"' + "x" * 200_000 + '",,,,,,,\n'
    path.write_text(header + "7,too,short\n" + first + "\n" + huge)
    async with open_catalogue() as catalogue:
        report = await import_csv(catalogue, path, limits=LIMITS)
    assert report.changed_artists == 1
    assert report.skipped == report.rows - 1
    assert report.skipped_rows[0] == SkippedRow(
        row=2, reason="another number of columns than the header's 9"
    )
    assert any("field larger" in reason for reason in report.reasons)


@pytest.mark.parametrize("text", ["", "a,b,c\n1,2,3\n", "\x00\x00\x00"])
async def test_unknown_file_is_refused(tmp_path: Path, text: str) -> None:
    """What is none of the published files is the caller's error, said in a sentence."""
    path = tmp_path / "other.csv"
    path.write_text(text)
    async with open_catalogue() as catalogue:
        with pytest.raises(InvalidRequest, match=r"other\.csv"):
            await import_csv(catalogue, path, limits=LIMITS)


async def test_progress_comes_with_each_batch_and_cancel_between_two(tmp_path: Path) -> None:
    """An import tells rows and bytes as it goes; cancelled, it keeps what is committed."""
    header = (DATA / "moma_artists.csv").read_text().splitlines(keepends=True)[0]
    rows = "".join(f"{n},Artist {n},,,,{1900 + n % 90},0,,\n" for n in range(1, 5001))
    path = tmp_path / "Artists.csv"
    path.write_text(header + rows)
    limits = Limits(import_batch_rows=1000)
    seen: list[ImportProgress] = []
    async with open_catalogue() as catalogue:
        shipped = (await catalogue.size()).artists
        with trio.CancelScope() as scope:

            def stop_after_two(progress: ImportProgress) -> None:
                seen.append(progress)
                if len(seen) == 2:
                    scope.cancel()

            await import_csv(catalogue, path, limits=limits, progress=stop_after_two)
        assert scope.cancelled_caught
        assert (await catalogue.size()).artists == shipped + 2000
        report = await import_csv(catalogue, path, limits=limits, progress=seen.append)
        assert (await catalogue.size()).artists == shipped + 5000
    assert report.changed_artists == 3000
    assert [each.rows for each in seen] == [1000, 2000, 1000, 2000, 3000, 4000, 5000]
    assert seen[-1].bytes_read == seen[-1].bytes_total == path.stat().st_size


async def test_catalogue_answers_during_an_import(tmp_path: Path) -> None:
    """Questions are answered between two batches."""
    header = (DATA / "moma_artists.csv").read_text().splitlines(keepends=True)[0]
    path = tmp_path / "Artists.csv"
    path.write_text(header + "".join(f"{n},Artist {n},,,,1900,0,,\n" for n in range(1, 3001)))
    async with open_catalogue() as catalogue:
        await catalogue.size()
        answered_at: list[int] = []
        done: list[int] = []
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                await catalogue.find_artists(ArtistQuery(concepts=("dreams",)))
                answered_at.append(len(done))

            nursery.start_soon(ask)
            await import_csv(
                catalogue,
                path,
                limits=Limits(import_batch_rows=100),
                progress=lambda progress: done.append(progress.rows),
            )
    assert len(done) == 30
    assert answered_at[0] < 30


async def test_artist_said_in_two_ways_is_not_changed_to_and_fro(tmp_path: Path) -> None:
    """The Met says an artist once for each work: the first word stands, in a repeat as well."""
    text = (DATA / "met_objects.csv").read_text()
    header, gogh, *_ = text.splitlines(keepends=True)
    other = gogh.replace("436535", "999999").replace("Dutch, Zundert", "Dutch, born Zundert")
    path = tmp_path / "MetObjects.csv"
    path.write_text(header + gogh + other)
    limits = Limits(import_batch_rows=1)
    async with open_catalogue() as catalogue:
        first = await import_csv(catalogue, path, limits=limits)
        again = await import_csv(catalogue, path, limits=limits)
        artist = await artist_of(catalogue, "Vincent van Gogh", "met")
    assert (first.changed_artists, first.changed_artworks) == (1, 2)
    assert (again.changed_artists, again.changed_artworks) == (0, 0)
    assert artist.description == "Dutch, Zundert 1853–1890 Auvers-sur-Oise"
