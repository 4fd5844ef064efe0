"""The questions that Wikidata is asked, in SPARQL.

The one rule: pure functions from a query to its text. Whatever a user wrote reaches the text
through `literal` only, which leaves no way out of the quotes. The inner SELECT finds few entities
by cheap patterns, the outer one fetches their facts: the other way round the service times out.

Properties: P31 instance of, P106 occupation, P135 movement, P136 genre, P170 creator, P180 depicts,
P186 material, P195 collection, P569 and P570 born and died, P571 inception, P18 image, P6108 IIIF
manifest, P2048 and P2049 height and width, P21 gender, P27 citizenship.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.knowledge.interface import ArtistQuery, ArtworkQuery

_TRADES = (
    "wd:Q483501 wd:Q1028181 wd:Q1281618 wd:Q33231 wd:Q3391743 wd:Q11569986 wd:Q15296811 "
    "wd:Q329439 wd:Q644687 wd:Q10862983"
)
"""Artist, painter, sculptor, photographer, visual artist, printmaker, draughtsperson, engraver,
illustrator, etcher."""

_LABELS = """SERVICE wikibase:label {{ bd:serviceParam wikibase:language "en,mul,fr,de,es,it".
{bindings} }}"""


def literal(text: str, *, language: str = "en") -> str:
    """Quote a text as a SPARQL literal with its language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\n", " ").replace("\r", " ").replace("\t", " ")
    return f'"{escaped}"@{language}'


def artists(query: ArtistQuery) -> str:
    """Ask for artists: by name, or by movement, genre and depicted subject, alive in the period."""
    patterns = [_by_name(query.names)] if query.names else _by_theme(query)
    union = "\n UNION ".join(f"{{ {pattern} }}" for pattern in patterns)
    life = "" if query.names else _alive(query.period.start_year, query.period.end_year)
    bindings = (
        "?artist rdfs:label ?name. ?artist schema:description ?description. "
        "?movement rdfs:label ?movementName. ?genre rdfs:label ?genreName. "
        "?country rdfs:label ?countryName. ?sex rdfs:label ?sexName."
    )
    return f"""SELECT ?artist ?name ?description ?links (MIN(YEAR(?birth)) AS ?born)
 (MIN(YEAR(?death)) AS ?died) (SAMPLE(?countryName) AS ?nationality) (SAMPLE(?sexName) AS ?gender)
 (GROUP_CONCAT(DISTINCT ?movementName; separator="|") AS ?movements)
 (GROUP_CONCAT(DISTINCT ?genreName; separator="|") AS ?genres)
WHERE {{
 {{ SELECT DISTINCT ?artist ?links WHERE {{
 {union}
 VALUES ?trade {{ {_TRADES} }}
 ?artist wdt:P31 wd:Q5; wdt:P106 ?trade; wikibase:sitelinks ?links.
 {life}
 }} ORDER BY DESC(?links) LIMIT {query.limit} }}
 OPTIONAL {{ ?artist wdt:P569 ?birth. }}
 OPTIONAL {{ ?artist wdt:P570 ?death. }}
 OPTIONAL {{ ?artist wdt:P135 ?movement. }}
 OPTIONAL {{ ?artist wdt:P136 ?genre. }}
 OPTIONAL {{ ?artist wdt:P27 ?country. }}
 OPTIONAL {{ ?artist wdt:P21 ?sex. }}
 {_LABELS.format(bindings=bindings)}
}}
GROUP BY ?artist ?name ?description ?links
ORDER BY DESC(?links)"""


