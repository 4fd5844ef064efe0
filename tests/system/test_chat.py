"""The persona chat over real sockets: the seed's own client, restarts, HTTP, the command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
import trio
from trio_websocket import open_websocket_url

from tests.requirements import need_node
from tests.seeds.reading import blocks
from tests.system.server_process import PATIENCE_S, ServerProcess, environment, open_server

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent
PRELOAD = Path(__file__).parent / "node" / "preload.cjs"
FAST = {"ANTIPHON_SIM_TOKENS_PER_S": "0", "ANTIPHON_SIM_TTFT_MS": "0"}

Message = dict[str, Any]


def chat(message: str, persona_id: str = "night_nurse", **fields: Any) -> Message:
    return {"type": "chat", "data": {"message": message, "persona_id": persona_id, **fields}}


async def converse(server: ServerProcess, request: Message) -> list[Message]:
    """Make one request on a connection of its own, and read to its end."""
    messages: list[Message] = []
    async with server.talk("/ws") as talk:
        await talk.say(request)
        while not messages or messages[-1]["type"] not in ("response", "cancelled", "error"):
            messages.append(await talk.hear())
    return messages


# ---- the seed ------------------------------------------------------------------------------------


async def test_client_of_the_seed_under_node(tmp_path: Path) -> None:
    """The seed's JavaScript example runs unchanged but for the port."""
    node, variables = need_node()
    program = next(text for text in blocks(4, "javascript") if "openai_chat" in text)
    assert program.count("localhost:8000") == 1
    async with open_server(tmp_path, env={"ANTIPHON_SIM_TOKENS_PER_S": "400"}) as server:
        client = tmp_path / "client.js"
        client.write_text(program.replace("localhost:8000", f"127.0.0.1:{server.port}"))
        printed = await _printed([node, "--require", str(PRELOAD), str(client)], variables)
    assert printed.startswith("Connected to WebSocket\n")
    places = [
        printed.index(mark)
        for mark in (
            "message: 'Initializing...'",
            "message: 'Sending request...'",
            "status: 'streaming'",
            "is_final: false",
            "is_final: true",
            "status: 'completed'",
        )
    ]
    assert places == sorted(places)
    assert "type: 'error'" not in printed


async def _printed(command: list[str], variables: dict[str, str]) -> str:
    """Run the client until it has printed the response; it keeps its connection open."""
    process = await trio.lowlevel.open_process(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(**variables),
    )
    assert process.stdout is not None
    printed = b""
    try:
        with trio.fail_after(PATIENCE_S):
            while b"status: 'completed'" not in printed:
                data = await process.stdout.receive_some(65536)
                assert data, printed.decode()
                printed += data
    finally:
        process.kill()
        with trio.move_on_after(5, shield=True):
            await process.wait()
    return printed.decode()


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_requests_of_the_seed(tmp_path: Path, place: int) -> None:
    """The seed's own requests are taken as they stand, with `--demo` and without a key."""
    requests = [block for block in blocks(4, "json") if '"data": {\n    "' in block]
    request = json.loads(requests[place])
    if request["type"] == "openai_chat":
        del request["data"]["previous_response_id"]  # "optional_response_id" is a placeholder
    async with open_server(tmp_path, env=FAST) as server:
        messages = await converse(server, request)
    assert messages[-1]["type"] == "response"
    assert messages[-1]["status"] == "completed"
    assert not any("warnings" in message for message in messages)


# ---- conversations ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_conversation_survives_a_restart(tmp_path: Path, how: signal.Signals) -> None:
    """History is stored and survives a restart: what a client has seen complete is durable."""
    async with open_server(tmp_path, env=FAST) as server:
        server.ends_with = None
        first = (await converse(server, chat("My boat is called Peregrine.")))[-1]
        server.signal(how)
        await server.wait()
    conversation_id = first["data"]["conversation_id"]
    async with (
        open_server(tmp_path, env=FAST) as server,
        httpx2.AsyncClient(base_url=server.url) as http,
    ):
        again = chat("What is its name?", conversation_id=conversation_id)
        assert (await converse(server, again))[-1]["data"]["conversation_id"] == conversation_id
        shown = (await http.get(f"/api/conversations/{conversation_id}")).json()
        [listed] = (await http.get("/api/conversations")).json()["conversations"]
    assert [turn["role"] for turn in shown["turns"]] == ["user", "assistant"] * 2
    assert shown["turns"][0]["content"] == "My boat is called Peregrine."
    assert shown["turns"][1]["content"] == first["data"]["response"]
    assert shown["turns"][1]["response_id"] == first["data"]["response_id"]
    assert listed["conversation_id"] == conversation_id
    assert listed["title"] == "My boat is called Peregrine."


