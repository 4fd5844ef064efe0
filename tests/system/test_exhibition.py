"""Exhibitions with a real server: HTTP, sockets, slow museums, kill -9."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import trio
from trio_websocket import ConnectionClosed

from engine.testing.http_double import Asked, Reply, open_http_double
from tests.system.knowledge.services import answer_all
from tests.system.server_process import PATIENCE_S, Message, ServerProcess, open_server

pytestmark = pytest.mark.system

BRIEF = {
    "theme_title": "Dreams Unchained",
    "theme_description": "How artists gave a form to dreams, to the unconscious and to desire.",
    "theme_concepts": ["dreams", "the unconscious", "metamorphosis"],
    "movements": ["Surrealism"],
    "reference_artists": ["Salvador Dalí"],
}
STAGES = ("theme_refinement", "artist_discovery", "artwork_discovery")
FAST = {"ANTIPHON_SIM_TOKENS_PER_S": "0", "ANTIPHON_SIM_TTFT_MS": "1"}


def asking(config: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"curator_brief": {**BRIEF, **fields}, "config": config or {}}


@asynccontextmanager
async def calling(server: ServerProcess) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as http:
        yield http


async def submit(
    server: ServerProcess, body: dict[str, Any], headers: dict[str, str] | None = None
) -> str:
    async with calling(server) as http:
        answer = await http.post("/api/curator/submit", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    session_id: str = answer.json()["session_id"]
    return session_id


async def proposal_of(server: ServerProcess, session_id: str) -> Message:
    async with calling(server) as http:
        answer = await http.get(f"/api/proposals/{session_id}")
    assert answer.status_code == 200, answer.text
    proposal: Message = answer.json()["proposal"]
    return proposal


async def watch(server: ServerProcess, session_id: str) -> list[Message]:
    """Read an exhibition to its end, as the seed's client does."""
    async with server.talk(f"/ws/{session_id}") as talk:
        await talk.until("completed", "error", "cancelled")
        return talk.seen


def check_whole(seen: list[Message]) -> None:
    """The messages of a session cover 1, 2, 3 … without a hole."""
    numbered = [message for message in seen if "seq" in message]
    covered = [n for m in numbered for n in range(m.get("first_seq", m["seq"]), m["seq"] + 1)]
    assert covered == list(range(1, seen[-1]["seq"] + 1))


async def test_a_brief_becomes_an_exhibition_without_a_network(tmp_path: Path) -> None:
    """202 with addresses; `connected` first; the stages in order; `completed` with the proposal.

    No museum can be reached from here: the embedded catalogue gives a whole exhibition all the
    same, and the others are given up within seconds.
    """
    async with open_server(tmp_path, env=FAST) as server:
        async with calling(server) as http:
            began = trio.current_time()
            answer = await http.post("/api/curator/submit", json=asking())
            assert answer.status_code == 202
            body = answer.json()
            session_id = body["session_id"]
            assert body["message"] == "Processing started"
            assert body["websocket_url"] == f"/ws/{session_id}"
            assert body["events_url"] == f"/api/sessions/{session_id}/events"
            seen = await watch(server, session_id)
            assert trio.current_time() - began < 15
            status = (await http.get(f"/api/sessions/{session_id}/status")).json()
            page = await http.get(f"/api/proposals/{session_id}", headers={"Accept": "text/html"})
        proposal = await proposal_of(server, session_id)
    assert seen[0]["type"] == "connected"
    check_whole(seen)
    completes = [m for m in seen if m["type"] == "stage_complete"]
    assert [(m["stage"], m["completed_stage"], m["progress"]) for m in completes] == [
        (stage, stage, percent) for stage, percent in zip(STAGES, (25, 55, 90), strict=True)
    ]
    assert {m["stage"] for m in seen if m["type"] == "item"} == set(STAGES[1:])
    assert {m["field"] for m in seen if m["type"] == "chunk"} >= {"curatorial_statement"}
    done = seen[-1]
    assert done["type"] == "completed"
    assert done["proposal_url"] == f"/api/proposals/{session_id}"
    assert (done["stage"], done["progress"]) == ("completed", 100)
    assert status["state"] == "completed"
    assert status["stage"] == "completed"
    assert proposal["complete"] is True
    assert len(proposal["artists"]) == 15
    assert len(proposal["artworks"]) >= 20
    assert "Salvador Dalí" in {each["name"] for each in proposal["artists"]}
    assert "The Persistence of Memory" in {each["title"] for each in proposal["artworks"]}
    why = {row["source"]: row["why"] for row in proposal["sources"]}
    assert all(why[name] for name in ("wikidata", "artic", "met", "europeana"))
    assert page.headers["content-type"].startswith("text/html")
    assert "<h2>Works</h2>" in page.text
    assert "The Persistence of Memory" in page.text


