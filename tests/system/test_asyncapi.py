"""The AsyncAPI document against the rules of AsyncAPI 3.0, by the makers' own parser."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from server.asyncapi import asyncapi_document
from tests.requirements import ROOT, need_node

pytestmark = pytest.mark.system

PROGRAM = """
const { Parser } = require('@asyncapi/parser');
const text = require('fs').readFileSync(0, 'utf8');
new Parser().parse(text).then(({ document, diagnostics }) => {
  const said = diagnostics.filter(({ code }) => code !== 'asyncapi-latest-version')
    .map(({ code, message, path }) => `${code} at ${path.join('.')}: ${message}`);
  const channels = document ? document.channels().all().map((each) => each.address()) : [];
  console.log(JSON.stringify({ said, channels }));
});
"""
"""That there is a later version than 3.0.0 is all that it may have to say."""


def parse(document: object) -> dict[str, list[str]]:
    node, variables = need_node("@asyncapi/parser")
    done = subprocess.run(
        [node, "-e", PROGRAM],
        input=json.dumps(document),
        env=variables,
        cwd=Path(ROOT),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_the_parser_finds_nothing_to_say() -> None:
    document = asyncapi_document(needs_token=True)
    assert document["asyncapi"] == "3.0.0"
    found = parse(document)
    assert found["said"] == []
    assert sorted(found["channels"]) == ["/stream", "/ws", "/ws/{session_id}"]


def test_the_parser_would_find_something() -> None:
    """A channel that is not there, and a field that AsyncAPI does not know."""
    document = asyncapi_document(needs_token=True)
    document["operations"]["chat.say"]["channel"]["$ref"] = "#/channels/none"
    document["channels"]["chat"]["colour"] = "red"
    said = " ".join(parse(document)["said"])
    assert "colour" in said
    assert "none" in said
