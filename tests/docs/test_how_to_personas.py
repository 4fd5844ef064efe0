"""docs/how-to/personas.md: its sample is a persona, and its requests are what the API takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from click.testing import CliRunner

from engine.commands.parsing import parse_command
from engine.commands.persona import Persona
from engine.pipelines.persona.files import operators_personas, parse_file
from server.cli import main

FOLDER = Path(__file__).parent.parent.parent / "docs" / "how-to"
PAGE = (FOLDER / "personas.md").read_text("utf-8")


def test_the_sample_is_a_persona(tmp_path: Path) -> None:
    """What a file may hold is shown by the sample: it uses every field that has no default."""
    text = (FOLDER / "lighthouse_keeper.md").read_text("utf-8")
    persona = parse_file("lighthouse_keeper.md", text)
    unused = {"provider", "model"}
    assert set(Persona.model_fields) - persona.model_fields_set == unused
    (tmp_path / "lighthouse_keeper.md").write_text(text)
    assert operators_personas(tmp_path) == (persona,)


def test_the_body_is_what_the_api_takes() -> None:
    found = re.search(r"-d '(.*)'", PAGE)
    assert found is not None
    persona, warnings = parse_command(Persona, json.loads(found[1]))
    assert (persona.id, warnings) == ("poe", ())


def test_the_commands_flags_are_there() -> None:
    shown = CliRunner().invoke(main, ["chat", "--help"]).output
    for flag in set(re.findall(r"--[a-z]+", PAGE)) - {"--data"}:
        assert flag in shown
