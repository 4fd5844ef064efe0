"""The shipped nginx and Caddy configurations stream, upgrade, wait, and carry a restart."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from trio_websocket import open_websocket_url

from server.client import Client, Fold
from tests.requirements import need_caddy, need_nginx
from tests.system.server_process import PATIENCE_S, ServerProcess, Talk, environment, open_server

pytestmark = pytest.mark.system

DEPLOYMENT = Path(__file__).parents[2] / "docs" / "how-to" / "deployment"
SHORTENED_S = 22
"""A proxy's patience in the test of silence: longer than a ping, shorter than the silence."""

CONTENT = {
    "input_text": "The tide is the rise and fall of the sea. " * 20,
    "content_type": "SUMMARY",
}


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _nginx(folder: Path, port: int, upstream: int) -> list[str]:
    shipped = (DEPLOYMENT / "nginx.conf").read_text()
    assert shipped.count("listen 8080;") == shipped.count("127.0.0.1:8000") == 1
    shipped = shipped.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    shipped = shipped.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    (folder / "site.conf").write_text(shipped.replace(" 75s;", f" {SHORTENED_S}s;"))
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr warn;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}include {folder}/site.conf;\n}}\n"
    )
    return [need_nginx(), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def _caddy(folder: Path, port: int, upstream: int) -> list[str]:
    shipped = (DEPLOYMENT / "Caddyfile").read_text()
    assert shipped.count("\n:8080 {") == shipped.count("127.0.0.1:8000") == 1
    shipped = shipped.replace("\n:8080 {", f"\nhttp://127.0.0.1:{port} {{")
    shipped = shipped.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    shipped = shipped.replace("read_timeout 75s", f"read_timeout {SHORTENED_S}s")
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + shipped)
    return [need_caddy(), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


PROXIES = {"nginx": _nginx, "caddy": _caddy}


@asynccontextmanager
async def proxied(kind: str, folder: Path, server: ServerProcess) -> AsyncIterator[str]:
    """Run a proxy with the shipped configuration in front of a server; gives its address."""
    port = _free_port()
    home = folder / kind
    home.mkdir()
    command = PROXIES[kind](home, port, server.port)
    with (home / "stderr").open("wb") as errors:
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment(HOME=str(home), XDG_DATA_HOME=str(home), XDG_CONFIG_HOME=str(home)),
        )
    try:
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    (await trio.open_tcp_stream("127.0.0.1", port)).socket.close()
                    break
                except OSError:
                    assert process.returncode is None, (home / "stderr").read_text()
                    await trio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        with trio.move_on_after(5, shield=True) as scope:
            await process.wait()
        if scope.cancelled_caught:
            process.kill()


@asynccontextmanager
async def talking(url: str) -> AsyncIterator[Talk]:
    """Open a WebSocket as our own page does."""
    headers = [(b"Origin", url.encode())]
    async with open_websocket_url(
        url.replace("http", "ws") + "/stream", extra_headers=headers
    ) as connection:
        try:
            yield Talk(connection)
        finally:
            await trio.aclose_forcefully(connection._stream)


def ask(phases: list[str], **options: object) -> dict[str, Any]:
    return {"request": {"input": "Explain tides", "phases": phases, "count": 1}, **options}


@pytest.mark.parametrize("kind", PROXIES)
async def test_streams_through_a_proxy(tmp_path: Path, kind: str) -> None:
    """Each SSE event comes alone and at once, WebSockets are upgraded, bodies have their bound."""
    env = {"ANTIPHON_SIM_TOKENS_PER_S": "60"}
    async with open_server(tmp_path, env=env) as server, proxied(kind, tmp_path, server) as url:
        await _check_sse(url)
        await _check_websocket(url)
        async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE_S) as http:
            assert (await http.get("/metrics")).status_code == 403
            assert (await http.get("/readyz")).status_code == 200
            large = {"content_type": "SUMMARY", "input_text": "x" * 11_000_000}
            assert (await http.post("/run", json=large)).status_code == 413


