"""What the content pipeline may be asked for, as contract 2's table says."""

from __future__ import annotations

from typing import Any

import pytest

from engine.commands.content import ContentCommand, DraftCommand, FormatCommand, parse_content
from engine.errors import InvalidRequest

NOTES = "Ten notes about the heart and its failure."


def request(**fields: Any) -> dict[str, Any]:
    return {"content_type": "MCQ", "input_text": NOTES, **fields}


def test_defaults_are_those_of_the_table() -> None:
    """num_questions 5, temperatures 0.51, top_p 0.95, max_retries 1, no focus areas, no models."""
    command, warnings = parse_content(request())

    assert command == ContentCommand(
        content_type="MCQ",
        input_text=NOTES,
        num_questions=5,
        focus_areas=None,
        generator_model=None,
        formatter_model=None,
        generator_temperature=0.51,
        generator_top_p=0.95,
        formatter_temperature=0.51,
        formatter_top_p=0.95,
        max_retries=1,
    )
    assert warnings == ()


@pytest.mark.parametrize("content_type", ["MCQ", "NMCQ", "SUMMARY"])
def test_each_content_type_is_taken(content_type: str) -> None:
    """content_type: MCQ, NMCQ, SUMMARY."""
    assert parse_content(request(content_type=content_type))[0].content_type == content_type


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_questions", 1),
        ("num_questions", 20),
        ("generator_temperature", 0),
        ("generator_temperature", 1),
        ("generator_top_p", 0),
        ("formatter_temperature", 1.0),
        ("formatter_top_p", 0.5),
        ("max_retries", 0),
        ("max_retries", 5),
        ("input_text", "x" * 10),
        ("input_text", "x" * 500_000),
        ("focus_areas", "valves"),
        ("generator_model", "openai/gpt-x"),
    ],
)
def test_values_at_their_bounds_are_taken(field: str, value: object) -> None:
    """Both ends of each range belong to it."""
    command, _ = parse_content(request(**{field: value}))
    assert getattr(command, field) == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content_type", "mcq"),
        ("content_type", None),
        ("input_text", "x" * 9),
        ("input_text", "   x x x       "),
        ("input_text", "x" * 500_001),
        ("input_text", 7),
        ("num_questions", 0),
        ("num_questions", 21),
        ("num_questions", "5"),
        ("num_questions", True),
        ("num_questions", 2.5),
        ("generator_temperature", -0.01),
        ("generator_temperature", 1.01),
        ("generator_top_p", 2),
        ("formatter_temperature", "0.5"),
        ("formatter_top_p", -1),
        ("max_retries", -1),
        ("max_retries", 6),
        ("generator_model", ""),
        ("formatter_model", "  "),
        ("half", "third"),
        ("half", 1),
        ("half", []),
    ],
)
def test_values_beyond_their_bounds_are_refused_by_name(field: str, value: object) -> None:
    """JSON that breaks the contract is `invalid_request`, with the path of each fault."""
    with pytest.raises(InvalidRequest) as caught:
        parse_content(request(**{field: value}))
    assert [path for path, _ in caught.value.details] == [field]


@pytest.mark.parametrize("field", ["content_type", "input_text"])
def test_a_required_field_that_is_missing_is_named(field: str) -> None:
    """content_type and input_text are required."""
    data = request()
    del data[field]
    with pytest.raises(InvalidRequest) as caught:
        parse_content(data)
    assert [path for path, _ in caught.value.details] == [field]


def test_the_source_text_is_trimmed() -> None:
    """10 to 500,000 characters after trimming."""
    command, _ = parse_content(request(input_text=f"\n  {NOTES}  \n"))
    assert isinstance(command, ContentCommand)
    assert command.input_text == NOTES


def test_an_unknown_field_is_warned_of_with_its_neighbour() -> None:
    """Unknown fields are never ignored in silence."""
    _, warnings = parse_content(request(num_question=3))
    assert len(warnings) == 1
    assert "num_question" in warnings[0]
    assert '"num_questions"' in warnings[0]


def test_the_first_half_needs_no_formatter() -> None:
    """/run/stream/draft: the generator alone."""
    command, warnings = parse_content(request(half="draft", formatter_model="x"))
    assert isinstance(command, DraftCommand)
    assert "formatter_model" in warnings[0]


def test_the_second_half_takes_a_draft_in_place_of_notes() -> None:
    """/run/stream/format: the formatter on a given draft."""
    command, _ = parse_content({"half": "format", "content_type": "MCQ", "draft": NOTES})
    assert isinstance(command, FormatCommand)
    assert command.draft == NOTES

    with pytest.raises(InvalidRequest) as caught:
        parse_content(request(half="format"))
    assert [path for path, _ in caught.value.details] == ["draft"]


@pytest.mark.parametrize("half", ["whole", "draft", "format"])
def test_a_command_parses_back_from_its_own_record(half: str) -> None:
    """The journal keeps a command as its class serialises itself."""
    text = {"draft": NOTES} if half == "format" else {"input_text": NOTES}
    command, _ = parse_content({"half": half, "content_type": "NMCQ", **text})
    for exclude_defaults in (False, True):
        record = command.model_dump(mode="json", exclude_defaults=exclude_defaults)
        assert parse_content(record) == (command, ())
