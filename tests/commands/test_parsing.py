"""What `parse_command` promises to every pipeline's command."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, ConfigDict, Field, ValidationError, field_validator

from engine.commands.faults import MAX_REPORTED
from engine.commands.parsing import Command, fold_key, nearest, parse_command
from engine.errors import InvalidRequest


class Source(Command):
    source_name: str
    max_items: int | None = None


class Style(Command):
    voice: Literal["plain", "warm"] = "plain"


class Loose(Command):
    model_config = ConfigDict(extra="allow")

    summary: str = ""


class Ask(Command):
    input_text: str = Field(min_length=1, max_length=20)
    count: int = Field(3, ge=1, le=100)
    temperature: float = Field(0.7, ge=0, le=2)
    parallel: bool = False
    tags: tuple[str, ...] = Field((), max_length=3)
    sources: tuple[Source, ...] = ()
    voices: tuple[Literal["a", "b"], ...] = Field(("a",), min_length=1)
    by_name: dict[str, Source] = Field(default_factory=dict)
    style: Style = Style()
    target: Source | Style | None = None
    world: Loose = Loose()
    anything: dict[str, Any] = Field(default_factory=dict)
    message: str = Field("", validation_alias=AliasChoices("content", "body_text"))

    @field_validator("input_text")
    @classmethod
    def _no_shouting(cls, value: str) -> str:
        if value.isupper():
            raise ValueError("input_text must not be shouted")
        return value


def refused(data: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse_command(Ask, data)
    return caught.value


class TestKeys:
    @pytest.mark.parametrize(
        "key", ["input_text", "inputText", "InputText", "INPUT_TEXT", "inputtext", "input__text_"]
    )
    def test_any_spelling_of_a_key_is_the_same_name(self, key: str) -> None:
        """Keys are compared without case and underscores."""
        command, warnings = parse_command(Ask, {key: "hello"})
        assert command.input_text == "hello"
        assert warnings == ()

    def test_keys_of_nested_models_lists_and_dicts_are_folded_too(self) -> None:
        """Nested models, lists and dicts of models are walked."""
        command, warnings = parse_command(
            Ask,
            {
                "inputText": "hello",
                "sources": [{"SourceName": "a", "maxItems": 2}],
                "byName": {"Left_Hand": {"sourceName": "b"}},
                "target": {"Voice": "warm"},
            },
        )
        assert command.sources == (Source(source_name="a", max_items=2),)
        assert command.by_name == {"Left_Hand": Source(source_name="b")}
        assert command.target == Style(voice="warm")
        assert warnings == ()

    def test_keys_of_free_objects_stay_as_they_are(self) -> None:
        """Only names of fields are folded."""
        free = {"camelCase": {"Snake_Case": [1]}, "null": None}
        command, warnings = parse_command(Ask, {"input_text": "x", "anything": free})
        assert command.anything == free
        assert warnings == ()

    def test_a_model_that_allows_extra_keys_keeps_them(self) -> None:
        """A model with extra="allow" keeps the keys that it does not know, unwarned."""
        command, warnings = parse_command(
            Ask, {"input_text": "x", "world": {"Summary": "s", "moonPhase": 3}}
        )
        assert command.world.summary == "s"
        assert command.world.model_extra == {"moonPhase": 3}
        assert warnings == ()

    @pytest.mark.parametrize("key", ["message", "content", "bodyText"])
    def test_an_alias_of_a_field_is_accepted(self, key: str) -> None:
        """Aliases are accepted."""
        assert parse_command(Ask, {"input_text": "x", key: "m"})[0].message == "m"

    def test_a_name_given_twice_is_refused(self) -> None:
        """Nothing is guessed: neither spelling wins."""
        error = refused({"inputText": "a", "input_text": "b"})
        assert error.details == (
            ("input_text", "input_text is given twice: inputText and input_text"),
        )

    @given(st.text(max_size=30))
    def test_folding_is_idempotent(self, key: str) -> None:
        assert fold_key(fold_key(key)) == fold_key(key)


class TestWarnings:
    def test_an_unknown_field_is_named_with_the_nearest_allowed_one(self) -> None:
        """The warning names the field and the nearest allowed one."""
        _, warnings = parse_command(Ask, {"input_text": "x", "temprature": 1})
        assert warnings == (
            'unknown field "temprature" is ignored; the nearest allowed one is "temperature"',
        )

    def test_an_unknown_field_in_a_list_is_named_with_its_path(self) -> None:
        _, warnings = parse_command(
            Ask, {"input_text": "x", "sources": [{"source_name": "a", "maxItem": 2}]}
        )
        assert warnings == (
            'unknown field "sources.0.maxItem" is ignored; the nearest allowed one is "max_items"',
        )

    def test_fields_for_somebody_else_are_passed_over(self) -> None:
        """Names beside the command's own at the top level give no warning."""
        data = {"input_text": "x", "requestId": "r", "detached": True}
        _, warnings = parse_command(Ask, data, beside=("request_id", "detached"))
        assert warnings == ()

    def test_very_many_unknown_fields_are_counted(self) -> None:
        """A hostile object cannot make the first message large."""
        data = {"input_text": "x"} | {f"key{i}" + "z" * 200: i for i in range(500)}
        _, warnings = parse_command(Ask, data)
        assert len(warnings) == MAX_REPORTED + 1
        assert warnings[-1] == f"{500 - MAX_REPORTED} more unknown fields are ignored"
        assert max(map(len, warnings)) < 200

    def test_the_nearest_name_is_always_one_of_the_allowed(self) -> None:
        assert nearest("zzz", ["count", "tags"]) in ("count", "tags")
        assert nearest("Cuont", ["tags", "count"]) == "count"


