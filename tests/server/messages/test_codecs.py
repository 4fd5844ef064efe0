"""Every codec against the tables: each event that there is, and the seeds' transcripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import JSON, InvalidRequest, Overloaded
from engine.errors import NotFound
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
    PartFailed,
    PhaseCompleted,
    PhaseStarted,
    Progress,
    Reasoning,
    Receipt,
    Selected,
    SelectionRequired,
)
from server.messages import messages_of
from server.protocols import all_codecs
from server.protocols.encoding import Encoder, refusal
from server.protocols.interface import Story
from tests.server.messages.held import Unheard, closed, hold
from tests.server.protocols.transcripts import messages

CODECS = {codec.protocol: codec for codec in all_codecs()}
FOLDER = Path(__file__).parents[1] / "protocols"
RECEIPT = Receipt(accepted_at_seq=6, upstream_closed_ms=None, tokens_after_accept=2)
USAGE = {"input_tokens": 9, "output_tokens": 15, "total_tokens": 24, "by_part": []}
PARTS = {
    "generate": Part(id="p-1", target={"prompt_id": "p-1"}, phase="solutio"),
    "content": Part(id="generator", target={"stage": "generator"}, phase="generator"),
    "rater": Part(id="r-1", target={"raterName": "ada"}, phase="evaluating"),
    "persona": Part(id="a", target={"persona_id": "ada", "round": 2}, phase="answers", index=1),
    "exhibition": Part(
        id="subtitle",
        target={"stage": "theme_refinement", "field": "subtitle"},
        phase="theme_refinement",
    ),
}
COMMANDS = {
    "generate": {"request": {"input": "x"}},
    "persona": {"request": {"type": "multi_chat"}, "conversation_id": "c-1"},
}
DONE: dict[str, JSON] = {
    "content": {"message": "written", "progress": 50},
    "rater": {"phase": "complete", "message": "done", "progress": 100, "raterName": "ada"},
    "persona": {"response_id": "x", "finish_reason": "stop", "latency": None},
    "exhibition": {"message": "written", "progress": 14},
}
RESULTS: dict[str, JSON] = {
    "content": {
        "success": True,
        "output": "text",
        "validation_errors": [{"line": 1, "message": "odd", "section": "Title"}],
        "metadata": {},
    },
}
ITEMS: dict[str, tuple[str, JSON]] = {
    "exhibition": ("artist", {}),
    "persona": ("tool", {"status": "completed", "tool": "web_search", "data": {}}),
    "rater": ("partial", {"feedback": {"opinion": "", "suggestions": []}, "raterName": "ada"}),
}
NO_SUCH_EVENT: dict[str, tuple[type, ...]] = {
    "generate": (Item, Progress),
    "content": (Item,),
    "persona": (PhaseStarted, PhaseCompleted),
    "exhibition": (Reasoning, PartFailed),
}
"""What a protocol's pipeline never says, though its codec may have a word for it."""


def events_of(protocol: str) -> list[Event]:
    """Give one of each event that the protocol's pipeline says, with and without its options."""
    part = PARTS[protocol]
    kind, data = ITEMS.get(protocol, ("item", {}))
    cancel = {"reason": "client", "receipt": RECEIPT, "usage": USAGE, "partial": {"p": "so far"}}
    stage = "artist_discovery"
    found: list[Event] = [
        PhaseStarted(phase=part.phase, message="it begins", progress_percent=10.0),
        Progress(phase="init", message="it begins", part=part),
        Progress(phase=part.phase, message="half", progress_percent=50.0, part=part),
        Delta(part=part, text="te", tokens=1),
        Reasoning(part=part, text="why"),
        Item(phase=part.phase, kind=kind, data=data, part=part),
        Attempt(part=part, reason="restart"),
        Attempt(part=part, reason="provider", code="provider_timeout"),
        PartCancelled(part=part, partial="te"),
        PartCancelled(part=part, partial="te", receipt=RECEIPT),
        PartCompleted(part=part, text="text", data=DONE.get(protocol, {})),
        PartFailed(part=part, code="provider_auth", message="no key"),
        PhaseCompleted(phase=part.phase, message="it is over", progress_percent=25.0),
        Completed(data=RESULTS.get(protocol, {}), usage=USAGE),
        Failed(code="internal", message="odd", usage=USAGE),
        Failed(code="overloaded", message="later", usage=USAGE, phase="x", retry_after_s=2.0),
        Cancelled(**cancel),  # type: ignore[arg-type]
        Cancelled(**cancel, message="the deadline has passed"),  # type: ignore[arg-type]
    ]
    if protocol == "exhibition":
        found += [
            SelectionRequired(phase=stage, candidates=[{}], expires_at=1.0),
            Selected(phase=stage, selected_indices=[0]),
        ]
    return [each for each in found if not isinstance(each, NO_SUCH_EVENT.get(protocol, ()))]


