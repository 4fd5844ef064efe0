"""The content pipeline and the rater over HTTP: statuses, hang-ups, cancels, limits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.testing.openai_server import Fault, OpenAIServer, open_openai_server
from tests.pipelines.content.samples import MCQ, edited
from tests.system.reading import Event, SseReader, http
from tests.system.server_process import ServerProcess, open_server
from tests.system.test_auth import SECRET, bearer, token

pytestmark = pytest.mark.system

KEY = "sk-test-1c0ffee0ddba11"
NOTES = {"content_type": "MCQ", "input_text": "Notes about the heart.", "num_questions": 2}
RATING = {"raterPrompt": "RATER-PROMPT", "plotPoint": "PLOT-POINT", "structured_context": {}}
FEEDBACK = json.dumps({"opinion": "It holds.", "suggestions": ["Show the door."]})
BAD = edited(MCQ, ("Question 2", "Question 3"))
PATIENCE_S = 15.0
GRACE_S = 0.3


def answering(*texts: str) -> Callable[[Any], str]:
    """Give the texts in turn, the last one again and again."""
    left = list(texts)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


@asynccontextmanager
async def both(
    folder: Path, *texts: str, pace_s: float = 0.0, **env: str
) -> AsyncIterator[tuple[OpenAIServer, ServerProcess]]:
    """Run an upstream that gives the texts, and a server on it."""
    async with open_openai_server(answer=answering(*texts), pace_s=pace_s) as upstream:
        variables = {
            "OPENAI_BASE_URL": upstream.url,
            "OPENAI_API_KEY": KEY,
            "ANTIPHON_GRACE_S": str(GRACE_S),
            **env,
        }
        async with open_server(folder, env=variables, demo=False) as server:
            with trio.fail_after(PATIENCE_S):
                yield upstream, server


@asynccontextmanager
async def posting(
    server: ServerProcess, path: str, request: object, headers: dict[str, str] | None = None
) -> AsyncIterator[SseReader]:
    """Post a request; gives the answer, its head read; then hangs up."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    stream = await trio.open_tcp_stream("127.0.0.1", server.port)
    try:
        await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        reader = SseReader(stream)
        if path.endswith(("stream", "draft", "format")):
            await reader.read_head()
        yield reader
    finally:
        await trio.aclose_forcefully(stream)


async def events_of(server: ServerProcess, path: str, request: object) -> list[Event]:
    async with posting(server, path, request) as reader:
        assert reader.status == 200
        return [event async for event in reader.events() if event.data is not None]


async def ended(server: ServerProcess, session_id: str) -> Any:
    """Wait for a session's end; gives what is shown of it."""
    while True:
        _, shown = await http(server.port, "GET", f"/api/sessions/{session_id}")
        if shown["state"] not in ("queued", "running"):
            return shown
        await trio.sleep(0.02)


# ---- what is asked and answered ------------------------------------------------------------------


async def test_stream_says_where_it_can_be_had_again(tmp_path: Path) -> None:
    """`POST …/stream` answers carry Location and X-Session-Id; `id:` is `<epoch>:<seq>`."""
    async with both(tmp_path, "The draft.", MCQ) as (_, server):
        async with posting(server, "/run/stream", {**NOTES, "request_id": "r1"}) as reader:
            assert reader.headers["content-type"].startswith("text/event-stream")
            session_id = reader.headers["x-session-id"]
            assert reader.headers["location"] == f"/api/sessions/{session_id}/events"
            events = [event async for event in reader.events() if event.data is not None]
        assert [event.name for event in events] == [event.data["type"] for event in events]
        assert {event.data["request_id"] for event in events} == {"r1"}
        assert events[-1].data["output"] == MCQ.strip()
        path = f"/api/sessions/{session_id}/events?after={events[2].id}"
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        async with stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            reader = SseReader(stream)
            await reader.read_head()
            again = [event async for event in reader.events() if event.data is not None]
        assert [event.data for event in again if event.name != "token"] == [
            event.data for event in events[3:] if event.name != "token"
        ]


