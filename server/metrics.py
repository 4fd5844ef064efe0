"""Prometheus metrics: what sessions, providers and readers cost, and what was written in vain.

The one rule: nothing is counted for a delta. Counters move with the engine's reports (a session, a
part, an attempt, a call), and what the engine keeps anyway is read when somebody scrapes. What
OpenTelemetry's semantic conventions for generative AI name has their name, with `_` for `.` and the
unit as Prometheus writes it; the rest is `antiphon_`. No label is a session, a user or a text, so
the number of series is bounded by the configuration.
"""

from __future__ import annotations

from typing import Final

import trio
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import Metric

from engine import (
    AttemptStarted,
    CallEnded,
    PartEnded,
    Report,
    SessionEnded,
    SessionStarted,
    Undelivered,
)
from server.connections import Connections
from server.gauges import Gauges
from server.hub import Hub

# A series for each series, of no use to anybody here. The library has no annotation for it.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
"""The buckets that the conventions advise for durations."""
CHUNK_SECONDS: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.3, 0.4, 0.5, 1, 2.5)
TOKENS: Final = tuple(float(4**power) for power in range(14))
"""The buckets that the conventions advise for tokens: powers of four."""
SESSION_SECONDS: Final = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600)
CLOSE_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
LAG_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1)

LAG_EVERY_S = 0.25
"""How often the event loop's lateness is measured."""

MAX_MODELS = 200
"""Models with series of their own: a caller may name any, and series are for ever. The rest are
counted together as `other`."""

_CALL = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


class Metrics:
    """The metrics of one process; `listen` is for the engine's telemetry.

    Args:
        hub: the engine and its readers.
        connections: the open connections, where there are any.
    """

    def __init__(self, hub: Hub, connections: Connections | None = None) -> None:
        self._registry = registry = CollectorRegistry()
        self._models: set[tuple[str, str]] = set()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        registry.register(Gauges(hub, connections))
        self._started = Counter(
            "antiphon_sessions_started",
            "Sessions that began to work here.",
            ("protocol", "is_recovered"),
            registry=registry,
        )
        self._ended = Counter(
            "antiphon_sessions_ended",
            "Sessions that ended here; reason: a cancel's, or an error's code.",
            ("protocol", "state", "reason"),
            registry=registry,
        )
        self._durations = Histogram(
            "antiphon_session_duration_seconds",
            "From a session's start to its end.",
            ("protocol", "state"),
            buckets=SESSION_SECONDS,
            registry=registry,
        )
        self._parts = Counter(
            "antiphon_parts_ended", "Parts by how they ended.", ("outcome",), registry=registry
        )
        self._attempts = Counter(
            "antiphon_attempts",
            "Parts that began anew, the text so far void.",
            ("reason", "code"),
            registry=registry,
        )
        self._wasted = Counter(
            "antiphon_wasted_tokens",
            "Output tokens that were paid for in vain: after_cancel came after a cancel was "
            "accepted, superseded were made void by a new attempt, undelivered nobody took.",
            ("kind",),
            registry=registry,
        )
        for kind in ("after_cancel", "superseded", "undelivered"):
            self._wasted.labels(kind)  # shown as 0 before the first one
        self._orphans = Counter(
            "antiphon_orphans",
            "Provider streams still open when their session had ended. Has to stay 0.",
            registry=registry,
        )
        self._closed = Histogram(
            "antiphon_cancel_upstream_closed_seconds",
            "From a cancel's acceptance until the last stream of its session's providers closed.",
            buckets=CLOSE_SECONDS,
            registry=registry,
        )
        self._lag = Histogram(
            "antiphon_loop_lag_seconds",
            f"How late the event loop is, measured each {LAG_EVERY_S} s.",
            buckets=LAG_SECONDS,
            registry=registry,
        )
        self._add_calls(registry)

    def _add_calls(self, registry: CollectorRegistry) -> None:
        self._call_durations = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "From a call of a provider to the end of its stream.",
            (*_CALL, "error_type"),
            buckets=SECONDS,
            registry=registry,
        )
        self._first_chunks = Histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "From a call of a provider to its first text.",
            _CALL,
            buckets=SECONDS,
            registry=registry,
        )
        self._chunk_times = Histogram(
            "gen_ai_client_operation_time_per_output_chunk_seconds",
            "The mean time between two tokens after the first, of each call.",
            _CALL,
            buckets=CHUNK_SECONDS,
            registry=registry,
        )
        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of each call, as the provider reported them or counted here.",
            (*_CALL, "gen_ai_token_type"),
            buckets=TOKENS,
            registry=registry,
        )

    # ---- the engine's reports --------------------------------------------------------------------

    def listen(self, report: Report) -> None:
        """Count a report; see `engine.telemetry`."""
        match report:
            case SessionStarted():
                self._started.labels(report.protocol, str(report.is_recovered).lower()).inc()
            case SessionEnded():
                self._session_ended(report)
            case PartEnded():
                self._parts.labels(report.outcome).inc()
                self._wasted.labels("after_cancel").inc(report.tokens_after_cancel)
            case AttemptStarted():
                self._attempts.labels(report.reason, report.code or "").inc()
                self._wasted.labels("superseded").inc(report.void_tokens)
            case CallEnded():
                self._call_ended(report)
            case Undelivered():
                self._wasted.labels("undelivered").inc(report.tokens)
            case _:
                pass

    def _session_ended(self, report: SessionEnded) -> None:
        self._ended.labels(report.protocol, report.state, report.reason).inc()
        self._durations.labels(report.protocol, report.state).observe(report.duration_s)
        self._orphans.inc(report.open_upstreams)
        if report.receipt is not None:
            self._wasted.labels("after_cancel").inc(report.receipt.tokens_after_accept)
            if report.receipt.upstream_closed_ms is not None:
                self._closed.observe(report.receipt.upstream_closed_ms / 1000)

    def _call_ended(self, report: CallEnded) -> None:
        call = ("chat", report.provider, self._model(report))
        error = report.code or ("cancelled" if report.outcome != "completed" else "")
        self._call_durations.labels(*call, error).observe(report.duration_s)
        usage = report.usage
        self._tokens.labels(*call, "input").observe(usage.input_tokens)
        self._tokens.labels(*call, "output").observe(usage.output_tokens)
        if report.first_token_s is not None:
            self._first_chunks.labels(*call).observe(report.first_token_s)
            if usage.output_tokens > 1:
                rest_s = report.duration_s - report.first_token_s
                self._chunk_times.labels(*call).observe(rest_s / (usage.output_tokens - 1))

    def _model(self, report: CallEnded) -> str:
        key = report.provider, report.model
        if key not in self._models:
            if len(self._models) >= MAX_MODELS:
                return "other"
            self._models.add(key)
        return report.model

    # ---- the process -----------------------------------------------------------------------------

    async def watch_loop(self) -> None:
        """Measure how late the event loop is, for ever."""
        while True:
            due = trio.current_time() + LAG_EVERY_S
            await trio.sleep_until(due)
            self._lag.observe(max(0.0, trio.current_time() - due))

    def families(self) -> list[Metric]:
        """Give all of it as Prometheus's client library has it: names, types, help, samples."""
        return list(self._registry.collect())

    def text(self) -> bytes:
        """Give all of it in Prometheus's text format 0.0.4."""
        return generate_latest(self._registry)
