"""The personas: the built-in ones, an operator's files, and those that an admin makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.commands.persona import Persona
from engine.errors import Conflict, InvalidRequest, NotFound, TemplateBroken
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.pipelines.persona.files import builtin_personas, parse_file
from engine.pipelines.persona.prompts import instructions_for
from engine.pipelines.persona.registry import Personas

WHOLE = """+++
name = "Poe"
role = "poet"
temperature = 0.9
[characteristics]
personality = ["dark"]
goals = "rhyme"
communication_style = "formal"
+++
You are Poe, a poet.

You speak of ravens.
"""


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal(Limits())


def made(**fields: Any) -> dict[str, Any]:
    return {"id": "poe", "name": "Poe", "system_prompt": "You rhyme.", **fields}


def test_there_are_built_in_personas_of_real_character() -> None:
    """Built-in ones: tech_enthusiast, creative_writer, data_scientist and some more."""
    personas = {persona.id: persona for persona in builtin_personas()}
    assert {"tech_enthusiast", "creative_writer", "data_scientist"} <= personas.keys()
    assert len(personas) >= 8
    assert len({persona.name for persona in personas.values()}) == len(personas)
    for persona in personas.values():
        assert len(persona.system_prompt) > 600, persona.id
        assert persona.name.split()[-1] in persona.system_prompt
        own = persona.characteristics
        assert own.personality, persona.id
        assert own.goals, persona.id
        assert own.pain_points, persona.id
        assert own.communication_style, persona.id
        assert own.decision_making_style, persona.id
        assert own.experience, persona.id
        assert persona.role, persona.id
        assert persona.description, persona.id


def test_the_styles_differ() -> None:
    """communication_style: formal|casual|technical|friendly."""
    styles = {persona.characteristics.communication_style for persona in builtin_personas()}
    assert styles == {"formal", "casual", "technical", "friendly"}


def test_what_a_persona_is_told() -> None:
    """The system prompt goes into the instructions, and so does every characteristic."""
    told = instructions_for(parse_file("poe.md", WHOLE))
    assert told.startswith("You are Poe, a poet.\n\nYou speak of ravens.")
    assert "Personality: dark." in told
    assert "Goals: rhyme." in told
    assert "Speak formally" in told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("You are Poe.", r"poe.md must begin with TOML between two lines of \+\+\+"),
        ("+++\nname = \n+++\nYou.", "not TOML"),
        ('+++\nname = "P"\n+++\n', "system_prompt must have at least 1 character"),
        ("+++\nrole = 'x'\n+++\nYou.", "name is required"),
        ('+++\nname = "P"\nid = "q"\n+++\nYou.', "the id is the file's name"),
        ('+++\nname = "P"\nmood = "q"\n+++\nYou.', 'unknown field "mood"'),
        (
            '+++\nname = "P"\n[characteristics]\ncommunication_style = "rude"\n+++\nYou.',
            "communication_style must be 'formal', 'casual', 'technical' or 'friendly'",
        ),
    ],
)
def test_a_file_is_right_or_the_start_stops(text: str, says: str) -> None:
    """A bad file stops the start, with the file's name and what is wrong."""
    with pytest.raises(TemplateBroken, match=says) as caught:
        parse_file("poe.md", text)
    assert "poe.md" in str(caught.value)


def test_the_id_of_a_file_is_an_id() -> None:
    """The file's name without its suffix is the persona's id."""
    assert parse_file("poe.md", WHOLE).id == "poe"
    for name in ("synthesis.md", "two words.md", ".md"):
        with pytest.raises(TemplateBroken):
            parse_file(name, WHOLE)


async def test_an_operator_can_add_files(tmp_path: Path, journal: MemoryJournal) -> None:
    """Personas are files that an operator can add to."""
    (tmp_path / "poe.md").write_text(WHOLE)
    (tmp_path / "tech_enthusiast.md").write_text(WHOLE)
    (tmp_path / "notes.txt").write_text("no persona")
    personas = Personas(journal, folder=tmp_path)
    assert (await personas.get("poe")).persona.temperature == 0.9
    assert (await personas.get("tech_enthusiast")).persona.name == "Poe"
    ids = [each.persona.id for each in await personas.list()]
    assert ids == sorted(ids)
    assert len(ids) == len(builtin_personas()) + 1
    assert len(await Personas(journal, folder=tmp_path / "nowhere").list()) == len(ids) - 1


async def test_an_admins_persona_is_kept(journal: MemoryJournal) -> None:
    """POST, PUT, DELETE /api/personas: what was made later stands before the earlier."""
    personas = Personas(journal)
    persona, warnings = await personas.create(made(mood="dark"), owner="root")
    assert persona == Persona(id="poe", name="Poe", system_prompt="You rhyme.")
    assert warnings == ('unknown field "mood" is ignored; the nearest allowed one is "model"',)
    assert (await Personas(journal).get("poe")).is_made
    assert await personas.system_prompt("poe") == "You rhyme."
    with pytest.raises(Conflict):
        await personas.create(made(), owner="root")
    await personas.replace("poe", made(name="Edgar"), owner="root")
    assert (await personas.get("poe")).persona.name == "Edgar"
    await personas.delete("poe")
    assert await personas.system_prompt("poe") is None
    with pytest.raises(NotFound, match="there are creative_writer, data_scientist"):
        await personas.delete("poe")


async def test_a_built_in_one_can_be_replaced_and_comes_back(journal: MemoryJournal) -> None:
    """When it is deleted the other is there again."""
    personas = Personas(journal)
    fields = {"name": "Other", "system_prompt": "You are other."}
    await personas.replace("night_nurse", fields, owner="root")
    assert (await personas.get("night_nurse")).persona.name == "Other"
    await personas.delete("night_nurse")
    assert (await personas.get("night_nurse")).persona.name == "Sister Agnes Mbeki"
    with pytest.raises(Conflict, match="stands in a file"):
        await personas.delete("night_nurse")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (made(system_prompt=" "), "system_prompt must have at least 1 character"),
        (made(temperature=2.5), "temperature cannot exceed 2"),
        (made(id="a b"), "id"),
        (made(id="synthesis"), "is taken by the synthesis"),
        (made(characteristics={"communication_style": "rude"}), "communication_style must be"),
    ],
)
async def test_what_breaks_a_rule_is_refused(
    fields: dict[str, Any], says: str, journal: MemoryJournal
) -> None:
    """A field that breaks its rule is refused by name."""
    with pytest.raises(InvalidRequest) as caught:
        await Personas(journal).create(fields, owner="root")
    assert says in caught.value.message


async def test_the_address_and_the_body_name_one_persona(journal: MemoryJournal) -> None:
    """PUT replaces the persona of its address, and no other."""
    with pytest.raises(InvalidRequest, match='the address names "night_nurse" and the body "poe"'):
        await Personas(journal).replace("night_nurse", made(), owner="root")