async def test_run_answers_with_the_object_of_complete(tmp_path: Path) -> None:
    """200; 422 with the same body when validation failed; a problem for bad input."""
    async with both(tmp_path, "The draft.", MCQ, "The draft.", BAD) as (upstream, server):
        code, answer = await http(server.port, "POST", "/run", json.dumps(NOTES).encode())
        assert (code, answer["success"], answer["output"]) == (200, True, MCQ.strip())
        assert answer["metadata"]["generator_model"]
        code, answer = await http(server.port, "POST", "/run", json.dumps(NOTES).encode())
        assert (code, answer["success"], answer["output"]) == (422, False, None)
        assert answer["partial_output"] == BAD.strip()
        assert answer["validation_errors"][0].keys() == {"line", "message", "section"}
        _, shown = await http(server.port, "GET", f"/api/sessions/{answer['session_id']}")
        assert shown["state"] == "failed"
        asked = len(upstream.requests)
        for body, status, problem in (
            (b"{", 400, "invalid_json"),
            (b"[]", 422, "invalid_request"),
            (b"{}", 422, "invalid_request"),
            (json.dumps({**NOTES, "num_questions": 21}).encode(), 422, "invalid_request"),
            (json.dumps({**NOTES, "input_text": "short"}).encode(), 422, "invalid_request"),
            (json.dumps({**NOTES, "half": "draft"}).encode(), 422, "invalid_request"),
            (
                json.dumps({**NOTES, "generator_model": "nobody/m"}).encode(),
                422,
                "provider_not_found",
            ),
        ):
            for path in ("/run", "/run/stream"):
                code, answer = await http(server.port, "POST", path, body)
                assert (code, answer["code"]) == (status, problem), (path, body)
        assert len(upstream.requests) == asked


async def test_the_two_halves_are_the_whole(tmp_path: Path) -> None:
    """A person edits the draft between them."""
    async with both(tmp_path, "The draft.", MCQ) as (upstream, server):
        events = await events_of(server, "/run/stream/draft", NOTES)
        assert [event.name for event in events if event.name != "token"][-2:] == [
            "progress",
            "complete",
        ]
        assert [event.data["draft"] for event in events if event.name == "draft"] == ["The draft."]
        edit = {**NOTES, "draft": "The draft that a person has edited."}
        del edit["input_text"]
        events = await events_of(server, "/run/stream/format", edit)
        assert events[-1].data["output"] == MCQ.strip()
        assert edit["draft"] in json.dumps(upstream.requests[-1].json)


RATER_FAULTS = [
    (Fault(status=401), "GENERATION_FAILED", 502),
    (Fault(status=400), "GENERATION_FAILED", 502),
]


@pytest.mark.parametrize(("fault", "error_code", "status"), RATER_FAULTS)
async def test_rater_s_failures_on_the_stream_and_on_the_twin(
    tmp_path: Path, fault: Fault, error_code: str, status: int
) -> None:
    """The stream answers 200 with an error event; the sync twin maps it to a status."""
    async with both(tmp_path, FEEDBACK) as (upstream, server):
        upstream.last_fault = fault
        events = await events_of(server, "/api/v1/rater-feedback/stream", RATING)
        last = events[-1].data
        assert (last["type"], last["error_code"]) == ("error", error_code)
        body = json.dumps(RATING).encode()
        code, answer = await http(server.port, "POST", "/api/v1/rater-feedback", body)
        assert (code, answer["error_code"], answer["code"]) == (status, error_code, last["code"])


async def test_one_answer_says_what_was_odd_about_the_request(tmp_path: Path) -> None:
    """Unknown fields are never ignored in silence, also where there is no first message."""
    async with both(tmp_path, "The draft.", MCQ, "The draft.", BAD, FEEDBACK, FEEDBACK) as (
        _,
        server,
    ):
        odd = json.dumps({**NOTES, "num_question": 1}).encode()
        for status in (200, 422):
            code, answer = await http(server.port, "POST", "/run", odd)
            assert code == status
            (warning,) = answer["warnings"]
            assert "num_question" in warning
            assert "num_questions" in warning
        odd = json.dumps({**RATING, "rater_nam": "x"}).encode()
        _, answer = await http(server.port, "POST", "/api/v1/rater-feedback", odd)
        assert "rater_nam" in answer["warnings"][0]
        body = json.dumps(RATING).encode()
        _, answer = await http(server.port, "POST", "/api/v1/rater-feedback", body)
        assert "warnings" not in answer


async def test_rater_without_a_provider_says_what_to_configure(tmp_path: Path) -> None:
    """LLM_NOT_AVAILABLE is a provider that is unknown, not configured or cannot be reached."""
    async with both(tmp_path, FEEDBACK) as (_, server):
        for model in ("nobody/m", "anthropic/claude"):
            request = {**RATING, "model": model}
            events = await events_of(server, "/api/v1/rater-feedback/stream", request)
            assert events[-1].data["error_code"] == "LLM_NOT_AVAILABLE"
            body = json.dumps(request).encode()
            code, answer = await http(server.port, "POST", "/api/v1/rater-feedback", body)
            assert (code, answer["error_code"]) == (503, "LLM_NOT_AVAILABLE")
            assert "OPENAI_API_KEY" in answer["detail"]


