"""Makes sessions out of a seed: what they do, who reads them, what goes wrong, and when.

The one rule: a plan is data. It is drawn completely before anything runs, so the same seed gives
the same plan however the run goes, and a failing one can be printed and made smaller by hand. Must
not import trio, sessions or the engine: `engine.testing.simulation` carries a plan out.
"""

from __future__ import annotations

from random import Random
from typing import Literal

import msgspec

from engine.errors import ProviderRefused, ProviderUnavailable
from engine.events import JSON, Usage
from engine.limits import Limits
from engine.providers.interface import Delta
from engine.testing.family_plan import FamilyPlan, make_family
from engine.testing.scripted_provider import Fail, Hang, Script, Sleep, Step

PartKind = Literal["generate", "improve", "write", "quiet", "ask", "bomb"]
ReaderKind = Literal["push", "pull", "never"]


class PartPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One part: what the pipeline does for it, and what its provider says, call by call."""

    id: str
    kind: PartKind
    scripts: tuple[Script, ...] = ()
    pieces: tuple[str, ...] = ()
    """What is written without a provider."""
    close_s: float = 0.0


class PhasePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One phase: its parts side by side, or handed from one actor to the next."""

    name: str
    parts: tuple[PartPlan, ...]
    lanes: int
    is_chain: bool
    family: FamilyPlan | None = None
    """Children under a supervisor, at work once the parts are done."""


class CancelPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A cancel at a time; with a target, of a part or a phase alone."""

    at_s: float
    target: JSON | None = None
    reason: Literal["client", "admin"] = "client"


class ReaderPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A client: when it comes, how fast it reads, when it drops and how long it stays away."""

    kind: ReaderKind
    joins_s: float = 0.0
    pause_s: float = 0.0
    max_bytes: int = 65536
    drops_after: tuple[int, ...] = ()
    """After so many messages of each of its first connections, it drops."""
    away_s: float = 0.0
    after_seq: int = 0


class SessionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One session, its readers and its cancels."""

    phases: tuple[PhasePlan, ...]
    readers: tuple[ReaderPlan, ...]
    cancels: tuple[CancelPlan, ...] = ()
    starts_s: float = 0.0
    detached: bool = False
    owner: str = ""
    deadline_s: float | None = None
    token_budget: int | None = None


class ProviderPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of the one account through which all calls go."""

    concurrency: int = 0
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class DrainPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A SIGTERM: when it comes, and how long sessions may still run. Then the process is killed."""

    at_s: float
    grace_s: float


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """All of one simulated run."""

    seed: int
    sessions: tuple[SessionPlan, ...]
    limits: Limits
    journal: Literal["memory", "durable"] = "memory"
    journal_delay_s: float = 0.0
    fail_at: int | None = None
    fail_count: int = 1
    crash_at: int | None = None
    stall_at: int | None = None
    repeat_every: int = 0
    drain: DrainPlan | None = None
    provider: ProviderPlan | None = None
    """None: every part has a provider of its own, without limits."""


def make_workload(seed: int, *, faults: bool = True) -> Workload:
    """Draw a run from a seed.

    Args:
        seed: decides everything.
        faults: whether the journal may fail; providers and clients always may.
    """
    random = Random(seed)
    journal: Literal["memory", "durable"] = "durable" if random.random() < 0.5 else "memory"
    is_durable = journal == "durable"
    sessions = tuple(_session(random) for _ in range(random.choice((1, 1, 2))))
    limits = _with_tight_bounds(seed, _limits(random))
    sessions = _with_a_family(seed, _with_a_flood(seed, sessions))
    sessions, limits = _with_few_slots(seed, sessions, limits)
    return Workload(
        seed=seed,
        sessions=sessions,
        limits=limits,
        provider=_account(seed),
        journal=journal,
        journal_delay_s=random.choice((0.0, 0.001, 0.02, 0.3)) if is_durable else 0.0,
        fail_at=random.randint(1, 25) if faults and is_durable and random.random() < 0.2 else None,
        repeat_every=Random(f"repeats {seed}").choice((0, 0, 1, 3)) if is_durable else 0,
    )


def _limits(random: Random) -> Limits:
    tiny = random.random() < 0.4
    return Limits(
        window_events=random.choice((2, 4, 8)) if tiny else 64,
        window_bytes=random.choice((8, 64, 512)) if tiny else 4096,
        kept_events=1 if tiny else 8,
        rollup_s=random.choice((0.005, 0.025)),
        rollup_bytes=random.choice((16, 16384)),
        merge_bytes=random.choice((4, 64, 16384)),
        backoff_s=0.05,
        deadline_s=60.0,
        grace_s=random.choice((0.2, 5.0)),
    )


def make_drained_workload(seed: int) -> Workload:
    """Draw a run that is drained at some moment, while something stalls: disk, upstream or reader.

    Args:
        seed: decides everything; the sessions are those of `make_workload`.
    """
    workload = make_workload(seed, faults=False)
    random = Random(f"drain {seed}")
    changes: dict[str, object] = {"journal": "durable", "journal_delay_s": 0.001}
    match random.choice(("memory", "fine", "slow", "fails", "breaks", "stalls")):
        case "memory":
            changes = {"journal": "memory", "journal_delay_s": 0.0, "repeat_every": 0}
        case "slow":
            changes["journal_delay_s"] = random.choice((0.3, 3.0))
        case "fails":
            changes["fail_at"] = random.randint(1, 20)
        case "breaks":
            changes |= {"fail_at": random.randint(1, 20), "fail_count": 1 << 20}
        case "stalls":
            changes["stall_at"] = random.randint(1, 20)
    return msgspec.structs.replace(
        workload,
        **changes,
        sessions=tuple(_with_stalls(random, session) for session in workload.sessions),
        drain=DrainPlan(at_s=random.random(), grace_s=random.choice((0.0, 0.0, 0.2, 2.0))),
    )


def _with_stalls(random: Random, session: SessionPlan) -> SessionPlan:
    """Have some of a session's upstreams close late or never in time, and a reader never read."""
    close_s = random.choice((0.0, 0.0, 0.04, 2.0, 30.0))
    phases = tuple(
        msgspec.structs.replace(
            phase,
            parts=tuple(msgspec.structs.replace(part, close_s=close_s) for part in phase.parts),
        )
        for phase in session.phases
    )
    silent = (ReaderPlan(kind="never"),) if random.random() < 0.3 else ()
    return msgspec.structs.replace(session, phases=phases, readers=(*session.readers, *silent))


