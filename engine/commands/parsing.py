"""From a client's JSON object to a command, strictly, saying what was odd.

The one rule: nothing is guessed and nothing is ignored in silence. Types are taken as they are
(`"3"` and `true` are no numbers, NaN is none either); every fault is reported with its path; a
field that no command knows becomes a warning that names the nearest allowed one. Only the spelling
of keys is free: `maxTokens`, `max_tokens` and `MaxTokens` are one name.

Pure: must not import trio, sessions, pipelines or providers.

A command is a class of frozen models and one call:

    class Ask(Command):
        input_text: str = Field(min_length=1)
        max_tokens: int = Field(2000, ge=1, le=32_000)
        tags: tuple[str, ...] = ()

    command, warnings = parse_command(Ask, {"inputText": "…", "maxToken": 5})
    # warnings == ('unknown field "maxToken" is ignored; the nearest allowed one is "max_tokens"',)

What is said to a client names a field as its contract spells it: by its alias, where it has one.
Further names of a field are pydantic's own: `Field(validation_alias=AliasChoices("a", "b"))`. A
model with `extra="allow"` keeps the keys that it does not know, unwarned. What no field can say
goes into a validator that raises ValueError; its text reaches the client as it stands.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Collection, Iterator
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import pydantic_core
from pydantic import AliasChoices, BaseModel, ConfigDict, ValidationError

from engine.commands.faults import (
    MAX_REPORTED,
    MAX_SHOWN,
    Path,
    dotted,
    fault,
    genuine,
    refusal,
    shown,
)
from engine.errors import InvalidRequest
from engine.events import JSON


class Command(BaseModel):
    """The base of all commands and of the models in them: frozen, by any of its fields' names."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


CommandT = TypeVar("CommandT", bound=BaseModel)


def parse_command(
    model_class: type[CommandT], data: object, *, beside: Collection[str] = ()
) -> tuple[CommandT, tuple[str, ...]]:
    """Give the command that an object asks for, and the warnings for its session's first message.

    Args:
        model_class: the command's class; nested models, lists and dicts of models are walked.
        data: what the client sent, decoded.
        beside: names that may stand at the top level for somebody else (`request_id`, say); they
            are passed over without a warning.

    Raises:
        InvalidRequest: the caller's fault; `details` has one (path, message) for each thing that is
            wrong, with canonical names in dots ("request.phases.0").
    """
    if not isinstance(data, dict):
        message = f"a request must be a JSON object, got {shown(data)}"
        raise InvalidRequest(message, [("", message)])
    folding = _Folding()
    passed_over = {fold_key(name) for name in beside}
    own = {key: value for key, value in data.items() if fold_key(str(key)) not in passed_over}
    folded = folding.object(own, model_class, ())
    if folding.faults:
        raise refusal(folding.faults, len(folding.faults))
    try:
        # By way of JSON, because there a strict tuple is an array, and because what is no JSON
        # (a lone surrogate, a set) must not get as far as the journal.
        encoded = pydantic_core.to_json(folded, inf_nan_mode="constants")
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("the request holds something that JSON cannot express") from error
    try:
        command = model_class.model_validate_json(encoded, strict=True)
    except ValidationError as error:
        details = genuine(error.errors(include_url=False))
        faults = [fault(detail) for detail in details[:MAX_REPORTED]]
        raise refusal(faults, len(details)) from error
    return command, folding.warnings()


def fold_key(key: str) -> str:
    """Give the form in which keys are compared: without case and underscores."""
    return key.replace("_", "").casefold()


def nearest(name: str, allowed: Collection[str]) -> str:
    """Give the allowed name that is most like `name`; the first one where none is like it."""
    folded = fold_key(name[:MAX_SHOWN])
    matcher = difflib.SequenceMatcher(b=folded, autojunk=False)

    def likeness(candidate: str) -> float:
        matcher.set_seq1(fold_key(candidate))
        return matcher.ratio()

    return max(allowed, key=likeness)


# ---- keys ---------------------------------------------------------------------------------------