async def test_rater_s_twin_gives_the_same_data(tmp_path: Path) -> None:
    """The sync twin returns `data` as its body; both reach the model with the same request."""
    async with both(tmp_path, FEEDBACK) as (upstream, server):
        body = json.dumps(RATING).encode()
        code, data = await http(server.port, "POST", "/api/v1/rater-feedback", body)
        events = await events_of(server, "/api/v1/rater-feedback/stream", RATING)
        assert code == 200
        assert data["feedback"] == events[-1].data["data"]["feedback"] == json.loads(FEEDBACK)
        assert all(event.name is None for event in events)
        first, second = upstream.requests
        assert first.json == second.json
        for word in ("RATER-PROMPT", "PLOT-POINT"):
            assert word in json.dumps(first.json)
        for bad in ({**RATING, "plotPoint": " "}, {**RATING, "raters": []}, {}):
            for path in ("/api/v1/rater-feedback", "/api/v1/rater-feedback/stream"):
                body = json.dumps(bad).encode()
                code, answer = await http(server.port, "POST", path, body)
                assert (code, answer["code"]) == (422, "invalid_request")


async def test_several_raters_at_once(tmp_path: Path) -> None:
    """Each message carries raterName; the last `result` has each rater's data, in order."""
    raters = [{"raterName": name, "raterPrompt": f"Be {name}."} for name in ("strict", "kind")]
    request = {"raters": raters, "plotPoint": "A door.", "structured_context": {}}
    async with both(tmp_path, FEEDBACK) as (_, server):
        events = await events_of(server, "/api/v1/rater-feedback/batch/stream", request)
        assert {event.data["raterName"] for event in events[:-1]} == {"strict", "kind"}
        results = events[-1].data["data"]["results"]
        assert [each["raterName"] for each in results] == ["strict", "kind"]


# ---- hanging up and cancelling -------------------------------------------------------------------

LONG = "word " * 2000
STAGES = {
    "generator": ("/run/stream", NOTES, (LONG,)),
    "formatter": ("/run/stream", NOTES, ("The draft.", LONG)),
    "retry": ("/run/stream", NOTES, ("The draft.", BAD, LONG)),
    "run": ("/run", NOTES, (LONG,)),
    "draft": ("/run/stream/draft", NOTES, (LONG,)),
    "rater": ("/api/v1/rater-feedback/stream", RATING, (LONG,)),
    "rater's twin": ("/api/v1/rater-feedback", RATING, (LONG,)),
    "rater's repair": ("/api/v1/rater-feedback/stream", RATING, (" ", LONG)),
}


@pytest.mark.parametrize("stage", STAGES)
async def test_client_that_hangs_up_closes_the_upstream(tmp_path: Path, stage: str) -> None:
    """A run whose client hangs up closes its upstream, in each stage."""
    path, request, texts = STAGES[stage]
    async with both(tmp_path, *texts, pace_s=0.005) as (upstream, server):
        async with posting(server, path, request) as reader:
            await _wait_long_answer(upstream, len(texts))
            del reader
        await upstream.requests[-1].gone.wait()
        assert not upstream.requests[-1].answered
        _, listed = await http(server.port, "GET", "/api/sessions")
        [session] = listed["sessions"]
        shown = await ended(server, session["session_id"])
        assert (shown["state"], shown["terminal"]["reason"]) == ("cancelled", "disconnect")


@pytest.mark.parametrize("stage", STAGES)
async def test_cancel_closes_the_upstream(tmp_path: Path, stage: str) -> None:
    """A run that is cancelled closes its upstream, in each stage, and ends with `cancelled`."""
    path, request, texts = STAGES[stage]
    async with both(tmp_path, *texts, pace_s=0.005) as (upstream, server):
        async with posting(server, path, request) as reader:
            await _wait_long_answer(upstream, len(texts))
            _, listed = await http(server.port, "GET", "/api/sessions")
            [session] = listed["sessions"]
            where = f"/api/sessions/{session['session_id']}/cancel"
            code, _ = await http(server.port, "POST", where)
            assert code == 202
            await upstream.requests[-1].gone.wait()
            shown = await ended(server, session["session_id"])
            assert (shown["state"], shown["terminal"]["reason"]) == ("cancelled", "client")
            assert shown["receipt"]["upstream_closed_ms"] is not None
            if path.endswith(("stream", "draft")):
                events = [event async for event in reader.events() if event.data is not None]
                assert events[-1].data["type"] == "cancelled"
                kinds = [event.data["type"] for event in events]
                assert not {"complete", "result", "error"} & set(kinds)
            else:
                await reader.read_head()
                assert reader.status == 409


