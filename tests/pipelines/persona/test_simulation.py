"""One persona fails, hangs or is cancelled at every checkpoint: the others never notice."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import pytest
import trio

from engine.errors import NotFound, ProviderRefused
from engine.events import TERMINAL, Completed, Event, PartCompleted
from engine.pipelines.persona.conversations import Conversations
from engine.providers.interface import Delta, GenerationRequest
from engine.testing.checkpoints import AtCheckpoint, every_checkpoint
from engine.testing.deterministic import run_deterministic
from tests.pipelines.persona.doubles import (
    THREE,
    Cast,
    fold,
    multi_chat,
    open_chat,
    outline,
    read_to_end,
    speaker,
)

Trouble = Literal["fail", "crash", "hang", "cancel"]
VICTIM, *OTHERS = THREE
PIECES = ("one ", "two ", "three ")
PACE_S = 0.1
GIVE_UP_S = 60.0
"""When the client cancels a persona that hangs."""


class Breaking(Cast):
    """Everybody says three words; the victim's call breaks when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: Trouble | None = None
        self._told = trio.Event()

    def break_now(self, trouble: Trouble) -> None:
        self.trouble = trouble
        self._told.set()

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        self.requests.append(request)
        self.open_calls += 1
        try:
            yield self._answer_of(speaker(request) == VICTIM)
        finally:
            self.open_calls -= 1

    async def _answer_of(self, is_victim: bool) -> AsyncIterator[Delta]:
        for piece in PIECES:
            await self._pause(is_victim)
            yield Delta(text=piece)
        await self._pause(is_victim)
        yield Delta(finish="stop")

    async def _pause(self, is_victim: bool) -> None:
        told = self._told if is_victim else trio.Event()
        with trio.move_on_after(PACE_S):
            await told.wait()
        if is_victim and self.trouble == "fail":
            raise ProviderRefused("it broke")
        if is_victim and self.trouble == "crash":
            raise RuntimeError("a bug")
        if is_victim and self.trouble == "hang":
            await trio.sleep(math.inf)


class Scene:
    """One whole run: three personas, and trouble for one of them when `strike` is called."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self.strike = lambda: None

    async def run(self) -> tuple[list[Event], float, dict[str, str]]:
        cast = Breaking()
        async with open_chat(cast) as engine:
            session = await engine.start(
                "persona", multi_chat("hi", conversation_id="c"), owner="ann"
            )

            def strike() -> None:
                if self._trouble != "cancel":
                    cast.break_now(self._trouble)
                    return
                try:
                    session.cancel_part({"persona_id": VICTIM})
                except NotFound:  # not even the personas were named yet
                    pass

            self.strike = strike
            others_done_at = math.inf
            events: list[Event] = []

            async def give_up() -> None:
                await trio.sleep(GIVE_UP_S)
                if not session.has_ended:
                    session.cancel_part({"persona_id": VICTIM})

            async with trio.open_nursery() as nursery:
                nursery.start_soon(give_up)
                began_at = trio.current_time()
                with await engine.subscribe(session.session_id) as reader:
                    done: set[str] = set()
                    while batch := await reader.receive():
                        for entry in batch:
                            event = entry.event  # type: ignore[union-attr]
                            events.append(event)
                            if isinstance(event, PartCompleted):
                                done.add(event.part.id)
                                if done >= set(OTHERS) and others_done_at == math.inf:
                                    others_done_at = trio.current_time() - began_at
                nursery.cancel_scope.cancel()
            assert cast.open_calls == 0
            [exchange] = await Conversations(engine.journal).exchanges("c", "ann")
            kept = {answer.persona_id or "": answer.text for answer in exchange.answers}
            assert fold(await read_to_end(engine, session.session_id)) == fold(events)
        return events, others_done_at, kept


def check(events: Sequence[Event], done_at: float, kept: dict[str, str]) -> None:
    whole = "".join(PIECES)
    assert sum(isinstance(event, TERMINAL) for event in events) == 1
    last = events[-1]
    assert isinstance(last, Completed), last
    for persona_id in OTHERS:
        words = outline(events, persona_id)
        assert words == ["starting", "processing", "streaming", "text", "final", "done"]
        assert fold(events)[persona_id] == whole
        assert kept[persona_id] == whole
    assert done_at == pytest.approx(PACE_S * (len(PIECES) + 1), abs=0.001)
    rows = {row["persona_id"]: row["response"] for row in last.data["responses"]}
    assert {persona_id: rows[persona_id] for persona_id in OTHERS} == dict.fromkeys(OTHERS, whole)
    lost = [row["persona_id"] for row in (*last.data["failed"], *last.data["cancelled"])]
    assert sorted([*rows, *lost]) == sorted(THREE)  # each is told of once, and in one place


@pytest.mark.parametrize("trouble", ["fail", "crash", "hang", "cancel"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_others_are_untouched_at_every_checkpoint(trouble: Trouble, seed: int) -> None:
    """A persona whose provider fails, hangs or is cancelled leaves the others untouched, at every
    checkpoint.
    """
    scene = Scene(trouble)
    struck = 0
    victims = set()

    def run(point: AtCheckpoint) -> None:
        scene.strike = lambda: None
        outcome = run_deterministic(scene.run, seed=seed, instruments=[point])
        check(*outcome)
        data = outcome[0][-1].data  # type: ignore[union-attr]
        victims.add(
            "failed" if data["failed"] else "cancelled" if data["cancelled"] else "completed"
        )

    for _ in every_checkpoint(run, lambda: scene.strike()):
        struck += 1
    assert struck > 40
    wanted = "failed" if trouble in ("fail", "crash") else "cancelled"
    assert victims == {wanted, "completed"}  # the last ones struck when it was over
