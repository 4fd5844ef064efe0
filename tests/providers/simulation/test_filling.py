"""Any schema that structured output allows gets a value that satisfies it."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import JSON
from engine.providers.interface import GenerationRequest, Message
from engine.providers.simulation.fields import FieldTeller
from engine.providers.simulation.filling import CannotFill, fill, to_json
from engine.providers.simulation.matching import matches
from engine.providers.simulation.prose import Scribe
from engine.providers.simulation.reading import read_request
from engine.providers.simulation.voices import PLAIN

NAMES = [
    "score",
    "opinion",
    "title",
    "tags",
    "id",
    "birth_year",
    "reasoning",
    "artists",
    "name",
    "x",
]
PATTERNS = [
    r"^[A-Z]{2}-\d{4}$",
    r"^(red|green|blue)( \w+)?$",
    r"\d{3}",
    r"^[a-z][a-z0-9_]*$",
    r"^\S+@\S+\.\w{2,3}$",
    r"^.{5,20}$",
    r"^[^aeiou\s]+$",
]


def make(schema: Any, seed: int = 1, text: str = "Judge these prompts about tidal energy.") -> Any:
    request = GenerationRequest(messages=(Message(role="user", content=text),), model="")
    scribe = Scribe(read_request(request), PLAIN, random.Random(seed))
    return json.loads(to_json(fill(schema, FieldTeller(scribe), scribe.rng)))


def _bounded(draw: st.DrawFn, low: str, high: str, most: int) -> JSON:
    bounds: JSON = {}
    if draw(st.booleans()):
        bounds[low] = draw(st.integers(0, most // 2))
    if draw(st.booleans()):
        bounds[high] = draw(st.integers(bounds.get(low, 0), most))
    return bounds


@st.composite
def strings(draw: st.DrawFn) -> JSON:
    if draw(st.integers(0, 4)) == 0:
        return {"type": "string", "pattern": draw(st.sampled_from(PATTERNS))}
    if draw(st.integers(0, 4)) == 0:
        formats = ["date", "date-time", "time", "email", "uuid", "uri", "ipv4", "hostname"]
        return {"type": "string", "format": draw(st.sampled_from(formats))}
    return {"type": "string", **_bounded(draw, "minLength", "maxLength", 300)}


@st.composite
def numbers(draw: st.DrawFn) -> JSON:
    kind = draw(st.sampled_from(["number", "integer"]))
    low = draw(st.integers(-1000, 1000))
    high = low + draw(st.integers(2, 500))
    schema: JSON = {"type": kind}
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = high
    if draw(st.integers(0, 3)) == 0:
        schema = {"type": kind, "minimum": low, "maximum": low + 100}
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 5, 10, 0.5, 0.25]))
    return schema


literals = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5)
simple = st.one_of(
    strings(),
    numbers(),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just({}),
    st.just({"type": ["string", "null"]}),
    st.builds(lambda v: {"const": v}, literals),
    st.builds(lambda v: {"enum": v}, st.lists(literals, min_size=1, max_size=4)),
)


@st.composite
def arrays(draw: st.DrawFn, items: st.SearchStrategy[JSON]) -> JSON:
    schema: JSON = {
        "type": "array",
        "items": draw(items),
        **_bounded(draw, "minItems", "maxItems", 6),
    }
    if draw(st.integers(0, 3)) == 0:
        schema["prefixItems"] = draw(st.lists(items, min_size=1, max_size=2))
    return schema


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[JSON]) -> JSON:
    properties = draw(st.dictionaries(st.sampled_from(NAMES), values, max_size=4))
    schema: JSON = {"type": "object", "properties": properties}
    if properties:
        schema["required"] = draw(st.lists(st.sampled_from(sorted(properties)), unique=True))
    if draw(st.booleans()):
        schema["additionalProperties"] = False
    return schema


def _nested(values: st.SearchStrategy[JSON]) -> st.SearchStrategy[JSON]:
    return st.one_of(
        arrays(values),
        objects(values),
        st.builds(lambda v: {"anyOf": v}, st.lists(values, min_size=1, max_size=3)),
        st.builds(lambda v: {"allOf": [v]}, values),
    )


schemas = st.recursive(simple, _nested, max_leaves=8)


@settings(max_examples=250, deadline=None)
@given(schema=schemas, seed=st.integers(0, 5))
def test_a_value_satisfies_its_schema(schema: JSON, seed: int) -> None:
    """It makes a JSON value that satisfies a schema, as an independent validator sees it."""
    checker = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    checker.validate(make(schema, seed))


@settings(max_examples=250, deadline=None)
@given(schema=schemas, other=schemas, seed=st.integers(0, 5))
def test_matching_agrees_with_an_independent_validator(
    schema: JSON, other: JSON, seed: int
) -> None:
    """Whether a JSON value satisfies a schema, for the keywords that the filler knows."""
    value = make(other, seed)
    expected = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert matches(value, schema, schema) == expected


def test_one_of_matches_exactly_one() -> None:
    """`oneOf` wants exactly one of its schemas to match."""
    schema = {"oneOf": [{"type": "number", "multipleOf": 5}, {"type": "number", "multipleOf": 3}]}
    for seed in range(20):
        jsonschema.validate(make(schema, seed), schema)


def test_recursion_through_references_ends() -> None:
    """`$ref` may be recursive: deep down, what is optional is left out."""
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
                },
                "required": ["name", "next", "children"],
                "additionalProperties": False,
            }
        },
    }
    for seed in range(5):
        jsonschema.validate(make(schema, seed), schema)


def test_unique_items_differ() -> None:
    """Unique items, out of an enum that is just large enough."""
    schema = {
        "type": "array",
        "items": {"enum": ["a", "b", "c"]},
        "minItems": 3,
        "uniqueItems": True,
    }
    for seed in range(20):
        assert sorted(make(schema, seed)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"not": {"type": "string"}}, "'not'"),
        (
            {"properties": {"a": {"patternProperties": {}}}, "required": ["a"]},
            "a uses 'patternProp",
        ),
        ({"$ref": "#/$defs/missing"}, "#/$defs/missing"),
        ({"$ref": "#"}, "$ref '#'"),
        ({"type": "string", "pattern": "(?=x)y"}, "more than plain groups"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "found no number"),
        ({"enum": ["a"], "type": "integer"}, "no value in its enum"),
        (
            {
                "$ref": "#/$defs/n",
                "$defs": {
                    "n": {
                        "type": "object",
                        "properties": {"n": {"$ref": "#/$defs/n"}},
                        "required": ["n"],
                    }
                },
            },
            "too deep",
        ),
    ],
)
def test_what_cannot_be_filled_is_refused_by_name(schema: JSON, says: str) -> None:
    """A keyword that it does not know is refused by name and never ignored."""
    with pytest.raises(CannotFill) as caught:
        make(schema)
    assert says in str(caught.value)


def test_a_verdict_names_one_of_the_candidates_and_keeps_its_scales() -> None:
    """A judge's `prompt_id` is one of the candidates, a `score` lies on the scale."""
    schema = {
        "type": "object",
        "properties": {
            "prompt_id": {"type": "string", "enum": ["p-1", "p-2", "p-3"]},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "rating": {"type": "number", "description": "from 1 to 10"},
            "confidence": {"type": "number"},
            "reasoning": {"type": "string"},
        },
        "required": ["prompt_id", "score", "rating", "confidence", "reasoning"],
    }
    for seed in range(20):
        made = make(schema, seed)
        assert made["prompt_id"] in {"p-1", "p-2", "p-3"}
        assert 0.5 < made["score"] < 1
        assert 5 < made["rating"] <= 10
        assert 0.5 < made["confidence"] <= 1
        assert len(made["reasoning"].split()) > 8


