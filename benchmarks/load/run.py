"""A whole run: what is started beside it, its workers, perhaps a search, and its report.

The order of life: upstream double, server, producer, workers; and back. Everything that is started
here is ended here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

import msgspec
import trio

from benchmarks.load import limits
from benchmarks.load.adapters.loading import load_adapter
from benchmarks.load.arrivals import scaled
from benchmarks.load.crew import Crew, Headers
from benchmarks.load.messages import Progress
from benchmarks.load.plan import Plan, check, intents
from benchmarks.load.producer import open_producer
from benchmarks.load.report import Probe, Report, Search, ServerCost, make_report
from benchmarks.load.search import RateSearch
from benchmarks.load.server_process import Cost, NoServer, Server, cost, open_server
from benchmarks.load.target import parse_target, refuse_others
from benchmarks.load.upstream import Upstream, open_upstream
from benchmarks.load.verdict import (
    Finding,
    cancel_limit_ms,
    find,
    outcome,
    saturation,
    upstream_findings,
)
from benchmarks.results import machine, versions


class UpstreamPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The upstream double beside the server."""

    port: int = 0
    pace_s: float = 0.05
    words: int = 2000


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What is around a plan."""

    headers: Headers = ()
    processes: int | None = None
    """None: one, and more when it is the limit."""
    allowed_hosts: tuple[str, ...] = ()
    server_pid: int | None = None
    server_command: str | None = None
    upstream: UpstreamPlan | None = None
    find_rate_up_to: float | None = None
    """None: no search."""


class Show(Protocol):
    """What a run tells while it goes on."""

    def say(self, sentence: str) -> None:
        """Tell of a step."""
        ...

    def progress(self, progress: Progress, plan: Plan) -> None:
        """Tell how far it is."""
        ...


class Bench:
    """One call of the tool.

    Args:
        plan: what to do.
        setting: with what around it.
        show: whom to tell.
        environ: for the server's process.

    Raises:
        ValueError: the plan cannot be carried out as it is; the message names what is allowed.
    """

    def __init__(self, plan: Plan, setting: Setting, show: Show) -> None:
        check(plan)
        self._target = parse_target(plan.url)
        refuse_others(self._target, setting.allowed_hosts)
        self._check_target(plan, setting)
        self._plan = plan
        self._setting = setting
        self._show = show
        self._crew: Crew | None = None
        self._server: Server | None = None
        self._upstream: Upstream | None = None
        self._before: Cost | None = None
        self._is_interrupted = False

    @staticmethod
    def _check_target(plan: Plan, setting: Setting) -> None:
        options = dict(plan.options)
        if plan.target == "subscribers":
            options.setdefault("session_id", "")
        adapter = load_adapter(plan.target, options)
        if plan.resumes and not getattr(adapter, "resumes", False):
            raise ValueError(f"target {plan.target!r} does not know how to come back")
        if plan.preconnect:
            number = sum(1 for _ in intents(plan))
            if number > plan.max_open:
                raise ValueError(f"--preconnect of {number} requests needs --max-open {number}")
            if adapter.conversation(0).preparing() is not None:
                raise ValueError(f"target {plan.target!r} cannot connect before it has asked")
        if plan.kill is not None and (setting.server_pid, setting.server_command) == (None, None):
            raise ValueError("a kill needs --server-pid or --server-command")

    async def interrupt(self) -> None:
        """End the run, and report what there is."""
        self._is_interrupted = True
        if self._crew is not None:
            await self._crew.stop()

    async def run(self) -> Report:
        """Do it all; gives the report.

        Raises:
            NoServer, WorkerFailed, OSError: something beside it does not start.

        Cancellation: everything that was started is ended; there is no report. `interrupt` gives
        one.
        """
        async with AsyncExitStack() as stack:
            environ: Mapping[str, str] = {}
            if self._setting.upstream is not None:
                beside = self._setting.upstream
                self._upstream = await stack.enter_async_context(
                    open_upstream(port=beside.port, pace_s=beside.pace_s, words=beside.words)
                )
                self._show.say(f"the upstream double is {self._upstream.url}")
                environ = self._upstream.environ
            self._server = Server(
                self._target,
                command=self._setting.server_command,
                pid=self._setting.server_pid,
                environ=environ,
            )
            await stack.enter_async_context(open_server(self._server))
            if self._setting.find_rate_up_to is not None:
                return await self._search(self._setting.find_rate_up_to)
            return await self._enough_processes(self._plan)

    async def _search(self, highest: float) -> Report:
        """Find the highest rate that holds; gives its run's report."""
        start = getattr(self._plan.arrivals, "rate_per_s", limits.RATE_PER_S)
        search = RateSearch(start=min(start, highest), highest=highest)
        probes: list[Probe] = []
        best: Report | None = None
        last: Report | None = None
        is_tool = False
        while (rate := search.next_rate()) is not None and not self._is_interrupted:
            plan = msgspec.structs.replace(self._plan, arrivals=scaled(self._plan.arrivals, rate))
            self._show.say(f"trying {rate:.3g} requests a second")
            last = await self._enough_processes(plan)
            names = [finding.name for finding in last.findings]
            probes.append(Probe(rate_per_s=rate, outcome=last.outcome, findings=list(names)))
            held = last.outcome == "passed"
            if last.outcome == "invalid":
                is_tool = True
                search.stop()
            elif last.outcome != "interrupted":
                search.told(rate, held=held)
            best = last if held else best
        assert last is not None
        found = Search(
            sustainable_rate_per_s=search.holds,
            broke_at_per_s=search.breaks,
            stopped_by_tool=is_tool,
            probes=probes,
        )
        return msgspec.structs.replace(best or last, search=found)

    async def _enough_processes(self, plan: Plan) -> Report:
        """Run; where one worker is the limit and cores are left, run again with more."""
        processes = self._setting.processes or 1
        most = self._setting.processes or min(limits.MAX_PROCESSES, os.cpu_count() or 1)
        while True:
            report = await self._once(plan, processes)
            if report.outcome != "invalid" or processes >= most or self._is_interrupted:
                return report
            processes = min(processes * 2, most)
            self._show.say(
                f"the tool was the limit ({report.findings[-1].detail}): again with {processes} "
                "processes"
            )

    async def _once(self, plan: Plan, processes: int) -> Report:
        async with open_producer(plan, self._setting.headers) as plan_with_session:
            crew = Crew(
                plan_with_session,
                processes,
                self._setting.headers,
                lambda progress: self._show.progress(progress, plan),
            )
            self._crew = crew
            if self._is_interrupted:
                await crew.stop()
            await crew.run(at_start=self._at_start)
            before, after = self._before, self._cost()
        measures = crew.measures
        findings = find(plan, measures) + await self._upstream_findings(plan, crew)
        saturated = saturation(plan, measures, crew.used)
        return make_report(
            plan,
            measures,
            crew.used,
            outcome=outcome(plan, findings, saturated, interrupted=self._is_interrupted),
            findings=[*findings, *saturated],
            server=_server_cost(before, after, measures.counts.tokens),
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=machine(),
            versions=versions(),
        )

    # ---- beside the workers ----------------------------------------------------------------------

    async def _at_start(self, begins_at: float) -> None:
        """Look at the server's cost when the run begins, after connections were opened."""
        await trio.sleep(max(0.0, begins_at - monotonic()))
        self._before = self._cost()
        await self._kill_in_time(begins_at)

    async def _kill_in_time(self, begins_at: float) -> None:
        """Kill the server when the plan says so; what was started here is started again."""
        if self._plan.kill is None:
            return
        assert self._server is not None
        await trio.sleep(max(0.0, begins_at + self._plan.kill.at_s - monotonic()))
        self._show.say(f"killing process {self._server.pid}")
        await self._server.kill()
        if self._server.is_ours:
            await self._server.start()
            self._show.say(f"started again as process {self._server.pid}")

    def _cost(self) -> Cost | None:
        """Look at the server's process, where it is known and its life is one."""
        if self._server is None or self._server.pid is None or self._plan.kill is not None:
            return None
        with suppress(NoServer):
            return cost(self._server.pid)
        return None

    async def _upstream_findings(self, plan: Plan, crew: Crew) -> list[Finding]:
        """Hold what the upstream saw against the cancels that were sent."""
        if self._upstream is None:
            return []
        closes = await self._upstream.closes()
        limit_s = cancel_limit_ms(plan) / 1000
        unseen = late = 0
        for cancelled in crew.measures.cancelled:
            if not cancelled.counts:
                continue
            gone_at = closes.get(cancelled.number)
            if gone_at is None:
                unseen += 1
                continue
            crew.measures.record("cancel_to_upstream_seen", gone_at - cancelled.sent_at)
            late += gone_at - cancelled.sent_at > limit_s
        return upstream_findings(plan, unseen, late)


def _server_cost(before: Cost | None, after: Cost | None, tokens: int) -> ServerCost | None:
    if before is None or after is None:
        return None
    cpu_s = after.cpu_s - before.cpu_s
    return ServerCost(
        cpu_s=round(cpu_s, 3),
        cpu_us_per_token=round(cpu_s / tokens * 1e6, 2) if tokens else None,
        resident_bytes_before=before.resident_bytes,
        resident_bytes_after=after.resident_bytes,
    )
