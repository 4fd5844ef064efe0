"""All sources together over real HTTP: side by side, with faults, offline and from the cache."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import trio

from engine.knowledge.interface import ArtistQuery, ArtworkQuery
from engine.knowledge.sources import SOURCE_NAMES, SourceSettings, open_sources
from engine.limits import Limits
from engine.testing.http_double import Asked, Reply, open_http_double
from tests.system.knowledge.services import QUICK, answer_all, open_services, recorded

pytestmark = pytest.mark.system

GOGH = ArtworkQuery(artist_name="Vincent van Gogh", limit=5)


def only_sparql(fault: Reply) -> Callable[[Asked], Reply]:
    """All is well but for Wikidata."""

    def answer(asked: Asked) -> Reply:
        return fault if asked.path == "/sparql" else answer_all(asked)

    return answer


async def test_fifteen_artists_from_slow_sources_take_under_two_seconds() -> None:
    """With each service answering in 300 ms, the works of 15 artists are found in under 2 s."""

    def slow(asked: Asked) -> Reply:
        return msgspec.structs.replace(answer_all(asked), delay_s=0.3)

    async with open_services(slow, limits=Limits()) as (sources, _):
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(15):
                query = ArtworkQuery(artist_name=f"Artist {number}", limit=5)
                nursery.start_soon(sources.find_artworks, query)
        assert trio.current_time() - began < 2.0


async def test_hanging_source_holds_nobody_up_beyond_its_time_out() -> None:
    """The others are heard at once; the hanging one gives a note when its time is over."""
    heard: list[tuple[str, float]] = []
    async with open_services(only_sparql(Reply(hang=True))) as (sources, _):
        began = trio.current_time()
        answers = await sources.find_artworks(
            GOGH, heard=lambda each: heard.append((each.note.source, trio.current_time() - began))
        )
        took_s = trio.current_time() - began
    assert 1.0 <= took_s < QUICK.source_timeout_s + 0.5
    assert heard[-1][0] == "wikidata"
    assert all(after_s < 0.9 for name, after_s in heard if name != "wikidata")
    notes = {answer.note.source: answer.note for answer in answers}
    assert notes["wikidata"].gave == 0
    assert "did not answer" in notes["wikidata"].why
    assert notes["met"].gave == 2
    assert notes["catalogue"].gave == 5


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Reply(status=500), "failed (HTTP 500)"),
        (Reply(status=403), "refused (HTTP 403)"),
        (Reply(status=429, headers={"retry-after": "60"}), "fewer requests"),
        (Reply(body=b"<html>Please log in</html>"), "not what its interface promises"),
        (Reply(body=b'{"results":[]}'), "not what its interface promises"),
        (Reply(body=b'{"results":{"bind', drop=True), "cannot be reached"),
        (Reply(body=b"{" * 100_000), "larger than"),
    ],
)
async def test_fault_of_a_source_becomes_a_note(fault: Reply, why: str) -> None:
    """Whatever a service does, the question is answered, with the reason in a sentence."""
    limits = msgspec.structs.replace(QUICK, source_answer_bytes=50_000)
    async with open_services(only_sparql(fault), limits=limits) as (sources, _):
        answers = await sources.find_artworks(GOGH, only=["wikidata", "catalogue"])
    wikidata, catalogue = answers
    assert wikidata.found == ()
    assert why in wikidata.note.why
    assert catalogue.note.gave == 5


async def test_passing_fault_is_retried() -> None:
    """A 500 and a short Retry-After are waited out; then the answer counts."""
    faults = [Reply(status=500), Reply(status=429, headers={"retry-after": "0.05"})]

    def answer(asked: Asked) -> Reply:
        return faults.pop(0) if faults else recorded("wikidata_artworks.json")

    async with open_services(answer) as (sources, double):
        [wikidata] = await sources.find_artworks(GOGH, only=["wikidata"])
    assert wikidata.note.gave == 2
    assert len(double.asked) == 3


async def test_breaker_spares_a_source_that_fails() -> None:
    """After four failures in a row a source is not asked any more, and says so."""
    async with open_services(only_sparql(Reply(status=503))) as (sources, double):
        for _ in range(5):
            [last] = await sources.find_artworks(GOGH, only=["wikidata"])
    assert len(double.asked) == QUICK.source_breaker_failures
    assert "left alone" in last.note.why


async def test_without_a_network_sources_are_given_up_within_seconds() -> None:
    """Where nothing listens, the catalogue answers and the others give a note, soon."""
    nowhere = "http://127.0.0.1:1"
    settings = SourceSettings(
        europeana_key="key",
        wikipedia_url=nowhere,
        wikidata_url=nowhere,
        artic_url=nowhere,
        met_url=nowhere,
        europeana_url=nowhere,
    )
    async with open_sources(settings, Limits()) as sources:
        began = trio.current_time()
        for _ in range(15):
            answers = await sources.find_artworks(GOGH)
        assert trio.current_time() - began < 4.0
    assert [answer.note.source for answer in answers] == list(SOURCE_NAMES)
    # Wikipedia finds no works and needs no network to say so.
    assert all(answer.note.why for answer in answers[1:-1])
    assert answers[-1].note.gave == 5


async def test_offline_asks_the_catalogue_alone() -> None:
    """Offline no request leaves; the other sources' notes say why."""
    settings = SourceSettings(offline=True)
    async with open_services(settings=settings) as (sources, double):
        answers = await sources.find_artists(ArtistQuery(concepts=("dreams",)))
        assert sources.names == ("catalogue",)
    assert double.asked == []
    assert [answer.note.source for answer in answers] == list(SOURCE_NAMES)
    assert all("offline" in answer.note.why for answer in answers[:-1])
    assert all(answer.note.url.startswith("https://") for answer in answers)
    assert answers[-1].note.gave >= 15