async def test_five_clients_and_a_late_one_see_the_same(tmp_path: Path) -> None:
    """A client that connects late, or five times, sees the same whole."""
    env = {"ANTIPHON_OFFLINE": "1", "ANTIPHON_SIM_TOKENS_PER_S": "2000"}
    async with open_server(tmp_path, env=env) as server:
        session_id = await submit(server, asking())
        seen: list[list[Message]] = []

        async def look(after_s: float) -> None:
            await trio.sleep(after_s)
            seen.append(await watch(server, session_id))

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(look, number * 0.2)
        await look(0)

    def whole(messages: list[Message]) -> tuple[dict[str, str], list[Message]]:
        texts: dict[str, str] = {}
        rest = []
        for message in messages:
            if message["type"] == "chunk":
                texts[message["field"]] = texts.get(message["field"], "") + message["content"]
            else:
                rest.append(message)
        return texts, rest

    assert len(seen) == 6
    for each in seen:
        assert whole(each) == whole(seen[0])


async def test_an_unknown_session_is_told_and_closed(tmp_path: Path) -> None:
    """An unknown id: `error` with not_found, then close 1008; over HTTP 404."""
    async with open_server(tmp_path) as server:
        async with server.talk("/ws/no-such-session") as talk:
            error = await talk.hear()
            assert error["type"] == "error"
            assert (error["code"], error["session_id"]) == ("not_found", "no-such-session")
            with pytest.raises(ConnectionClosed):
                await talk.hear()
            assert talk.connection.closed is not None
            assert talk.connection.closed.code == 1008
        async with calling(server) as http:
            for path in ("/api/sessions/x/status", "/api/proposals/x"):
                answer = await http.get(path)
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert answer.json()["detail"] == "Proposal not found"


async def test_a_submit_that_is_repeated_or_wrong(tmp_path: Path) -> None:
    """One Idempotency-Key is one session, over a restart too; a bad brief is 422 by its fields."""
    env = {**FAST, "ANTIPHON_OFFLINE": "1"}
    key = {"Idempotency-Key": "one-and-only"}
    async with open_server(tmp_path, env=env) as server:
        first = await submit(server, asking(), key)
        assert await submit(server, asking(), key) == first
        assert await submit(server, asking()) != first
        async with calling(server) as http:
            bad = await http.post("/api/curator/submit", json=asking(theme_title="Four"))
            assert bad.status_code == 422
            assert bad.json()["details"][0]["path"] == "curator_brief.theme_title"
            assert (await http.post("/api/curator/submit", content=b"{")).status_code == 400
            odd = await http.post(
                "/api/curator/submit", json=asking(), headers={"Idempotency-Key": "x" * 201}
            )
            assert odd.status_code == 422
            nobody = await http.post("/api/curator/submit", json=asking({"provider": "nobody"}))
            assert (nobody.status_code, nobody.json()["code"]) == (422, "provider_not_found")
            odd_field = await http.post("/api/curator/submit", json=asking({"maxArtist": 3}))
            assert "max_artists" in odd_field.json()["warnings"][0]
    async with open_server(tmp_path, env=env) as server:
        assert await submit(server, asking(), key) == first


