"""What the persona chat is asked for: one voice, one persona, or several at once (contract 4).

The one rule: every field is honoured or refused, none is ignored. A request keeps the envelope that
clients send (`type` and `data`); once everything that it names has been looked up it becomes an
`Admitted`, which is what the journal keeps. Pure; must not import sessions, pipelines or providers.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, StringConstraints, field_validator, model_validator

from engine.commands.parsing import Command, parse_command
from engine.errors import InvalidRequest, UnsupportedType
from engine.events import JSON

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200_000)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\s/]+$")]
"""An id that a client may choose: it stands in addresses, so it has no space and no slash."""

MAX_PERSONAS: Final = 32
"""Personas that may be asked at once."""
MAX_ROUNDS: Final = 5
DEFAULT_ROUNDS: Final = 2
"""Rounds of a debate that does not say how many: an answer each, and a reply each."""
SYNTHESIS: Final = "synthesis"
"""The name under which the synthesis answers; no persona can have it."""


# ---- personas -----------------------------------------------------------------------------------

Style = Literal["formal", "casual", "technical", "friendly"]
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2_000)]


class Characteristics(Command):
    """What a persona is like."""

    personality: tuple[Line, ...] = ()
    goals: tuple[Line, ...] = ()
    pain_points: tuple[Line, ...] = ()
    communication_style: Style | None = None
    decision_making_style: Line = ""
    experience: Line = ""

    @field_validator("personality", "goals", "pain_points", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        """Take a text in the place of a list of one: forms have a line for each of them."""
        if isinstance(value, str):
            return (value,) if value.strip() else ()
        return tuple(value) if isinstance(value, list) else value


class Persona(Command):
    """A character that answers in its own voice."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    name: Name
    role: Line = ""
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=4_000)] = ""
    system_prompt: Text
    characteristics: Characteristics = Characteristics()
    provider: Name | None = None
    """Who speaks for it; None: the default provider."""
    model: Name | None = None
    temperature: float | None = Field(None, ge=0, le=2)

    @field_validator("id")
    @classmethod
    def _not_reserved(cls, persona_id: str) -> str:
        if persona_id == SYNTHESIS:
            raise ValueError(f'the id "{SYNTHESIS}" is taken by the synthesis of several answers')
        return persona_id


# ---- requests -----------------------------------------------------------------------------------


class _Asked(Command):
    """What any of the three may say."""

    api: Name | None = None
    """A provider's name."""
    model: Name | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1, le=128_000)
    """Of output, for each answer."""
    conversation_id: Id | None = None
    previous_response_id: Name | None = None
    """An earlier response: its conversation is gone on with, as it was after that response."""
    smooth: bool = False
    """Even out bursts by word, at the model's own rate."""


class OpenAIChat(_Asked):
    """One voice without a persona."""

    input_text: Text
    instructions: Annotated[str, StringConstraints(max_length=200_000)] | None = None
    tools: tuple[JSON, ...] = Field((), max_length=128)
    include_reasoning: bool = False

    @field_validator("tools")
    @classmethod
    def _have_types(cls, tools: tuple[JSON, ...]) -> tuple[JSON, ...]:
        for place, tool in enumerate(tools):
            if not isinstance(tool.get("type"), str) or not tool["type"]:
                raise ValueError(f'tools[{place}] needs a "type", such as "web_search"')
        return tools

    @property
    def message(self) -> str:
        """What the user says."""
        return self.input_text


class Chat(_Asked):
    """One persona."""

    message: Text
    persona_id: Name


class MultiChat(_Asked):
    """Several personas at once."""

    message: Text
    persona_ids: tuple[Name, ...] = Field(min_length=1, max_length=MAX_PERSONAS)
    mode: Literal["parallel", "debate"] = "parallel"
    rounds: int | None = Field(None, ge=1, le=MAX_ROUNDS)
    """Of a debate; in each later round a persona is given the others' answers of the one before."""
    synthesis: bool = False
    """Whether one more voice merges the answers into a combined one."""

    @field_validator("persona_ids")
    @classmethod
    def _no_repeats(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        for persona_id, times in Counter(ids).items():
            if times > 1:
                raise ValueError(f'persona "{persona_id}" is given {times} times; once is allowed')
        return ids

    @model_validator(mode="after")
    def _rounds_are_for_debates(self) -> MultiChat:
        if self.mode == "parallel" and (self.rounds or 1) > 1:
            raise ValueError('rounds needs mode "debate"; in mode "parallel" there is one round')
        return self

    @property
    def round_count(self) -> int:
        """How many rounds there are."""
        return (self.rounds or DEFAULT_ROUNDS) if self.mode == "debate" else 1


class OpenAIChatRequest(Command):
    """The envelope of `openai_chat`."""

    type: Literal["openai_chat"]
    data: OpenAIChat


class ChatRequest(Command):
    """The envelope of `chat`."""

    type: Literal["chat"]
    data: Chat


class MultiChatRequest(Command):
    """The envelope of `multi_chat`."""

    type: Literal["multi_chat"]
    data: MultiChat


PersonaRequest: TypeAlias = OpenAIChatRequest | ChatRequest | MultiChatRequest

REQUESTS: Final[dict[str, type[PersonaRequest]]] = {
    "openai_chat": OpenAIChatRequest,
    "chat": ChatRequest,
    "multi_chat": MultiChatRequest,
}


class Admitted(Command):
    """A request with all that it names looked up: what a session works on, after a crash too.

    The personas are kept as they were: a session that is brought back does not change its voices.
    """

    request: PersonaRequest = Field(discriminator="type")
    conversation_id: str
    after: str | None = None
    """The exchange up to which the conversation's history counts; None: all of it."""
    upstream_id: str | None = None
    """The provider's own id of a response that this server does not know, handed on as it came."""
    personas: tuple[Persona, ...] = ()
    """In the request's order; none for `openai_chat`."""


def parse_persona(data: JSON) -> tuple[PersonaRequest | Admitted, tuple[str, ...]]:
    """Turn an envelope into a request, or what the journal has of one into what it was.

    Raises:
        UnsupportedType: nobody knows its `type`.
        InvalidRequest: with one detail for each fault.
    """
    if "request" in data and "type" not in data:
        return Admitted.model_validate(data), ()
    kind = data.get("type")
    request = REQUESTS.get(kind) if isinstance(kind, str) else None
    if request is None:
        allowed = ", ".join(REQUESTS)
        raise UnsupportedType(f"unsupported message type {str(kind)[:80]!r}; allowed are {allowed}")
    if not isinstance(data.get("data"), dict):
        raise InvalidRequest(
            f'"{kind}" needs its fields in an object "data"', [("data", "must be an object")]
        )
    return parse_command(request, data)
