"""`antiphon bench` against servers whose faults and delays are known: it has to find just these."""

from __future__ import annotations

import json
import math
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from tests.system.certificate import tls_pair
from tests.system.load_double import Fault, Script, open_double
from tests.system.server_process import environment

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0

CALM = ("--max-lag-ms", "500")
"""This machine is shared: a worker that waits for a core is not what these tests are about."""


class Ran(NamedTuple):
    """How a call of the tool went."""

    code: int
    report: dict[str, Any]
    said: str

    @property
    def findings(self) -> list[str]:
        return [finding["name"] for finding in self.report["findings"]]


async def bench(url: str, *flags: str, out: Path | None = None, **env: str) -> Ran:
    """Run the tool as a user does."""
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [sys.executable, "-W", "error", "-m", "server", "bench", url, "--json", "-", *flags],
            cwd=out or ROOT,
            env=environment(PYTHONPATH=str(ROOT), **env),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    said = done.stderr.decode()
    assert "Traceback" not in said, said
    return Ran(done.returncode, json.loads(done.stdout or b"{}"), said)


def only(number: int, fault: Fault, **others: Any) -> Callable[[int], Script]:
    """Plant a fault in one request out of all."""
    return lambda asked: Script(fault=fault if asked == number else "", **others)


async def test_the_p99_is_within_2_percent_of_an_injected_delay() -> None:
    """Of 200 requests 195 wait for 0.2 to 1.2 s and 5 for 3 s; the server stamps what it did."""
    number = 200
    delays_s = [0.2 + place / 195 for place in range(195)] + [3.0] * 5
    async with open_double(
        lambda asked: Script(first_s=delays_s[asked * 77 % number], tokens=2)
    ) as double:
        flags = ("--rate", "60", "--requests", str(number), *CALM)
        ran = await bench(double.url, *flags)
    assert (ran.code, ran.report["counts"]["completed"]) == (0, number)
    injected_s = sorted(session.first_after_s for session in double.sessions.values())
    p99_ms = injected_s[math.ceil(number * 0.99) - 1] * 1000
    assert p99_ms >= 3000
    for measure in ("ttft", "ttft_intended"):
        assert ran.report["measures"][measure]["p99_ms"] == pytest.approx(p99_ms, rel=0.02)


@pytest.mark.parametrize("fault", ["lost", "doubled", "late", "uncancelled", "chatty"])
async def test_a_planted_fault_in_one_request_of_20_is_found(fault: Fault) -> None:
    """The run fails, and names it; and nothing else."""
    script = only(7, fault, tokens=200 if fault in ("uncancelled", "chatty") else 10)
    flags = ["--rate", "20", "--requests", "20", "--processes", "2", *CALM]
    if fault in ("uncancelled", "chatty"):
        flags += ["--scenario", "cancel", "--cancel-after-tokens", "5"]
        flags += ["--slo", "cancel=500", "--goodput", "0"]
    if fault == "late":
        flags += ["--slo", "ttft=500"]
    async with open_double(script) as double:
        ran = await bench(double.url, *flags)
    name = {"chatty": "uncancelled"}.get(fault, fault)
    assert (ran.code, ran.findings) == (1, [name])
    [finding] = ran.report["findings"]
    assert finding["number"] == 1


async def test_the_same_runs_without_a_fault_pass() -> None:
    """What finds everything must not find what is not there."""
    async with open_double(lambda number: Script(tokens=400)) as double:
        flags = ("--rate", "20", "--requests", "20", "--scenario", "cancel")
        more = ("--cancel-after-tokens", "5", "--slo", "ttft=500", "--slo", "cancel=500")
        ran = await bench(double.url, *flags, *more, *CALM)
    assert (ran.code, ran.findings) == (0, [])
    counts = ran.report["counts"]
    assert (counts["cancelled"], counts["cancels"], counts["started"]) == (20, 20, 20)
    assert ran.report["measures"]["cancel_to_upstream_told"]["p50_ms"] == pytest.approx(
        1.5, rel=0.01
    )
    assert ran.report["goodput"]["share"] == 1.0


async def test_a_reconnect_storm_loses_nothing_on_a_server_that_resumes() -> None:
    async with open_double(lambda number: Script(tokens=100)) as double:
        flags = ("--rate", "40", "--requests", "20", "--scenario", "reconnect")
        ran = await bench(double.url, *flags, "--reconnect-at-s", "0.7", *CALM)
    counts = ran.report["counts"]
    assert (ran.code, ran.findings) == (0, [])
    assert counts["completed"] == 20
    assert counts["losses"] == counts["resumed"] == 20
    assert counts["tokens"] == 2000
    assert ran.report["measures"]["resume"]["count"] == 20


