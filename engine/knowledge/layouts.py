"""How the museums lay out their open data: one reader for each published CSV file.

The one rule: pure functions from a row to findings; a row that gives none raises RowSkipped with
its reason. What a column does not say is None. The layouts are those of

    National Gallery of Art   github.com/NationalGalleryOfArt/opendata    objects, constituents
    MoMA                      github.com/MuseumofModernArt/collection     Artworks, Artists
    Tate                      github.com/tategallery/collection           artwork_data, artist_data
    The Met                   github.com/metmuseum/openaccess             MetObjects

Must not import a connector, sessions, pipelines or providers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from engine.knowledge.interface import ArtistFound, ArtworkFound
from engine.knowledge.wording import positive_number, whole_number, years_in

Row = dict[str, str]
"""One row by column; a value is "" where the file has nothing."""

Finding = ArtistFound | ArtworkFound


class RowSkipped(Exception):
    """A row that gives no finding; the argument says why, in a few words without the row's data."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """One published file."""

    name: str
    """As people know it: "MoMA Artworks.csv"."""
    museum: str
    """The findings' source."""
    columns: frozenset[str]
    """What its header has and no other layout's does."""
    read: Callable[[Row], Sequence[Finding]]


_MOMA = "The Museum of Modern Art, New York"
_NGA = "National Gallery of Art, Washington, D.C."
_TATE = "Tate"
_MET = "The Metropolitan Museum of Art, New York"

_SIZE_CM = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?[x×] ?([0-9]+(?:\.[0-9]+)?)(?: ?[x×] ?[0-9.]+)? ?cm")
_QID = re.compile(r"Q[1-9][0-9]*$")


def detect(header: Sequence[str]) -> Layout | None:
    """Give the layout of a file with this header; None: none that is known."""
    columns = frozenset(header)
    return next((layout for layout in LAYOUTS if layout.columns <= columns), None)


# ---- MoMA ----------------------------------------------------------------------------------------


def _moma_artwork(row: Row) -> Sequence[Finding]:
    object_id = _needed(row, "ObjectID")
    return [
        ArtworkFound(
            title=_needed(row, "Title"),
            artist_name=_needed(row, "Artist"),
            uri=f"https://www.moma.org/collection/works/{object_id}",
            date_created=row["Date"] or None,
            year=_last_year(row["Date"]),
            medium=row["Medium"] or None,
            institution_name=_MOMA,
            thumbnail_url=row.get("ImageURL") or row.get("ThumbnailURL") or None,
            width_cm=positive_number(row.get("Width (cm)")),
            height_cm=positive_number(row.get("Height (cm)")),
            tags=_some(row.get("Classification"), row.get("Department")),
            source="moma",
            source_id=object_id,
            url=f"https://www.moma.org/collection/works/{object_id}",
        )
    ]


def _moma_artist(row: Row) -> Sequence[Finding]:
    constituent_id = _needed(row, "ConstituentID")
    return [
        ArtistFound(
            name=_needed(row, "DisplayName"),
            wikidata_id=_wikidata(row.get("Wiki QID")),
            birth_year=whole_number(row["BeginDate"]) or None,  # 0 where it is not known
            death_year=whole_number(row["EndDate"]) or None,
            nationality=row["Nationality"] or None,
            gender=row["Gender"].lower() or None,
            description=row["ArtistBio"] or None,
            source="moma",
            source_id=constituent_id,
            url=f"https://www.moma.org/artists/{constituent_id}",
        )
    ]


# ---- Tate ----------------------------------------------------------------------------------------


def _tate_artwork(row: Row) -> Sequence[Finding]:
    title = _needed(row, "title")
    if title == "[title not known]":
        raise RowSkipped("the title is not known")
    accession = _needed(row, "accession_number")
    url = row.get("url") or f"https://www.tate.org.uk/search?q={accession}"
    is_mm = row["units"] == "mm"
    # Tate measures height first, and the file calls the first number "width": they are swapped.
    height_mm, width_mm = positive_number(row["width"]), positive_number(row["height"])
    return [
        ArtworkFound(
            title=title,
            artist_name=_forward(_needed(row, "artist")),
            uri=_secure(url),
            date_created=row["dateText"] or None,
            year=whole_number(row["year"]),
            medium=row.get("medium") or None,
            institution_name=_TATE,
            thumbnail_url=_secure(row["thumbnailUrl"]) or None,
            width_cm=round(width_mm / 10, 2) if width_mm and is_mm else None,
            height_cm=round(height_mm / 10, 2) if height_mm and is_mm else None,
            source="tate",
            source_id=accession,
            url=_secure(url),
        )
    ]