async def test_people_choose_on_the_socket_and_over_http(tmp_path: Path) -> None:
    """A choice that comes wrong is 422, in the wrong state 409, twice 409; then it counts."""
    env = {**FAST, "ANTIPHON_OFFLINE": "1"}
    async with open_server(tmp_path, env=env) as server, calling(server) as http:
        session_id = await submit(server, asking({"auto_select": False}))
        base = f"/api/sessions/{session_id}"
        async with server.talk(f"/ws/{session_id}") as talk:
            question = await talk.until("selection_required")
            assert talk.seen[-2]["type"] == "stage_complete"
            assert talk.seen[-2]["data"]["artists"] == question["candidates"]
            assert question["stage"] == "artist_discovery"
            for wrong in ([], [0, 0], [-1], [999], None, "all"):
                said = {"type": "select", "stage": "artist_discovery", "request_id": "r"}
                await talk.say({**said, "selected_indices": wrong})
                refused = await talk.until("error")
                assert refused["refused"] is True
                assert (refused["code"], refused["request_id"]) == ("invalid_request", "r")
                answer = await http.post(f"{base}/select-artists", json={"selected_indices": wrong})
                assert answer.status_code == 422
            await talk.say(
                {"type": "select", "stage": "artwork_discovery", "selected_indices": [0]}
            )
            assert (await talk.until("error"))["code"] == "conflict"
            early = await http.post(f"{base}/select-artworks", json={"selected_indices": [0]})
            assert early.status_code == 409
            status = (await http.get(f"{base}/status")).json()
            assert status["waiting"]["stage"] == "artist_discovery"
            draft = await proposal_of(server, session_id)
            assert draft["complete"] is False
            assert len(draft["artists"]) == 15

            await talk.say(
                {"type": "select", "stage": "artist_discovery", "selected_indices": [2, 0]}
            )
            assert (await talk.until("selected"))["selected_indices"] == [2, 0]
            await talk.say({"type": "select", "stage": "artist_discovery", "selected_indices": [1]})
            assert (await talk.until("error"))["code"] == "conflict"

            question = await talk.until("selection_required")
            answer = await http.post(f"{base}/select-artworks", json={"selected_indices": [1]})
            assert answer.status_code == 200
            assert answer.json()["selected_count"] == 1
            await talk.until("completed")
            late = await http.post(f"{base}/select-artworks", json={"selected_indices": [1]})
            assert late.status_code == 409
            await talk.say({"type": "ping"})
            assert (await talk.hear())["type"] == "pong"
            await talk.say({"type": "cancel"})
            assert (await talk.hear())["type"] == "cancel_result"
            await talk.say({"curator_brief": BRIEF})
            assert (await talk.hear())["code"] == "unsupported_type"
        proposal = await proposal_of(server, session_id)
        artists = [m for m in talk.seen if m.get("completed_stage") == "artist_discovery"]
        found = artists[0]["data"]["artists"]
        assert proposal["artists"] == [found[2], found[0]]
        assert proposal["artworks"] == [question["candidates"][1]]


async def test_a_choice_that_never_comes(tmp_path: Path) -> None:
    """The pause ends at `expires_at` with the best ones selected."""
    env = {**FAST, "ANTIPHON_OFFLINE": "1", "ANTIPHON_SELECTION_S": "0.5"}
    async with open_server(tmp_path, env=env) as server:
        session_id = await submit(server, asking({"auto_select": False}))
        seen = await watch(server, session_id)
    assert [m["by"] for m in seen if m["type"] == "selected"] == ["expiry", "expiry"]
    assert seen[-1]["type"] == "completed"


async def test_a_cancel_on_the_socket(tmp_path: Path) -> None:
    """A cancel works during a pause, and leaves a proposal of what there is."""
    env = {**FAST, "ANTIPHON_OFFLINE": "1"}
    async with open_server(tmp_path, env=env) as server:
        session_id = await submit(server, asking({"auto_select": False}))
        async with server.talk(f"/ws/{session_id}") as talk:
            await talk.until("selection_required")
            await talk.say({"type": "cancel"})
            end = await talk.until("cancelled")
            assert end["receipt"]["tokens_after_accept"] == 0
        proposal = await proposal_of(server, session_id)
    assert proposal["complete"] is False
    assert len(proposal["artists"]) == 15


async def test_an_invention_never_appears(tmp_path: Path) -> None:
    """A model's invention that no source confirms is in no message and in no proposal."""
    env = {**FAST, "ANTIPHON_OFFLINE": "1", "ANTIPHON_SIM_FAULTS": "invent"}
    async with open_server(tmp_path, env=env) as server:
        session_id = await submit(server, asking())
        seen = await watch(server, session_id)
        proposal = await proposal_of(server, session_id)
    assert seen[-1]["type"] == "completed"
    assert "Vantreight" not in json.dumps([seen, proposal])


# ---- museums over real HTTP ----------------------------------------------------------------------