class _Folding:
    """One walk through an object: gives it canonical keys, and notes what it met."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, str]] = []
        self._unknown: list[str] = []
        self._more_unknown = 0

    def warnings(self) -> tuple[str, ...]:
        if not self._more_unknown:
            return tuple(self._unknown)
        return (*self._unknown, f"{self._more_unknown} more unknown fields are ignored")

    def object(self, data: JSON, model: type[BaseModel], path: Path) -> JSON:
        names = _names(model)
        spelt: dict[str, str] = {}
        folded: JSON = {}
        for key, value in data.items():
            name = names.get(fold_key(str(key)))
            if name is None:
                if model.model_config.get("extra") == "allow":
                    folded[key] = value
                else:
                    self._note_unknown(str(key), tuple(dict.fromkeys(names.values())), path)
            elif name in spelt:
                self.faults.append(
                    (dotted((*path, name)), f"{name} is given twice: {spelt[name]} and {key}")
                )
            else:
                spelt[name] = key
                annotation = _annotation(model, name)
                if value is not None or not _is_container(annotation):
                    folded[name] = self.value(value, annotation, (*path, name))
        return folded

    def value(self, value: Any, annotation: Any, path: Path) -> Any:
        if isinstance(value, float):
            return _as_meant(value, annotation)
        if isinstance(value, dict):
            model = _model_for(value, annotation)
            if model is not None:
                return self.object(value, model, path)
            inner = _inner(annotation, dict)
            if inner is not None:
                return {k: self.value(v, inner, (*path, str(k))) for k, v in value.items()}
        elif isinstance(value, list | tuple):
            inner = _inner(annotation, list, tuple)
            if inner is not None:
                return [self.value(v, inner, (*path, i)) for i, v in enumerate(value)]
        return value

    def _note_unknown(self, key: str, allowed: tuple[str, ...], path: Path) -> None:
        if len(self._unknown) >= MAX_REPORTED:
            self._more_unknown += 1
            return
        field = dotted((*path, key))
        hint = f'; the nearest allowed one is "{nearest(key, allowed)}"' if allowed else ""
        self._unknown.append(f'unknown field "{field[:MAX_SHOWN]}" is ignored{hint}')


@cache
def _names(model: type[BaseModel]) -> dict[str, str]:
    """Map every folded name of a model's fields to the canonical one, as the contract spells it."""
    names = {}
    for name, field in model.model_fields.items():
        also = field.validation_alias
        choices = also.choices if isinstance(also, AliasChoices) else [also]
        for spelling in (name, *choices):
            if isinstance(spelling, str):
                names[fold_key(spelling)] = field.alias or name
    return names


@cache
def _annotation(model: type[BaseModel], name: str) -> Any:
    """Give the type of the field with this canonical name."""
    fields = model.model_fields.items()
    return next(field.annotation for own, field in fields if name in (field.alias, own))


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Give the members of a union, nested ones too, each without its `Annotated`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    else:
        yield annotation


def _model_for(value: JSON, annotation: Any) -> type[BaseModel] | None:
    """Give the model that an object is meant for: of several, the one that knows most keys."""
    models = [
        member
        for member in _alternatives(annotation)
        if isinstance(member, type) and issubclass(member, BaseModel)
    ]
    if not models:
        return None
    keys = {fold_key(str(key)) for key in value}
    return max(models, key=lambda model: len(keys & _names(model).keys()))


def _inner(annotation: Any, *origins: type) -> Any:
    """Give the type of a container's values, None where it is none of these containers."""
    for member in _alternatives(annotation):
        if get_origin(member) in origins:
            args = [arg for arg in get_args(member) if arg is not Ellipsis]
            return args[-1] if args else None
    return None


def _as_meant(value: float, annotation: Any) -> float | int:
    """Take 3.0 for 3 where a whole number is wanted: JSON knows one kind (RFC 8259, 6)."""
    members = list(_alternatives(annotation))
    is_whole = value.is_integer() and int in members and float not in members
    return int(value) if is_whole else value


def _is_container(annotation: Any) -> bool:
    """Whether null means "not given" here, as Go's clients write an empty list or object."""
    members = list(_alternatives(annotation))
    return types.NoneType not in members and all(
        get_origin(member) in (list, tuple, dict)
        or (isinstance(member, type) and issubclass(member, BaseModel))
        for member in members
    )