async def _wait_long_answer(upstream: OpenAIServer, calls: int) -> None:
    """Wait until the last of the answers is being written."""
    while len(upstream.requests) < calls or not upstream.requests[-1].is_open:  # noqa: ASYNC110
        await trio.sleep(0.01)
    await trio.sleep(0.05)


# ---- limits --------------------------------------------------------------------------------------


async def test_body_over_its_bound_is_413_before_it_is_read(tmp_path: Path) -> None:
    """HTTP bodies are at most 1 MiB, 10 MB on `/run`: 413, before all of it was sent."""
    async with both(tmp_path, FEEDBACK) as (upstream, server):
        for path, most in (
            ("/run", 10_000_000),
            ("/run/stream", 10_000_000),
            ("/api/v1/rater-feedback", 1024 * 1024),
            ("/api/v1/rater-feedback/stream", 1024 * 1024),
        ):
            stream = await trio.open_tcp_stream("127.0.0.1", server.port)
            async with stream:
                head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {most + 1}\r\n\r\n"
                await stream.send_all(head.encode() + b"{")
                reader = SseReader(stream)
                await reader.read_head()
                assert reader.status == 413, path
        assert upstream.requests == []
        longer = json.dumps({**NOTES, "input_text": "x" * 500_001}).encode()
        code, answer = await http(server.port, "POST", "/run", longer)
        assert (code, answer["code"]) == (422, "invalid_request")


async def test_ten_runs_a_minute_for_a_user(tmp_path: Path) -> None:
    """10 /run calls a minute for a user; both routes share it, refusals do not count."""
    async with both(tmp_path, FEEDBACK, ANTIPHON_JWT_SECRET=SECRET) as (_, server):

        def call(path: str, who: str, request: object = NOTES) -> Any:
            return http(server.port, "POST", path, json.dumps(request).encode(), bearer(token(who)))

        for number in range(10):
            path = "/run/stream" if number % 2 else "/run"
            assert (await call(path, "ada", {}))[0] == 422
            body = json.dumps(NOTES).encode()
            async with posting(server, "/run/stream", body, bearer(token("ada"))) as reader:
                assert reader.status == 200
        for path in ("/run", "/run/stream", "/run/stream/draft"):
            code, answer = await call(path, "ada")
            assert (code, answer["code"]) == (429, "rate_limited")
            assert 0 < answer["retry_after"] <= 60
        async with posting(server, "/run/stream", NOTES, bearer(token("ada"))) as reader:
            assert reader.status == 429
            assert 1 <= int(reader.headers["retry-after"]) <= 60
        async with posting(server, "/run/stream", NOTES, bearer(token("bob"))) as reader:
            assert reader.status == 200


async def test_running_sessions_of_a_user_are_bounded(tmp_path: Path) -> None:
    """ANTIPHON_MAX_SESSIONS_PER_USER; ended sessions free their place, other users have theirs."""
    env = {"ANTIPHON_JWT_SECRET": SECRET, "ANTIPHON_MAX_SESSIONS_PER_USER": "2"}
    path = "/api/v1/rater-feedback/stream"
    async with both(tmp_path, LONG, pace_s=0.01, **env) as (_, server):
        ada, bob = bearer(token("ada")), bearer(token("bob"))
        for _ in range(3):
            async with posting(server, path, RATING, ada), posting(server, path, RATING, ada):
                async with posting(server, path, RATING, ada) as third:
                    assert third.status == 429
                    assert third.headers["retry-after"] == "1"
                async with posting(server, path, RATING, bob) as other:
                    assert other.status == 200
            await _wait_none_running(server, ada)


async def _wait_none_running(server: ServerProcess, headers: dict[str, str]) -> None:
    path = "/api/sessions?state=running"
    while (await http(server.port, "GET", path, headers=headers))[1]["sessions"]:  # noqa: ASYNC110
        await trio.sleep(0.02)


async def test_process_that_is_full_says_so(tmp_path: Path) -> None:
    """`overloaded` with retry_after and Retry-After."""
    async with both(tmp_path, LONG, pace_s=0.01, ANTIPHON_MAX_SESSIONS="1") as (_, server):
        async with posting(server, "/run/stream", NOTES) as first:
            assert first.status == 200
            code, answer = await http(server.port, "POST", "/run", json.dumps(NOTES).encode())
            assert (code, answer["code"], answer["retry_after"]) == (503, "overloaded", 1.0)
            async with posting(server, "/run/stream", NOTES) as second:
                assert (second.status, second.headers["retry-after"]) == (503, "1")