@asynccontextmanager
async def museums(
    folder: Path, answer: Callable[[Asked], Reply]
) -> AsyncIterator[tuple[ServerProcess, list[Asked]]]:
    """A server whose sources are all one double on the loopback."""
    async with open_http_double(answer) as double:
        names = ("wikipedia", "wikidata", "artic", "met", "europeana")
        table = "\n".join(f'{name} = "{double.url}"' for name in names)
        (folder / "antiphon.toml").write_text(f"[source_urls]\n{table}\n")
        env = {**FAST, "ANTIPHON_EUROPEANA_KEY": "secret-key"}
        async with open_server(folder, env=env) as server:
            yield server, double.asked


async def test_recorded_answers_become_findings(tmp_path: Path) -> None:
    """Each source's recorded answers are found in the proposal, with their source and id."""
    async with museums(tmp_path, answer_all) as (server, asked):
        masters = ["Vincent van Gogh", "Claude Monet", "Johannes Vermeer"]
        config = {"min_artist_relevance": 0.0, "min_artwork_relevance": 0.2, "max_artists": 50}
        session_id = await submit(server, asking(config, reference_artists=masters))
        await watch(server, session_id)
        proposal = await proposal_of(server, session_id)
    gave = {row["source"]: row for row in proposal["sources"]}
    assert gave["wikidata"]["artists"] > 0
    for name in ("wikidata", "artic", "met", "europeana"):
        assert gave[name]["artworks"] > 0, gave[name]
    for each in [*proposal["artists"], *proposal["artworks"]]:
        assert each["source"]
        assert each["source_id"]
        assert each["url"].startswith("https://")
    assert {request.path.split("/")[1] for request in asked} >= {"sparql", "public", "record"}
    assert "secret-key" not in json.dumps(proposal)


@pytest.mark.parametrize("fault", [Reply(status=500), Reply(body=b"<html>"), Reply(status=429)])
async def test_museums_that_fail(tmp_path: Path, fault: Reply) -> None:
    """A source that fails gives nothing and a note in the proposal, never a failed stage."""
    async with museums(tmp_path, lambda asked: fault) as (server, _):
        session_id = await submit(server, asking())
        seen = await watch(server, session_id)
        proposal = await proposal_of(server, session_id)
    assert seen[-1]["type"] == "completed"
    rows = {row["source"]: row for row in proposal["sources"]}
    for name in ("wikidata", "artic", "met", "europeana"):
        assert rows[name]["artists"] + rows[name]["artworks"] == 0
        assert rows[name]["why"]
    assert len(proposal["artworks"]) > 10


async def test_slow_museums_are_asked_side_by_side(tmp_path: Path) -> None:
    """With each source answering in 300 ms and 15 artists, artwork discovery takes under 2 s."""

    def slow(asked: Asked) -> Reply:
        return msgspec.structs.replace(answer_all(asked), delay_s=0.3)

    async with museums(tmp_path, slow) as (server, _):
        session_id = await submit(server, asking())
        at: dict[tuple[str, int], float] = {}
        async with server.talk(f"/ws/{session_id}") as talk:
            while (message := await talk.hear())["type"] != "completed":
                if "progress" in message:
                    at.setdefault((message["stage"], message["progress"]), trio.current_time())
        proposal = await proposal_of(server, session_id)
    assert len(proposal["artists"]) == 15
    took_s = at["artwork_discovery", 90] - at["artwork_discovery", 60]
    assert took_s < 2.0, took_s


# ---- kill -9 -------------------------------------------------------------------------------------


def is_theme(message: Message) -> bool:
    return message["type"] == "chunk" and message["field"] == "curatorial_statement"


def is_in(stage: str) -> Callable[[Message], bool]:
    return lambda message: message["type"] == "item" and message["stage"] == stage


def is_question(message: Message) -> bool:
    return message["type"] == "selection_required"


