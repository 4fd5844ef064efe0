"""The load tool against real servers: all our endpoints, OpenAI-compatible ones, and a user's own.

It runs in this process; its workers are processes of their own, as always.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from benchmarks.load.arrivals import Closed, Constant, Trace
from benchmarks.load.messages import Progress
from benchmarks.load.plan import Cancel, Kill, Plan, Slow, Storm
from benchmarks.load.report import Report
from benchmarks.load.run import Bench, Setting, UpstreamPlan
from engine.testing.openai_server import open_openai_server
from tests.system.load_double import open_words_server
from tests.system.server_process import ServerProcess, serving

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"
PATIENCE_S = 60.0


class Quiet:
    """Tells nobody."""

    def say(self, sentence: str) -> None:
        pass

    def progress(self, progress: Progress, plan: Plan) -> None:
        pass


def planned(url: str, target: str, **others: Any) -> Plan:
    others.setdefault("arrivals", Constant(rate_per_s=20))
    others.setdefault("max_requests", 6)
    return Plan(url=url, target=target, max_lag_ms=500, **others)


async def report(plan: Plan, **setting: Any) -> Report:
    with trio.fail_after(PATIENCE_S):
        return await Bench(plan, Setting(**{"processes": 1, **setting}), Quiet()).run()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("load") / "data"


@pytest.fixture
async def ours(data: Path) -> AsyncIterator[ServerProcess]:
    settings = {"sim_ttft_ms": 50, "sim_tokens_per_s": 200, "sim_output_tokens": 60, "offline": 1}
    async with serving(data, **settings) as server:
        yield server


async def test_every_endpoint_of_ours_is_read_to_its_end(ours: ServerProcess) -> None:
    """Numbered without a hole, with a first token; and the server's CPU is known by its pid."""
    for target in ("generate", "persona", "exhibition", "content", "rater"):
        found = await report(planned(ours.url, target), server_pid=ours.pid)
        counts = found.counts
        assert (found.outcome, found.findings) == ("passed", []), target
        assert counts.completed == counts.numbered == found.measures["ttft"].count == 6, target
        assert found.server is not None
        assert found.server.cpu_us_per_token is not None


async def test_many_readers_of_one_session_get_all_of_it(ours: ServerProcess) -> None:
    """The tool starts the producer; every reader gets each of its tokens, by either wire."""
    for wire in ("websocket", "sse"):
        plan = planned(ours.url, "subscribers", options={"wire": wire}, preconnect=True)
        found = await report(msgspec.structs.replace(plan, max_requests=20, duration_s=1.0))
        assert (found.outcome, found.counts.completed) == ("passed", 20), wire
        assert found.counts.tokens == 20 * 60


async def test_sse_is_cancelled_and_resumed(ours: ServerProcess) -> None:
    storm = planned(ours.url, "content", storm=Storm(at_s=0.5))
    found = await report(storm)
    assert (found.outcome, found.counts.resumed) == ("passed", found.counts.losses)
    assert found.counts.losses > 0
    cancel = planned(ours.url, "content", cancel=Cancel(after_tokens=2))
    found = await report(cancel)
    assert (found.outcome, found.counts.cancelled) == ("passed", 6)
    assert found.measures["cancel_to_upstream_told"].count == 6


async def test_slow_readers_are_slow_and_get_everything(ours: ServerProcess) -> None:
    """They take 4,000 bytes a second of some 20,000 that there are; the others are not touched."""
    slow = planned(ours.url, "generate", slow=Slow(share=0.5, bytes_per_s=4000), max_requests=8)
    found = await report(slow)
    assert (found.outcome, found.counts.completed) == ("passed", 8)
    assert found.counts.tokens == 8 * 60
    assert found.measures["e2e"].min_ms < 1000 < found.measures["e2e"].max_ms


