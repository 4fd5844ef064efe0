"""What StreamGenerate is asked for: one idea, refined in phases by several lanes.

The one rule: a command that exists keeps every rule of its contract (contract 1), with names in
their canonical form, so the pipeline checks nothing again. Defaults and bounds stand here and
nowhere else. Must not import sessions, pipelines or providers.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final, Literal, cast, get_args

from pydantic import (
    AfterValidator,
    AliasChoices,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)
from pydantic.alias_generators import to_camel

from engine.commands.parsing import Command, parse_command
from engine.events import JSON

Phase = Literal["prima-materia", "solutio", "coagulatio"]
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)
"""All phases, in the order that a request without phases gets."""
ALIASES: Final[dict[str, Phase]] = {
    "prima_materia": "prima-materia",
    "idea": "prima-materia",
    "human": "solutio",
    "precision": "coagulatio",
}


def canonical_phase(name: str) -> str:
    """Give a phase's canonical name.

    Raises:
        ValueError: no phase has this name.
    """
    phase = ALIASES.get(name, name)
    if phase not in PHASES:
        raise ValueError(f'unknown phase "{name[:80]}"; allowed are {", ".join(PHASES)}')
    return phase


PhaseName = Annotated[str, AfterValidator(canonical_phase)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class RankingWeights(Command):
    """How much each score counts in the ranking. Only their proportions matter."""

    semantic: float = Field(
        0.4, ge=0, le=1000, validation_alias=AliasChoices("semantic", "semantic_score")
    )
    temperature: float = Field(
        0.2, ge=0, le=1000, validation_alias=AliasChoices("temperature", "temperature_score")
    )
    token: float = Field(0.2, ge=0, le=1000, validation_alias=AliasChoices("token", "token_score"))
    length: float = Field(
        0.2, ge=0, le=1000, validation_alias=AliasChoices("length", "length_score")
    )

    def normalised(self) -> RankingWeights:
        """Give the same proportions with the sum 1; all zeros weigh all scores alike."""
        total = self.semantic + self.temperature + self.token + self.length
        if total == 0:
            return RankingWeights(semantic=0.25, temperature=0.25, token=0.25, length=0.25)
        return RankingWeights(
            semantic=self.semantic / total,
            temperature=self.temperature / total,
            token=self.token / total,
            length=self.length / total,
        )


class _Options(Command):
    """What the contract spells as JavaScript does: `maxTokens`."""

    model_config = ConfigDict(alias_generator=to_camel)


class PhaseConfig(_Options):
    """Who does a phase; a phase without one is done by the default provider."""

    phase: PhaseName
    provider: Name
    model: str | None = Field(None, max_length=200)
    """None or "" is the provider's default model."""


class PromptRequest(_Options):
    """The idea, and what is to become of it."""

    input: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100_000)
    ]
    phases: tuple[PhaseName, ...] = Field(PHASES, min_length=1)
    count: int = Field(3, ge=1, le=100)
    """Lanes: prompts that each phase makes."""
    temperature: float = Field(0.7, ge=0, le=2)
    max_tokens: int = Field(2000, ge=1, le=32_000)
    """Of output, for each prompt."""
    tags: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    persona: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = "code"
    """`code`, `writing`, `analysis`, `generic`, or a registered persona's id."""
    target_model: str | None = None
    target_use_case: str | None = None

    @field_validator("phases")
    @classmethod
    def _no_repeats(cls, phases: tuple[str, ...]) -> tuple[str, ...]:
        _refuse_repeats(phases)
        return phases

    @field_validator("persona")
    @classmethod
    def _blank_is_default(cls, persona: str) -> str:
        return persona or "code"  # Go's clients write "" for what was not set


class GenerateCommand(_Options):
    """One run of the generate pipeline."""

    request: PromptRequest
    phase_configs: tuple[PhaseConfig, ...] = ()
    use_parallel: bool = False
    """Lanes at once and phases overlapping, in the place of one prompt after another."""
    include_context: bool = False
    """Also tell the first phase what the owner's most similar earlier results were."""
    auto_select: bool = False
    """Have a judge choose one prompt of the last phase."""
    optimize: bool = False
    """Improve each prompt in a loop with a judge."""
    optimize_target_score: float = Field(8.0, ge=1, le=10)
    optimize_max_iterations: int = Field(3, ge=1, le=20)
    """Improvements of one prompt at the most, its first text not counted."""
    weights: RankingWeights = RankingWeights()

    @field_validator("phase_configs")
    @classmethod
    def _one_for_each(cls, configs: tuple[PhaseConfig, ...]) -> tuple[PhaseConfig, ...]:
        _refuse_repeats(tuple(config.phase for config in configs))
        return configs

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases to run, in order."""
        return cast("tuple[Phase, ...]", self.request.phases)

    def config_of(self, phase: str) -> PhaseConfig | None:
        """Give who was asked to do a phase; None: nobody by name."""
        return next((config for config in self.phase_configs if config.phase == phase), None)

    @classmethod
    def parse(cls, data: JSON) -> tuple[GenerateCommand, tuple[str, ...]]:
        """Turn a GenerateOptions object into a command, and say what was odd about it.

        Raises:
            InvalidRequest: with one detail for each fault.
        """
        command, warnings = parse_command(cls, data)
        idle = tuple(
            f'phaseConfigs names "{config.phase}", which is not among the phases of this request'
            for config in command.phase_configs
            if config.phase not in command.request.phases
        )
        return command, (*warnings, *idle)


def _refuse_repeats(phases: tuple[str, ...]) -> None:
    for phase, times in Counter(phases).items():
        if times > 1:
            raise ValueError(f'phase "{phase}" is given {times} times; once is allowed')
