"""Metrics, traces and logs of a real server: they tell what happened, and hold no text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from urllib.request import urlopen

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from tests.system.collector import Collector, Seen, open_collector
from tests.system.server_process import ServerProcess, open_server

pytestmark = pytest.mark.system

SECRET = "the-words-of-a-person"
PERSONAS = ["data_scientist", "tech_enthusiast", "creative_writer"]


async def scrape(server: ServerProcess) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read /metrics with Prometheus's own parser."""

    def read() -> tuple[str, str]:
        with urlopen(f"{server.url}/metrics", timeout=10) as answer:
            return answer.headers["content-type"], answer.read().decode()

    kind, text = await trio.to_thread.run_sync(read)
    assert kind.startswith("text/plain; version=0.0.4")
    assert SECRET not in text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(found: dict, name: str, **labels: str) -> float:
    """Add up a metric's samples that have these labels."""
    return sum(
        value
        for (each, its), value in found.items()
        if each == name and labels.items() <= dict(its).items()
    )


async def has_a_session_cancelled_retried_with_many_personas(server: ServerProcess) -> str:
    """One persona is cancelled, one retried (as the faults say), one just answers."""
    async with server.talk("/ws") as talk:
        data = {"message": SECRET, "persona_ids": PERSONAS}
        await talk.say({"type": "multi_chat", "data": data})
        while (started := await talk.until("chunk"))["persona_id"] != PERSONAS[0]:
            pass
        session_id = started["session_id"]
        target = {"persona_id": PERSONAS[0]}
        await talk.say({"type": "cancel", "session_id": session_id, "target": target})
        while (await talk.hear())["type"] not in ("response", "error", "cancelled"):
            pass
    return session_id


async def test_metrics_traces_and_logs_tell_a_session_s_story(tmp_path: Path) -> None:
    """A session of many personas, one cancelled and one retried, seen from the outside."""
    with open_collector() as collector:
        env = {
            "ANTIPHON_OTLP_ENDPOINT": collector.url,
            "ANTIPHON_SIM_TOKENS_PER_S": "60",
            "ANTIPHON_SIM_FAULTS": f"drop@persona={PERSONAS[1]}&attempt=1&token=5",
            "ANTIPHON_LOG_FORMAT": "json",
            "ANTIPHON_LOG_LEVEL": "info",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        async with open_server(tmp_path, env=env) as server:
            before = await scrape(server)
            session_id = await has_a_session_cancelled_retried_with_many_personas(server)
            found = await scrape(server)
            refused = await _refusal(server)
        assert refused == "unsupported_type"
    _check_metrics(before, found)
    _check_traces(collector, session_id)
    _check_logs(server.stderr.splitlines(), session_id)


async def _refusal(server: ServerProcess) -> str:
    async with server.talk("/ws") as talk:
        await talk.say({"type": "nonsense"})
        code = (await talk.hear())["code"]
    found = await scrape(server)
    assert total(found, "antiphon_refusals_total", code=code) == 1
    return str(code)


def _check_metrics(before: dict, found: dict) -> None:
    assert total(before, "antiphon_sessions_started_total") == 0
    assert total(before, "antiphon_ready") == 1
    assert total(found, "antiphon_sessions_started_total", protocol="persona") == 1
    assert total(found, "antiphon_sessions_ended_total", state="completed") == 1
    assert total(found, "antiphon_parts_ended_total", outcome="cancelled") == 1
    assert total(found, "antiphon_parts_ended_total", outcome="completed") == 2
    assert total(found, "antiphon_attempts_total", reason="provider") == 1
    assert total(found, "antiphon_wasted_tokens_total", kind="superseded") >= 5
    assert ("antiphon_wasted_tokens_total", (("kind", "after_cancel"),)) in found
    assert total(found, "antiphon_orphans_total") == 0
    assert total(found, "antiphon_open_upstreams") == 0
    calls = "gen_ai_client_operation_duration_seconds_count"
    assert total(found, calls) == 4
    assert total(found, calls, error_type="cancelled") == 1
    assert total(found, calls, error_type="provider_unavailable") == 1
    assert total(found, "gen_ai_client_token_usage_sum", gen_ai_token_type="output") > 20
    assert total(found, "gen_ai_client_operation_time_to_first_chunk_seconds_count") == 4
    assert total(found, "antiphon_connections", kind="http") == 1
    assert total(found, "antiphon_loop_lag_seconds_count") > 0


def _check_traces(collector: Collector, session_id: str) -> None:
    assert collector.services == {"antiphon"}
    assert all(SECRET not in repr(span) for span in collector.spans)
    [session] = _named(collector.spans, "session ")
    parts = _named(collector.spans, "part ")
    calls = _named(collector.spans, "chat ")
    assert {span.trace for span in collector.spans} == {session.trace}
    assert session.attributes["antiphon.session.id"] == session_id
    assert session.attributes["antiphon.session.state"] == "completed"
    assert {part.parent for part in parts} == {session.id}
    outcomes = {
        part.attributes["antiphon.part.persona_id"]: part.attributes["antiphon.part.outcome"]
        for part in parts
    }
    assert outcomes == dict(zip(PERSONAS, ["cancelled", "completed", "completed"], strict=True))
    by_id = {part.id: part.attributes["antiphon.part.persona_id"] for part in parts}
    asked = sorted((by_id[call.parent], call.attributes["antiphon.attempt"]) for call in calls)
    assert asked == sorted([*((name, 1) for name in PERSONAS), (PERSONAS[1], 2)])
    [retried] = [part for part in parts if part.events]
    assert (by_id[retried.id], retried.events) == (PERSONAS[1], ["attempt"])
    failed = [call for call in calls if call.is_error]
    assert [call.attributes["error.type"] for call in failed] == ["provider_unavailable"]
    assert all(
        call.is_client and call.attributes["gen_ai.operation.name"] == "chat" for call in calls
    )
    for span in (*parts, *calls):
        assert session.begun_ns <= span.begun_ns <= span.ended_ns <= session.ended_ns


def _named(spans: Iterable[Seen], prefix: str) -> list[Seen]:
    return [span for span in spans if span.name.startswith(prefix)]


def _check_logs(lines: list[str], session_id: str) -> None:
    assert not any(SECRET in line for line in lines)
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    mine = [line for line in logged if line.get("session_id") == session_id]
    assert [line["event"] for line in mine] == [
        "session started",
        "provider call failed",
        "attempt",
        "session ended",
    ]
    assert {line["level"] for line in mine} == {"info", "warning"}


async def test_a_collector_that_is_away_disturbs_nobody(tmp_path: Path) -> None:
    """Spans are dropped rather than waited for, and the stop is in time."""
    env = {"ANTIPHON_OTLP_ENDPOINT": "http://127.0.0.1:9", "ANTIPHON_SIM_TOKENS_PER_S": "0"}
    async with open_server(tmp_path, env=env) as server, server.talk() as talk:
        await talk.say({"request": {"input": "tides", "phases": ["idea"], "count": 1}})
        assert (await talk.to_end())[-1]["type"] == "result"
        begun = trio.current_time()
        server.terminate()
        await server.wait()
        assert trio.current_time() - begun < 2.5
