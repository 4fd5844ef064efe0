"""The OpenAPI document against the server: every route is in it, and schemathesis finds nothing."""

from __future__ import annotations

import json
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
from tests.system.reading import http
from tests.system.server_process import serving
from tests.system.test_auth import SECRET, bearer, token

pytestmark = pytest.mark.system

CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "4xx", 502, 503, 504]
"""
"""A provider that fails is documented; a 500 never is."""

MODELS = ["simulated/instant", "instant", None]
EXAMPLES = 10
QUICK: dict[str, Any] = {
    "sim_ttft_ms": 0,
    "sim_tokens_per_s": 0,
    "sim_output_tokens": 20,
    "runs_per_minute": 1_000_000,
    "max_sessions_per_user": 10_000,
    "requests_per_second": 0,
}
UNLISTED = {"/", "/openapi.json", "/metrics"}
UNDESCRIBED = re.compile("/observer$")
"""A debt: the observer's feed is not in the document yet."""


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
        if not rule.websocket
        and rule.rule not in UNLISTED
        and "page" not in rule.rule
        and not UNDESCRIBED.search(rule.rule)
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    paths = openapi_document(needs_token=True)["paths"]
    assert served == {(path, method) for path, methods in paths.items() for method in methods}


async def test_schemathesis_finds_no_failure(tmp_path: Path) -> None:
    """Examples, coverage and fuzzing: statuses, types, bodies and refusals are as documented."""
    async with serving(tmp_path / "data", jwt_secret=SECRET, **QUICK) as server:
        _, document = await http(server.port, "GET", "/openapi.json")
        _narrow(document)
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        (tmp_path / "schemathesis.toml").write_text(CONFIG)
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml"]
        command += ["run", "openapi.json", "--url", server.url, "--seed", "1", "--no-color"]
        command += ["--max-examples", str(EXAMPLES), "--phases", "examples,coverage,fuzzing"]
        command += ["-H", f"Authorization: {bearer(token('root', 'admin'))['Authorization']}"]
        done = await trio.run_process(
            command, cwd=tmp_path, capture_stdout=True, capture_stderr=True, check=False
        )
        assert done.returncode == 0, done.stdout.decode()[-8000:] + done.stderr.decode()[-2000:]
    assert "Traceback" not in server.stderr


def _narrow(document: Any) -> None:
    """Say what no schema can: which models there are, and how many tokens are enough."""
    for schema in document["components"]["schemas"].values():
        fields = schema.get("properties", {})
        fields.pop("token_budget", None)
        fields.pop("exhibition_dates", None)  # which of two comes first
        fields.pop("time_period", None)
        if "auto_select" in fields:
            fields |= {"provider": {"enum": ["simulated", None]}, "model": {"enum": MODELS}}
        for name, field in fields.items():
            if name in ("generator_model", "formatter_model"):
                field.clear()
                field["enum"] = MODELS
