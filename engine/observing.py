"""The engine at one moment, for whoever wants to look: frozen, and with nothing to act on.

Its one rule: looking costs the looker, never those at work. Everything here is read from what they
keep anyway; nothing is counted for an observer, nothing is awaited, and no text is joined. Its
place is beside the engine; it must not import HTTP, pipelines or a concrete provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from engine.events import JSON
from engine.journal.interface import SessionState
from engine.providers.interface import ProviderHealth
from engine.sessions.log import LogStatistics
from engine.sessions.view import PartState, PartView

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.sessions.session import Session


class AttemptSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a part in time."""

    attempt: int
    began_at: float
    """Unix time in seconds."""


class PartObservation(msgspec.Struct, frozen=True, kw_only=True):
    """A part at one moment."""

    id: str
    target: JSON
    phase: str
    index: int
    state: PartState
    provider: str
    model: str
    tokens: int
    attempts: tuple[AttemptSpan, ...]
    """In their order; each lasts until the next one begins."""
    ended_at: float | None
    """Unix time in seconds; None: it is being written."""
    open_upstreams: int
    """The provider's streams that are open for it now."""


class SessionObservation(msgspec.Struct, frozen=True, kw_only=True):
    """A session at one moment."""

    session_id: str
    protocol: str
    state: SessionState
    owner: str
    is_detached: bool
    is_stopping: bool
    """A cancel was accepted, and its end is on the way."""
    is_waiting: bool
    """It waits for a person's choice."""
    created_at: float
    age_s: float
    phase: str | None
    phases: dict[str, str]
    progress_percent: float
    parts: tuple[PartObservation, ...]
    parts_left_out: int
    """How many more there are than `parts` may hold; the oldest ended ones go first."""
    open_upstreams: int
    log: LogStatistics
    actors: tuple[Any, ...]
    """Its supervisors, groups and mailboxes."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """An engine at one moment."""

    at: float
    """Unix time in seconds."""
    monotonic_at: float
    """The same moment on trio's clock, which dates the actors."""
    is_draining: bool
    running: int
    """Sessions at work, in all."""
    sessions: tuple[SessionObservation, ...]
    """The newest of them, the newest first."""
    actors: tuple[Any, ...]
    """The engine's own supervisors."""
    providers: tuple[ProviderHealth, ...]
    """Those that can be used, each with its breaker, its limits and what it is doing."""


def observe(
    engine: Engine, *, max_sessions: int, max_parts: int, now: float, monotonic: float
) -> Observation:
    """Look at an engine; see `Engine.observe`."""
    newest = sorted(
        engine.sessions.values(), key=lambda session: session.record.created_at, reverse=True
    )
    return Observation(
        at=now,
        monotonic_at=monotonic,
        is_draining=engine.is_draining,
        running=len(newest),
        sessions=tuple(_session(each, now, max_parts) for each in newest[:max_sessions]),
        actors=engine.roster.statistics(),
        providers=engine.providers.health(),
    )


def _session(session: Session, now: float, max_parts: int) -> SessionObservation:
    record, view = session.record, session.log.view
    parts = _chosen(list(view.parts.values()), max_parts)
    return SessionObservation(
        session_id=record.session_id,
        protocol=record.protocol,
        state=session.state,
        owner=record.owner,
        is_detached=record.detached,
        is_stopping=session.stop is not None,
        is_waiting=view.waiting is not None,
        created_at=record.created_at,
        age_s=max(0.0, now - record.created_at),
        phase=view.phase,
        phases=dict(view.phases),
        progress_percent=view.progress_percent,
        parts=tuple(_part(session, part) for part in parts),
        parts_left_out=len(view.parts) - len(parts),
        open_upstreams=session.open_upstreams,
        log=session.log.statistics(),
        actors=session.roster.statistics(),
    )


def _chosen(parts: list[PartView], most: int) -> list[PartView]:
    """Keep those at work, and of the ended ones the newest; in the order of the log."""
    excess = len(parts) - most
    if excess <= 0:
        return parts
    ended = [part for part in parts if part.ended_at is not None]
    dropped = {id(part) for part in ended[:excess]}
    return [part for part in parts if id(part) not in dropped][:most]


def _part(session: Session, view: PartView) -> PartObservation:
    part = view.part
    running = session.parts.get(part.id)
    return PartObservation(
        id=part.id,
        target=part.target,
        phase=part.phase,
        index=part.index,
        state=view.state,
        provider=part.provider,
        model=part.model,
        tokens=view.tokens,
        attempts=tuple(AttemptSpan(attempt=n, began_at=at) for n, at in view.attempts),
        ended_at=view.ended_at,
        open_upstreams=running.upstreams if running is not None else 0,
    )