async def test_a_closed_loop_and_a_trace(ours: ServerProcess) -> None:
    closed = planned(ours.url, "generate", arrivals=Closed(users=2), duration_s=5.0)
    found = await report(closed, processes=2)
    assert (found.outcome, found.counts.completed) == ("passed", 6)
    assert found.length_s >= 1.0  # two users, three answers each of 0.35 s
    trace = planned(ours.url, "generate", arrivals=Trace(offsets_s=(0.0, 0.1, 0.1, 1.2)))
    found = await report(trace)
    assert [second.started for second in found.timeline[:2]] == [3, 1]


async def test_a_run_that_is_interrupted_before_it_begins_sends_nothing(
    ours: ServerProcess,
) -> None:
    """However early: the workers are started, and told to stop in the place of to begin."""
    made = Bench(planned(ours.url, "generate", duration_s=60.0), Setting(processes=2), Quiet())
    await made.interrupt()
    with trio.fail_after(PATIENCE_S):
        found = await made.run()
    assert (found.outcome, found.counts.started) == ("interrupted", 0)


async def test_a_killed_server_comes_back_and_nothing_is_lost(tmp_path: Path) -> None:
    """The tool starts it, kills it in the middle of six answers, and starts it again."""
    port = await _free_port()
    command = f"{sys.executable} -m server serve --port {port} --data {tmp_path / 'data'}"
    command += " --sim-tokens-per-s 25 --sim-output-tokens 60"
    plan = planned(f"http://127.0.0.1:{port}", "generate", kill=Kill(at_s=1.0))
    found = await report(plan, server_command=command)
    counts = found.counts
    assert (found.outcome, found.findings) == ("passed", [])
    assert (counts.completed, counts.losses, counts.resumed) == (6, 6, 6)
    assert found.measures["resume"].min_ms > 100


async def test_the_upstream_double_sees_every_cancel(tmp_path: Path) -> None:
    """From the cancel's sending until the upstream's client had gone, by the upstream's clock."""
    port = await _free_port()
    command = f"{sys.executable} -m server serve --port {port} --default-provider openai"
    plan = planned(
        f"http://127.0.0.1:{port}", "generate", cancel=Cancel(after_s=(0.3, 0.6)), max_requests=10
    )
    found = await report(
        plan,
        server_command=f"{command} --data {tmp_path / 'data'}",
        upstream=UpstreamPlan(pace_s=0.02),
    )
    assert (found.outcome, found.findings) == ("passed", [])
    assert found.measures["cancel_to_upstream_seen"].count == found.counts.cancelled == 10
    assert found.measures["cancel_to_upstream_seen"].max_ms < 2000


@pytest.mark.parametrize("target", ["openai-chat", "openai-responses"])
async def test_an_openai_compatible_server_is_loaded_and_closing_is_its_cancel(target: str) -> None:
    text = "word " * 30
    async with open_openai_server(answer=lambda asked: text, pace_s=0.01) as server:
        url = f"http://127.0.0.1:{server.port}"
        found = await report(planned(url, target))
        assert (found.outcome, found.counts.completed) == ("passed", 6)
        assert found.counts.tokens >= 6 * 30
        assert found.measures["itl"].p50_ms == pytest.approx(10, rel=0.5)
        server.requests.clear()
        found = await report(planned(url, target, cancel=Cancel(after_tokens=3)))
        assert (found.outcome, found.counts.cancelled) == ("passed", 6)
        with trio.fail_after(5):
            for received in server.requests:
                await received.gone.wait()


async def test_the_how_tos_adapter_loads_its_own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its cancel; its server numbers nothing, so nothing is said of lost events."""
    monkeypatch.chdir(HOW_TO)
    monkeypatch.syspath_prepend(str(HOW_TO))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    async with open_words_server() as url:
        options = {"words": "30"}
        found = await report(planned(url, "load_adapter:Words", options=options))
        assert (found.outcome, found.counts.tokens) == ("passed", 6 * 30)
        assert found.counts.numbered == 0
        cancel = Cancel(after_tokens=5)
        found = await report(planned(url, "load_adapter:Words", options=options, cancel=cancel))
        assert (found.outcome, found.counts.cancelled) == ("passed", 6)


async def _free_port() -> int:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listener.socket.getsockname()[1]
    await listener.aclose()
    return port
