"""A load client: one thread, epoll, no library between it and the sockets.

It opens N readers, begins a session on each (or one session that all of them read), and tells what
reached them: the deltas, how late each was, how long the first one and a cancel took, and what the
server used for it. It runs in a process of its own and watches itself: `client_share` is its own
CPU for each second, `client_lag_ms` how long what came waited for it to look. It is no benchmark by
itself; `benchmarks._servers` runs it.

Modes: `websocket`, a session on each socket, begun after "go" over `--ramp` seconds; `events`, the
same over SSE; `fan`, one session and N subscribers. In the last two the sessions exist before "go",
and the server waits for `wait_s` before it produces.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import select
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks._readers import EventReader, Reader, SocketReader, text_frame

CANCEL = text_frame({"type": "cancel"})
TICK_S = 0.002
"""How late a start or a cancel may be."""


def process_cpu_s(pid: int) -> float:
    """Give the CPU time of a process, all its threads that ever were, in seconds (Linux)."""
    return time.clock_gettime((~pid << 3) | 2)


def rss_kb(pid: int) -> int:
    """Give a process's resident memory, in KB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise SystemExit(f"the process {pid} has ended")


class Sample:
    """The server at one moment: its CPU, and how much had been delivered."""

    def __init__(self, pids: list[int], readers: list[Reader]) -> None:
        self.cpu_s = sum(process_cpu_s(pid) for pid in pids)
        self.rss_kb = sum(rss_kb(pid) for pid in pids)
        self.deltas = sum(reader.seen for reader in readers)


