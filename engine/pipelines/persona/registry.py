"""The personas: built in, an operator's own, and those that an admin has made.

The one rule: what was made later wins. A persona of an admin's (kept in the journal, so it survives
a restart) stands before an operator's file of the same id, and that before a built-in one; when it
is deleted the other is there again. Must not import sessions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.commands.parsing import parse_command
from engine.commands.persona import Persona
from engine.errors import Conflict, InvalidRequest, NotFound
from engine.events import JSON
from engine.journal.interface import Document, Journal
from engine.pipelines.persona.files import builtin_personas, operators_personas

COLLECTION: Final = "personas"
MAX_MADE: Final = 1_000
"""Personas that admins may make: a listing is one page."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A persona, and where it comes from."""

    persona: Persona
    is_made: bool
    """An admin made it: it can be deleted."""


class Personas:
    """All personas of a process.

    Args:
        journal: where an admin's personas are kept.
        folder: an operator's files; None: there are none.
        now: gives Unix time in seconds.

    Raises:
        TemplateBroken: a file is not right; the message names it.
    """

    def __init__(
        self, journal: Journal, *, folder: Path | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._journal = journal
        self._now = now
        own = operators_personas(folder) if folder is not None else ()
        self._files = {persona.id: persona for persona in (*builtin_personas(), *own)}

    async def get(self, persona_id: str) -> Listed:
        """Give a persona.

        Raises:
            NotFound: nobody has this id; the message lists the ids.
        """
        found = await self._find(persona_id)
        if found is None:
            raise unknown([persona_id], [each.persona.id for each in await self.list()])
        return found

    async def choose(self, persona_ids: Sequence[str]) -> tuple[Persona, ...]:
        """Give several, in their order.

        Raises:
            NotFound: some ids are nobody's; the message names all of them, and the ids there are.
        """
        found = [(persona_id, await self._find(persona_id)) for persona_id in persona_ids]
        missing = [persona_id for persona_id, listed in found if listed is None]
        if missing:
            raise unknown(missing, [each.persona.id for each in await self.list()])
        return tuple(listed.persona for _, listed in found if listed is not None)

    async def system_prompt(self, persona_id: str) -> str | None:
        """Give what a persona is told, or None: for pipelines that write for personas."""
        found = await self._find(persona_id)
        return None if found is None else found.persona.system_prompt

    async def list(self) -> tuple[Listed, ...]:
        """Give all of them, by id."""
        documents = await self._journal.documents(COLLECTION, limit=MAX_MADE)
        made = {each.key: Listed(persona=_read(each), is_made=True) for each in documents}
        files = {key: Listed(persona=each, is_made=False) for key, each in self._files.items()}
        return tuple(listed for _, listed in sorted({**files, **made}.items()))

    async def create(self, fields: JSON, *, owner: str) -> tuple[Persona, tuple[str, ...]]:
        """Make a persona.

        Raises:
            InvalidRequest: a field breaks its rule. Conflict: the id is taken.
        """
        persona, warnings = parse_command(Persona, fields)
        if await self._find(persona.id) is not None:
            raise Conflict(f'there is a persona "{persona.id}" already; PUT replaces it')
        await self._put(persona, owner)
        return persona, warnings

    async def replace(
        self, persona_id: str, fields: JSON, *, owner: str
    ) -> tuple[Persona, tuple[str, ...]]:
        """Make a persona in the place of the one with this id, if there is one.

        Raises:
            InvalidRequest: a field breaks its rule, or the fields name another id.
        """
        persona, warnings = parse_command(Persona, {"id": persona_id, **fields})
        if persona.id != persona_id:
            raise InvalidRequest(
                f'the address names "{persona_id}" and the body "{persona.id}"',
                [("id", f'must be "{persona_id}" or absent')],
            )
        await self._put(persona, owner)
        return persona, warnings

    async def delete(self, persona_id: str) -> None:
        """Forget a persona that an admin made.

        Raises:
            NotFound: nobody has this id. Conflict: it stands in a file.
        """
        if await self._journal.remove(COLLECTION, persona_id):
            return
        if persona_id in self._files:
            raise Conflict(f'"{persona_id}" stands in a file and cannot be deleted here')
        raise unknown([persona_id], [each.persona.id for each in await self.list()])

    async def _put(self, persona: Persona, owner: str) -> None:
        made = await self._journal.documents(COLLECTION, limit=MAX_MADE)
        if len(made) >= MAX_MADE and all(each.key != persona.id for each in made):
            raise Conflict(f"there are {MAX_MADE} personas already, which is the most allowed")
        await self._journal.put(
            Document(
                collection=COLLECTION,
                key=persona.id,
                owner=owner,
                value=persona.model_dump(mode="json"),
                updated_at=self._now(),
            )
        )

    async def _find(self, persona_id: str) -> Listed | None:
        document = await self._journal.get(COLLECTION, persona_id)
        if document is not None:
            return Listed(persona=_read(document), is_made=True)
        persona = self._files.get(persona_id)
        return None if persona is None else Listed(persona=persona, is_made=False)

    def __repr__(self) -> str:
        return f"<Personas {len(self._files)} in files>"


def unknown(missing: Sequence[str], known: Sequence[str]) -> NotFound:
    """Say that personas are not there, and which are."""
    names = ", ".join(f'"{persona_id[:80]}"' for persona_id in missing)
    noun = "persona" if len(missing) == 1 else "personas"
    return NotFound(f"unknown {noun} {names}; there are {', '.join(known)}")


def _read(document: Document) -> Persona:
    return Persona.model_validate(document.value)