BAD = [
    ({}, "input_text", "input_text is required"),
    ({"input_text": ""}, "input_text", "input_text must have at least 1 character"),
    ({"input_text": "x" * 21}, "input_text", "input_text cannot have more than 20 characters"),
    ({"input_text": None}, "input_text", "input_text must be a string, got null"),
    ({"input_text": 3}, "input_text", "input_text must be a string, got 3"),
    ({"input_text": "HEY"}, "input_text", "input_text must not be shouted"),
    ({"input_text": "x", "count": 0}, "count", "count must be at least 1, got 0"),
    ({"input_text": "x", "count": 101}, "count", "count cannot exceed 100, got 101"),
    ({"input_text": "x", "count": "3"}, "count", 'count must be a whole number, got "3"'),
    ({"input_text": "x", "count": True}, "count", "count must be a whole number, got true"),
    ({"input_text": "x", "count": 3.5}, "count", "count must be a whole number, got 3.5"),
    ({"input_text": "x", "count": None}, "count", "count must be a whole number, got null"),
    ({"input_text": "x", "count": [1]}, "count", "count must be a whole number, got [1]"),
    (
        {"input_text": "x", "temperature": math.nan},
        "temperature",
        "temperature must be a finite number, got NaN",
    ),
    (
        {"input_text": "x", "temperature": -0.1},
        "temperature",
        "temperature must be at least 0, got -0.1",
    ),
    (
        {"input_text": "x", "temperature": "hot"},
        "temperature",
        'temperature must be a number, got "hot"',
    ),
    (
        {"input_text": "x", "temperature": False},
        "temperature",
        "temperature must be a number, got false",
    ),
    ({"input_text": "x", "parallel": 1}, "parallel", "parallel must be true or false, got 1"),
    ({"input_text": "x", "tags": "a"}, "tags", 'tags must be a list, got "a"'),
    ({"input_text": "x", "tags": ["a", 2]}, "tags.1", "tags[1] must be a string, got 2"),
    ({"input_text": "x", "tags": list("abcd")}, "tags", "tags cannot have more than 3 entries"),
    ({"input_text": "x", "voices": []}, "voices", "voices must have at least 1 entry"),
    ({"input_text": "x", "voices": ["c"]}, "voices.0", "voices[0] must be 'a' or 'b', got \"c\""),
    ({"input_text": "x", "sources": [{}]}, "sources.0.source_name", "source_name is required"),
    ({"input_text": "x", "sources": [7]}, "sources.0", "sources[0] must be an object, got 7"),
    ({"input_text": "x", "style": []}, "style", "style must be an object, got []"),
    (
        {"input_text": "x", "style": {"voice": "loud"}},
        "style.voice",
        "voice must be 'plain' or 'warm', got \"loud\"",
    ),
]


