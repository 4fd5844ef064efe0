"""From a command to the requests for generator and formatter.

The one rule: what a model has to know is in the request, and nothing else: the filled template,
how the questions spread over vignettes, and on a retry the formatter's last output with the faults
that were found in it. Pure; must not import sessions.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.commands.content import ContentCommand, DraftCommand, FormatCommand
from engine.pipelines.content.reading import Fault
from engine.pipelines.content.templates import TEXT, Stage, Template
from engine.providers.interface import GenerationRequest, Message

ITEMS_IN_A_VIGNETTE = 9
MAX_FAULTS_TOLD = 40
"""Faults that a retry's prompt spells out; more of them teach a model nothing."""

_RETRY = """\
{prompt}

You have laid this draft out before, and a program found faults in it. Your last output was:

<last_output>
{output}
</last_output>

The faults, with the numbers of its lines:
{faults}

Lay the draft out again, whole and without these faults. Write the text alone."""


def generator_request(
    command: ContentCommand | DraftCommand, template: Template, model: str
) -> GenerationRequest:
    """Ask for a draft from the source text."""
    return _request(
        command,
        "generator",
        _fill(template, command, command.input_text),
        model=model,
        temperature=command.generator_temperature,
        top_p=command.generator_top_p,
    )


def formatter_request(
    command: ContentCommand | FormatCommand, template: Template, model: str, draft: str
) -> GenerationRequest:
    """Ask for a draft to be laid out."""
    return _formatter_request(command, _fill(template, command, draft), model)


def retry_request(
    command: ContentCommand | FormatCommand,
    template: Template,
    model: str,
    draft: str,
    output: str,
    faults: Sequence[Fault],
) -> GenerationRequest:
    """Ask for the layout again: with the original draft, the last output and its faults."""
    told = [
        f"- Line {fault.line}, {fault.section}: {fault.message}"
        for fault in faults[:MAX_FAULTS_TOLD]
    ]
    if len(faults) > MAX_FAULTS_TOLD:
        told.append(f"- and {len(faults) - MAX_FAULTS_TOLD} more")
    text = _RETRY.format(
        prompt=_fill(template, command, draft).rstrip(), output=output, faults="\n".join(told)
    )
    return _formatter_request(command, text, model)


def vignette_sizes(num_questions: int) -> tuple[int, ...]:
    """Spread questions over vignettes: about nine in each, as evenly as they go."""
    vignettes = max(1, round(num_questions / ITEMS_IN_A_VIGNETTE))
    least, more = divmod(num_questions, vignettes)
    return tuple(least + (index < more) for index in range(vignettes))


def _fill(
    template: Template, command: ContentCommand | DraftCommand | FormatCommand, text: str
) -> str:
    return template.fill(
        {
            TEXT: text,
            "NUM_QUESTIONS": str(command.num_questions),
            "FOCUS_AREAS": (command.focus_areas or "").strip() or "Not specified",
        }
    )


def _formatter_request(
    command: ContentCommand | FormatCommand, prompt: str, model: str
) -> GenerationRequest:
    return _request(
        command,
        "formatter",
        prompt,
        model=model,
        temperature=command.formatter_temperature,
        top_p=command.formatter_top_p,
    )


def _request(
    command: ContentCommand | DraftCommand | FormatCommand,
    stage: Stage,
    prompt: str,
    *,
    model: str,
    temperature: float,
    top_p: float,
) -> GenerationRequest:
    return GenerationRequest(
        messages=(Message(role="user", content=prompt),),
        model=model,
        instructions=_plan(command),
        temperature=temperature,
        top_p=top_p,
        metadata={
            "purpose": f"content.{stage}",
            "content_type": command.content_type,
            "num_questions": str(command.num_questions),
        },
    )


def _plan(command: ContentCommand | DraftCommand | FormatCommand) -> str:
    """Say what a template has no placeholder for: how many vignettes, and how long each is."""
    if command.content_type != "NMCQ":
        return ""
    sizes = vignette_sizes(command.num_questions)
    spread = ", ".join(f"{size} in vignette {index}" for index, size in enumerate(sizes, start=1))
    return (
        f"The text has exactly {command.num_questions} questions in all, over {len(sizes)} "
        f"clinical vignette{'s' if len(sizes) > 1 else ''}: {spread}."
    )
