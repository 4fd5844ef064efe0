"""StreamGenerate's messages: the seed's own, byte for byte, and those that contract 1 adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine import AntiphonError, InvalidRequest, Overloaded, UnsupportedType
from engine.events import (
    Attempt,
    Cancelled,
    Completed,
    Delta,
    Entry,
    Event,
    Failed,
    Part,
    PartCancelled,
    PartCompleted,
    PartFailed,
    PhaseCompleted,
    PhaseStarted,
    Reasoning,
    Receipt,
)
from server.protocols.encoding import Encoder, refusal, to_ascii
from server.protocols.generate import GenerateCodec
from server.protocols.interface import Story
from tests.seeds.reading import blocks

GOLDEN = Path(__file__).parent / "golden" / "generate.jsonl"
SEED = {message["type"]: message for message in map(json.loads, blocks(1, "json"))}
PROMPT_ID = "550e8400-e29b-41d4-a716-446655440000"
COMMON = {"session_id": "s-1", "epoch": "e1", "request_id": "r-1"}
PART = Part(
    id=PROMPT_ID,
    target={"prompt_id": PROMPT_ID},
    phase="prima-materia",
    provider="openai",
    model="gpt-4",
)
RECEIPT = Receipt(accepted_at_seq=6, upstream_closed_ms=1.25, tokens_after_accept=2)
USAGE = {"input_tokens": 9, "output_tokens": 15, "total_tokens": 24, "by_part": []}


def encoder(*, warnings: tuple[str, ...] = (), request_id: str | None = "r-1") -> Encoder:
    story = Story(
        session_id="s-1",
        protocol="generate",
        epoch="e1",
        request_id=request_id,
        command={"request": {"input": "x"}},
        warnings=warnings,
    )
    return Encoder(GenerateCodec(), story)


def encode(event: Event, *, at: float, seq: int = 7, **options: Any) -> dict[str, Any]:
    return json.loads(encoder(**options).encode(Entry(seq=seq, at=at, event=event)))  # type: ignore[no-any-return]


# What an old client needs is what the seed shows; what is added to it stands beside each.
SEEDED: dict[str, tuple[Event, dict[str, Any]]] = {
    "phase_start": (PhaseStarted(phase="prima-materia"), {}),
    "chunk": (Delta(part=PART, text="partial content...", tokens=15), {}),
    "prompt_complete": (PartCompleted(part=PART, text="x"), {"index": 0, "parent_id": None}),
    "phase_complete": (PhaseCompleted(phase="prima-materia"), {}),
    "error": (
        Failed(
            code="provider_not_found",
            message="Failed to get provider: provider not found",
            phase="prima-materia",
            usage=USAGE,
        ),
        {"code": "provider_not_found", "usage": USAGE},
    ),
}


def test_seed_has_the_messages_that_are_tested() -> None:
    assert SEED.keys() == {*SEEDED, "result"}


@pytest.mark.parametrize("kind", SEEDED)
@pytest.mark.parametrize("seq", [1, 7])
def test_message_of_the_seed(kind: str, seq: int) -> None:
    """As in the seed, plus the common fields."""
    event, added = SEEDED[kind]
    message = encode(event, at=SEED[kind]["timestamp"] + 0.9, seq=seq)
    assert message == {**SEED[kind], **added, **COMMON, "seq": seq}


def test_result_of_the_seed() -> None:
    """`result.content` is a JSON string of the session's id, prompts, rankings and selected."""
    data = {"prompts": [{"id": "a"}], "rankings": [{"prompt_id": "a"}], "selected": {"score": 1}}
    message = encode(Completed(data=data, usage=USAGE), at=1234567894)
    content = json.loads(message.pop("content"))
    seed = {key: value for key, value in SEED["result"].items() if key != "content"}
    assert message == {**seed, "usage": USAGE, **COMMON, "seq": 7}
    assert content == {"session_id": "s-1", **data}


ADDED: list[Event] = [
    Reasoning(part=PART, text="first, …"),
    Attempt(
        part=Part(id=PROMPT_ID, target={"prompt_id": PROMPT_ID}, phase="prima-materia", attempt=2),
        reason="provider",
        code="provider_unavailable",
    ),
    PartFailed(part=PART, code="provider_auth", message="openai did not accept the key"),
    PartCancelled(part=PART, partial="partial content...", receipt=RECEIPT),
    Failed(
        code="provider_rate_limited",
        message="every lane was lost: slowly",
        phase="solutio",
        usage=USAGE,
        data={"partial": {"session_id": "s-1", "prompts": []}},
        retry_after_s=7.0,
    ),
    Cancelled(
        reason="client",
        partial={PROMPT_ID: "partial content..."},
        usage=USAGE,
        receipt=RECEIPT,
    ),
    Cancelled(
        reason="deadline",
        receipt=Receipt(accepted_at_seq=0, upstream_closed_ms=None, tokens_after_accept=0),
        usage=USAGE,
        message="the session's deadline has passed",
    ),
]