async def test_europeana_without_a_key_is_not_asked() -> None:
    """Without a key there is a note instead of a refused request."""
    async with open_services(settings=SourceSettings()) as (sources, double):
        [answer] = await sources.find_artworks(GOGH, only=["europeana"])
    assert double.asked == []
    assert "needs a key" in answer.note.why


async def test_cached_answer_is_not_asked_for_again(tmp_path: Path) -> None:
    """The same question is answered from disk, by the next process too."""
    async with open_http_double(answer_all) as double:
        settings = SourceSettings(data_dir=tmp_path, wikipedia_url=double.url)
        found = []
        for _ in range(2):
            async with open_sources(settings, QUICK) as sources:
                found.append(await sources.define("surrealism", only=["wikipedia"]))
                found.append(await sources.define("surrealism", only=["wikipedia"]))
        assert len(double.asked) == 1
    assert found[0][0].found
    assert found == [found[0]] * 4


async def test_garbage_with_status_200_is_not_cached() -> None:
    """A login page in the place of an answer is forgotten when the service is back."""
    replies = [Reply(body=b"<html>"), recorded("wikidata_artworks.json")]
    async with open_services(lambda asked: replies.pop(0)) as (sources, _):
        [bad] = await sources.find_artworks(GOGH, only=["wikidata"])
        [good] = await sources.find_artworks(GOGH, only=["wikidata"])
    assert (bad.note.gave, good.note.gave) == (0, 2)


async def test_cancelled_question_closes_its_requests() -> None:
    """When nobody waits for the answer any more, the service's connection is closed."""
    async with open_services(only_sparql(Reply(hang=True)), limits=Limits()) as (sources, double):
        with trio.move_on_after(0.3):
            await sources.find_artworks(GOGH, only=["wikidata"])
        with trio.fail_after(1):
            await double.wait_none_open()


async def test_cancelled_sources_leave_nothing_open(tmp_path: Path) -> None:
    """A cancel from outside ends questions, actors and files; the next process opens them again."""
    settings = SourceSettings(data_dir=tmp_path, europeana_key="key")
    for _ in range(2):
        with trio.move_on_after(0.3) as scope:
            async with (
                open_services(only_sparql(Reply(hang=True)), settings=settings) as (sources, _),
                trio.open_nursery() as nursery,
            ):
                for _ in range(20):
                    nursery.start_soon(sources.find_artworks, GOGH)
                    nursery.start_soon(sources.define, "surrealism")
        assert scope.cancelled_caught
    gc.collect()  # a file or socket left open would warn here, and warnings are errors
