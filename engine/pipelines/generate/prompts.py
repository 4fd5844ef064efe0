"""What the phases ask a model: the templates, filled with the request's own words.

The one rule: what a client wrote is material. It stands in the user's message, inside tags that it
cannot close, and never in the instructions; what it asks of the pipeline itself (persona, target)
is named there. Pure but for reading the templates once. Must not import sessions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final

from engine.commands.generate import GenerateCommand
from engine.providers.interface import GenerationRequest, Message

PERSONAS: Final = ("code", "writing", "analysis", "generic")
"""The personas that need no registry."""
MAX_EARLIER_CHARS: Final = 2_000
"""Kept and shown of one earlier result: enough to tell its subject and its conventions."""
STEPS: Final = {
    "prima-materia": "take the raw idea apart into its task, requirements, constraints and the "
    "form of the output, and settle what is ambiguous without changing the intent",
    "solutio": "rewrite the rough prompt in natural, readable, engaging language and lose no "
    "requirement",
    "coagulatio": "remove redundancy, sharpen clarity and structure, and balance short and "
    "complete",
}
"""What each phase does, in one sentence."""

_PLACEHOLDER: Final = re.compile(r"\{\{([A-Z_]+)\}\}")
_BLANK_LINES: Final = re.compile(r"\n{3,}")


@cache
def template(name: str) -> str:
    """Read a template.

    Raises:
        FileNotFoundError: the installation lacks the file.
    """
    files = resources.files("engine.pipelines.generate.templates")
    return (files / f"{name}.md").read_text(encoding="utf-8").strip()


def fill(name: str, **values: str) -> str:
    """Fill a template's placeholders, in one pass: a value that looks like one is left alone.

    Raises:
        KeyError: a placeholder has no value.
    """
    # Blank lines are joined in the template's own text alone: a value is not touched.
    emptied = {key for key, value in values.items() if not value}
    text = _PLACEHOLDER.sub(lambda m: "" if m[1] in emptied else m[0], template(name))
    text = _BLANK_LINES.sub("\n\n", text)
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text).strip()


def wrap(tag: str, text: str) -> str:
    """Put a text between tags that it does not hold itself."""
    while f"</{tag}>" in text:
        tag += "_"
    return f"<{tag}>\n{text}\n</{tag}>"


def cut(text: str, max_chars: int) -> str:
    """Shorten a text, and say so where it was cut."""
    return text if len(text) <= max_chars else f"{text[:max_chars].rstrip()} … [cut here]"


def persona_text(persona: str, system_prompt: str | None = None) -> str:
    """Give what a persona adds to the instructions.

    Args:
        persona: one of `PERSONAS`, or a registered persona's id.
        system_prompt: the registered persona's own.
    """
    if system_prompt is not None:
        return fill("persona-registered", SYSTEM_PROMPT=system_prompt)
    return template(f"persona-{persona}")


def phase_request(
    command: GenerateCommand,
    phase: str,
    text: str,
    *,
    index: int,
    persona: str,
    model: str,
    earlier: Sequence[str] = (),
) -> GenerationRequest:
    """Give what a phase asks its provider for one lane.

    Args:
        command: what was asked for.
        phase: the phase's canonical name.
        text: the idea, or the prompt that the phase before made of it.
        index: the lane's, from 0.
        persona: what `persona_text` gave.
        model: the provider's name for it; "" is its default.
        earlier: results that the first phase may lean on.
    """
    is_first = phase == command.phases[0]
    background = [*_context(command), *_earlier(earlier)] if is_first else []
    sections = [wrap("idea" if is_first else "prompt", text), *_tags(command), *background]
    return GenerationRequest(
        instructions=fill(
            phase,
            PERSONA=persona,
            BACKGROUND=template("background") if background else "",
            TARGET=_target(command, phase),
            VERSION=_version(command, index) if is_first else "",
        ),
        messages=(Message(role="user", content="\n\n".join(sections)),),
        model=model,
        temperature=command.request.temperature,
        max_tokens=command.request.max_tokens,
        metadata={"purpose": phase, "persona": command.request.persona},
    )


def improve_request(
    command: GenerateCommand,
    phase: str,
    *,
    source: str,
    prompt: str,
    critique: str,
    persona: str,
    model: str,
) -> GenerationRequest:
    """Give what an improvement asks for.

    Args:
        command: what was asked for.
        phase: the phase that wrote the prompt.
        source: the text that the phase was given.
        prompt: the best prompt so far.
        critique: what a judge holds against it.
        persona: what `persona_text` gave.
        model: the provider's name for it; "" is its default.
    """
    sections = (wrap("material", source), wrap("prompt", prompt), wrap("critique", critique))
    return GenerationRequest(
        instructions=fill("improve", PERSONA=persona, STEP=_step(command, phase)),
        messages=(Message(role="user", content="\n\n".join(sections)),),
        model=model,
        temperature=command.request.temperature,
        max_tokens=command.request.max_tokens,
        metadata={"purpose": "improve", "persona": command.request.persona},
    )


def _tags(command: GenerateCommand) -> list[str]:
    tags = command.request.tags
    return [wrap("tags", ", ".join(tags))] if tags else []


def _context(command: GenerateCommand) -> list[str]:
    lines = "\n".join(f"- {line}" for line in command.request.context)
    return [wrap("context", lines)] if lines else []


def _earlier(results: Sequence[str]) -> list[str]:
    return [wrap("earlier_result", cut(result, MAX_EARLIER_CHARS)) for result in results]


def _version(command: GenerateCommand, index: int) -> str:
    """Ask the lanes for different prompts: the same request would get much the same answers."""
    count = command.request.count
    return fill("version", NUMBER=str(index + 1), COUNT=str(count)) if count > 1 else ""


def _step(command: GenerateCommand, phase: str) -> str:
    target = _target(command, phase)
    step = f"In this step you {STEPS[phase]}."
    return f"{step}\n\n{target}" if target else step


def _target(command: GenerateCommand, phase: str) -> str:
    """Name where the prompt will be used: in coagulatio, and in whatever phase is the last."""
    request = command.request
    if phase != "coagulatio" and phase != command.phases[-1]:
        return ""
    targets = [
        f"- {name}: {_one_line(value)}"
        for name, value in (
            ("Target model", request.target_model),
            ("Use case", request.target_use_case),
            ("Persona", request.persona if request.persona != "generic" else None),
        )
        if value and value.strip()
    ]
    return fill("target", TARGETS="\n".join(targets)) if targets else ""


def _one_line(value: str) -> str:
    return cut(" ".join(value.split()), 500)
