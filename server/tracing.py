"""OpenTelemetry traces: a span for each session, each part, each call of a provider.

The one rule: a span is made of the engine's reports alone, so it holds no prompt and no answer, and
it costs nothing for a delta. Attributes have the names of the semantic conventions for generative
AI; ours begin with `antiphon.`. The SDK is an extra (`antiphon[otel]`) and is imported only where
an endpoint is set; it exports from a thread of its own, in batches, and drops spans rather than
wait for a collector.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from engine import (
    AttemptStarted,
    CallEnded,
    CallStarted,
    InvalidRequest,
    PartEnded,
    PartStarted,
    Report,
    SessionEnded,
    SessionStarted,
    Telemetry,
)

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

LAST_EXPORT_S = 0.3
"""What the last spans have at the end of the process: a collector that is away keeps nobody."""

MAX_QUEUE_SPANS = 8192
"""Spans that wait for the exporter; further ones are dropped, as the SDK's counters say."""


class Spans:
    """Makes spans of reports; `listen` is for the engine's telemetry.

    Args:
        tracer: of the OpenTelemetry API.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._sessions: dict[str, Span] = {}
        self._parts: dict[tuple[str, str], Span] = {}
        self._calls: dict[int, Span] = {}

    def __len__(self) -> int:
        """How many spans are open."""
        return len(self._sessions) + len(self._parts) + len(self._calls)

    def listen(self, report: Report) -> None:
        """Take a report; see `engine.telemetry`."""
        match report:
            case SessionStarted():
                self._sessions[report.session_id] = self._begin(
                    f"session {report.protocol}", None, report.at, _session_attributes(report)
                )
            case PartStarted():
                self._parts[report.session_id, report.part_id] = self._begin(
                    f"part {report.phase}",
                    self._sessions.get(report.session_id),
                    report.at,
                    _part_attributes(report),
                )
            case CallStarted():
                parent = self._parts.get((report.session_id, report.part_id))
                self._calls[report.call] = self._begin(
                    f"chat {report.model}",
                    parent or self._sessions.get(report.session_id),
                    report.at,
                    _call_attributes(report),
                    is_client=True,
                )
            case AttemptStarted():
                self._attempt(report)
            case CallEnded():
                self._end(self._calls.pop(report.call, None), report.at, *_call_end(report))
            case PartEnded():
                span = self._parts.pop((report.session_id, report.part_id), None)
                more = {
                    "antiphon.part.outcome": report.outcome,
                    "antiphon.tokens_after_cancel": report.tokens_after_cancel,
                }
                self._end(span, report.at, more, "failed" if report.outcome == "failed" else "")
            case SessionEnded():
                span = self._sessions.pop(report.session_id, None)
                self._end(span, report.at, *_session_end(report))
            case _:
                pass

    def _begin(
        self,
        name: str,
        parent: Span | None,
        at: float,
        attributes: dict[str, Any],
        *,
        is_client: bool = False,
    ) -> Span:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, set_span_in_context

        context = Context() if parent is None else set_span_in_context(parent, Context())
        return self._tracer.start_span(
            name,
            context=context,
            kind=SpanKind.CLIENT if is_client else SpanKind.INTERNAL,
            attributes={key: value for key, value in attributes.items() if value is not None},
            start_time=_nanoseconds(at),
        )

    def _attempt(self, report: AttemptStarted) -> None:
        span = self._parts.get((report.session_id, report.part_id))
        if span is not None:
            span.add_event(
                "attempt",
                {
                    "antiphon.attempt": report.attempt,
                    "antiphon.attempt.reason": report.reason,
                    "antiphon.attempt.code": report.code or "",
                    "antiphon.attempt.void_tokens": report.void_tokens,
                },
                _nanoseconds(report.at),
            )

    def _end(self, span: Span | None, at: float, attributes: dict[str, Any], error: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        if span is None:
            return
        for key, value in attributes.items():
            if value is not None:
                span.set_attribute(key, value)
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(_nanoseconds(at))


def _session_attributes(report: SessionStarted) -> dict[str, Any]:
    return {
        "antiphon.session.id": report.session_id,
        "antiphon.protocol": report.protocol,
        "antiphon.request.id": report.request_id,
        "antiphon.session.is_detached": report.is_detached,
        "antiphon.session.is_recovered": report.is_recovered,
    }


def _session_end(report: SessionEnded) -> tuple[dict[str, Any], str]:
    attributes: dict[str, Any] = {
        "antiphon.session.state": report.state,
        "antiphon.session.reason": report.reason,
        "gen_ai.usage.input_tokens": report.usage.input_tokens,
        "gen_ai.usage.output_tokens": report.usage.output_tokens,
    }
    if report.receipt is not None:
        attributes |= {
            "antiphon.receipt.accepted_at_seq": report.receipt.accepted_at_seq,
            "antiphon.receipt.upstream_closed_ms": report.receipt.upstream_closed_ms,
            "antiphon.receipt.tokens_after_accept": report.receipt.tokens_after_accept,
        }
    return attributes, report.reason if report.state == "failed" else ""


def _part_attributes(report: PartStarted) -> dict[str, Any]:
    return {
        "antiphon.session.id": report.session_id,
        "antiphon.part.id": report.part_id,
        "antiphon.part.phase": report.phase,
        **{f"antiphon.part.{key}": value for key, value in report.target.items() if _plain(value)},
    }


def _call_attributes(report: CallStarted) -> dict[str, Any]:
    return {
        "antiphon.session.id": report.session_id,
        "antiphon.part.id": report.part_id,
        "antiphon.attempt": report.attempt,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": report.provider,
        "gen_ai.request.model": report.model,
        "gen_ai.request.max_tokens": report.max_tokens,
        "gen_ai.request.temperature": report.temperature,
        "gen_ai.request.stream": True,
    }


def _call_end(report: CallEnded) -> tuple[dict[str, Any], str]:
    attributes: dict[str, Any] = {
        "antiphon.call.outcome": report.outcome,
        "antiphon.provider.name": report.provider,
        "gen_ai.response.model": report.model,
        "gen_ai.response.finish_reasons": (report.finish,) if report.finish else None,
        "gen_ai.response.time_to_first_chunk": report.first_token_s,
        "gen_ai.usage.input_tokens": report.usage.input_tokens,
        "gen_ai.usage.output_tokens": report.usage.output_tokens,
        "error.type": report.code,
    }
    return attributes, report.code or ""


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _nanoseconds(at: float) -> int:
    return int(at * 1e9)


@asynccontextmanager
async def open_tracing(endpoint: str, telemetry: Telemetry) -> AsyncIterator[None]:
    """Export a trace of every session inside the block.

    Args:
        endpoint: where the collector takes OTLP over HTTP, such as http://127.0.0.1:4318;
            "" exports nothing. Sampling, headers and the resource are set by the SDK's own
            variables (OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, OTEL_RESOURCE_ATTRIBUTES).
        telemetry: who reports.

    Raises:
        InvalidRequest: an endpoint is set, and the extra is not installed.
    """
    if not endpoint:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidRequest(
            "ANTIPHON_OTLP_ENDPOINT needs OpenTelemetry: pip install 'antiphon[otel]'"
        ) from error
    instance = f"{socket.gethostname()}:{os.getpid()}"
    resource = Resource.create({"service.name": "antiphon", "service.instance.id": instance})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=MAX_QUEUE_SPANS))
    telemetry.listen(Spans(provider.get_tracer("antiphon")).listen)
    try:
        yield
    finally:
        # Abandoned where the collector does not answer: the thread is the SDK's, and a daemon.
        with trio.move_on_after(LAST_EXPORT_S, shield=True):
            await trio.to_thread.run_sync(provider.shutdown, abandon_on_cancel=True)
