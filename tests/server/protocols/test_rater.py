"""The rater's codec against transcripts, and against the seed's own examples."""

from __future__ import annotations

import json

import pytest
from trio.testing import MockClock

from engine.errors import ProviderAuth
from engine.pipelines.rater.pipeline import RaterPipeline
from engine.testing.scripted_provider import Fail, ScriptedProvider, say
from server.client import is_terminal
from server.protocols.rater import RaterCodec
from tests.seeds.reading import blocks
from tests.server.protocols.transcripts import check, messages, transcript_of

ANSWER = json.dumps(
    {"opinion": "It holds \u2026 It moves.", "suggestions": ["Show the door.", "Cut the dream."]},
    ensure_ascii=False,
)
REQUEST = json.loads(blocks(3, "json")[0])
SEVERAL = {
    "plotPoint": "A door.",
    "structured_context": {},
    "raters": [
        {"raterName": "ada", "raterPrompt": "Be strict."},
        {"raterName": "bob", "raterPrompt": "Be kind."},
    ],
}


def answering(*texts: str, pace_s: float = 0.06) -> ScriptedProvider:
    cut = 30
    return ScriptedProvider(*(say(text[:cut], text[cut:], pace_s=pace_s) for text in texts))


CASES = {
    "rater_judges": (REQUEST, lambda: answering(ANSWER)),
    "rater_is_asked_again": (REQUEST, lambda: answering("   ", ANSWER)),
    "rater_gives_nothing_to_read": (REQUEST, lambda: answering("   ", "   ")),
    "rater_has_no_key": (REQUEST, lambda: ScriptedProvider([Fail(ProviderAuth("no key"))])),
    "rater_is_one_of_two": (
        SEVERAL,
        lambda: ScriptedProvider(
            say(ANSWER[:30], ANSWER[30:], pace_s=0.06), [Fail(ProviderAuth("no key"))]
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_session_on_the_wire(autojump_clock: MockClock, name: str) -> None:
    """Events: SSE, `data:` only, no `event:` name, in the order of contract 3."""
    data, make = CASES[name]
    text = await transcript_of(RaterPipeline(), RaterCodec(), data, make())
    if name != "rater_is_one_of_two":  # side by side: in which order, nobody promises
        check(name, text)
    said = messages(text)
    assert "event:" not in text
    assert [each["seq"] for each in said] == list(range(1, len(said) + 1))
    for rater in {each.get("raterName") for each in said}:
        mine = [each for each in said if each.get("raterName") == rater]
        bar = [each["progress"] for each in mine if "progress" in each]
        assert bar == sorted(bar), "progress never goes down"
    assert [is_terminal(each) for each in said] == [False] * (len(said) - 1) + [True]


async def test_a_rater_that_fails_leaves_the_others(autojump_clock: MockClock) -> None:
    """Each message carries raterName; the last result has {results, failed}."""
    data, make = CASES["rater_is_one_of_two"]
    said = messages(await transcript_of(RaterPipeline(), RaterCodec(), data, make()))
    assert all(each.get("raterName") in ("ada", "bob") for each in said[:-1])
    [error] = [each for each in said if each["type"] == "error"]
    final = said[-1]["data"]
    assert {"error_code": error["error_code"], "raterName": error["raterName"]} == {
        key: final["failed"][0][key] for key in ("error_code", "raterName")
    }
    assert [each["raterName"] for each in final["results"]] == [
        name for name in ("ada", "bob") if name != error["raterName"]
    ]


async def test_messages_have_what_the_seed_shows(autojump_clock: MockClock) -> None:
    """Status, result and error, with at least the fields of the seed's examples."""
    good = await transcript_of(RaterPipeline(), RaterCodec(), REQUEST, answering(ANSWER))
    bad = await transcript_of(
        RaterPipeline(),
        RaterCodec(),
        *CASES["rater_has_no_key"][:1],
        CASES["rater_has_no_key"][1](),
    )
    said = messages(good) + messages(bad)
    for text in blocks(3, "json")[1:]:
        shown = json.loads(text)
        found = [each for each in said if each["type"] == shown["type"]]
        assert found, shown["type"]
        for message in found:
            assert shown.keys() <= message.keys()
            for key, value in shown.items():
                assert type(message[key]) is type(value), key
    result = messages(good)[-1]["data"]
    shown = json.loads(blocks(3, "json")[2])["data"]
    assert shown.keys() <= result.keys()
    assert shown["feedback"].keys() == result["feedback"].keys()
    assert shown["context_metadata"].keys() <= result["context_metadata"].keys()
