"""All five services in one double: recorded answers by path, unless a test wants others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from engine.knowledge.sources import Sources, SourceSettings, open_sources
from engine.limits import Limits
from engine.testing.http_double import Asked, HttpDouble, Reply, open_http_double

ANSWERS = Path(__file__).parent / "answers"

QUICK = Limits(source_timeout_s=2.0, source_connect_s=1.0, source_read_s=1.0, source_backoff_s=0.01)


def answer_all(asked: Asked) -> Reply:
    """What the services answer when all is well."""
    match asked.path.split("/"):
        case ["", "api", "rest_v1", "page", "summary", title]:
            names = {"Surrealism": "surrealism", "Salvador_Dalí": "dali", "Mercury": "mercury"}
            return recorded(f"wikipedia_{names.get(title, 'missing')}.json")
        case ["", "sparql"]:
            kind = "artworks" if "?work" in asked.params["query"][0] else "artists"
            return recorded(f"wikidata_{kind}.json")
        case ["", "api", "v1", resource, "search"]:
            return recorded(f"artic_{resource}.json")
        case ["", "public", "collection", "v1", "search"]:
            return recorded("met_search.json")
        case ["", "public", "collection", "v1", "objects", object_id]:
            return recorded(f"met_{object_id}.json")
        case ["", "record", "v2", "search.json"]:
            return recorded("europeana_search.json")
    return Reply(status=404, body=b'{"message":"no such place"}')


def recorded(name: str) -> Reply:
    """A recorded answer, or 404 where there is none."""
    path = ANSWERS / name
    if not path.exists():
        return Reply(status=404, body=b'{"message":"ObjectID not found"}')
    return Reply(body=path.read_bytes(), headers={"content-type": "application/json"})


@asynccontextmanager
async def open_services(
    answer: Callable[[Asked], Reply] = answer_all,
    *,
    limits: Limits = QUICK,
    settings: SourceSettings | None = None,
) -> AsyncIterator[tuple[Sources, HttpDouble]]:
    """All sources, asking one double at five addresses that are its own."""
    async with open_http_double(answer) as double:
        pointed = msgspec.structs.replace(
            settings or SourceSettings(europeana_key="secret-key"),
            wikipedia_url=double.url,
            wikidata_url=double.url,
            artic_url=double.url,
            met_url=double.url,
            europeana_url=double.url,
        )
        async with open_sources(pointed, limits) as sources:
            yield sources, double
