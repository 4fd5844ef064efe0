"""Makes a JSON value that satisfies a schema, with sense in its strings.

Knows what structured output allows and a little more: types, enum, const, anyOf, oneOf, allOf,
`$ref` (recursive too), bounds, steps, lengths, simple patterns, formats, and the items of arrays. A
keyword that it does not know is refused by name and never ignored, and so is a schema that nothing
satisfies. What to say is asked of a `Teller`; how long it may be is decided here. Pure.
"""

from __future__ import annotations

import json
import math
import random
from fractions import Fraction
from typing import Any, Protocol

from engine.events import JSON
from engine.providers.simulation.matching import (
    Schema,
    matches,
    merge,
    number_matches,
    resolve,
    same,
)
from engine.providers.simulation.patterns import UnknownPattern, text_for
from engine.providers.simulation.prose import cut_to

MAX_DEPTH = 24
"""Levels of a value; a recursive schema without an end is refused there."""
FULL_DEPTH = 5
"""From this level on, optional properties and items are left out, so that recursion ends."""
TRIES = 24
MAX_VALUES = 20_000
"""Values of one answer: what a schema of nested arrays may cost."""

_KNOWN = frozenset(
    {
        *("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions"),
        *("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
        *("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "format"),
        *("title", "description", "default", "examples", "$schema", "$id", "$comment"),
        *("deprecated", "readOnly", "writeOnly", "strict", "name", "nullable", "$anchor"),
        *("propertyOrdering", "contentMediaType", "contentEncoding", "discriminator"),
    }
)
_FORMATS = {
    "date": "2026-03-14",
    "time": "09:30:00Z",
    "date-time": "2026-03-14T09:30:00Z",
    "duration": "P3D",
    "email": "reader@example.org",
    "idn-email": "reader@example.org",
    "hostname": "example.org",
    "idn-hostname": "example.org",
    "ipv4": "192.0.2.17",
    "ipv6": "2001:db8::17",
    "uuid": "",
    "uri": "https://example.org/reference",
    "url": "https://example.org/reference",
    "iri": "https://example.org/reference",
    "uri-reference": "/reference",
    "iri-reference": "/reference",
    "json-pointer": "/reference",
    "regex": "^[a-z]+$",
}


class CannotFill(ValueError):
    """The schema uses a keyword that is not known, or nothing satisfies it."""


class Teller(Protocol):
    """Says what a field is to hold; see `engine.providers.simulation.fields`."""

    def text(self, path: tuple[str, ...], schema: JSON, index: int) -> str:
        """Say a string. `path`: the property names down to it; `index`: its place in an array."""
        ...

    def number(self, path: tuple[str, ...], schema: JSON, low: float, high: float) -> float:
        """Say a number between two bounds, either of which may be infinite."""
        ...

    def choice(self, path: tuple[str, ...], values: list[Any]) -> Any:
        """Choose one of the values of an enum."""
        ...

    def count(self, path: tuple[str, ...], schema: JSON, least: int, most: float) -> int:
        """Say how many items an array gets."""
        ...


def fill(schema: Schema, teller: Teller, rng: random.Random) -> Any:
    """Make a value that satisfies a schema.

    Raises:
        CannotFill: the message names the place and the keyword.
    """
    return _Filler(schema, teller, rng).value(schema, (), 0, 0)


class _Filler:
    def __init__(self, root: Schema, teller: Teller, rng: random.Random) -> None:
        self.root = root
        self.teller = teller
        self.rng = rng
        self.made = 0

    def value(self, schema: Schema, path: tuple[str, ...], depth: int, index: int) -> Any:
        self.made += 1
        where = ".".join(path) or "the schema"
        if depth > MAX_DEPTH or self.made > MAX_VALUES:
            raise CannotFill(f"{where} is too deep or too large to be filled")
        for attempt in range(TRIES):
            made = self._try(schema, path, depth, index + attempt * 1_000)
            if matches(made, schema, self.root):
                return made
            if attempt == 0:
                where = ".".join(path) or "the schema"
        raise CannotFill(f"found no value that satisfies {where}")

    def _flat(self, schema: Schema, path: tuple[str, ...]) -> JSON:
        """Give a schema without `$ref` and `allOf`."""
        try:
            schema = resolve(schema, self.root)
        except LookupError as error:
            raise CannotFill(str(error)) from None
        if schema is True:
            return {}
        if schema is False:
            raise CannotFill(f"{'.'.join(path) or 'the schema'} allows no value")
        assert isinstance(schema, dict)
        if unknown := [key for key in schema if key not in _KNOWN and not key.startswith("x-")]:
            raise CannotFill(f"{'.'.join(path) or 'the schema'} uses {unknown[0]!r}, not supported")
        if "allOf" in schema:
            parts = schema["allOf"]
            merged = {key: value for key, value in schema.items() if key != "allOf"}
            for part in parts:
                merged = merge(merged, self._flat(part, path))
            return self._flat(merged, path) if "allOf" in merged else merged
        return schema

    def _try(self, schema: Schema, path: tuple[str, ...], depth: int, index: int) -> Any:
        flat = self._flat(schema, path)
        if "const" in flat:
            return flat["const"]
        if "enum" in flat:
            fitting = [item for item in flat["enum"] if matches(item, flat, self.root)]
            if not fitting:
                raise CannotFill(f"{'.'.join(path) or 'the schema'} has no value in its enum")
            return self.teller.choice(path, fitting)
        for key in ("anyOf", "oneOf"):
            if key in flat:
                return self._one_of(flat, key, path, depth, index)
        match self._type(flat, depth):
            case "object":
                return self._object(flat, path, depth)
            case "array":
                return self._array(flat, path, depth)
            case "integer":
                return self._number(flat, path, whole=True)
            case "number":
                return self._number(flat, path, whole=False)
            case "boolean":
                return self.rng.random() < 0.7
            case "null":
                return None
        return self._text(flat, path, index)

    def _one_of(self, flat: JSON, key: str, path: tuple[str, ...], depth: int, index: int) -> Any:
        """Fill one of several schemas; null only where nothing else can be."""
        base = {name: value for name, value in flat.items() if name != key}
        options = list(flat[key])
        if index < 1_000:
            options.sort(key=lambda option: self._is_empty(option, depth))
        else:
            self.rng.shuffle(options)
        problem: CannotFill | None = None
        for option in options:
            try:
                merged = merge(base, self._flat(option, path))
                made = self.value(merged, path, depth + 1, index % 1_000)
            except CannotFill as error:
                problem = error
                continue
            if matches(made, flat, self.root):
                return made
        raise problem or CannotFill(f"no option of {'.'.join(path) or 'the schema'} can be filled")

    def _is_empty(self, option: Schema, depth: int) -> int:
        """Order options: those that say most come first, and deep down those that end soonest."""
        flat = self._flat(option, ())
        if flat.get("type") == "null":
            return 1 if depth < FULL_DEPTH else -2
        nested = bool({"properties", "items", "anyOf", "$ref"} & flat.keys())
        return int(nested and depth >= FULL_DEPTH)

    def _type(self, flat: JSON, depth: int) -> str:
        types = flat.get("type")
        if isinstance(types, list):
            if not types:
                raise CannotFill("a schema's type is an empty list")
            spoken = [name for name in types if name != "null"]
            return str(spoken[0] if spoken and depth < MAX_DEPTH - 2 else types[-1])
        if isinstance(types, str):
            return types
        for name, keys in (
            ("object", ("properties", "required", "additionalProperties", "minProperties")),
            ("array", ("items", "prefixItems", "minItems", "uniqueItems")),
            (
                "number",
                ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
            ),
        ):
            if any(key in flat for key in keys):
                return name
        return "string"

    def _object(self, flat: JSON, path: tuple[str, ...], depth: int) -> JSON:
        properties = flat.get("properties", {})
        required = flat.get("required", [])
        made: JSON = {}
        most = flat.get("maxProperties", math.inf)
        for name, schema in properties.items():
            if name in required:
                made[name] = self.value(schema, (*path, name), depth + 1, 0)
        for name, schema in properties.items():
            if (
                name in made
                or depth >= FULL_DEPTH
                or len(made) + self._missing(required, made) >= most
            ):
                continue
            try:
                made[name] = self.value(schema, (*path, name), depth + 1, 0)
            except CannotFill:
                continue  # it is optional
        made = {name: made[name] for name in properties if name in made}
        others = flat.get("additionalProperties", True)
        for name in required:
            if name not in made:
                made[name] = self.value(others, (*path, name), depth + 1, 0)
        number = 0
        while len(made) < flat.get("minProperties", 0):
            number += 1
            name = f"item_{number}"
            if name not in made:
                made[name] = self.value(others, (*path, name), depth + 1, number)
        return made

    def _missing(self, required: list[str], made: JSON) -> int:
        return sum(name not in made for name in required)

    def _array(self, flat: JSON, path: tuple[str, ...], depth: int) -> list[Any]:
        first = flat.get("prefixItems", [])
        items = flat.get("items", True)
        least, most = flat.get("minItems", 0), flat.get("maxItems", math.inf)
        count = least if depth >= FULL_DEPTH else self.teller.count(path, flat, least, most)
        if items is False:
            count = min(count, len(first))
        if depth < FULL_DEPTH:
            count = max(count, min(len(first), most))
        made: list[Any] = []
        for place in range(int(count)):
            schema = first[place] if place < len(first) else items
            item = self._item(schema, path, depth, place, made, bool(flat.get("uniqueItems")))
            if item is _NONE:
                break
            made.append(item)
        return made

    def _item(
        self,
        schema: Schema,
        path: tuple[str, ...],
        depth: int,
        place: int,
        made: list[Any],
        unique: bool,
    ) -> Any:
        for attempt in range(TRIES if unique else 1):
            item = self.value(schema, path, depth + 1, place + attempt * 7)
            if not unique or not any(same(item, other) for other in made):
                return item
        flat = self._flat(schema, path)
        spare = flat.get("enum", [False, True] if flat.get("type") == "boolean" else [])
        return next((v for v in spare if not any(same(v, other) for other in made)), _NONE)

    def _number(self, flat: JSON, path: tuple[str, ...], *, whole: bool) -> float:
        low = max(flat.get("minimum", -math.inf), flat.get("exclusiveMinimum", -math.inf))
        high = min(flat.get("maximum", math.inf), flat.get("exclusiveMaximum", math.inf))
        wanted = self.teller.number(path, flat, low, high)
        if whole:
            wanted = round(wanted)
        for made in self._near(wanted, flat, low, high, whole):
            if number_matches(made, flat):
                return made
        raise CannotFill(f"found no number for {'.'.join(path) or 'the schema'}")

    def _near(self, wanted: float, flat: JSON, low: float, high: float, whole: bool) -> list[float]:
        """Give numbers near the wanted one, some of which keep the bounds and steps."""
        step = flat.get("multipleOf")
        if step is None:
            near: list[float] = [wanted]
            if whole:
                for bound in (low, high):
                    if math.isfinite(bound):
                        near += [math.floor(bound) + d for d in (0, 1, -1, 2, -2)]
                return [int(number) for number in near]
            if math.isfinite(low) and math.isfinite(high):
                near += [(low + high) / 2]
            near += [bound for bound in (low, high) if math.isfinite(bound)]
            for bound in (low, high):
                if math.isfinite(bound):
                    near += [math.nextafter(bound, math.inf), math.nextafter(bound, -math.inf)]
            return near
        exact = Fraction(str(step))
        if whole and exact.denominator != 1:
            exact *= exact.denominator
        centres = [wanted, *(bound for bound in (low, high) if math.isfinite(bound))]
        found: list[float] = []
        for centre in centres:
            middle = round(Fraction(centre) / exact)
            for distance in (0, 1, -1, 2, -2):
                product = exact * (middle + distance)
                found.append(int(product) if product.denominator == 1 else float(product))
        return found

    def _text(self, flat: JSON, path: tuple[str, ...], index: int) -> str:
        least, most = flat.get("minLength", 0), flat.get("maxLength")
        if "pattern" in flat:
            # The teller's words are tried first: a pattern may be as wide as ^.+$.
            told = self.teller.text(path, flat, index)
            if index < 1_000 and matches(told, {**flat, "type": "string"}, self.root):
                return told
            try:
                return text_for(flat["pattern"], self.rng, least=least, most=most)
            except UnknownPattern as error:
                raise CannotFill(f"{'.'.join(path) or 'the schema'}: {error}") from None
        if flat.get("format") in _FORMATS:
            return self._formatted(flat["format"], least, most)
        text = self.teller.text(path, flat, index)
        if most is not None:
            text = cut_to(text, most)
        while len(text) < least:
            more = self.teller.text(path, flat, index + len(text) + 1) or "and so on"
            text = f"{text} {more}"
            if most is not None and len(text) > most:
                text = text[:most].rstrip().ljust(least, ".")
        return text

    def _formatted(self, name: str, least: int, most: float | None) -> str:
        text = _FORMATS[name]
        if name == "uuid":
            digits = f"{self.rng.getrandbits(128):032x}"
            digits = f"{digits[:12]}4{digits[13:16]}8{digits[17:]}"
            text = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        if len(text) < least and name in ("uri", "url", "iri", "uri-reference", "iri-reference"):
            text = text + "/" + "a" * (least - len(text) - 1)
        return text


_NONE = object()
"""There is no further item that differs from the others."""


def to_json(value: Any) -> str:
    """Write a value as a model does: readable, in the order of the schema."""
    return json.dumps(value, ensure_ascii=False, indent=1 if _is_deep(value) else None)


def _is_deep(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(item, dict | list) for item in value.values())