class Load:
    """One run: its readers, what is still to be sent, and what was seen of the client itself."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.request = text_frame(json.loads(args.request))
        self.idle_kb = sum(rss_kb(pid) for pid in args.pid)
        self.readers: list[Reader] = []
        self.lags: list[float] = []
        self.steady: tuple[Sample, Sample] | None = None

    def connect(self) -> None:
        """Open everything that has to stand before "go"."""
        {"websocket": self._sockets, "events": self._events, "fan": self._fan}[self.args.mode]()
        for reader in self.readers:
            reader.sock.setblocking(False)

    def _socket(self) -> SocketReader:
        ports = self.args.port
        port = ports[len(self.readers) % len(ports)]
        reader = SocketReader(self.args.host, port, tls=self.args.tls)
        reader.open_path(self.args.path)
        return reader

    def _sockets(self) -> None:
        for _ in range(self.args.sessions):
            self.readers.append(self._socket())

    def _events(self) -> None:
        for _ in range(self.args.sessions):
            starter = self._socket()
            starter.sock.sendall(self.request)
            path = self.args.events_path.format(starter.wait_session_id())
            reader = EventReader(self.args.host, self.args.port[0], tls=self.args.tls)
            reader.open_path(path)
            starter.sock.close()
            self.readers.append(reader)

    def _fan(self) -> None:
        first = self._socket()
        self.readers.append(first)
        first.sock.sendall(self.request)
        subscribe = text_frame({"type": "subscribe", "session_id": first.wait_session_id()})
        for _ in range(self.args.sessions):
            reader = self._socket()
            reader.sock.sendall(subscribe)
            reader.wait_session_id()
            self.readers.append(reader)

    def run(self) -> dict[str, Any]:
        """Begin the sessions, and read until all have ended or the time is up."""
        args, dice = self.args, random.Random(1)
        poll = select.epoll()
        by_fd = {reader.sock.fileno(): reader for reader in self.readers}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        begin, before = time.monotonic(), Sample(args.pid, self.readers)
        own_s = time.process_time()
        # The counter keeps the heap from comparing readers.
        order = itertools.count()
        due: list[tuple[float, int, Reader, bytes]] = []
        step_s = args.ramp / max(1, len(self.readers))
        if args.mode == "websocket":
            for number, reader in enumerate(self.readers):
                start_at = begin + number * step_s
                heapq.heappush(due, (start_at, next(order), reader, self.request))
                if dice.random() < args.cancel:
                    cancel_at = start_at + dice.uniform(0.2, 0.8) * args.seconds
                    heapq.heappush(due, (cancel_at, next(order), reader, CANCEL))
        else:
            for reader in self.readers:
                reader.started = begin
        marks = self._marks(begin)
        samples: list[Sample] = []
        while by_fd and time.monotonic() - begin < args.limit:
            while due and due[0][0] <= time.monotonic():
                _, _, reader, data = heapq.heappop(due)
                self._send(reader, data)
            # A moment is taken for each reader after its predecessor's messages were searched.
            ready = poll.poll(TICK_S)
            woken = time.monotonic()
            for fd, _ in ready:
                reader = by_fd[fd]
                reader.pull(time.monotonic())
                if reader.done or reader.closed:
                    poll.unregister(fd)
                    del by_fd[fd]
            if ready:
                self.lags.append(time.monotonic() - woken)
            if marks and time.monotonic() >= marks[0]:
                marks.pop(0)
                samples.append(Sample(args.pid, self.readers))
        wall_s = time.monotonic() - begin
        after = Sample(args.pid, self.readers)
        if len(samples) == 2:
            self.steady = samples[0], samples[1]
        return self._answer(before, after, wall_s, time.process_time() - own_s)

    def _marks(self, begin: float) -> list[float]:
        """Between these two all sessions stream: started, and none at its end."""
        args = self.args
        if (
            args.mode != "websocket"
            or not args.rate
            or args.seconds < args.ramp + 1.5 + 1 / args.rate
        ):
            return []
        # A first delta may come at once: then the last one comes a pause before the end.
        return [begin + args.ramp + 1.0, begin + args.seconds - 1 / args.rate - 0.25]

    def _send(self, reader: Reader, data: bytes) -> None:
        now = time.monotonic()
        if data is not CANCEL:
            reader.started = now
        elif not reader.done:
            reader.cancelled = now
        else:
            return
        reader.sock.sendall(data)

    def _answer(self, before: Sample, after: Sample, wall_s: float, own_s: float) -> dict[str, Any]:
        args, readers = self.args, self.readers
        deltas = after.deltas - before.deltas
        used_s = after.cpu_s - before.cpu_s
        firsts = [each.first - each.started for each in readers if each.first]
        if args.mode != "websocket":
            firsts = []  # the server's pause, and nothing else
        answer: dict[str, Any] = {
            "deltas": deltas,
            "messages": sum(len(reader.arrivals) for reader in readers),
            "readers": len(readers),
            "ended": sum(reader.done for reader in readers),
            "wall_s": round(wall_s, 2),
            "late_ms": quantiles(lateness(readers, args.rate)),
            "first_ms": quantiles(firsts),
            "cancel_ms": quantiles(
                [each.ended - each.cancelled for each in readers if each.cancelled and each.ended]
            ),
            "client_share": round(own_s / wall_s, 2),
            "client_lag_ms": quantiles(self.lags),
        }
        if not args.pid:
            return answer
        answer["cpu_us_per_delta"] = round(used_s / max(1, deltas) * 1e6, 3)
        answer["cpu_s"] = round(used_s, 3)
        answer["server_share"] = round(used_s / wall_s, 2)
        if self.steady:
            one, two = self.steady
            answer["steady_us_per_delta"] = round(
                (two.cpu_s - one.cpu_s) / max(1, two.deltas - one.deltas) * 1e6, 3
            )
            answer["kb_per_session"] = round((one.rss_kb - self.idle_kb) / len(readers), 1)
        return answer


def lateness(readers: list[Reader], rate: float) -> list[float]:
    """Give how late each message was, in seconds, counted from its session's most punctual one."""
    late: list[float] = []
    for reader in readers:
        if rate and reader.arrivals:
            due = [now - number / rate for number, now in reader.arrivals]
            best = min(due)
            late += [each - best for each in due]
    return late


def quantiles(values: list[float]) -> dict[str, float] | None:
    """Give p50, p99 and the maximum, in ms."""
    if not values:
        return None
    values = sorted(values)
    return {
        name: round(values[min(len(values) - 1, int(len(values) * share))] * 1000, 2)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, nargs="+", required=True, help="taken in turn")
    parser.add_argument("--pid", type=int, nargs="*", default=[], help="whose CPU is counted")
    parser.add_argument("--mode", choices=("websocket", "events", "fan"), default="websocket")
    parser.add_argument("--path", default="/stream")
    parser.add_argument("--events-path", default="/api/sessions/{}/events")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--request", required=True)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--cancel", type=float, default=0)
    parser.add_argument("--ramp", type=float, default=0)
    parser.add_argument("--limit", type=float, default=120)
    load = Load(parser.parse_args())
    load.connect()
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(load.run()), flush=True)


if __name__ == "__main__":
    main()