async def _check_sse(url: str) -> None:
    async with (
        httpx2.AsyncClient(base_url=url, timeout=PATIENCE_S) as http,
        http.stream("POST", "/run/stream", json=CONTENT) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        times, alone, events = [], 0, 0
        async for chunk in answer.aiter_raw():
            times.append(trio.current_time())
            here = chunk.count(b"\n\n")
            events += here
            alone += here == 1
            if events >= 30:
                break
    assert alone >= 0.8 * len(times), "events were gathered on the way"
    assert times[-1] - times[0] > 0.4, "nothing was held back until there was much of it"


async def _check_websocket(url: str) -> None:
    async with talking(url) as talk:
        await talk.say(ask(["idea"]))
        session_id = (await talk.until("chunk"))["session_id"]
        begun = trio.current_time()
        await talk.say({"type": "cancel", "session_id": session_id})
        cancelled = await talk.until("cancelled")
        assert trio.current_time() - begun < 2.0
        assert cancelled["receipt"]["upstream_closed_ms"] is not None
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Origin": "http://evil.example",
    }
    async with httpx2.AsyncClient(base_url=url) as http:
        assert (await http.get("/stream", headers=upgrade)).status_code == 403


@pytest.mark.parametrize("kind", PROXIES)
async def test_restart_behind_a_proxy(tmp_path: Path, kind: str) -> None:
    """A server restarts behind the proxy under load: clients resume, and lose or double nothing."""
    env = {"ANTIPHON_SIM_TOKENS_PER_S": "80", "ANTIPHON_DRAIN_S": "0"}
    texts: list[tuple[str, str]] = []

    async def follow(url: str) -> None:
        client = Client(url, patience_s=PATIENCE_S)
        fold = Fold()
        async with client.start("/stream", ask(["idea", "human"], detached=True)) as stream:
            seqs = []
            async for message in stream:
                fold.take(message)
                seqs.append(message["seq"])
        assert seqs == sorted(set(seqs))
        final = json.loads(message["content"])
        for prompt in final["prompts"]:
            texts.append((fold.parts[prompt["id"]], prompt["content"]))

    async with open_server(tmp_path, env=env) as server, proxied(kind, tmp_path, server) as url:
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(follow, url)
            await trio.sleep(1.0)
            server.terminate()
            await server.wait()
            await server.start()
    assert len(texts) == 16
    for folded, final in texts:
        assert folded == final


async def test_silence_behind_a_proxy(tmp_path: Path) -> None:
    """A model that thinks for longer than the proxy's patience: comments and pings bridge it."""
    env = {"ANTIPHON_SIM_TTFT_MS": f"{(SHORTENED_S + 2) * 1000}", "ANTIPHON_SIM_TOKENS_PER_S": "0"}
    arrived: list[str] = []

    async def sse(url: str) -> None:
        async with (
            httpx2.AsyncClient(base_url=url, timeout=60) as http,
            http.stream("POST", "/run/stream/draft", json=CONTENT) as answer,
        ):
            text = "".join([part async for part in answer.aiter_text()])
        assert '"complete"' in text
        arrived.append("sse")

    async def websocket(url: str) -> None:
        async with talking(url) as talk:
            await talk.say(ask(["idea"]))
            with trio.fail_after(60):
                while json.loads(await talk.connection.get_message())["type"] != "result":
                    pass
        arrived.append("websocket")

    async with (
        open_server(tmp_path, env=env) as server,
        proxied("nginx", tmp_path, server) as nginx,
        proxied("caddy", tmp_path, server) as caddy,
        trio.open_nursery() as nursery,
    ):
        for url in (nginx, caddy):
            nursery.start_soon(sse, url)
            nursery.start_soon(websocket, url)
    assert sorted(arrived) == ["sse", "sse", "websocket", "websocket"]
