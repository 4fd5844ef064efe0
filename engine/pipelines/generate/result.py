"""The result: read out of the session's log, so that a recovered session has the same one.

Pure: from a view to JSON. Must not import providers.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.commands.generate import GenerateCommand
from engine.events import JSON, PartCompleted
from engine.pipelines.generate.judge import Selection
from engine.pipelines.generate.plan import prompt_id
from engine.pipelines.generate.ranking import Ranking
from engine.sessions.view import PartState, PartView, View


class Outcomes:
    """What became of the prompts of a run, in phase order, then lane order.

    Args:
        session_id: the session.
        command: what was asked for.
        view: the fold of its log.
    """

    def __init__(self, session_id: str, command: GenerateCommand, view: View) -> None:
        self._session_id = session_id
        self._command = command
        self._view = view

    def of(self, phase: str) -> list[PartView]:
        """Give the prompts of a phase that have begun, in lane order."""
        parts = self._view.parts
        keys = [
            prompt_id(self._session_id, phase, index)
            for index in range(self._command.request.count)
        ]
        return [parts[key] for key in keys if key in parts]

    def in_state(self, state: PartState) -> list[PartView]:
        """Give the prompts of all phases in one state."""
        return [
            view for phase in self._command.phases for view in self.of(phase) if view.state == state
        ]

    def completed(self, phase: str) -> list[PartCompleted]:
        """Give the complete prompts of a phase, in lane order."""
        return [view.completed for view in self.of(phase) if view.completed is not None]

    def candidates(self) -> list[tuple[str, str]]:
        """Give the id and the content of each prompt of the last phase."""
        return [(done.part.id, done.text) for done in self.completed(self._command.phases[-1])]

    def as_json(
        self, rankings: Sequence[Ranking] | None = None, selected: Selection | None = None
    ) -> JSON:
        """Give the result, or what there is of it; what is empty for want of losses is absent.

        Args:
            rankings: best first; None: it did not come to a ranking.
            selected: the prompt that was chosen; None: nobody was to choose.
        """
        prompts = [
            self._prompt(done) for phase in self._command.phases for done in self.completed(phase)
        ]
        result: JSON = {"session_id": self._session_id, "prompts": prompts}
        if rankings is not None:
            result["rankings"] = [msgspec.to_builtins(ranking) for ranking in rankings]
        if selected is not None:
            result["selected"] = msgspec.to_builtins(selected)
        for name in ("failed", "cancelled"):
            lost = [_lost(view) for view in self.in_state(name)]
            if lost:
                result[name] = lost
        return result

    def _prompt(self, done: PartCompleted) -> JSON:
        request, part = self._command.request, done.part
        prompt: JSON = {
            "id": part.id,
            "phase": part.phase,
            "index": part.index,
            "content": done.text,
            "provider": part.provider,
            "model": part.model,
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "tokens": done.usage.output_tokens,
            "parent_id": part.parent_id,
            "tags": list(request.tags),
            "persona": request.persona,
        }
        if "score" in done.data:
            prompt["score"] = done.data["score"]
        return prompt


def _lost(view: PartView) -> JSON:
    part = view.part
    entry: JSON = {"prompt_id": part.id, "phase": part.phase, "index": part.index}
    if view.failed is not None:
        entry["code"] = view.failed.code
    return entry
