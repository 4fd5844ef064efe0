"""The exhibition's messages: the seed's own, and those that contract 5 adds, byte for byte."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine import Conflict, InvalidRequest, UnsupportedType
from engine.events import (
    Attempt,
    Cancelled,
    Completed,
    Delta,
    Entry,
    Event,
    Failed,
    Item,
    Part,
    PartCancelled,
    PartCompleted,
    PhaseCompleted,
    PhaseStarted,
    Progress,
    Receipt,
    Selected,
    SelectionRequired,
)
from engine.knowledge.scoring import Score
from engine.pipelines.exhibition.findings import artist_json, artwork_json
from server.protocols.control import Select, interpret
from server.protocols.encoding import Encoder, refusal
from server.protocols.exhibition import ExhibitionCodec
from server.protocols.interface import Story
from tests.pipelines.exhibition.doubles import artist, artwork

GOLDEN = Path(__file__).parent / "golden" / "exhibition.jsonl"
SEED = (Path(__file__).parents[2] / "seeds" / "5-exhibition.md").read_text("utf-8")
SCORE = Score(score=0.95, reason="Its subject touches dreams.", parts={"theme": 1.0})
ARTIST = artist_json(artist("Salvador Dalí", wikidata_id="Q5577"), SCORE)
ARTWORK = artwork_json(
    artwork("The Persistence of Memory", "Salvador Dalí", iiif_manifest="https://iiif.example/1"),
    SCORE,
    "dreams",
)
TITLE = Part(
    id="exhibition_title",
    target={"stage": "theme_refinement", "field": "exhibition_title"},
    phase="theme_refinement",
    provider="openai",
    model="gpt-4",
)
THEME = {
    "exhibition_title": "Dreams Unchained",
    "subtitle": "Surrealism Awakened",
    "curatorial_statement": "...",
    "scholarly_rationale": "...",
    "target_audience_refined": "Everybody who sleeps",
    "complexity_level": "intermediate",
    "concepts": [],
    "sources": [],
    "notes": [],
}
RECEIPT = Receipt(accepted_at_seq=6, upstream_closed_ms=1.25, tokens_after_accept=2)
USAGE = {"input_tokens": 9, "output_tokens": 15, "total_tokens": 24, "by_part": []}

EVENTS: list[Event] = [
    PhaseStarted(phase="validation", message="The brief is complete", progress_percent=5),
    PhaseStarted(phase="theme_refinement", message="Refining the theme", progress_percent=10),
    Progress(phase="theme_refinement", message='Looked up "dreams"', progress_percent=11.9),
    Delta(part=TITLE, text="Dreams ", tokens=1),
    Attempt(part=TITLE, reason="validation", code="validation_failed"),
    PartCompleted(
        part=TITLE,
        text="Dreams Unchained",
        data={"message": "The exhibition title is written", "progress": 14.0, "text": "…"},
    ),
    PhaseCompleted(
        phase="theme_refinement",
        message="Theme refinement complete",
        progress_percent=25,
        data=THEME,
    ),
    Item(phase="artist_discovery", kind="artist", data=ARTIST),
    PhaseCompleted(
        phase="artist_discovery",
        message="Artist discovery complete",
        progress_percent=55,
        data={"artists": [ARTIST], "sources": [], "notes": []},
    ),
    SelectionRequired(phase="artist_discovery", candidates=[ARTIST], expires_at=1234571490.5),
    Selected(phase="artist_discovery", selected_indices=[0], progress_percent=55),
    PhaseCompleted(
        phase="artwork_discovery",
        message="Artwork discovery complete",
        progress_percent=90,
        data={"artworks": [ARTWORK], "sources": [], "notes": []},
    ),
    PartCancelled(part=TITLE, partial="Dreams ", receipt=RECEIPT),
    Completed(data={"session_id": "s-1"}, usage=USAGE),
    Failed(code="provider_timeout", message="it fell silent", phase="theme_refinement"),
    Cancelled(reason="client", partial={"subtitle": "Sur"}, usage=USAGE, receipt=RECEIPT),
]


def encoder() -> Encoder:
    story = Story(
        session_id="s-1",
        protocol="exhibition",
        epoch="e1",
        request_id="r-1",
        command={},
        warnings=(),
    )
    return Encoder(ExhibitionCodec(), story)


def encode(event: Event) -> dict[str, Any]:
    entry = Entry(seq=7, at=1234567890.5, event=event)
    return json.loads(encoder().encode(entry))  # type: ignore[no-any-return]


def test_golden_transcript() -> None:
    """Wire names are for ever: what was once sent in a form is always sent in it."""
    lines = [
        encoder().encode(Entry(seq=seq, at=1234567890.5, event=event)).decode()
        for seq, event in enumerate(EVENTS, start=1)
    ]
    assert lines == GOLDEN.read_text("utf-8").splitlines()


def seed_messages() -> list[dict[str, Any]]:
    """The messages that the seed draws: what follows each arrow."""
    drawn = re.findall(r"← (\{.*?\n  \})", SEED, re.DOTALL)
    return [json.loads(text) for text in drawn]


def test_the_seed_has_the_messages_that_are_tested() -> None:
    kinds = [(message["type"], message.get("stage")) for message in seed_messages()]
    assert kinds == [
        ("stage_complete", "theme_refinement"),
        ("stage_complete", "artist_discovery"),
        ("stage_complete", "artwork_discovery"),
        ("completed", None),
    ]


def test_messages_of_the_seed() -> None:
    """Each field that the seed draws is there, in the same place, with the same kind of value."""
    ours = [encode(e) for e in EVENTS if isinstance(e, PhaseCompleted | Completed)]
    for drawn, message in zip(seed_messages(), ours, strict=True):
        assert_has(message, drawn)
    [done] = [message for message in ours if message["type"] == "completed"]
    assert done["proposal_url"] == "/api/proposals/s-1"
    for message in ours[:-1]:
        assert message["completed_stage"] == message["stage"]
        assert re.fullmatch(r"2009-02-13T23:31:30\.500000Z", message["updated_at"])


def assert_has(message: Any, drawn: Any) -> None:
    if isinstance(drawn, dict):
        for key, value in drawn.items():
            assert key in message, key
            assert_has(message[key], value)
    elif isinstance(drawn, list):
        assert isinstance(message, list)
        assert_has(message[0], drawn[0])
    elif isinstance(drawn, bool | int | float):
        assert isinstance(message, int | float)
    else:
        assert isinstance(message, type(drawn))


def test_both_sets_of_names() -> None:
    """`score` and `relevance_score`, `reasoning` and `relevance_reasoning`."""
    for found in (ARTIST, ARTWORK):
        assert found["score"] == found["relevance_score"] == 0.95
        assert found["reasoning"] == found["relevance_reasoning"]


def test_a_select_message() -> None:
    """`select` is read on any socket, however its keys are spelt; without a stage it is refused."""
    said = interpret(
        {"type": "select", "stage": "artist_discovery", "selectedIndices": [1]}, ExhibitionCodec()
    )
    assert said == Select(session_id=None, stage="artist_discovery", indices=[1])
    with pytest.raises(InvalidRequest, match="stage"):
        interpret({"type": "select", "selected_indices": [1]}, ExhibitionCodec())


def test_an_unknown_type() -> None:
    with pytest.raises(UnsupportedType, match="select, cancel, subscribe and ping"):
        interpret({"type": "dance"}, ExhibitionCodec())


def test_a_refusal() -> None:
    """`error` with code, `refused` and the request's id; it ends nothing."""
    message = json.loads(
        refusal(ExhibitionCodec(), Conflict("too late"), request_id="r", about={"stage": "x"})
    )
    assert message == {
        "type": "error",
        "message": "too late",
        "error": "too late",
        "stage": "x",
        "code": "conflict",
        "refused": True,
        "request_id": "r",
    }