def _tate_artist(row: Row) -> Sequence[Finding]:
    artist_id = _needed(row, "id")
    return [
        ArtistFound(
            name=_forward(_needed(row, "name")),
            birth_year=whole_number(row["yearOfBirth"]),
            death_year=whole_number(row["yearOfDeath"]),
            gender=row["gender"].lower() or None,
            description=row["dates"] or None,
            source="tate",
            source_id=artist_id,
            url=_secure(row["url"]) or f"https://www.tate.org.uk/search?q={artist_id}",
        )
    ]


# ---- National Gallery of Art ---------------------------------------------------------------------


def _nga_artwork(row: Row) -> Sequence[Finding]:
    object_id = _needed(row, "objectid")
    page = f"https://www.nga.gov/collection/art-object-page.{object_id}.html"
    height_cm, width_cm = _size_cm(row["dimensions"])
    return [
        ArtworkFound(
            title=_needed(row, "title"),
            artist_name=_needed(row, "attribution"),
            uri=page,
            date_created=row["displaydate"] or None,
            year=whole_number(row["endyear"]),
            medium=row["medium"] or None,
            institution_name=_NGA,
            width_cm=width_cm,
            height_cm=height_cm,
            tags=_some(row["classification"], row.get("subclassification")),
            wikidata_id=_wikidata(row.get("wikidataid")),
            source="nga",
            source_id=object_id,
            url=page,
        )
    ]


def _nga_artist(row: Row) -> Sequence[Finding]:
    if row["artistofngaobject"] == "0":
        raise RowSkipped("not the artist of an object")
    if row["constituenttype"] not in ("individual", "couple"):
        raise RowSkipped("not a person")
    constituent_id = _needed(row, "constituentid")
    return [
        ArtistFound(
            name=_needed(row, "forwarddisplayname"),
            wikidata_id=_wikidata(row.get("wikidataid")),
            birth_year=whole_number(row["beginyear"]),
            death_year=whole_number(row["endyear"]),
            nationality=row["nationality"] or None,
            description=row["displaydate"] or None,
            source="nga",
            source_id=constituent_id,
            url=f"https://www.nga.gov/collection/artist-info.{constituent_id}.html",
        )
    ]


# ---- The Met -------------------------------------------------------------------------------------


def _met_artwork(row: Row) -> Sequence[Finding]:
    """A work and its first artist. Several people stand in one cell, divided by bars."""
    object_id = _needed(row, "Object ID")
    name = _first(_needed(row, "Artist Display Name"))
    prefix = _first(row["Artist Prefix"])  # "After", "Workshop of": another hand than the name's
    page = row["Link Resource"] or f"https://www.metmuseum.org/art/collection/search/{object_id}"
    height_cm, width_cm = _size_cm(row["Dimensions"])
    work = ArtworkFound(
        title=_needed(row, "Title"),
        artist_name=f"{prefix} {name}" if prefix else name,
        uri=_secure(page),
        date_created=row["Object Date"] or None,
        year=whole_number(row["Object End Date"]) if row["Object Date"] else None,
        medium=row["Medium"] or None,
        institution_name=_MET,
        width_cm=width_cm,
        height_cm=height_cm,
        tags=_some(*row["Tags"].split("|"), row["Classification"]),
        wikidata_id=_wikidata(row.get("Object Wikidata URL")),
        source="met",
        source_id=object_id,
        url=_secure(page),
    )
    constituent_id = _first(row["Constituent ID"])
    if prefix or not constituent_id:
        return [work]
    return [_met_artist(row, name, constituent_id), work]