async def test_conversations_over_http(tmp_path: Path) -> None:
    """GET and DELETE /api/conversations/{id}."""
    async with (
        open_server(tmp_path, env=FAST) as server,
        httpx2.AsyncClient(base_url=server.url) as http,
    ):
        await converse(server, chat("hi", conversation_id="mine"))
        assert (await http.get("/api/conversations/mine")).status_code == 200
        assert (await http.delete("/api/conversations/mine")).status_code == 204
        for method in ("GET", "DELETE"):
            gone = await http.request(method, "/api/conversations/mine")
            assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
        assert (await http.get("/api/conversations")).json() == {"conversations": []}
        bad = await http.get("/api/conversations?limit=0")
        assert (bad.status_code, bad.json()["code"]) == (422, "invalid_request")


# ---- personas -----------------------------------------------------------------------------------


async def test_personas_over_http(tmp_path: Path) -> None:
    """GET, POST, PUT and DELETE /api/personas; an operator's own file is there as well."""
    (tmp_path / "data" / "personas").mkdir(parents=True)
    (tmp_path / "data" / "personas" / "miller.md").write_text(
        '+++\nname = "Miller"\n+++\nYou are a miller.\n'
    )
    poe = {"id": "poe", "name": "Poe", "system_prompt": "You rhyme."}
    async with (
        open_server(tmp_path, env=FAST) as server,
        httpx2.AsyncClient(base_url=server.url) as http,
    ):
        made = await http.post("/api/personas", json=poe)
        assert (made.status_code, made.json()["source"]) == (201, "api")
        assert (await http.post("/api/personas", json=poe)).status_code == 409
        ids = [each["id"] for each in (await http.get("/api/personas")).json()["personas"]]
        assert {"miller", "poe", "tech_enthusiast"} <= set(ids)
        changed = await http.put("/api/personas/poe", json={**poe, "name": "Edgar"})
        assert changed.json()["name"] == "Edgar"
        shown = (await http.get("/api/personas/poe")).json()
        assert (shown["name"], shown["system_prompt"]) == ("Edgar", "You rhyme.")
        assert (await converse(server, chat("hi", "miller")))[-1]["type"] == "response"
        assert (await http.delete("/api/personas/poe")).status_code == 204
        assert (await http.get("/api/personas/poe")).status_code == 404
        assert (await http.delete("/api/personas/night_nurse")).status_code == 409
        bad = await http.post("/api/personas", json={"id": "x"})
        assert [each["path"] for each in bad.json()["details"]] == ["name", "system_prompt"]
        assert (await http.post("/api/personas", content=b"{")).status_code == 400


async def test_stream_generate_writes_for_a_registered_persona(tmp_path: Path) -> None:
    """`persona` of StreamGenerate may be a registered persona's id."""
    inner = {"input": "tides", "phases": ["idea"], "count": 1, "persona": "night_nurse"}
    async with open_server(tmp_path, env=FAST) as server, server.talk("/stream") as talk:
        await talk.say({"request": inner})
        assert (await talk.until("result", "error"))["type"] == "result"
        await talk.say({"request": {**inner, "persona": "nobody"}})
        refused = await talk.until("result", "error")
    assert 'unknown persona "nobody"' in refused["error"]


