"""The metrics that are read when somebody scrapes: what there is now, of everything.

Nothing is kept for them. Part of server/metrics.py, which has those that are counted.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from server.connections import Connections
from server.hub import Hub
from server.session_api import why_not_ready


class Gauges:
    """What is read from the engine at the moment of a scrape.

    Args:
        hub: the engine and its readers.
        connections: the open connections, where there are any.
    """

    def __init__(self, hub: Hub, connections: Connections | None) -> None:
        self._hub = hub
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        """Give the families; called by the registry."""
        yield from self._sessions()
        yield from self._providers()
        if self._connections is not None:
            yield from self._sockets(self._connections)
        engine = self._hub.engine
        yield _gauge("antiphon_ready", "Whether /readyz says so.", not why_not_ready(self._hub))
        yield _gauge("antiphon_draining", "Whether a planned stop has begun.", engine.is_draining)
        yield _gauge("antiphon_journal_up", "Whether writes succeed.", not engine.journal.problem)
        merged = engine.telemetry.merged_messages
        yield CounterMetricFamily(
            "antiphon_merged_deltas", "Messages that lagging readers were spared.", value=merged
        )
        refused = CounterMetricFamily(
            "antiphon_refusals", "Requests and messages refused, by code.", labels=("code",)
        )
        for code, count in self._hub.refusals.items():
            refused.add_metric((code,), count)
        yield refused

    def _sessions(self) -> Iterator[Metric]:
        sessions = tuple(self._hub.engine.sessions.values())
        running = GaugeMetricFamily(
            "antiphon_sessions", "Sessions at work.", labels=("protocol", "is_detached")
        )
        counts = {(name, detached): 0 for name in self._hub.codecs for detached in (False, True)}
        for session in sessions:
            counts[session.record.protocol, session.record.detached] += 1
        for (protocol, detached), count in counts.items():
            running.add_metric((protocol, str(detached).lower()), count)
        yield running
        logs = [session.log.statistics() for session in sessions]
        yield _gauge(
            "antiphon_open_upstreams",
            "Providers' streams that are open.",
            sum(session.open_upstreams for session in sessions),
        )
        yield _gauge(
            "antiphon_readers", "Readers of running sessions.", sum(x.readers for x in logs)
        )
        yield _gauge(
            "antiphon_window_bytes",
            "Text in running logs' windows.",
            sum(x.window_bytes for x in logs),
        )
        yield _gauge(
            "antiphon_undurable_events",
            "Events that were seen and are not yet durable.",
            sum(log.head - log.durable for log in logs),
        )
        yield _gauge(
            "antiphon_waiting_sessions",
            "Sessions whose producers wait for a reader or the journal.",
            sum(log.is_full for log in logs),
        )

    def _providers(self) -> Iterator[Metric]:
        healthy = GaugeMetricFamily(
            "antiphon_provider_healthy", "0: its circuit breaker is open.", labels=("provider",)
        )
        calls = GaugeMetricFamily(
            "antiphon_provider_calls",
            "Calls that run, or wait for a slot or the minute's allowance.",
            labels=("provider", "state"),
        )
        for each in self._hub.engine.providers.health():
            healthy.add_metric((each.name,), float(each.breaker != "open"))
            calls.add_metric((each.name, "running"), each.open_upstreams)
            calls.add_metric((each.name, "waiting"), each.waiting)
        yield healthy
        yield calls

    def _sockets(self, connections: Connections) -> Iterator[Metric]:
        now = connections.statistics()
        opened = GaugeMetricFamily("antiphon_connections", "Open connections.", labels=("kind",))
        opened.add_metric(("websocket",), now.websockets)
        opened.add_metric(("http",), now.open - now.websockets)
        yield opened
        yield _gauge("antiphon_pending_bytes", "Bytes that wait for slow peers.", now.pending_bytes)
        yield CounterMetricFamily(
            "antiphon_accepted_connections", "Connections accepted.", value=now.total
        )
        yield CounterMetricFamily("antiphon_sent_bytes", "Bytes sent.", value=now.sent_bytes)
        yield CounterMetricFamily(
            "antiphon_stalled_connections",
            "Connections ended because their peer took no byte for the stall time.",
            value=now.stalled,
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))