def _with_tight_bounds(seed: int, limits: Limits) -> Limits:
    """Draw, for some seeds, bounds that a plan does reach, from numbers of their own."""
    random = Random(f"bounds {seed}")
    if random.random() < 0.6:
        return limits
    return msgspec.structs.replace(
        limits,
        journal_pending_bytes=random.choice((16, 64, limits.journal_pending_bytes)),
        max_part_bytes=random.choice((40, limits.max_part_bytes, limits.max_part_bytes)),
    )


def _with_few_slots(
    seed: int, sessions: tuple[SessionPlan, ...], limits: Limits
) -> tuple[tuple[SessionPlan, ...], Limits]:
    """Draw, for one seed in ten, more sessions of some owners than may run at one time."""
    random = Random(f"slots {seed}")
    if random.random() < 0.9:
        return sessions, limits
    more = tuple(_session(random) for _ in range(2))
    owned = tuple(
        msgspec.structs.replace(session, owner=random.choice(("", "ann", "ben")))
        for session in (*sessions, *more)
    )
    return owned, msgspec.structs.replace(
        limits,
        max_sessions=random.choice((1, 2, 3)),
        max_sessions_per_owner=random.choice((0, 1)),
    )


def _with_a_family(seed: int, sessions: tuple[SessionPlan, ...]) -> tuple[SessionPlan, ...]:
    """Draw, for one seed in six, supervised children for a session's first phase."""
    random = Random(f"family {seed}")
    if random.random() < 5 / 6:
        return sessions
    first = sessions[0]
    phase = msgspec.structs.replace(first.phases[0], family=make_family(random))
    return (msgspec.structs.replace(first, phases=(phase, *first.phases[1:])), *sessions[1:])


def _account(seed: int) -> ProviderPlan | None:
    """Draw, for one seed in six, limits that a plan does reach."""
    random = Random(f"shared {seed}")
    if random.random() < 5 / 6:
        return None
    return ProviderPlan(
        concurrency=random.choice((0, 1, 2)),
        requests_per_minute=random.choice((None, 3, 20)),
        tokens_per_minute=random.choice((None, 60, 100, 1000)),
    )


def _with_a_flood(seed: int, sessions: tuple[SessionPlan, ...]) -> tuple[SessionPlan, ...]:
    """Draw, for one seed in twelve, a first part that writes more than any buffer holds."""
    random = Random(f"flood {seed}")
    if random.random() < 11 / 12:
        return sessions
    first = sessions[0]
    phase = first.phases[0]
    part = msgspec.structs.replace(
        phase.parts[0], kind="generate", scripts=(_flood(random),), pieces=()
    )
    phase = msgspec.structs.replace(phase, parts=(part, *phase.parts[1:]))
    flooded = msgspec.structs.replace(
        first, phases=(phase, *first.phases[1:]), detached=random.random() < 0.7
    )
    return (flooded, *sessions[1:])


