"""What contract 1 says of a request, rule by rule."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.commands.generate import ALIASES, PHASES, GenerateCommand, RankingWeights
from engine.errors import InvalidRequest

SEED: dict[str, Any] = {
    "request": {
        "input": "Create a Python function to calculate fibonacci",
        "phases": ["prima-materia", "solutio", "coagulatio"],
        "count": 3,
        "temperature": 0.7,
        "maxTokens": 1000,
        "tags": ["python", "algorithm"],
    },
    "phaseConfigs": [
        {"phase": "prima-materia", "provider": "openai"},
        {"phase": "solutio", "provider": "anthropic"},
        {"phase": "coagulatio", "provider": "openai"},
    ],
    "useParallel": False,
    "includeContext": True,
    "autoSelect": True,
}


def of(**request: Any) -> dict[str, Any]:
    return {"request": {"input": "an idea", **request}}


def refusal(data: Any) -> tuple[tuple[str, str], ...]:
    with pytest.raises(InvalidRequest) as caught:
        GenerateCommand.parse(data)
    return caught.value.details


class TestAccepted:
    def test_the_seeds_example_is_taken_without_a_warning(self) -> None:
        """A client written from the seed works unchanged."""
        command, warnings = GenerateCommand.parse(SEED)
        assert warnings == ()
        assert command.request.max_tokens == 1000
        assert command.request.tags == ("python", "algorithm")
        assert [config.provider for config in command.phase_configs] == [
            "openai",
            "anthropic",
            "openai",
        ]
        assert (command.use_parallel, command.include_context, command.auto_select) == (
            False,
            True,
            True,
        )

    def test_only_the_input_is_required(self) -> None:
        """The table's defaults."""
        command, warnings = GenerateCommand.parse({"request": {"input": "x"}})
        assert warnings == ()
        request = command.request
        assert request.phases == ("prima-materia", "solutio", "coagulatio")
        assert (request.count, request.temperature, request.max_tokens) == (3, 0.7, 2000)
        assert (request.tags, request.context, request.persona) == ((), (), "code")
        assert (request.target_model, request.target_use_case) == (None, None)
        assert command.phase_configs == ()
        flags = (command.use_parallel, command.include_context, command.auto_select)
        assert (*flags, command.optimize) == (False,) * 4
        assert (command.optimize_target_score, command.optimize_max_iterations) == (8.0, 3)

    def test_gos_pascal_case_is_taken_with_its_nulls(self) -> None:
        """Keys are accepted in camelCase, snake_case and Go's PascalCase."""
        command, warnings = GenerateCommand.parse(
            {
                "Request": {"Input": "x", "MaxTokens": 5, "Tags": None, "Persona": ""},
                "PhaseConfigs": None,
                "UseParallel": True,
            }
        )
        assert warnings == ()
        assert command.request.max_tokens == 5
        assert command.request.persona == "code"
        assert command.use_parallel

    @pytest.mark.parametrize(
        ("alias", "phase"), [*ALIASES.items(), *((phase, phase) for phase in PHASES)]
    )
    def test_a_phases_alias_becomes_its_canonical_name(self, alias: str, phase: str) -> None:
        """Aliases are accepted; messages show the canonical name."""
        command, _ = GenerateCommand.parse(
            of(phases=[alias]) | {"phaseConfigs": [{"phase": alias, "provider": "p"}]}
        )
        assert command.phases == (phase,)
        assert command.phase_configs[0].phase == phase
        assert command.config_of(phase) is command.phase_configs[0]

    def test_phases_keep_the_requests_order(self) -> None:
        command, _ = GenerateCommand.parse(of(phases=["coagulatio", "idea"]))
        assert command.phases == ("coagulatio", "prima-materia")

    def test_the_input_is_trimmed(self) -> None:
        """1 to 100,000 characters after trimming."""
        command, _ = GenerateCommand.parse({"request": {"input": "  x" + " " * 200_000}})
        assert command.request.input == "x"

    @pytest.mark.parametrize(
        "request_",
        [
            {"count": 1},
            {"count": 100},
            {"temperature": 0},
            {"temperature": 2},
            {"maxTokens": 1},
            {"maxTokens": 32_000},
            {"input": "x" * 100_000},
        ],
    )
    def test_each_bound_itself_is_allowed(self, request_: dict[str, Any]) -> None:
        GenerateCommand.parse(of(**request_))

    def test_a_config_of_a_phase_that_does_not_run_is_a_warning(self) -> None:
        """Nothing is ignored in silence."""
        _, warnings = GenerateCommand.parse(
            of(phases=["solutio"]) | {"phaseConfigs": [{"phase": "idea", "provider": "p"}]}
        )
        assert warnings == (
            'phaseConfigs names "prima-materia", which is not among the phases of this request',
        )

    def test_an_unknown_field_is_a_warning_with_the_nearest_name(self) -> None:
        _, warnings = GenerateCommand.parse(of(maxToken=3) | {"autoselected": True})
        assert warnings == (
            'unknown field "request.maxToken" is ignored; the nearest allowed one is "maxTokens"',
            'unknown field "autoselected" is ignored; the nearest allowed one is "autoSelect"',
        )

    def test_weights_are_named_as_the_scores_are(self) -> None:
        command, warnings = GenerateCommand.parse(
            of() | {"weights": {"semantic_score": 1, "temperature": 0, "tokenScore": 1}}
        )
        assert warnings == ()
        assert command.weights == RankingWeights(semantic=1, temperature=0, token=1, length=0.2)

    def test_the_command_is_parsed_again_from_its_own_serialisation(self) -> None:
        """After a crash the pipeline is called again with the same command."""
        command, _ = GenerateCommand.parse(SEED)
        assert GenerateCommand.parse(command.model_dump(mode="json")) == (command, ())


