"""The writer is bounded: no text of a client's makes it slow or makes it fail."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import JSON
from engine.providers.interface import GenerationRequest, Message
from engine.providers.simulation.writer import write

HOSTILE = [
    "<a>" * 60_000,
    '"' * 100_000,
    "a:\n" * 40_000,
    " " * 100_000 + "x",
    "a" * 100_000,
    "id: " * 30_000,
    "1 to 2 " * 20_000,
    "please " * 20_000,
    "you are a " * 20_000,
    "`" * 100_000,
    "*" * 100_000,
    "\n" * 100_000,
    "context:\n" * 20_000,
    "{t} {a} {0} {b!r} {" * 5_000,
]
PURPOSES: list[dict[str, str]] = [
    {},
    {"purpose": "prima-materia"},
    {"purpose": "solutio"},
    {"purpose": "coagulatio"},
    {"purpose": "content.formatter", "content_type": "MCQ", "num_questions": "20"},
    {"purpose": "exhibition.statement"},
]
SCHEMA: JSON = {
    "type": "object",
    "properties": {
        "prompt_id": {"type": "string"},
        "title": {"type": "string", "maxLength": 50},
        "artists": {"type": "array", "items": {"type": "string"}},
        "reasoning": {"type": "string"},
    },
    "required": ["prompt_id", "title", "artists", "reasoning"],
}


def request(text: str, metadata: dict[str, str], schema: JSON | None = None) -> GenerationRequest:
    return GenerationRequest(
        messages=(Message(role="user", content=text),),
        instructions=text[:50_000],
        model="",
        metadata=metadata,
        response_schema=schema,
        reasoning=True,
    )


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_a_hostile_text_costs_no_more_than_its_bound(text: str) -> None:
    """Bounded: a quadratic regular expression would take minutes here, not half a second."""
    start = time.process_time()
    for metadata in PURPOSES:
        write(request(text, metadata), b"key")
    write(request(text, {}, SCHEMA), b"key")
    assert time.process_time() - start < 0.5 * (len(PURPOSES) + 1)


@settings(max_examples=80, deadline=None)
@given(text=st.text(max_size=300), metadata=st.sampled_from(PURPOSES), key=st.binary(max_size=4))
def test_any_text_is_answered(text: str, metadata: dict[str, str], key: bytes) -> None:
    """No text makes it fail: other scripts, braces, nothing at all."""
    answer = write(request(text, metadata), key)
    assert "".join(delta.text for delta in answer.pieces(10_000)).strip()
    write(request(text, metadata, SCHEMA), key)


@pytest.mark.parametrize("text", ["?", "??", "please ?", "could you\xa0?", "I want to ?", "!", "."])
@pytest.mark.parametrize("metadata", PURPOSES, ids=lambda metadata: "-".join(metadata.values()))
def test_a_text_of_marks_is_answered(text: str, metadata: dict[str, str]) -> None:
    """A lone question mark is a text too: what is left of it may be nothing."""
    answer = write(request(text, metadata), b"key")
    assert "".join(delta.text for delta in answer.pieces(100)).strip()


@pytest.mark.parametrize("role", ["system", "assistant", "tool"])
def test_a_request_without_a_user_is_answered(role: str) -> None:
    """It answers from instructions and messages in context, whoever wrote them."""
    message = Message(role=role, content="Tidal energy comes from the sea.")  # type: ignore[arg-type]
    for messages in ((message,), ()):
        answer = write(GenerationRequest(messages=messages, model=""), b"key")
        assert "".join(delta.text for delta in answer.pieces(50))
