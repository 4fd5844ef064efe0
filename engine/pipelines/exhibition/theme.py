"""Theme refinement: what the concepts mean, and the texts that the exhibition speaks with.

Each concept is looked up at the same time. The title is written first, then the other texts side by
side, streamed. A text that a client cancels alone is left out, and the rest goes on.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec
import trio

from engine.actors.unwrapping import single_error
from engine.events import JSON, Part
from engine.knowledge.interface import Definition
from engine.knowledge.sources import best_definition
from engine.pipelines.exhibition.findings import Ledger
from engine.pipelines.exhibition.prompts import text_request
from engine.pipelines.exhibition.texts import (
    RULES,
    TextRule,
    cut_chars,
    fault_of,
    settled,
    undressed,
)
from engine.pipelines.exhibition.work import Work
from engine.providers.interface import GenerationRequest
from engine.sessions.outcomes import PartCut

STAGE = "theme_refinement"
BEGIN, LOOKED_UP, LAST, END = 10.0, 12.0, 24.0, 25.0
"""Percent: at the begin, with all concepts looked up, with all texts written, and complete."""


async def refine_theme(work: Work) -> JSON:
    """Do the stage, or give what the log has of it.

    Raises:
        PartLost: a text could not be written.

    Cancellation: at any point; the providers' streams are closed.
    """
    run = work.run
    if (done := work.done(STAGE)) is not None:
        return done
    await run.start_phase(STAGE, "Refining the theme", BEGIN)
    return await _Theme(work).refine()


class _Theme:
    """One session's theme."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._run = work.run
        self._brief = work.command.curator_brief
        self._ledger = Ledger()
        self._definitions: dict[str, Definition] = {}
        self._texts: dict[str, str | None] = {}
        self._notes: list[str] = []
        self._looked_up = 0
        self._written_texts = sum(self._run.completed(rule.name) is not None for rule in RULES)

    async def refine(self) -> JSON:
        await self._look_up()
        title, *others = RULES
        await self._write(title)
        with single_error():
            async with trio.open_nursery() as nursery:
                for rule in others:
                    nursery.start_soon(self._write, rule)
        data: JSON = {
            **{rule.name: self._texts[rule.name] for rule in RULES},
            "concepts": [self._concept(concept) for concept in self._brief.concepts],
            "sources": self._ledger.as_json(),
            "notes": self._notes,
        }
        await self._run.complete_phase(STAGE, "Theme refinement complete", END, data)
        return data

    # ---- concepts --------------------------------------------------------------------------------

    async def _look_up(self) -> None:
        concepts = self._brief.concepts
        async with trio.open_nursery() as nursery:
            for concept in concepts:
                nursery.start_soon(self._define, concept, len(concepts))

    async def _define(self, concept: str, count: int) -> None:
        work = self._work
        answers = await work.sources.define(concept, only=work.command.config.sources)
        self._ledger.note(answers)
        best = best_definition(answers)
        if best is not None:
            self._definitions[concept] = best
        self._looked_up += 1
        percent = BEGIN + (LOOKED_UP - BEGIN) * self._looked_up / count
        if self._written_texts:  # before a restart
            percent = self._texts_percent
        await work.show(STAGE, f'Looked up "{concept}"', percent)

    def _concept(self, concept: str) -> JSON:
        found = self._definitions.get(concept)
        return {
            "concept": concept,
            "definition": found.text if found else None,
            "context": found.context or None if found else None,
            "confidence": found.confidence if found else 0.0,
            "source": found.source if found else None,
            "source_id": found.source_id if found else None,
            "url": found.url if found else None,
        }

    @property
    def _texts_percent(self) -> float:
        return LOOKED_UP + (LAST - LOOKED_UP) * self._written_texts / len(RULES)

    # ---- texts -----------------------------------------------------------------------------------

    async def _write(self, rule: TextRule) -> None:
        text, note = "", f"The {rule.label} was cancelled."
        if (done := self._run.completed(rule.name)) is not None:
            text, note = done.data["text"], done.data.get("note", "")
        elif not self._work.was_cancelled(rule.name):
            with suppress(PartCut):
                text, note = await self._written(rule)
        if not text and rule.name == "exhibition_title":
            text = cut_chars(self._brief.theme_title, rule.max_chars or 50)
        self._texts[rule.name] = text or None
        if note:
            self._notes.append(note)

    async def _written(self, rule: TextRule) -> tuple[str, str]:
        """Have a text written, written again where it breaks its bounds, and cut where it must."""
        run, work = self._run, self._work
        part = self._part(rule)
        answer = await run.generate(part, self._request(rule), work.provider)
        text = undressed(answer.text, rule)
        note = ""
        if fault := fault_of(text, rule):
            part = await run.new_attempt(answer.part, "validation", "validation_failed", fault)
            request = self._request(rule, fault, answer.text)
            answer = await run.generate(part, request, work.provider)
            text = undressed(answer.text, rule)
        if fault := fault_of(text, rule):
            taken, note = settled(text, rule)
            if taken != text:
                part = await run.new_attempt(answer.part, "validation", "validation_failed", fault)
                await run.write(part, taken)
                answer = msgspec.structs.replace(answer, part=part, text=taken)
            text = taken
        async with work.bar:
            self._written_texts += 1
            await run.complete_part(
                answer.part,
                answer.text,
                usage=answer.usage,
                data={
                    "text": text,
                    "note": note,
                    "message": f"The {rule.label} is written",
                    "progress": self._texts_percent,
                },
            )
        return text, note

    def _request(self, rule: TextRule, fault: str = "", before: str = "") -> GenerationRequest:
        return text_request(
            rule,
            self._brief,
            list(self._definitions.values()),
            title=self._texts.get("exhibition_title") or "",
            model=self._work.model,
            fault=fault,
            before=before,
        )

    def _part(self, rule: TextRule) -> Part:
        return Part(
            id=rule.name,
            target={"stage": STAGE, "field": rule.name},
            phase=STAGE,
            index=RULES.index(rule),
            provider=self._work.provider.name,
            model=self._work.model,
        )