BAD = [
    ({}, "request", "request is required"),
    ({"request": "x"}, "request", 'request must be an object, got "x"'),
    ({"request": {}}, "request.input", "input is required"),
    (of(input=None), "request.input", "input must be a string, got null"),
    (of(input=7), "request.input", "input must be a string, got 7"),
    (of(input=""), "request.input", "input must have at least 1 character"),
    (of(input=" \n\t "), "request.input", "input must have at least 1 character"),
    (
        of(input="x" * 100_001),
        "request.input",
        "input cannot have more than 100,000 characters",
    ),
    (of(count=0), "request.count", "count must be at least 1, got 0"),
    (of(count=-5), "request.count", "count must be at least 1, got -5"),
    (of(count=101), "request.count", "count cannot exceed 100, got 101"),
    (of(count=True), "request.count", "count must be a whole number, got true"),
    (of(count="3"), "request.count", 'count must be a whole number, got "3"'),
    (of(count=2.5), "request.count", "count must be a whole number, got 2.5"),
    (of(count=None), "request.count", "count must be a whole number, got null"),
    (of(temperature=-0.5), "request.temperature", "temperature must be at least 0, got -0.5"),
    (of(temperature=2.1), "request.temperature", "temperature cannot exceed 2, got 2.1"),
    (
        of(temperature=math.nan),
        "request.temperature",
        "temperature must be a finite number, got NaN",
    ),
    (of(temperature=True), "request.temperature", "temperature must be a number, got true"),
    (of(maxTokens=0), "request.maxTokens", "maxTokens must be at least 1, got 0"),
    (
        of(maxTokens=32_001),
        "request.maxTokens",
        "maxTokens cannot exceed 32000, got 32001",
    ),
    (of(phases=[]), "request.phases", "phases must have at least 1 entry"),
    (of(phases="solutio"), "request.phases", 'phases must be a list, got "solutio"'),
    (
        of(phases=["solutio", "albedo"]),
        "request.phases.1",
        'unknown phase "albedo"; allowed are prima-materia, solutio, coagulatio',
    ),
    (
        of(phases=["Solutio"]),
        "request.phases.0",
        'unknown phase "Solutio"; allowed are prima-materia, solutio, coagulatio',
    ),
    (
        of(phases=["human", "solutio"]),
        "request.phases",
        'phase "solutio" is given 2 times; once is allowed',
    ),
    (of(phases=[3]), "request.phases.0", "phases[0] must be a string, got 3"),
    (of(tags=["a", 1]), "request.tags.1", "tags[1] must be a string, got 1"),
    (of(context="a"), "request.context", 'context must be a list, got "a"'),
    (of(persona=1), "request.persona", "persona must be a string, got 1"),
    (
        of() | {"phaseConfigs": [{"phase": "albedo", "provider": "p"}]},
        "phaseConfigs.0.phase",
        'unknown phase "albedo"; allowed are prima-materia, solutio, coagulatio',
    ),
    (
        of() | {"phaseConfigs": [{"phase": "solutio"}]},
        "phaseConfigs.0.provider",
        "provider is required",
    ),
    (
        of() | {"phaseConfigs": [{"phase": "solutio", "provider": " "}]},
        "phaseConfigs.0.provider",
        "provider must have at least 1 character",
    ),
    (
        of()
        | {
            "phaseConfigs": [
                {"phase": "human", "provider": "a"},
                {"phase": "solutio", "provider": "b"},
            ]
        },
        "phaseConfigs",
        'phase "solutio" is given 2 times; once is allowed',
    ),
    (
        of() | {"useParallel": "yes"},
        "useParallel",
        'useParallel must be true or false, got "yes"',
    ),
    (of() | {"autoSelect": 1}, "autoSelect", "autoSelect must be true or false, got 1"),
    (
        of() | {"optimizeTargetScore": 11},
        "optimizeTargetScore",
        "optimizeTargetScore cannot exceed 10, got 11",
    ),
    (
        of() | {"optimizeMaxIterations": 0},
        "optimizeMaxIterations",
        "optimizeMaxIterations must be at least 1, got 0",
    ),
    (
        of() | {"weights": {"semantic": -1}},
        "weights.semantic",
        "semantic must be at least 0, got -1",
    ),
]


@pytest.mark.parametrize(("data", "path", "message"), BAD)
def test_a_request_that_breaks_a_rule_is_refused(
    data: dict[str, Any], path: str, message: str
) -> None:
    """Each fault names its field and what is allowed."""
    assert refusal(data) == ((path, message),)


def test_normalised_weights_sum_to_one() -> None:
    """Weights are configurable and normalised."""
    weights = RankingWeights(semantic=3, temperature=0, token=0, length=1).normalised()
    assert (weights.semantic, weights.length) == (0.75, 0.25)
    none = RankingWeights(semantic=0, temperature=0, token=0, length=0).normalised()
    assert (none.semantic, none.temperature, none.token, none.length) == (0.25,) * 4