def artworks(query: ArtworkQuery) -> str:
    """Ask for works by their creator, or by what they depict."""
    if query.artist_wikidata_id:
        which = f"?work wdt:P170 wd:{query.artist_wikidata_id}."
    elif query.artist_name:
        names = " ".join(literal(query.artist_name, language=tag) for tag in ("en", "mul"))
        which = f"VALUES ?label {{ {names} }} ?maker rdfs:label ?label; wdt:P31 wd:Q5. "
        which += "?work wdt:P170 ?maker."
    else:
        which = f"VALUES ?label {{ {_spellings(query.concepts)} }} ?subject rdfs:label ?label. "
        which += "?work wdt:P180 ?subject; wdt:P170 ?maker."
    bindings = (
        "?work rdfs:label ?title. ?creator rdfs:label ?creatorName. "
        "?material rdfs:label ?materialName. ?collection rdfs:label ?collectionName. "
        "?depicts rdfs:label ?depictsName. ?movement rdfs:label ?movementName."
    )
    return f"""SELECT ?work ?title ?links (SAMPLE(?creatorName) AS ?artist)
 (MAX(YEAR(?inception)) AS ?year) (SAMPLE(?collectionName) AS ?institution)
 (SAMPLE(?image) AS ?picture) (SAMPLE(?iiif) AS ?manifest)
 (SAMPLE(?heightM) AS ?height_m) (SAMPLE(?widthM) AS ?width_m)
 (GROUP_CONCAT(DISTINCT ?materialName; separator="|") AS ?materials)
 (GROUP_CONCAT(DISTINCT ?depictsName; separator="|") AS ?subjects)
 (GROUP_CONCAT(DISTINCT ?movementName; separator="|") AS ?movements)
WHERE {{
 {{ SELECT DISTINCT ?work ?links WHERE {{
 {which}
 ?work wikibase:sitelinks ?links.
 {_made(query.period.start_year, query.period.end_year)}
 }} ORDER BY DESC(?links) LIMIT {query.limit} }}
 OPTIONAL {{ ?work wdt:P170 ?creator. }}
 OPTIONAL {{ ?work wdt:P571 ?inception. }}
 OPTIONAL {{ ?work wdt:P195 ?collection. }}
 OPTIONAL {{ ?work wdt:P186 ?material. }}
 OPTIONAL {{ ?work wdt:P180 ?depicts. }}
 OPTIONAL {{ ?work wdt:P135 ?movement. }}
 OPTIONAL {{ ?work wdt:P18 ?image. }}
 OPTIONAL {{ ?work wdt:P6108 ?iiif. }}
 OPTIONAL {{ ?work p:P2048/psn:P2048/wikibase:quantityAmount ?heightM. }}
 OPTIONAL {{ ?work p:P2049/psn:P2049/wikibase:quantityAmount ?widthM. }}
 {_LABELS.format(bindings=bindings)}
}}
GROUP BY ?work ?title ?links
ORDER BY DESC(?links)"""


def _by_name(names: Sequence[str]) -> str:
    # Names are labels in English, or in "mul", which Wikidata uses for all languages at once.
    values = " ".join(
        literal(name, language=language) for name in names for language in ("en", "mul")
    )
    return f"VALUES ?label {{ {values} }} ?artist rdfs:label|skos:altLabel ?label."


def _by_theme(query: ArtistQuery) -> list[str]:
    """One pattern for each way in which an artist can belong to the theme."""
    patterns = []
    if words := (*query.movements, *query.concepts):
        patterns.append(
            f"VALUES ?label {{ {_spellings(words)} }} ?group rdfs:label ?label. "
            "?artist wdt:P135 ?group."
        )
    if words := (*query.genres, *query.media):
        patterns.append(
            f"VALUES ?label {{ {_spellings(words)} }} ?kind rdfs:label ?label. "
            "?artist wdt:P136 ?kind."
        )
    if query.concepts:
        patterns.append(
            f"VALUES ?label {{ {_spellings(query.concepts)} }} ?subject rdfs:label ?label. "
            "?depiction wdt:P180 ?subject; wdt:P170 ?artist."
        )
    return patterns


def _spellings(words: Sequence[str]) -> str:
    """Labels match letter by letter, and their capitals follow no rule: try the usual ones."""
    spellings = dict.fromkeys(
        spelling
        for word in words
        for spelling in (word, word.lower(), word[:1].upper() + word[1:].lower())
    )
    return " ".join(literal(spelling) for spelling in spellings)


def _alive(start_year: int | None, end_year: int | None) -> str:
    lines = []
    if end_year is not None:
        lines.append(f"?artist wdt:P569 ?from. FILTER(YEAR(?from) <= {end_year})")
    if start_year is not None:
        lines.append(
            "OPTIONAL { ?artist wdt:P570 ?until. } "
            f"FILTER(!BOUND(?until) || YEAR(?until) >= {start_year})"
        )
    return " ".join(lines)


def _made(start_year: int | None, end_year: int | None) -> str:
    bounds = []
    if start_year is not None:
        bounds.append(f"YEAR(?made) >= {start_year}")
    if end_year is not None:
        bounds.append(f"YEAR(?made) <= {end_year}")
    if not bounds:
        return ""
    condition = " && ".join(bounds)
    return f"OPTIONAL {{ ?work wdt:P571 ?made. }} FILTER(!BOUND(?made) || ({condition}))"