@pytest.mark.parametrize(
    ("moment", "config"),
    [
        (is_theme, {}),
        (is_in("artist_discovery"), {}),
        (is_in("artwork_discovery"), {}),
        (is_question, {"auto_select": False}),
    ],
    ids=["theme_refinement", "artist_discovery", "artwork_discovery", "pause"],
)
async def test_kill_9_and_a_restart(
    tmp_path: Path, moment: Callable[[Message], bool], config: dict[str, Any]
) -> None:
    """After a kill -9 the exhibition goes on; what a client has seen finished stays as it was."""

    def slow(asked: Asked) -> Reply:
        return msgspec.structs.replace(answer_all(asked), delay_s=0.4)

    async with open_http_double(slow) as double:
        names = ("wikipedia", "wikidata", "artic", "met", "europeana")
        table = "\n".join(f'{name} = "{double.url}"' for name in names)
        (tmp_path / "antiphon.toml").write_text(f"[source_urls]\n{table}\n")
        env = {"ANTIPHON_EUROPEANA_KEY": "k", "ANTIPHON_SIM_TOKENS_PER_S": "300"}
        async with open_server(tmp_path, env=env) as server:
            session_id = await submit(server, asking(config))
            async with server.talk(f"/ws/{session_id}") as talk:
                while not moment(await talk.hear()):
                    pass
                server.ends_with = None
                server.signal(signal.SIGKILL)
                await server.wait()
                with pytest.raises(ConnectionClosed):  # unread messages keep its reader waiting
                    while True:
                        await talk.hear()
            before = talk.seen
        async with open_server(tmp_path, env=env) as server:
            if config:
                async with calling(server) as http:
                    path = f"/api/sessions/{session_id}/select-artists"
                    answer = await http.post(path, json={"selected_indices": [0, 1]})
                    assert answer.status_code == 200
                async with server.talk(f"/ws/{session_id}") as talk:
                    while True:
                        message = await talk.until("selection_required", "completed")
                        if message["type"] == "completed":
                            break
                        if message["stage"] == "artwork_discovery":
                            said = {"type": "select", "stage": message["stage"]}
                            await talk.say({**said, "selected_indices": [0]})
                after = talk.seen
            else:
                after = await watch(server, session_id)
            proposal = await proposal_of(server, session_id)
    assert after[-1]["type"] == "completed"
    check_whole(after)

    def finished(messages: list[Message]) -> list[tuple[str, Any]]:
        return [(m["stage"], m["data"]) for m in messages if m["type"] == "stage_complete"]

    assert finished(after)[: len(finished(before))] == finished(before)
    assert [stage for stage, _ in finished(after)] == list(STAGES)
    assert proposal["complete"] is True
    texts: dict[str, str] = {}
    for message in after:
        if message["type"] == "attempt":
            texts[message["target"]["field"]] = ""
        elif message["type"] == "chunk":
            texts[message["field"]] = texts.get(message["field"], "") + message["content"]
    assert {name: text.strip() for name, text in texts.items()} == {
        name: proposal[name] for name in texts
    }


# ---- the command ---------------------------------------------------------------------------------


async def test_the_command_makes_an_exhibition(tmp_path: Path) -> None:
    """`antiphon exhibit BRIEF.json`, in its own process and against a server."""
    brief = tmp_path / "brief.json"
    brief.write_text(json.dumps(BRIEF))
    env = {**FAST, "ANTIPHON_OFFLINE": "1"}
    async with open_server(tmp_path, env=env) as server:
        for place in ([], ["--url", server.url]):
            out = tmp_path / "proposal.json"
            printed = await _printed("exhibit", str(brief), "--out", str(out), *place, env=env)
            assert "100%" not in printed.splitlines()[0]
            assert "Artists (15)" in printed
            proposal = json.loads(out.read_text())
            assert proposal["complete"] is True
            out.unlink()


async def test_the_command_imports_museums_files(tmp_path: Path) -> None:
    """`antiphon catalogue import FILE …` says what it did; a repeat changes nothing."""
    data = Path(__file__).parent.parent / "knowledge" / "data"
    files = [str(data / name) for name in ("moma_artists.csv", "moma_artworks.csv")]
    where = ["--data", str(tmp_path / "catalogue")]
    lines = (await _printed("catalogue", "import", *files, "--json", *where)).splitlines()
    reports = [json.loads(line) for line in lines]
    assert [report["museum"] for report in reports] == ["moma", "moma"]
    assert sum(report["changed_artworks"] for report in reports) > 0
    lines = (await _printed("catalogue", "import", *files, "--json", *where)).splitlines()
    again = [json.loads(line) for line in lines]
    assert sum(report["changed_artworks"] + report["changed_artists"] for report in again) == 0


async def _printed(*command: str, env: dict[str, str] | None = None) -> str:
    import sys

    from tests.system.server_process import environment

    with trio.fail_after(3 * PATIENCE_S):
        done = await trio.run_process(
            [sys.executable, "-m", "server", *command],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=str(Path(__file__).parents[2]),
            env=environment(**(env or {})),
        )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()
