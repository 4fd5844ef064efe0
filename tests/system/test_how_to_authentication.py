"""The samples of docs/how-to/authentication.md, run against a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.requirements import need_node
from tests.system.server_process import PATIENCE_S, ROOT, environment, open_server

pytestmark = pytest.mark.system

FOLDER = ROOT / "docs" / "how-to"
PRELOAD = Path(__file__).parent / "node" / "preload.cjs"
LIFETIME_S = 3
"""Long enough to connect in on a busy machine, short enough to wait for."""
USE = """
let connections = 0;
const onMessage = (message, socket) => {
  console.log(message.type, message.code ?? '');
  if (message.type === 'pong' && connections === 2) process.exit(0);
};
const Plain = globalThis.WebSocket;
globalThis.WebSocket = class extends Plain {
  constructor(...words) {
    super(...words);
    connections += 1;
    this.onopen = () => this.send('ping');
  }
};
stayConnected(process.env.BASE, 'ada', 'correct horse battery', onMessage);
logIn(process.env.BASE, 'ada', 'wrong').catch((error) => console.log('refused', error.message));
"""


async def printed(command: list[str], **variables: str) -> list[str]:
    with trio.fail_after(PATIENCE_S * 2):
        done = await trio.run_process(
            command,
            env=environment(**variables),
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode().splitlines()


async def test_samples_run(tmp_path: Path) -> None:
    """The secret, the first admin, a user, a token; and a browser's login beyond a token's end."""
    node, variables = need_node()
    env = dict(
        line.split("=", 1) for line in (FOLDER / "authentication.env").read_text().splitlines()
    )
    env |= {"ANTIPHON_TOKEN_LIFETIME_S": str(LIFETIME_S), "ANTIPHON_SIM_TOKENS_PER_S": "0"}
    async with open_server(tmp_path, env=env) as server:
        commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        lines = await printed(
            ["sh", "-e", str(FOLDER / "authentication.sh")],
            PATH=commands,
            ANTIPHON_JWT_SECRET=env["ANTIPHON_JWT_SECRET"],
            ANTIPHON_URL=server.url,
        )
        assert "user ada, role editor" in lines
        assert any("Prompt 1 of 1 completed" in line for line in lines), lines

        client = tmp_path / "client.js"
        client.write_text((FOLDER / "authentication.js").read_text() + USE)
        lines = await printed(
            [node, "--require", str(PRELOAD), str(client)], BASE=server.url, **variables
        )
        assert "refused the name or the password is wrong" in lines
        lines = [line.strip() for line in lines if not line.startswith("refused")]
        assert lines == ["pong", "error unauthenticated", "pong"]