async def test_with_users_each_has_their_own(tmp_path: Path) -> None:
    """A conversation belongs to its owner; the system prompt is shown to admins; so is POST."""
    secret = "a secret of thirty-two bytes and more"
    variables = {**FAST, "ANTIPHON_JWT_SECRET": secret}

    def headers(name: str, role: str) -> dict[str, str]:
        claims = {"sub": name, "role": role, "exp": int(time.time()) + 600}
        return {"Authorization": f"Bearer {jwt.encode(claims, secret, 'HS256')}"}

    ann, bob, root = headers("ann", "editor"), headers("bob", "editor"), headers("root", "admin")
    async with (
        open_server(tmp_path, env=variables) as server,
        httpx2.AsyncClient(base_url=server.url) as http,
    ):
        address = f"ws://127.0.0.1:{server.port}/ws"
        pairs = [(name.encode(), value.encode()) for name, value in ann.items()]
        async with open_websocket_url(address, extra_headers=pairs) as connection:
            await connection.send_message(json.dumps(chat("a secret", conversation_id="c")))
            with trio.fail_after(PATIENCE_S):
                while json.loads(await connection.get_message())["type"] != "response":
                    pass
        one = "/api/conversations/c"
        codes = [(await http.get(one, headers=who)).status_code for who in (ann, bob, root, {})]
        assert codes == [200, 404, 404, 401]
        assert (await http.delete(one, headers=bob)).status_code == 404
        assert (await http.get("/api/conversations", headers=bob)).json()["conversations"] == []
        shown = [
            "system_prompt" in (await http.get("/api/personas/night_nurse", headers=who)).json()
            for who in (ann, root)
        ]
        assert shown == [False, True]
        poe = {"id": "poe", "name": "Poe", "system_prompt": "You rhyme."}
        refused = await http.post("/api/personas", headers=ann, json=poe)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert (await http.post("/api/personas", headers=root, json=poe)).status_code == 201


async def test_a_bad_persona_file_stops_the_start(tmp_path: Path) -> None:
    """A bad file stops the start with its name and what is wrong."""
    (tmp_path / "data" / "personas").mkdir(parents=True)
    (tmp_path / "data" / "personas" / "miller.md").write_text("You are a miller.\n")
    code, _, errors = await run(tmp_path, "serve", "--port", "0", "--data", str(tmp_path / "data"))
    assert code == 1
    assert "miller.md must begin with TOML between two lines of +++" in errors


# ---- the command --------------------------------------------------------------------------------


async def run(folder: Path, *words: str, said: str = "") -> tuple[int, str, str]:
    """Run a command to its end; gives its exit code and what it printed."""
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [sys.executable, "-m", "server", *words],
            stdin=said.encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=folder,
            env=environment(PYTHONPATH=str(ROOT), **FAST),
        )
    errors = done.stderr.decode()
    assert "Traceback" not in errors, errors
    return done.returncode, done.stdout.decode(), errors


async def test_chat_with_one_persona(tmp_path: Path) -> None:
    """`antiphon chat --persona ID MESSAGE`: its text, and exit code 0."""
    code, out, errors = await run(tmp_path, "chat", "--persona", "night_nurse", "About rivers?")
    assert (code, errors) == (0, "")
    assert "rivers" in out
    assert "\x1b" not in out


async def test_chat_with_several(tmp_path: Path) -> None:
    """Plain lines in a pipe: each answer under its name, in each round."""
    flags = ("--persona", "night_nurse", "--persona", "kind_teacher", "--debate", "2")
    code, out, errors = await run(tmp_path, "chat", *flags, "About rivers?")
    assert (code, errors) == (0, "")
    titles = sorted(line for line in out.splitlines() if line.startswith("== "))
    assert titles == sorted(
        f"== {name}, round {number}"
        for name in ("night_nurse", "kind_teacher")
        for number in (1, 2)
    )


@pytest.mark.parametrize("where", ["here", "on a server"])
async def test_chat_without_a_message_is_a_conversation(tmp_path: Path, where: str) -> None:
    """Without a message a conversation, with `--json` a message a line."""
    flags = ("--persona", "night_nurse", "--json")
    said = "My boat is called Peregrine.\n\nWhat is its name?\n"
    async with open_server(tmp_path, env=FAST) as server:
        if where == "on a server":
            flags += ("--url", server.url)
        code, out, errors = await run(tmp_path, "chat", *flags, said=said)
    assert (code, errors) == (0, "")
    responses = [
        message for message in map(json.loads, out.splitlines()) if message["type"] == "response"
    ]
    assert len(responses) == 2
    assert len({message["data"]["conversation_id"] for message in responses}) == 1


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--persona", "nobody", "hi"), 1, "there are creative_writer"),
        (("--debate", "2", "hi"), 2, "need at least two --persona"),
        (("--debate", "6", "--persona", "a", "--persona", "b", "hi"), 2, "--debate"),
        (("--url", "http://127.0.0.1:9", "hi"), 1, "cannot be reached"),
    ],
)
async def test_chat_that_cannot_be(
    tmp_path: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    """Exit codes: 1 refused, 2 usage."""
    ended, _, errors = await run(tmp_path, "chat", *words)
    assert (ended, says in errors) == (code, True), errors