def test_a_verdict_without_an_enum_takes_an_id_from_the_request() -> None:
    """What to say is made of the request's own words."""
    schema = {"type": "object", "properties": {"prompt_id": {"type": "string"}}}
    text = (
        'Candidates: {"prompt_id": "ab12", "text": "one"} and {"prompt_id": "cd34", "text": "two"}'
    )
    assert {make(schema, seed, text)["prompt_id"] for seed in range(20)} == {"ab12", "cd34"}


def test_an_opinion_reads_like_one_and_suggestions_are_specific_sentences() -> None:
    """An `opinion` reads like one and `suggestions` are specific sentences, 4 to 6 of them."""
    schema = {
        "type": "object",
        "properties": {
            "opinion": {"type": "string", "description": "2 to 3 sentences"},
            "suggestions": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["opinion", "suggestions"],
    }
    text = "The hero discovers a hidden door in the basement of the lighthouse."
    for seed in range(20):
        made = make(schema, seed, text)
        assert 2 <= made["opinion"].count(". ") + 1 <= 3
        assert 4 <= len(made["suggestions"]) <= 6
        assert len(set(made["suggestions"])) == len(made["suggestions"])
        assert all(item[0].isupper() and item.endswith(".") for item in made["suggestions"])
        words = " ".join([made["opinion"], *made["suggestions"]]).lower()
        assert "hidden door" in words