class TestFaults:
    def test_a_whole_float_is_a_whole_number(self) -> None:
        """JSON knows one kind of number: 3.0 is 3, and 3.5 is not a whole one."""
        command, _ = parse_command(Ask, {"input_text": "x", "count": 3.0})
        assert (command.count, type(command.count)) == (3, int)

    @pytest.mark.parametrize(("data", "path", "message"), BAD)
    def test_bad_input_is_refused_with_its_path_and_what_is_allowed(
        self, data: dict[str, Any], path: str, message: str
    ) -> None:
        """Types are strict; each fault has a path and a sentence."""
        error = refused(data)
        assert error.details == ((path, message),)
        assert error.message == message

    def test_all_faults_are_reported_together(self) -> None:
        error = refused({"input_text": "", "count": 0})
        assert [path for path, _ in error.details] == ["input_text", "count"]
        assert error.message == (
            "input_text must have at least 1 character; count must be at least 1, got 0"
        )

    @pytest.mark.parametrize("data", [None, [], "text", 3, True])
    def test_what_is_no_object_is_refused(self, data: object) -> None:
        assert refused(data).message.startswith("a request must be a JSON object, got ")

    def test_a_lone_surrogate_is_refused(self) -> None:
        """What is no JSON must not get as far as the journal, not even in a free object."""
        for data in ({"input_text": "\ud800"}, {"input_text": "x", "anything": {"a": "\udfff"}}):
            assert refused(data).message == "the request holds something that JSON cannot express"

    def test_very_many_faults_are_counted(self) -> None:
        error = refused({"input_text": "x", "sources": [{}] * 300})
        assert len(error.details) == MAX_REPORTED
        assert error.message.endswith(f"; and {300 - MAX_REPORTED} more")

    def test_a_long_value_is_shortened_in_the_message(self) -> None:
        assert len(refused({"input_text": "x", "count": "9" * 10_000}).message) < 150

    def test_null_for_a_list_or_an_object_is_not_given(self) -> None:
        """Go's clients write an empty list as null."""
        command, warnings = parse_command(
            Ask, {"input_text": "x", "tags": None, "style": None, "byName": None, "target": None}
        )
        assert command == Ask(input_text="x")
        assert warnings == ()

    def test_a_command_is_frozen(self) -> None:
        command, _ = parse_command(Ask, {"input_text": "x"})
        with pytest.raises(ValidationError):
            command.count = 4  # type: ignore[misc]

    def test_a_command_survives_its_own_serialisation(self) -> None:
        """A session's record keeps the command, and recovery parses it again."""
        command, _ = parse_command(
            Ask, {"input_text": "x", "sources": [{"source_name": "a"}], "anything": {"k": [1]}}
        )
        stored = json.loads(json.dumps(command.model_dump(mode="json")))
        assert parse_command(Ask, stored) == (command, ())

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=12,
        )
    )
    def test_any_json_gives_a_command_or_a_refusal(self, value: Any) -> None:
        """A well-formed message gets an answer, whatever is in it."""
        for data in (value, {"input_text": value}, {"inputText": "x", "Sources": value}):
            with contextlib.suppress(InvalidRequest):
                assert isinstance(parse_command(Ask, data)[0], Ask)