async def test_tls_is_spoken_and_a_certificate_is_checked(tmp_path: Path) -> None:
    """A certificate that nobody vouches for is an error; one that the system trusts is not."""
    settings, trust = tls_pair()
    [certificate] = trust.get_ca_certs(binary_form=True)
    path = tmp_path / "certificate.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(certificate))
    async with open_double(lambda number: Script(), tls=settings) as double:
        flags = (double.url, "--rate", "20", "--requests", "5", *CALM)
        strange = await bench(*flags)
        trusted = await bench(*flags, SSL_CERT_FILE=str(path))
    assert (strange.code, strange.report["errors"]) == (1, {"connect_tls": 5})
    assert (trusted.code, trusted.report["counts"]["completed"]) == (0, 5)


async def test_a_server_that_hangs_up_is_an_error_unless_clients_come_back() -> None:
    async with open_double(only(3, "cut")) as double:
        ran = await bench(double.url, "--rate", "20", "--requests", "5", *CALM)
    assert (ran.code, ran.findings, ran.report["errors"]) == (1, ["errors"], {"close_1012": 1})


async def test_a_run_that_the_tool_held_back_is_invalid() -> None:
    """One at a time, where ten a second were planned: its users would have waited, and from the
    intended start they did. More processes were tried, where there are cores.
    """
    async with open_double(lambda number: Script(first_s=0.3, tokens=1)) as double:
        flags = ("--rate", "10", "--requests", "6", "--max-open", "1")
        alone = await bench(double.url, *flags, "--processes", "1", *CALM)
        ran = await bench(double.url, *flags, *CALM)
    for each in (alone, ran):
        assert (each.code, each.report["outcome"]) == (1, "invalid")
        assert each.findings == ["saturated"]
    assert alone.report["tool"]["processes"] == 1
    assert ran.report["tool"]["processes"] == min(2, os.cpu_count() or 1)
    ran = alone
    measures = ran.report["measures"]
    assert measures["ttft"]["max_ms"] < 600
    assert measures["ttft_intended"]["max_ms"] > 1200


async def test_the_highest_rate_is_found() -> None:
    """A server that serves 1 request at a time, 50 ms each, holds about 20 a second."""
    turn = trio.Lock()

    async def serve_one() -> None:
        async with turn:
            await trio.sleep(0.05)

    async with open_double(lambda number: Script(tokens=1), before=serve_one) as double:
        flags = ("--find-rate", "--rate", "16", "--max-rate", "40", "--duration-s", "1.2")
        ran = await bench(double.url, *flags, "--slo", "ttft=250", *CALM)
    search = ran.report["search"]
    assert ran.code == 0
    assert 11 <= search["sustainable_rate_per_s"] <= 26
    assert search["broke_at_per_s"] > search["sustainable_rate_per_s"]
    assert len(search["probes"]) <= 12


async def test_ctrl_c_ends_it_with_the_report_so_far(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    async with open_double(lambda number: Script(tokens=10_000)) as double:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "server", "bench", double.url, "--json", str(path),
             "--rate", "20", "--duration-s", "300", "--html", str(tmp_path / "report.html")],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(),
        )  # fmt: skip
        with trio.fail_after(PATIENCE_S):
            await double.wait_sessions(5)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
    report = json.loads(path.read_text())
    assert report["outcome"] == "interrupted"
    assert report["counts"]["stopped"] == report["counts"]["started"] >= 5
    assert report["counts"]["tokens"] > 0
    assert "<svg" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("http://192.0.2.1:80",), "--i-may-load 192.0.2.1"),
        (("nonsense",), "is not an address of the form"),
        (("http://127.0.0.1:1", "--target", "generat"), "there is no target 'generat'"),
        (("http://127.0.0.1:1", "--slo", "tfft=5"), "there is no limit 'tfft'"),
        (("http://127.0.0.1:1", "--scenario", "kill"), "a kill needs --server-pid"),
        (("http://127.0.0.1:1", "--rate", "0"), "--rate is 0"),
        (("http://127.0.0.1:1", "--request", "{"), "--request is not JSON"),
    ],
)
async def test_wrong_use_is_told_and_ends_with_2(flags: tuple[str, ...], message: str) -> None:
    ran = await bench(*flags)
    assert ran.code == 2
    assert message in " ".join(ran.said.split())


async def test_a_server_that_is_not_there_fails_the_run() -> None:
    """Every request is an error with its reason; nothing hangs."""
    ran = await bench("http://127.0.0.1:9", "--rate", "20", "--requests", "4", *CALM)
    assert (ran.code, ran.findings) == (1, ["errors"])
    assert ran.report["errors"] == {"connect_refused": 4}
