"""What can be asked of the rater: one rater's feedback on a plot point, or several at once.

The one rule: a story's context comes in two shapes, the parts of a story (A) and prepared elements
(B), alone or mixed; both are fields of one model, so nothing of either is lost on the way to the
prompt. Pure; must not import sessions, pipelines or providers.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, field_validator
from pydantic.alias_generators import to_camel

from engine.commands.parsing import Command, parse_command
from engine.errors import InvalidRequest
from engine.events import JSON

Priority = Literal["high", "medium", "low"]
Text = Annotated[str, StringConstraints(max_length=200_000)]
Maybe = Text | None
"""Null and "" say the same: there is nothing."""
Required = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200_000)
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]

MAX_RATERS = 32
"""Raters that may be asked at once."""


class _Camel(Command):
    """A part that the contract spells as JavaScript does: `plotPoint`."""

    model_config = ConfigDict(alias_generator=to_camel)


class _Open(Command):
    """A part of the story that may have further fields, which are kept and not used."""

    model_config = ConfigDict(extra="allow")


# ---- shape A: the parts of a story --------------------------------------------------------------


class SystemPrompts(_Camel):
    """What frames the rater's prompt, and further instructions."""

    main_prefix: Maybe = None
    main_suffix: Maybe = None
    assistant_prompt: Maybe = None
    editor_prompt: Maybe = None


class Worldbuilding(_Open):
    """The world."""

    content: Maybe = None


class StorySummary(_Open):
    """The story so far."""

    summary: Maybe = None


class Chapter(_Camel):
    """An earlier chapter."""

    number: int | None = None
    title: Maybe = None
    content: Maybe = None
    plot_point: Maybe = None


class Character(_Camel):
    """A character of the story; a hidden one reaches no model."""

    name: Maybe = None
    basic_bio: Maybe = None
    sex: Maybe = None
    gender: Maybe = None
    age: int | float | Maybe = None
    physical_appearance: Maybe = None
    usual_clothing: Maybe = None
    personality: Maybe = None
    motivations: Maybe = None
    fears: Maybe = None
    relationships: Maybe = None
    is_hidden: bool | None = None


class PlotContext(_Camel):
    """Where the plot point stands."""

    plot_point: Maybe = None
    plot_outline: Maybe = None
    plot_outline_status: Literal["draft", "under_review", "approved", "needs_revision"] | None = (
        None
    )
    related_outline_items: tuple[Any, ...] = ()


# ---- shape B: prepared elements -----------------------------------------------------------------


class PlotElement(Command):
    """One element of the plot."""

    id: Maybe = None
    type: Literal["scene", "conflict", "resolution", "twist", "setup", "payoff", "transition"]
    content: Required
    priority: Priority = "medium"
    tags: tuple[Text, ...] = ()


class CharacterContext(Command):
    """A character as it is at this point of the story."""

    character_id: Name
    character_name: Maybe = None
    current_state: Any = None
    recent_actions: tuple[Any, ...] = ()
    relationships: Any = None
    goals: tuple[Any, ...] = ()
    memories: tuple[Any, ...] = ()
    personality_traits: tuple[Any, ...] = ()


class UserRequest(Command):
    """Something that the author asks for."""

    type: Maybe = None
    content: Required
    priority: Priority = "medium"
    target: Maybe = None


class SystemInstruction(Command):
    """Something that the rater has to keep to."""

    type: Literal["behavior", "style", "constraint", "preference", "rule"] = "rule"
    content: Required
    scope: Maybe = None
    priority: Priority = "medium"


class StructuredContext(Command):
    """The story, in one shape or the other or both."""

    system_prompts: SystemPrompts = Field(SystemPrompts(), alias="systemPrompts")
    worldbuilding: Worldbuilding = Worldbuilding()
    story_summary: StorySummary = Field(StorySummary(), alias="storySummary")
    previous_chapters: tuple[Chapter, ...] = Field((), alias="previousChapters")
    characters: tuple[Character, ...] = ()
    plot_context: PlotContext = Field(PlotContext(), alias="plotContext")
    request_metadata: dict[str, Any] = Field(default_factory=dict, alias="requestMetadata")
    plot_elements: tuple[PlotElement, ...] = ()
    character_contexts: tuple[CharacterContext, ...] = ()
    user_requests: tuple[UserRequest, ...] = ()
    system_instructions: tuple[SystemInstruction, ...] = ()

    @field_validator("character_contexts")
    @classmethod
    def _has_each_character_once(
        cls, value: tuple[CharacterContext, ...]
    ) -> tuple[CharacterContext, ...]:
        seen: set[str] = set()
        for context in value:
            if context.character_id in seen:
                raise ValueError(f"character_id {context.character_id[:80]!r} is given twice")
            seen.add(context.character_id)
        return value


# ---- the commands -------------------------------------------------------------------------------


class Turn(Command):
    """One message of the conversation about this phase."""

    role: Literal["user", "assistant", "system"]
    content: Text


class PhaseContext(Command):
    """What the phase of composition adds."""

    previous_phase_output: Maybe = None
    phase_specific_instructions: Maybe = None
    conversation_history: tuple[Turn, ...] = ()


class _Rating(Command):
    """What one rater and several have in common."""

    plot_point: Required = Field(alias="plotPoint")
    structured_context: StructuredContext
    model: Name | None = None
    """`provider/model`, or a model's name; None: the configured one."""
    compose_phase: Literal["plot_outline", "chapter_detail", "final_edit"] | None = None
    phase_context: PhaseContext | None = None
    temperature: float = Field(0.7, ge=0, le=2)
    max_tokens: int = Field(600, ge=1, le=32_000)


class RaterCommand(_Rating):
    """Ask one rater."""

    rater_prompt: Required = Field(alias="raterPrompt")
    rater_name: Name = Field("Rater", alias="raterName")


class Rater(_Camel):
    """One of several raters."""

    rater_prompt: Required
    rater_name: Name | None = None


class RaterBatchCommand(_Rating):
    """Ask several raters at once; their names tell them apart."""

    raters: tuple[Rater, ...] = Field(min_length=1, max_length=MAX_RATERS)

    @field_validator("raters")
    @classmethod
    def _are_told_apart_by_name(cls, value: tuple[Rater, ...]) -> tuple[Rater, ...]:
        seen: set[str] = set()
        for name in rater_names(value):
            if name in seen:
                raise ValueError(f"two raters are named {name[:80]!r}")
            seen.add(name)
        return value


def rater_names(raters: tuple[Rater, ...]) -> tuple[str, ...]:
    """Give each rater's name; one without is "Rater 2" by its place, counted from 1."""
    return tuple(
        rater.rater_name or f"Rater {place}" for place, rater in enumerate(raters, start=1)
    )


def parse_rating(data: JSON) -> tuple[RaterCommand | RaterBatchCommand, tuple[str, ...]]:
    """Give the command that a request asks for; one with `raters` asks several.

    Raises:
        InvalidRequest: the caller's fault, with the path of each fault.
    """
    if not isinstance(data, dict):
        raise InvalidRequest("a request must be a JSON object")
    if "raters" in {str(key).casefold() for key in data}:
        return parse_command(RaterBatchCommand, data)
    return parse_command(RaterCommand, data)
