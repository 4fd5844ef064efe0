"""What a pipeline sees of its session, and all that it may do.

A pipeline says what happens (`emit`, `start_phase`, `complete_part`) and asks for text (`generate`,
`ask`). It holds no state that a restart would need: whatever it has done is in `view`, so after a
crash the same code runs again and skips what is complete.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from engine.errors import AntiphonError
from engine.events import (
    JSON,
    AttemptReason,
    Event,
    Part,
    PartCancelled,
    PartCompleted,
    PhaseCompleted,
    PhaseStarted,
    Selected,
    SelectionRequired,
    Usage,
)
from engine.journal.interface import Document, Journal
from engine.providers.interface import Directory, GenerationRequest, Provider, count_tokens
from engine.sessions.generating import generate
from engine.sessions.outcomes import Answer, PartCut
from engine.sessions.selecting import Pause
from engine.sessions.session import RunningPart, Session
from engine.sessions.view import View
from engine.telemetry import Outcome, PartEnded, PartStarted

if TYPE_CHECKING:
    from engine.limits import Limits


class Run:
    """One session, as its pipeline has it.

    Args:
        session: the session.
        providers: where text comes from.
        services: what the engine's owner gave to its pipelines, by name (sources, personas …).
    """

    def __init__(
        self, session: Session, providers: Directory, services: dict[str, Any] | None = None
    ) -> None:
        self.providers = providers
        self.services = services or {}
        self._session = session
        self._asked = 0

    # ---- facts -----------------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self._session.session_id

    @property
    def owner(self) -> str:
        """Whose session it is."""
        return self._session.record.owner

    @property
    def journal(self) -> Journal:
        """Where the engine keeps what lasts; a pipeline keeps documents there, never entries."""
        return self._session.log.journal

    @property
    def began_at(self) -> float:
        """Unix time in seconds at which the session was made; the same after a restart."""
        return self._session.record.created_at

    @property
    def is_stopped(self) -> bool:
        """Whether a cancel of the whole session was accepted: it ends, and is not brought back."""
        return self._session.stop is not None

    @property
    def created_at(self) -> float:
        """When the session was started: Unix time in seconds."""
        return self._session.record.created_at

    def now(self) -> float:
        """Give Unix time in seconds, as the log's entries have it."""
        return self._session.log.now()

    @property
    def limits(self) -> Limits:
        """The engine's bounds."""
        return self._session.limits

    @property
    def view(self) -> View:
        """What has happened so far; filled already where the session was recovered."""
        return self._session.log.view

    def view_ahead(self) -> View:
        """What has happened, and what `emit_soon` has said that nobody sees yet."""
        return self._session.log.view_ahead()

    def completed(self, part_id: str) -> PartCompleted | None:
        """Give a part's completion if it is in the log."""
        view = self.view.parts.get(part_id)
        return view.completed if view is not None and view.state == "completed" else None

    def is_cut(self, part: Part) -> bool:
        """Whether a client has cancelled this part alone, perhaps before it began."""
        return self._session.is_cut(part)

    def usage(self) -> JSON:
        """Give the tokens used so far, in the wire's form."""
        return self._session.usage.as_json()

    def declare(self, targets: Iterable[JSON]) -> None:
        """Name the parts and phases that may be cancelled before they have begun."""
        self._session.declare(list(targets))

    # ---- saying what happens ---------------------------------------------------------------------

    async def emit(self, event: Event) -> None:
        """Put an event into the log; see `Session.emit`."""
        await self._session.emit(event)

    async def start_phase(
        self,
        phase: str,
        message: str = "",
        progress_percent: float | None = None,
        *,
        soon: bool = False,
    ) -> None:
        """Say that a phase begins; nothing if the log says so already.

        Args:
            phase: which.
            message: for people.
            progress_percent: where the bar is now.
            soon: go on while it is being committed; see `Session.emit_soon`. The view does not
                show it at once then, so the caller says it once.
        """
        if phase not in self.view.phases:
            emit = self._session.emit_soon if soon else self.emit
            await emit(
                PhaseStarted(phase=phase, message=message, progress_percent=progress_percent)
            )

    async def complete_phase(
        self,
        phase: str,
        message: str = "",
        progress_percent: float | None = None,
        data: JSON | None = None,
        *,
        soon: bool = False,
    ) -> None:
        """Say that a phase is complete; nothing if the log says so already. As `start_phase`."""
        if self.view.phases.get(phase) != "completed":
            emit = self._session.emit_soon if soon else self.emit
            await emit(
                PhaseCompleted(
                    phase=phase,
                    message=message,
                    progress_percent=progress_percent,
                    data=data or {},
                )
            )

    async def complete_part(
        self,
        part: Part,
        text: str,
        *,
        usage: Usage | None = None,
        data: JSON | None = None,
        soon: bool = False,
    ) -> None:
        """Say that a part is complete, with its whole text. `soon`: as `start_phase`."""
        emit = self._session.emit_soon if soon else self.emit
        await emit(
            PartCompleted(
                part=self._newest(part), text=text, usage=usage or Usage(), data=data or {}
            )
        )

    async def write(self, part: Part, text: str, tokens: int | None = None) -> None:
        """Give more of a part's text that no provider streams just now, in one chunk.

        It belongs to the part's newest attempt: where a crash interrupted the part, its first
        chunk begins a new one, for clients may hold text that the log has lost.

        Cancellation: nothing is written.
        """
        await trio.lowlevel.checkpoint()
        attempt = self._session.interrupted(part.id)
        if attempt is not None:
            interrupted = msgspec.structs.replace(part, attempt=attempt)
            await self._session.new_attempt(interrupted, "restart")
        part = self._newest(part)
        if part.attempt == 1 and part.id not in self.view.parts:
            opened = self._session.note_opened(part)
            if opened is not None:
                await self._session.log.wait_noted(opened)
        outlet = self._session.open_outlet(part)
        view = self.view.parts.get(part.id)
        if view is not None and view.part.attempt == part.attempt:
            outlet.tokens = view.tokens
        outlet.write_nowait(text, count_tokens(text) if tokens is None else tokens)
        self._session.close_outlet(outlet)
        if self._session.log.is_full:
            await self._session.log.wait_room()

    async def new_attempt(
        self, part: Part, reason: AttemptReason, code: str | None = None, message: str = ""
    ) -> Part:
        """Declare a part's text void; gives the part of the next attempt."""
        return await self._session.new_attempt(part, reason, code=code, message=message)

    # ---- asking for text -------------------------------------------------------------------------

    async def generate(
        self,
        part: Part,
        request: GenerationRequest,
        provider: Provider,
        *,
        on_text: Callable[[str], None] | None = None,
        quiet: bool = False,
    ) -> Answer:
        """Have a part written and streamed; see `engine.sessions.generating.generate`.

        Raises:
            PartLost: its last attempt failed; the session goes on unless the pipeline lets it out.
            PartCut: a client cancelled this part alone.

        Cancellation: the provider's stream is closed, and the part's text so far is in the log.
        """
        async with self._running(part) as running:
            attempt = self._session.interrupted(part.id)
            if attempt is not None:
                part = msgspec.structs.replace(part, attempt=attempt)
                part = await self._session.new_attempt(part, "restart")
            running.part = part
            return await generate(
                self._session, part, request, provider, on_text=on_text, is_quiet=quiet
            )

    async def ask(
        self,
        request: GenerationRequest,
        provider: Provider,
        purpose: str = "ask",
        part: Part | None = None,
    ) -> Answer:
        """Ask a provider for something that is not streamed: a judge's verdict, a repair.

        With `part`, a cancel of that part ends this call as well. Clients learn nothing of it: it
        has no text that an attempt could make void, and no id that would outlive a restart.

        Raises:
            PartLost: the provider failed. PartCut: `part` was cancelled.
        """
        self._asked += 1
        hidden = Part(
            id=f"{purpose}#{self._asked}",
            target={"purpose": purpose},
            phase=part.phase if part is not None else purpose,
            provider=provider.name,
            model=request.model,
        )
        if part is None:
            return await generate(self._session, hidden, request, provider, is_hidden=True)
        async with self._running(part):
            return await generate(self._session, hidden, request, provider, is_hidden=True)

    # ---- asking a person -------------------------------------------------------------------------

    async def wait_selection(
        self,
        phase: str,
        candidates: list[JSON],
        *,
        expires_in_s: float,
        best: list[int],
        progress_percent: float | None = None,
    ) -> list[int]:
        """Pause until a person has chosen among the candidates, or until the time is over.

        A choice that the log has is given at once, and a pause that a restart interrupted goes on
        with its candidates and the time that is left, even if that is none.

        Args:
            phase: whose candidates they are.
            candidates: what there is to choose from; at least one.
            expires_in_s: how long a person has, counted from now.
            best: what is taken when the time is over.
            progress_percent: where the bar is once the choice is made.

        Returns: the indices, in the order in which they were said.

        Raises:
            JournalFailed: question or choice could not be made durable.

        Cancellation: the pause is over; a choice that came meanwhile is refused.
        """
        earlier = self.view.selected.get(phase)
        if earlier is not None:
            return list(earlier.selected_indices)
        waiting = self.view.waiting
        is_new = waiting is None or waiting.phase != phase
        if waiting is None or waiting.phase != phase:
            waiting = SelectionRequired(
                phase=phase, candidates=candidates, expires_at=self.now() + expires_in_s
            )
        pause = self._session.pause = Pause(phase, len(waiting.candidates))
        try:
            if is_new:
                await self.emit(waiting)
            with trio.move_on_after(max(0.0, waiting.expires_at - self.now())):
                await pause.wait_choice()
            # Of a choice and the end of the time in one moment, the choice counts.
            choice = best if pause.choice is None else pause.choice
            self._session.pause = None  # from here on there is nothing to choose
            await self.emit(
                Selected(
                    phase=phase,
                    selected_indices=choice,
                    by="expiry" if pause.choice is None else "client",
                    progress_percent=progress_percent,
                )
            )
            pause.settle()
            return choice
        finally:
            self._session.pause = None
            pause.end()

    # ---- remembering -----------------------------------------------------------------------------

    async def remember(self, text: str) -> None:
        """Keep a result, so that later sessions of the same owner can recall it."""
        await self._session.log.journal.put(
            Document(
                collection=f"results.{self._session.record.protocol}",
                key=self.session_id,
                owner=self.owner,
                value={"text": text},
                updated_at=self._session.record.updated_at,
            )
        )

    async def earlier_results(self, limit: int = 200) -> list[str]:
        """Give what earlier sessions of this owner and kind have kept, the newest first."""
        documents = await self._session.log.journal.documents(
            f"results.{self._session.record.protocol}", owner=self.owner, limit=limit
        )
        return [document.value["text"] for document in documents if document.key != self.session_id]

    def _newest(self, part: Part) -> Part:
        """Give the part in the newest attempt that readers were told of."""
        newest, _ = self._session.log.latest(part)
        if newest.attempt <= part.attempt:
            return part
        return msgspec.structs.replace(part, attempt=newest.attempt)

    @asynccontextmanager
    async def cuttable(self, part: Part) -> AsyncIterator[None]:
        """Let a block be cancelled alone, as the part that stands for it.

        Raises:
            PartCut: it was cancelled; that is in the log by then. The block's own findings are
                the caller's to keep.
        """
        async with self._running(part):
            yield

    @asynccontextmanager
    async def _running(self, part: Part) -> AsyncIterator[RunningPart]:
        """Register a part as at work, with a cancel scope of its own.

        Raises:
            PartCut: it was cancelled alone; what it had is in the log by then.
        """
        session = self._session
        outer = session.parts.get(part.id)
        if outer is not None:
            yield outer
            return
        running = session.parts[part.id] = RunningPart(part)
        self._tell_started(part)
        outcome: Outcome = "interrupted"
        try:
            with running.scope:
                if session.is_cut(part):
                    session.stop_part(running)
                    await trio.lowlevel.checkpoint_if_cancelled()
                yield running
                outcome = "completed"
        except AntiphonError:
            outcome = "failed"
            raise
        finally:
            del session.parts[part.id]
            self._tell_ended(running, outcome)
        if running.stop is not None:  # also where the work was done in the very same step
            newest, partial = session.log.latest(running.part)
            await self.emit(
                PartCancelled(
                    part=newest,
                    partial=partial,
                    usage=session.usage.of(part.id),
                    receipt=running.stop.receipt(),
                )
            )
            raise PartCut(running.part)

    def _tell_started(self, part: Part) -> None:
        session = self._session
        if session.telemetry.is_on:
            session.telemetry.tell(
                PartStarted(
                    session_id=session.session_id,
                    part_id=part.id,
                    target=part.target,
                    phase=part.phase,
                    at=session.log.now(),
                )
            )

    def _tell_ended(self, running: RunningPart, outcome: Outcome) -> None:
        session, stop = self._session, running.stop
        if session.telemetry.is_on:
            session.telemetry.tell(
                PartEnded(
                    session_id=session.session_id,
                    part_id=running.part.id,
                    phase=running.part.phase,
                    outcome=outcome if stop is None else "cancelled",
                    tokens_after_cancel=stop.tokens if stop is not None else 0,
                    at=session.log.now(),
                )
            )
