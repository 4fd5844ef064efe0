"""The content pipeline's codec against transcripts, and against the seed's own examples."""

from __future__ import annotations

import json
import re

import pytest
from trio.testing import MockClock

from engine.errors import InvalidRequest, ProviderAuth
from engine.pipelines.content.pipeline import ContentPipeline
from engine.testing.scripted_provider import Fail, ScriptedProvider, say
from server.protocols.content import ContentCodec, request_for
from tests.pipelines.content.samples import MCQ, edited
from tests.seeds.reading import blocks
from tests.server.protocols.transcripts import check, messages, transcript_of

NOTES = {"content_type": "MCQ", "input_text": "Notes about the heart.", "num_questions": 2}
BAD = edited(MCQ, ("Question 2", "Question 3"))
PACE_S = 0.1


def provider(*texts: str) -> ScriptedProvider:
    return ScriptedProvider(*(say(text[:60], text[60:], pace_s=PACE_S) for text in texts))


CASES = {
    "content_passes": (NOTES, lambda: provider("The draft: caf\u00e9 \u2615.", MCQ)),
    "content_passes_at_the_second_try": (NOTES, lambda: provider("The draft.", BAD, MCQ)),
    "content_does_not_pass": (
        {**NOTES, "max_retries": 2},
        lambda: provider("The draft.", BAD, BAD, BAD),
    ),
    "content_draft_alone": ({**NOTES, "half": "draft"}, lambda: provider("The draft.")),
    "content_provider_fails": (NOTES, lambda: ScriptedProvider([Fail(ProviderAuth("no key"))])),
}


@pytest.mark.parametrize("name", CASES)
async def test_session_on_the_wire(autojump_clock: MockClock, name: str) -> None:
    """Events: SSE with `event:` names and one JSON `data:` line, in the order of contract 2."""
    data, make = CASES[name]
    text = await transcript_of(ContentPipeline(), ContentCodec(), data, make(), request_id="r1")
    check(name, text)
    said = messages(text)
    assert re.findall(r"^event: (\w+)$", text, re.MULTILINE) == [each["type"] for each in said]
    assert [each["seq"] for each in said] == list(range(1, len(said) + 1))
    assert {each["request_id"] for each in said} == {"r1"}
    bar = [each["progress"] for each in said if "progress" in each]
    assert bar == sorted(bar), "progress never goes down"
    ends = [each["type"] for each in said if each["type"] in ("complete", "error", "cancelled")]
    assert ends == [said[-1]["type"]], "exactly one terminal event, the last one"


async def test_messages_have_what_the_seed_shows(autojump_clock: MockClock) -> None:
    """The events of the seed, with at least the fields of its examples."""
    make = CASES["content_passes"][1]
    said = messages(await transcript_of(ContentPipeline(), ContentCodec(), NOTES, make()))
    [block] = [text for text in blocks(2, "javascript") if text.startswith("event: progress")]
    for name, fields in re.findall(r"event: (\w+)\ndata: (\{.*?\n\})", block, re.DOTALL):
        shown = json.loads(fields.replace("{...}", "{}"))
        found = [each for each in said if each["type"] == name]
        assert found, name
        for message in found:
            assert shown.keys() <= message.keys()
            for key, value in shown.items():
                assert type(message[key]) is type(value), key


def test_half_is_the_address_s_and_not_the_request_s() -> None:
    """The halves have addresses of their own; another one in the request is refused."""
    assert request_for({"a": 1}, "draft") == {"a": 1, "half": "draft"}
    assert request_for({"Half": "draft"}, "draft") == {"half": "draft"}
    with pytest.raises(InvalidRequest):
        request_for({"half": "draft"}, "whole")