def _flood(random: Random) -> Script:
    pace_s = random.choice((0.0, 0.002, 0.006))
    size = random.choice((3, 40, 400))
    steps: list[Step] = []
    for index in range(120):
        if pace_s:
            steps.append(Sleep(pace_s))
        steps.append(Delta(text=f"{index}".ljust(size, ".")))
    return (*steps, Delta(finish="stop", usage=Usage(input_tokens=3, output_tokens=120)))


def _session(random: Random) -> SessionPlan:
    phases = tuple(_phase(random, place) for place in range(random.choice((1, 1, 2))))
    return SessionPlan(
        phases=phases,
        readers=tuple(_reader(random) for _ in range(random.choice((0, 1, 1, 2, 3)))),
        cancels=_cancels(random, phases),
        starts_s=random.choice((0.0, 0.1)),
        detached=random.random() < 0.5,
        deadline_s=random.choice((None, None, None, 0.05, 0.5)),
        token_budget=random.choice((None, None, None, 40, 200)),
    )


def _cancels(random: Random, phases: tuple[PhasePlan, ...]) -> tuple[CancelPlan, ...]:
    cancels = []
    if random.random() < 0.4:
        at_s = random.choice((0.0, random.random() * 0.5))
        cancels.append(CancelPlan(at_s=at_s))
        if random.random() < 0.3:
            cancels.append(CancelPlan(at_s=at_s + random.choice((0.0, 0.01)), reason="admin"))
    while random.random() < 0.3:
        phase = random.choice(phases)
        part = random.choice(phase.parts)
        target = random.choice(({"prompt_id": part.id}, {"phase": phase.name}))
        cancels.append(CancelPlan(at_s=random.random() * 0.3, target=target))
    return tuple(cancels)


def _phase(random: Random, place: int) -> PhasePlan:
    count = random.choice((1, 2, 3))
    return PhasePlan(
        name=f"phase{place}",
        parts=tuple(_part(random, f"{place}.{index}") for index in range(count)),
        lanes=random.randint(1, count),
        is_chain=random.random() < 0.3,
    )


def _part(random: Random, name: str) -> PartPlan:
    kinds: tuple[PartKind, ...] = (
        *("generate",) * 5,
        *("improve", "write", "quiet", "ask", "bomb"),
    )
    return PartPlan(
        id=name,
        kind=random.choice(kinds),
        scripts=tuple(_script(random, name, nth) for nth in range(random.choice((1, 2, 3)))),
        pieces=tuple(f"{name}w{index} " for index in range(random.choice((1, 3)))),
        close_s=random.choice((0.0, 0.0, 0.04)),
    )


def _script(random: Random, name: str, nth: int) -> Script:
    """One call: bursts and pauses, then an end, a failure, silence, or no finish reason."""
    pace_s = random.choice((0.0, 0.004, 0.03, 0.1))
    steps: list[Step] = []
    for index in range(random.choice((0, 1, 3, 6, 12))):
        if pace_s and random.random() < 0.7:
            steps.append(Sleep(pace_s * random.random()))
        steps.append(Delta(text=f"{name}/{nth}:{index}" + "é" * random.choice((0, 0, 5)) + " "))
        if random.random() < 0.05:
            steps.append(Delta(reasoning="hm"))
        if random.random() < 0.03:
            steps.append(Delta(tool={"status": "done", "tool": "search", "data": index}))
    end = random.random()
    if end < 0.60:
        steps.append(Delta(finish="stop", usage=Usage(input_tokens=3, output_tokens=7)))
    elif end < 0.72:
        steps.append(Fail(ProviderUnavailable("it dropped the stream")))
    elif end < 0.78:
        steps.append(Fail(ProviderUnavailable("too many", retry_after_s=0.4)))
    elif end < 0.84:
        steps.append(Fail(ProviderRefused("no")))
    elif end < 0.92:
        steps.append(Hang())
    return steps


def _reader(random: Random) -> ReaderPlan:
    kinds: tuple[ReaderKind, ...] = ("push", "pull", "pull", "never")
    drops = random.random() < 0.4
    return ReaderPlan(
        kind=random.choice(kinds),
        joins_s=random.choice((0.0, 0.0, 0.05, 1.0)),
        pause_s=random.choice((0.0, 0.0, 0.01, 0.2)),
        max_bytes=random.choice((1, 30, 65536)),
        drops_after=tuple(random.randint(1, 5) for _ in range(random.choice((1, 3))) if drops),
        away_s=random.choice((0.0, 0.02, 0.15, 1.0)),
        after_seq=random.choice((0, 0, 0, 1, 3)),
    )
