"""What the persona chat is asked for: envelopes, bounds, and the way through the journal."""

from __future__ import annotations

from typing import Any

import pytest

from engine.commands.persona import (
    REQUESTS,
    Admitted,
    MultiChatRequest,
    Persona,
    PersonaRequest,
    parse_persona,
)
from engine.errors import InvalidRequest, UnsupportedType

DATA: dict[str, dict[str, Any]] = {
    "openai_chat": {"input_text": "Hello"},
    "chat": {"message": "Hello", "persona_id": "poe"},
    "multi_chat": {"message": "Hello", "persona_ids": ["poe", "kit"], "mode": "debate"},
}


def parse(kind: str, **fields: Any) -> PersonaRequest:
    request, warnings = parse_persona({"type": kind, "data": {**DATA[kind], **fields}})
    assert warnings == ()
    assert not isinstance(request, Admitted)
    return request


@pytest.mark.parametrize("kind", REQUESTS)
def test_what_a_request_says_is_what_it_means(kind: str) -> None:
    """The options of any of the three, by either spelling of their names."""
    options = {"api": "openai", "model": "m", "temperature": 0.7, "maxTokens": 9, "smooth": True}
    asked = parse(kind, conversationId="c", previousResponseId="r", **options).data
    assert (asked.api, asked.model, asked.temperature) == ("openai", "m", 0.7)
    assert (asked.max_tokens, asked.smooth) == (9, True)
    assert (asked.conversation_id, asked.previous_response_id) == ("c", "r")
    assert asked.message == "Hello"


@pytest.mark.parametrize("kind", REQUESTS)
def test_what_the_journal_keeps_comes_back(kind: str) -> None:
    """After a crash the same command comes out of the journal, whatever it was."""
    persona = Persona(id="poe", name="Poe", system_prompt="You rhyme.")
    admitted = Admitted(
        request=parse(kind), conversation_id="c", after="s", personas=(persona, persona)
    )
    kept = admitted.model_dump(mode="json", exclude_defaults=True)
    assert parse_persona(kept) == (admitted, ())


@pytest.mark.parametrize(("rounds", "count"), [(None, 2), (1, 1), (5, 5)])
def test_rounds_of_a_debate(rounds: int | None, count: int) -> None:
    """`rounds` 1 to 5; a debate that does not say has an answer and a reply each."""
    request = parse("multi_chat", rounds=rounds)
    assert isinstance(request, MultiChatRequest)
    assert request.data.round_count == count


@pytest.mark.parametrize("kind", [None, 3, "", "Chat", ["chat"], "x" * 10_000])
def test_an_unknown_type_is_told_what_is_allowed(kind: object) -> None:
    """Malformed and unknown messages get an error that says what is allowed."""
    with pytest.raises(UnsupportedType) as caught:
        parse_persona({"type": kind, "data": {}})
    assert "allowed are openai_chat, chat, multi_chat" in caught.value.message
    assert len(caught.value.message) < 250


@pytest.mark.parametrize(
    ("kind", "fields", "path"),
    [
        ("openai_chat", {"input_text": "\n"}, "data.input_text"),
        ("openai_chat", {"tools": [3]}, "data.tools.0"),
        ("openai_chat", {"tools": [{"type": ""}]}, "data.tools"),
        ("openai_chat", {"include_reasoning": 1}, "data.include_reasoning"),
        ("chat", {"persona_id": ""}, "data.persona_id"),
        ("chat", {"temperature": float("nan")}, "data.temperature"),
        ("chat", {"max_tokens": 1.5}, "data.max_tokens"),
        ("chat", {"conversation_id": "two words"}, "data.conversation_id"),
        ("multi_chat", {"persona_ids": "poe"}, "data.persona_ids"),
        ("multi_chat", {"mode": "parallel", "rounds": 2}, "data"),
    ],
)
def test_a_fault_is_told_by_its_path(kind: str, fields: dict[str, Any], path: str) -> None:
    """`details`: a list of path and message, with canonical names."""
    with pytest.raises(InvalidRequest) as caught:
        parse_persona({"type": kind, "data": {**DATA[kind], **fields}})
    assert [each for each, _ in caught.value.details] == [path]
