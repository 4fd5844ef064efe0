"""Reads persona files: TOML between two lines of `+++`, then the system prompt as Markdown.

    +++
    name = "Maya Lindqvist"
    role = "tech enthusiast"
    [characteristics]
    communication_style = "casual"
    +++
    You are Maya Lindqvist …

The one rule: a file is right or the start stops, with the file's name and what is wrong. The file's
name without its suffix is the persona's id. Must not import sessions.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from engine.commands.parsing import parse_command
from engine.commands.persona import Persona
from engine.errors import InvalidRequest, TemplateBroken

FENCE: Final = "+++"
SUFFIX: Final = ".md"
MAX_FILE_BYTES: Final = 256 * 1024
"""Of one persona: a longer one would leave no room for a conversation."""


@cache
def builtin_personas() -> tuple[Persona, ...]:
    """Give the personas that every installation has, by id."""
    return tuple(_read_all(resources.files("engine.pipelines.persona.personas")))


def operators_personas(folder: Path) -> tuple[Persona, ...]:
    """Give the personas in an operator's folder, by id; none where there is no such folder.

    Raises:
        TemplateBroken: a file cannot be read, or is none; the message names it.
    """
    return tuple(_read_all(folder)) if folder.is_dir() else ()


def parse_file(name: str, text: str) -> Persona:
    """Read one file.

    Args:
        name: the file's name, for the id and for sentences.
        text: what is in it.

    Raises:
        TemplateBroken: it is no persona; the message says why.
    """
    opening, _, rest = text.lstrip("\ufeff").partition("\n")
    head, fence, prompt = rest.partition(f"\n{FENCE}\n")
    if opening.strip() != FENCE or not fence:
        raise TemplateBroken(f"{name} must begin with TOML between two lines of {FENCE}")
    try:
        fields = tomllib.loads(head)
    except tomllib.TOMLDecodeError as error:
        raise TemplateBroken(f"{name}: the lines between {FENCE} are not TOML: {error}") from None
    given = [key for key in ("id", "system_prompt") if key in fields]
    if given:
        raise TemplateBroken(
            f"{name}: {given[0]} has its own place: the id is the file's name, the system prompt "
            f"stands below the second {FENCE}"
        )
    try:
        whole = {**fields, "id": name.removesuffix(SUFFIX), "system_prompt": prompt}
        persona, warnings = parse_command(Persona, whole)
    except InvalidRequest as error:
        raise TemplateBroken(f"{name}: {error.message}") from None
    if warnings:
        raise TemplateBroken(f"{name}: {'; '.join(warnings)}")
    return persona


def _read_all(folder: Traversable) -> Iterator[Persona]:
    files = [each for each in folder.iterdir() if each.name.endswith(SUFFIX)]
    for file in sorted(files, key=lambda file: file.name):
        try:
            data = file.read_bytes()
            text = data.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateBroken(f"{file.name} cannot be read: {error}") from None
        if len(data) > MAX_FILE_BYTES:
            raise TemplateBroken(f"{file.name} is longer than {MAX_FILE_BYTES // 1024} KiB")
        yield parse_file(file.name, text)
