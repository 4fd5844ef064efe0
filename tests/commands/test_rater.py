"""What the rater may be asked, as contract 3 says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.commands.rater import MAX_RATERS, RaterBatchCommand, RaterCommand, parse_rating
from engine.errors import InvalidRequest


def request(**fields: Any) -> dict[str, Any]:
    return {
        "raterPrompt": "You are a critic.",
        "plotPoint": "The hero finds a door.",
        "structured_context": {},
        **fields,
    }


SEED_CONTEXT = {
    "systemPrompts": {
        "mainPrefix": "You are a helpful assistant.",
        "mainSuffix": "Be creative and engaging.",
        "assistantPrompt": "Provide detailed feedback.",
    },
    "worldbuilding": {
        "content": "A fantasy world with magic.",
        "lastModified": "2024-01-01T00:00:00Z",
        "wordCount": 5,
    },
    "storySummary": {
        "summary": "A hero's journey begins.",
        "lastModified": "2024-01-01T00:00:00Z",
        "wordCount": 4,
    },
    "previousChapters": [],
    "characters": [],
    "plotContext": {
        "plotPoint": "The hero discovers a hidden door in the basement.",
        "plotOutline": "Hero finds door, explores, finds treasure.",
        "plotOutlineStatus": "draft",
    },
}


def test_defaults_are_those_of_the_contract() -> None:
    """raterName "Rater", temperature 0.7, max_tokens 600, an empty context."""
    command, warnings = parse_rating(request())
    assert isinstance(command, RaterCommand)
    assert command.rater_name == "Rater"
    assert (command.temperature, command.max_tokens) == (0.7, 600)
    assert command.model is command.compose_phase is command.phase_context is None
    assert warnings == ()


def test_the_seeds_request_is_taken_as_it_stands() -> None:
    """Shape A is the seed's; a client written from it works unchanged, without a warning."""
    command, warnings = parse_rating(request(structured_context=SEED_CONTEXT))
    assert warnings == ()
    assert command.structured_context.worldbuilding.content == "A fantasy world with magic."
    assert command.structured_context.plot_context.plot_outline_status == "draft"


def test_both_shapes_may_be_mixed() -> None:
    """Two shapes; both are accepted, also mixed."""
    context = {
        **SEED_CONTEXT,
        "plot_elements": [{"type": "twist", "content": "It was a dream.", "priority": "high"}],
        "character_contexts": [{"character_id": "ada", "goals": ["leave"]}],
        "user_requests": [{"content": "More tension."}],
        "system_instructions": [{"type": "style", "content": "Be brief."}],
    }
    command, warnings = parse_rating(request(structured_context=context))
    assert warnings == ()
    assert command.structured_context.plot_elements[0].type == "twist"
    assert command.structured_context.story_summary.summary == "A hero's journey begins."


def test_nulls_of_optional_parts_mean_that_nothing_is_there() -> None:
    """Clients send null for what they do not have."""
    context = {"worldbuilding": None, "previousChapters": None, "storySummary": {"summary": None}}
    command, _ = parse_rating(request(structured_context=context))
    assert command.structured_context.story_summary.summary is None


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"raterPrompt": " \n"}, "raterPrompt"),
        ({"raterPrompt": None}, "raterPrompt"),
        ({"plotPoint": ""}, "plotPoint"),
        ({"plotPoint": 5}, "plotPoint"),
        ({"structured_context": None}, "structured_context"),
        ({"structured_context": "a story"}, "structured_context"),
        ({"compose_phase": "first"}, "compose_phase"),
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        (
            {"structured_context": {"plotContext": {"plotOutlineStatus": "done"}}},
            "structured_context.plotContext.plotOutlineStatus",
        ),
        (
            {"structured_context": {"plot_elements": [{"type": "song", "content": "x"}]}},
            "structured_context.plot_elements.0.type",
        ),
        (
            {"structured_context": {"system_instructions": [{"type": "rule", "content": ""}]}},
            "structured_context.system_instructions.0.content",
        ),
        (
            {
                "structured_context": {
                    "character_contexts": [{"character_id": "a"}, {"character_id": "a"}]
                }
            },
            "structured_context.character_contexts",
        ),
        ({"raters": []}, "raters"),
        ({"raters": [{"raterPrompt": "x"}] * (MAX_RATERS + 1)}, "raters"),
        ({"raters": [{"raterName": "A"}]}, "raters.0.raterPrompt"),
        (
            {
                "raters": [
                    {"raterName": "A", "raterPrompt": "x"},
                    {"raterName": "A", "raterPrompt": "y"},
                ]
            },
            "raters",
        ),
    ],
)
def test_what_breaks_the_contract_is_refused_by_path(fields: dict[str, Any], path: str) -> None:
    """Bad input is 422 `invalid_request`, before the stream too."""
    with pytest.raises(InvalidRequest) as caught:
        parse_rating(request(**fields))
    assert path in [path for path, _ in caught.value.details]


@pytest.mark.parametrize("field", ["raterPrompt", "plotPoint", "structured_context"])
def test_a_required_field_that_is_missing_is_named(field: str) -> None:
    """raterPrompt, plotPoint and structured_context are required."""
    data = request()
    del data[field]
    with pytest.raises(InvalidRequest, match="is required"):
        parse_rating(data)


def test_several_raters_are_told_apart_by_name_or_place() -> None:
    """raters: [{raterName, raterPrompt}], each message carries raterName."""
    data = request(raters=[{"raterPrompt": "x"}, {"raterName": "Ada", "raterPrompt": "y"}])
    del data["raterPrompt"]
    command, warnings = parse_rating(data)
    assert isinstance(command, RaterBatchCommand)
    assert warnings == ()


def test_unknown_fields_are_warned_of_at_every_depth() -> None:
    """Unknown fields are never ignored in silence."""
    context = {"characters": [{"name": "Ada", "basicBoi": "x"}]}
    _, warnings = parse_rating(request(structured_context=context, raterNaem="x"))
    assert len(warnings) == 2
    assert any("basicBoi" in warning and "basicBio" in warning for warning in warnings)


def test_a_command_parses_back_from_its_own_record() -> None:
    """The journal keeps a command as its class serialises itself."""
    for data in (request(structured_context=SEED_CONTEXT), request(raters=[{"raterPrompt": "x"}])):
        command, _ = parse_rating(data)
        record = json.loads(json.dumps(command.model_dump(mode="json", exclude_defaults=True)))
        assert parse_rating(record) == (command, ())
