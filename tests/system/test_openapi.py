"""The OpenAPI document against the server: every route is in it, and schemathesis finds nothing."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from engine import all_pipelines, open_engine
from server.app import create_app
from server.hub import Bounds, Hub
from server.openapi import openapi_document
from server.protocols import all_codecs
from tests.system.server_process import ROOT, serving
from tests.system.test_auth import SECRET, bearer, token

pytestmark = pytest.mark.system

EXAMPLES = 4
QUICK: dict[str, Any] = {
    "sim_ttft_ms": 0,
    "sim_tokens_per_s": 0,
    "sim_output_tokens": 20,
    "runs_per_minute": 1_000_000,
    "max_sessions_per_user": 10_000,
    "requests_per_second": 0,
}
PAGE = re.compile("/(page/.*)?$")
"""The page's files are for browsers, and a path with slashes cannot be described."""

CONFIG = """
hooks = "tests.system.openapi_checks"
[checks]
not_a_server_error.expected-statuses = ["2xx", "4xx", 502, 503, 504]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 409, 413, 422, 429, "5xx"]
positive_data_acceptance.enabled = false
[[operations]]
include-path = "/api/observer"
max-stream-events = 1
"""
"""All checks are on: `openapi_checks` has its own for what is refused though it fits the schema,
and a 502 to 504 that a call does not document fails the check of documented statuses."""


async def test_every_route_is_in_the_document() -> None:
    """No route is forgotten, and none is made up."""
    from engine.testing.scripted_provider import ScriptedProvider
    from tests.pipelines.rig import Shelf

    provider = ScriptedProvider([])
    async with open_engine(providers=Shelf(provider), pipelines=all_pipelines()) as engine:
        app = create_app(Hub(engine, all_codecs(), bounds=Bounds(), drain_s=1))
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if not rule.websocket and not PAGE.match(rule.rule)
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    paths = openapi_document(needs_token=True)["paths"]
    assert served == {(path, method) for path, methods in paths.items() for method in methods}


async def test_schemathesis_finds_no_failure(tmp_path: Path) -> None:
    """Examples, coverage and fuzzing: statuses, types, bodies and refusals are as documented."""
    async with serving(tmp_path / "data", jwt_secret=SECRET, **QUICK) as server:
        (tmp_path / "schemathesis.toml").write_text(CONFIG)
        command = [sys.executable, "-m", "schemathesis.cli"]
        command += ["--config-file", "schemathesis.toml"]
        command += ["run", f"{server.url}/openapi.json", "--seed", "1", "--no-color"]
        command += ["--max-examples", str(EXAMPLES), "--phases", "examples,coverage,fuzzing"]
        command += ["-H", f"Authorization: {bearer(token('root', 'admin'))['Authorization']}"]
        done = await trio.run_process(
            command,
            cwd=tmp_path,  # it leaves a folder there
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        said = (done.stdout + done.stderr).decode().splitlines()
        assert done.returncode == 0, "\n".join(line[:1000] for line in said)
    assert "Traceback" not in server.stderr
