"""The load client reads what the wire says, however it was cut, and judges its own run."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator

import pytest

from benchmarks._load import lateness, process_cpu_s, quantiles
from benchmarks._readers import EventReader, Reader, SocketReader
from benchmarks._servers import Workload, doubts
from benchmarks.peers.message import RESULT, Messages
from benchmarks.side_by_side import summary


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def cut(reader: Reader, data: bytes, size: int) -> None:
    for place in range(0, len(data), size):
        reader.take(data[place : place + size], 1.0 + place)


def frame(text: str) -> bytes:
    payload = text.encode()
    if len(payload) < 126:
        return bytes([0x81, len(payload)]) + payload
    return b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_frames_in_pieces_count_the_same(port: int, size: int) -> None:
    """Deltas are counted from whole messages, ours without spaces and the peers' with them."""
    messages = Messages()
    compact = json.dumps(json.loads(messages.chunk(5, '"tokens":9')), separators=(",", ":"))
    reader = SocketReader("127.0.0.1", port, tls=False)
    with reader.sock:
        cut(reader, frame(messages.chunk(2, "a")) + frame(compact) + frame(RESULT), size)
    assert (reader.seen, len(reader.arrivals), reader.done) == (5, 2, True)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_chunked_events_in_pieces_count_the_same(port: int, size: int) -> None:
    """An event may be cut by the network, and by a chunk's border as well."""
    messages = Messages()
    body = f"id: a:1\ndata: {messages.chunk(12, 'a')}\n\ndata: {RESULT}\n\n".encode()
    chunks = [body[:40], body[40:210], body[210:]]
    wire = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks)
    reader = EventReader("127.0.0.1", port, tls=False)
    with reader.sock:
        cut(reader, wire, size)
    assert (reader.seen, reader.done) == (12, True)


def test_lateness_counts_from_the_most_punctual_message(port: int) -> None:
    """A session that starts late is not late; one message that waits is."""
    reader = SocketReader("127.0.0.1", port, tls=False)
    reader.sock.close()
    reader.arrivals = [(1, 100.1), (2, 100.25), (3, 100.3)]
    assert lateness([reader], 10) == pytest.approx([0, 0.05, 0], abs=1e-9)
    assert quantiles([0.001, 0.002, 0.05]) == {"p50": 2.0, "p99": 50.0, "max": 50.0}


def test_process_cpu_grows_with_work() -> None:
    """The clock of another process is the kernel's, finer than its ticks."""
    before, own = process_cpu_s(os.getpid()), time.process_time()
    sum(range(300_000))
    assert process_cpu_s(os.getpid()) - before == pytest.approx(
        time.process_time() - own, abs=0.002
    )


SOUND = {
    "client_share": 0.3,
    "client_lag_ms": {"p99": 1.0},
    "strangers_share": 0.02,
    "ended": 5,
    "readers": 5,
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"client_share": 0.95}, "the client was the limit"),
        ({"client_lag_ms": {"p99": 20.0}}, "the client looked late"),
        ({"strangers_share": 0.5}, "others had 0.5 of a core"),
        ({"ended": 4}, "only 4 of 5 readers"),
    ],
)
def test_run_that_does_not_count_says_why(change: dict[str, object], says: str) -> None:
    """A run in which the client or a stranger was the limit measures them, not the server."""
    load = Workload(sessions=5, tokens=10, rate=20)
    assert doubts(SOUND, load) == []
    (doubt,) = doubts({**SOUND, **change}, load)
    assert says in doubt


def test_summary_prefers_sound_runs() -> None:
    """Medians come from the runs that count, and the ratio is to the FastAPI twin."""
    empty = {"late_ms": None, "first_ms": None, "cancel_ms": None, "workload": "W1"}
    rows = [
        {"server": "fastapi", "cpu_us_per_delta": 10.0, "doubts": [], **empty},
        {"server": "ours", "cpu_us_per_delta": 2.0, "doubts": [], **empty},
        {"server": "ours", "cpu_us_per_delta": 90.0, "doubts": ["a stranger"], **empty},
    ]
    assert summary(rows)["W1"]["ours"] == {
        "runs": 2,
        "sound": 1,
        "cpu_us_per_delta": 2.0,
        "ratio": 0.2,
    }