def _met_artist(row: Row, name: str, constituent_id: str) -> ArtistFound:
    died = whole_number(_first(row["Artist End Date"]))
    return ArtistFound(
        name=name,
        wikidata_id=_wikidata(_first(row.get("Artist Wikidata URL", ""))),
        birth_year=whole_number(_first(row["Artist Begin Date"])),
        death_year=None if died == 9999 else died,  # 9999 stands for "alive"
        nationality=_first(row["Artist Nationality"]) or None,
        gender=_first(row["Artist Gender"]).lower() or None,
        description=_first(row["Artist Display Bio"]) or None,
        source="met",
        source_id=f"constituent-{constituent_id}",
        url=_secure(_first(row["Artist ULAN URL"]))
        or f"https://www.metmuseum.org/art/collection/search?q={constituent_id}",
    )


LAYOUTS = (
    Layout(
        name="MoMA Artworks.csv",
        museum="moma",
        columns=frozenset({"Title", "Artist", "ObjectID", "Date", "Medium"}),
        read=_moma_artwork,
    ),
    Layout(
        name="MoMA Artists.csv",
        museum="moma",
        columns=frozenset(
            {"ConstituentID", "DisplayName", "ArtistBio", "Nationality", "Gender"}
            | {"BeginDate", "EndDate"}
        ),
        read=_moma_artist,
    ),
    Layout(
        name="Tate artwork_data.csv",
        museum="tate",
        columns=frozenset(
            {"accession_number", "artist", "title", "dateText", "year", "width", "height", "units"}
            | {"thumbnailUrl"}
        ),
        read=_tate_artwork,
    ),
    Layout(
        name="Tate artist_data.csv",
        museum="tate",
        columns=frozenset({"id", "name", "gender", "dates", "yearOfBirth", "yearOfDeath", "url"}),
        read=_tate_artist,
    ),
    Layout(
        name="National Gallery of Art objects.csv",
        museum="nga",
        columns=frozenset(
            {"objectid", "title", "displaydate", "endyear", "medium", "dimensions"}
            | {"attribution", "classification"}
        ),
        read=_nga_artwork,
    ),
    Layout(
        name="National Gallery of Art constituents.csv",
        museum="nga",
        columns=frozenset(
            {"constituentid", "forwarddisplayname", "displaydate", "artistofngaobject"}
            | {"beginyear", "endyear", "nationality", "constituenttype"}
        ),
        read=_nga_artist,
    ),
    Layout(
        name="The Met MetObjects.csv",
        museum="met",
        columns=frozenset(
            {"Object ID", "Title", "Constituent ID", "Artist Prefix", "Artist Display Name"}
            | {"Artist Display Bio", "Artist Nationality", "Artist Begin Date", "Artist End Date"}
            | {"Artist Gender", "Artist ULAN URL", "Object Date", "Object End Date", "Medium"}
            | {"Dimensions", "Classification", "Link Resource", "Tags"}
        ),
        read=_met_artwork,
    ),
)


# ---- cells ---------------------------------------------------------------------------------------


def _needed(row: Row, column: str) -> str:
    value = row[column].strip()
    if not value:
        raise RowSkipped(f"no {column}")
    return value


def _first(cell: str) -> str:
    return cell.split("|", 1)[0].strip()


def _some(*values: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.strip() for value in values if value and value.strip()))


def _forward(name: str) -> str:
    """Turn "Blake, William" round; a name without a comma stays."""
    last, comma, rest = name.partition(", ")
    return f"{rest} {last}" if comma else name


def _last_year(text: str) -> int | None:
    years = years_in(text)
    return years[-1] if years else None


def _size_cm(text: str) -> tuple[float | None, float | None]:
    """Height and width from "overall: 84.8 x 61.9 cm (33 3/8 x 24 3/8 in.)"."""
    found = _SIZE_CM.search(text)
    return (positive_number(found[1]), positive_number(found[2])) if found else (None, None)


def _wikidata(cell: str | None) -> str | None:
    found = _QID.search((cell or "").strip())
    return found[0] if found else None


def _secure(url: str) -> str:
    return url.replace("http://", "https://", 1)