def test_messages_that_the_contract_adds() -> None:
    """Wire names are for ever: what was once sent in a form is always sent in it."""
    lines = [
        encoder().encode(Entry(seq=seq, at=1234567890.5, event=event)).decode()
        for seq, event in enumerate(ADDED, start=1)
    ]
    assert lines == GOLDEN.read_text("utf-8").splitlines()


def test_message_without_a_request_id() -> None:
    assert "request_id" not in encode(PhaseStarted(phase="solutio"), at=1, request_id=None)


@pytest.mark.parametrize("event", [PhaseStarted(phase="x"), Delta(part=PART, text="x")])
def test_warnings_of_a_session(event: Event) -> None:
    """They come with its first message, and with no other."""
    assert encode(event, at=1, seq=1, warnings=("odd",))["warnings"] == ["odd"]
    assert "warnings" not in encode(event, at=1, seq=2, warnings=("odd",))


def test_merged_chunk() -> None:
    """It carries `seq` of its last delta and `first_seq` of its first."""
    delta = Delta(part=PART, text="abc", tokens=3)
    entry = Entry(seq=9, at=5, event=delta, cuts=((1, 1), (1, 2), (1, 3)))
    message = json.loads(encoder().encode(entry))
    assert (message["first_seq"], message["seq"]) == (7, 9)
    assert (message["content"], message["tokens"]) == ("abc", 3)


@pytest.mark.parametrize("text", ['"\\\n\t\0', "ä€😀", "\ud83d", "\u2028", "</script>"])
def test_chunk_of_any_text(text: str) -> None:
    """What is put together from bytes is what the codec gives as fields, whatever the text."""
    entry = Entry(seq=7, at=5.5, event=Delta(part=PART, text=text, tokens=2))
    message = encoder().encode(entry)
    assert json.loads(message) == encoder().fields(entry)
    assert json.loads(message)["content"] == text
    assert to_ascii(message).isascii()
    assert json.loads(to_ascii(message)) == json.loads(message)


@pytest.mark.parametrize(
    ("error", "added"),
    [
        (UnsupportedType("no such type"), {"code": "unsupported_type"}),
        (
            InvalidRequest("count must be at least 1, got 0", [("request.count", "too low")]),
            {
                "code": "invalid_request",
                "details": [{"path": "request.count", "message": "too low"}],
            },
        ),
        (Overloaded("too many", retry_after_s=1.0), {"code": "overloaded", "retry_after": 1.0}),
    ],
)
def test_refusal(error: AntiphonError, added: dict[str, Any]) -> None:
    """An `error` of the seed's form with `refused`, and without a place in any session."""
    message = json.loads(refusal(GenerateCodec(), error, request_id="r-1"))
    assert message.pop("timestamp") > 1_700_000_000
    expected = {"type": "error", "phase": "", "error": error.message, "refused": True}
    assert message == {**expected, "request_id": "r-1", **added}


def test_options_object_with_and_without_a_type() -> None:
    """A GenerateOptions object has no type; an unknown one is refused by its name."""
    codec = GenerateCodec()
    assert codec.decode({"request": {}}) == ("generate", {"request": {}})
    assert codec.decode({"type": "generate", "request": {}}) == ("generate", {"request": {}})
    with pytest.raises(UnsupportedType, match="unsupported message type 'dance'"):
        codec.decode({"type": "dance"})


@pytest.mark.parametrize(
    ("target", "canonical"),
    [
        ({"phase": "idea"}, {"phase": "prima-materia"}),
        ({"phase": "human"}, {"phase": "solutio"}),
        ({"phase": "coagulatio"}, {"phase": "coagulatio"}),
        ({"phase": "nobody"}, {"phase": "nobody"}),
        ({"prompt_id": "idea"}, {"prompt_id": "idea"}),
        ({"prompt_id": "p", "phase": "idea"}, {"prompt_id": "p", "phase": "prima-materia"}),
    ],
)
def test_target_of_a_cancel(target: dict[str, str], canonical: dict[str, str]) -> None:
    """A phase's alias becomes its name; anything else stays as it is."""
    assert GenerateCodec().target(target) == canonical
