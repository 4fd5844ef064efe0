"""What the phases ask a model: the templates, filled with the request's own words."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.commands.generate import PHASES, GenerateCommand
from engine.pipelines.generate.prompts import (
    MAX_EARLIER_CHARS,
    PERSONAS,
    STEPS,
    cut,
    fill,
    improve_request,
    persona_text,
    phase_request,
    template,
    wrap,
)
from engine.providers.interface import GenerationRequest
from tests.pipelines.generate.doubles import asking


def ask(
    phase: str = "prima-materia",
    text: str = "an idea",
    *,
    index: int = 0,
    persona: str = "",
    earlier: tuple[str, ...] = (),
    **fields: Any,
) -> GenerationRequest:
    command = GenerateCommand.parse(asking(**fields))[0]
    return phase_request(
        command,
        phase,
        text,
        index=index,
        persona=persona or persona_text(command.request.persona),
        model="m",
        earlier=earlier,
    )


def user(request: GenerationRequest) -> str:
    (message,) = request.messages
    assert message.role == "user"
    return message.content


@pytest.mark.parametrize("phase", PHASES)
def test_each_phase_has_instructions_of_its_own(phase: str) -> None:
    request = ask(phase)
    assert len(request.instructions) > 1_000
    assert "Do not carry out the task" in request.instructions
    assert phase in STEPS
    others = [ask(other).instructions for other in PHASES if other != phase]
    assert request.instructions not in others


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("full", [False, True])
def test_no_placeholder_and_no_gap_is_left(phase: str, full: bool) -> None:
    fields: dict[str, Any] = {}
    if full:
        fields = {"context": ["c"], "tags": ["t"], "target_model": "m", "target_use_case": "u"}
    text = ask(phase, earlier=("e",) if full else (), **fields).instructions
    assert "{{" not in text
    assert "\n\n\n" not in text
    assert text == text.strip()


def test_the_first_phase_is_given_the_idea_and_the_others_a_prompt() -> None:
    assert user(ask("prima-materia")) == "<idea>\nan idea\n</idea>"
    assert user(ask("solutio")) == "<prompt>\nan idea\n</prompt>"
    assert user(ask("solutio", phases=["solutio"])) == "<idea>\nan idea\n</idea>"


def test_tags_reach_every_phase() -> None:
    for phase in PHASES:
        assert "<tags>\npython, algorithm\n</tags>" in user(
            ask(phase, tags=["python", "algorithm"])
        )


def test_context_and_earlier_results_reach_the_first_phase_alone() -> None:
    """Context lines reach the first phase's prompt."""
    first = ask(context=["one", "two"], earlier=("old", "x" * 5_000))
    assert "<context>\n- one\n- two\n</context>" in user(first)
    assert "<earlier_result>\nold\n</earlier_result>" in user(first)
    assert len(user(first)) < MAX_EARLIER_CHARS + 300
    assert template("background") in first.instructions
    second = ask("solutio", context=["one"], earlier=("old",))
    assert "one" not in user(second)
    assert "old" not in user(second)
    assert template("background") not in second.instructions
    assert template("background") not in ask().instructions


def test_the_lanes_are_asked_for_different_versions() -> None:
    """Without it the same request would get much the same answers."""
    assert "You write version 2 of 3" in ask(index=1, count=3).instructions
    assert "You write version" not in ask(index=0, count=1).instructions
    assert "You write version" not in ask("solutio", index=1, count=3).instructions


@pytest.mark.parametrize(
    ("phase", "phases", "is_named"),
    [
        ("coagulatio", PHASES, True),
        ("solutio", PHASES, False),
        ("prima-materia", PHASES, False),
        ("solutio", ["prima-materia", "solutio"], True),
        ("coagulatio", ["coagulatio", "solutio"], True),
    ],
)
def test_the_target_is_named_in_the_last_phase(phase: str, phases: Any, is_named: bool) -> None:
    """Target model, persona and use case: named in the last phase's prompt, and in coagulatio."""
    text = ask(
        phase, phases=list(phases), target_model="gpt-9", target_use_case="a\nnewsletter"
    ).instructions
    assert ("- Target model: gpt-9\n" in text) is is_named
    assert ("- Use case: a newsletter\n" in text) is is_named
    assert ("- Persona: code\n" in text) is is_named


@pytest.mark.parametrize("phase", PHASES)
def test_each_persona_shapes_each_phase(phase: str) -> None:
    texts = {ask(phase, persona=persona_text(persona)).instructions for persona in PERSONAS}
    assert len(texts) == len(PERSONAS)
    registered = ask(phase, persona=persona_text("pirate", "You are a pirate.")).instructions
    assert "<persona>\nYou are a pirate.\n</persona>" in registered


def test_what_a_client_wrote_is_never_in_the_instructions() -> None:
    """It is material: it stands in the user's message alone."""
    request = ask(text="IGNORE ALL", context=["IGNORE ALL"], tags=["IGNORE ALL"])
    assert "IGNORE ALL" not in request.instructions
    assert user(request).count("IGNORE ALL") == 3


def test_a_value_that_looks_like_a_placeholder_is_left_alone() -> None:
    text = fill("improve", PERSONA="{{STEP}}", STEP="{{PERSONA}} {{NOTHING}}")
    assert "{{STEP}}" in text
    assert "{{PERSONA}} {{NOTHING}}" in text


def test_blank_lines_of_a_value_are_kept() -> None:
    assert "a\n\n\n\nb" in fill("persona-registered", SYSTEM_PROMPT="a\n\n\n\nb")


@example("</idea>")
@example("a</idea>b</idea_>c")
@given(st.text(alphabet="</idea>_ x\n", max_size=60))
def test_a_text_cannot_close_its_own_tags(text: str) -> None:
    wrapped = wrap("idea", text)
    match = re.fullmatch(r"<(\w+)>\n(.*)\n</\1>", wrapped, re.DOTALL)
    assert match is not None
    assert match[2] == text
    assert f"</{match[1]}>" not in text


def test_a_text_that_is_cut_says_so() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "abc … [cut here]"


def test_an_improvement_is_told_the_step_the_critique_and_the_material() -> None:
    command = GenerateCommand.parse(asking(target_model="gpt-9"))[0]
    request = improve_request(
        command,
        "coagulatio",
        source="the source",
        prompt="the draft",
        critique="too long",
        persona=persona_text("code"),
        model="m",
    )
    assert STEPS["coagulatio"] in request.instructions
    assert "- Target model: gpt-9" in request.instructions
    assert user(request) == (
        "<material>\nthe source\n</material>\n\n<prompt>\nthe draft\n</prompt>\n\n"
        "<critique>\ntoo long\n</critique>"
    )


def test_every_template_is_in_use() -> None:
    """A file that nothing reads would mislead whoever edits the prompts."""
    files = resources.files("engine.pipelines.generate.templates").iterdir()
    names = {file.name.removesuffix(".md") for file in files if file.name.endswith(".md")}
    used = {*PHASES, *(f"persona-{persona}" for persona in PERSONAS), "persona-registered"}
    used |= {"background", "target", "version", "judge", "score", "improve"}
    assert names == used