def encoder(protocol: str) -> Encoder:
    story = Story(
        session_id="s-1",
        protocol=protocol,
        epoch="e1",
        request_id="r-1",
        command=COMMANDS.get(protocol, {}),
        warnings=("odd",),
    )
    return Encoder(CODECS[protocol], story)


@pytest.mark.parametrize("protocol", CODECS)
def test_every_event_is_a_message_of_the_document(protocol: str) -> None:
    """And every message that the document has of sessions comes from some event."""
    encode = encoder(protocol).encode
    found = {
        hold(json.loads(encode(Entry(seq=seq, at=1.5, event=event))), protocol, "server")
        for event in events_of(protocol)
        for seq in (1, 7)
    }
    merged = Delta(part=PARTS[protocol], text="text", tokens=2)
    entry = Entry(seq=7, at=1.5, event=merged, cuts=((2, 1), (2, 2)))
    hold(json.loads(encode(entry)), protocol, "server")
    wanted = {
        f"{protocol}.{each.name}" for each in messages_of(protocol, "server") if each.is_numbered
    }
    assert found == wanted


@pytest.mark.parametrize("protocol", CODECS)
@pytest.mark.parametrize(
    "error",
    [
        NotFound("there is none"),
        InvalidRequest("odd", [("count", "must be a number")]),
        Overloaded("later", retry_after_s=1.0),
    ],
    ids=lambda error: error.code,
)
def test_refusals(protocol: str, error: NotFound | InvalidRequest | Overloaded) -> None:
    about = {"phase": "idea", "stage": "artist_discovery"}
    data = refusal(CODECS[protocol], error, request_id="r", session_id="s", about=about)
    assert hold(json.loads(data), protocol, "server") == f"{protocol}.refused"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("golden/*.jsonl")), ids=lambda path: path.stem)
def test_golden_messages(path: Path) -> None:
    """What is once sent in a form is always sent in it, and the document has it."""
    protocol = path.stem.partition("_")[0]
    for line in path.read_text("utf-8").splitlines():
        message = {"seq": 1, **json.loads(line)}  # some files leave it out
        if message.get("usage") == {}:
            message["usage"] = USAGE  # no session says so; a bare event does
        hold(message, protocol, "server")


@pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("transcripts/*.txt")), ids=lambda path: path.stem
)
def test_transcripts_of_sse(path: Path) -> None:
    protocol = path.stem.partition("_")[0]
    for message in messages(path.read_text("utf-8")):
        hold(message, protocol, "server")


def test_what_the_document_does_not_have_is_an_error() -> None:
    """A field, a type, a value or a field that is missing: each is seen."""
    good = {"type": "token", "stage": "x", "token": "y", "session_id": "s", "epoch": "e", "seq": 1}
    assert hold(good, "content", "server") == "content.token"
    bad: list[JSON] = [{"colour": 1}, {"type": "tokens"}, {"seq": 0}, {"stage": None}]
    for change in bad:
        with pytest.raises(Unheard):
            hold({**good, **change}, "content", "server")
    with pytest.raises(Unheard):
        hold({key: good[key] for key in good if key != "epoch"}, "content", "server")


def test_closing_goes_all_the_way_down() -> None:
    inner = {"type": "object", "required": [], "properties": {}}
    shut = closed({"type": "array", "items": inner})
    assert shut["items"]["additionalProperties"] is False
