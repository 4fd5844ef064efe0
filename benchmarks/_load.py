"""A small WebSocket load client: one thread, epoll, no library between it and the sockets.

It opens N sockets, sends one request on each, and counts the deltas that each message delivers (its
`tokens` against the last one's), how late each is, and how long a cancel takes. It is no benchmark
by itself; `benchmarks.websocket` runs it in a process of its own, on a core of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import socket
import struct
import sys
import time
from typing import Any

UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ENDS = (
    b'"type":"result"',
    b'"type": "result"',
    b'"type":"cancelled"',
    b'"type": "cancelled"',
    b'"type":"error"',
    b'"type": "error"',
)


def text_frame(payload: bytes) -> bytes:
    """Give a client's text frame, masked with zeros (the server unmasks it all the same)."""
    size = len(payload)
    head = (
        struct.pack("!BB", 0x81, 0x80 | size)
        if size < 126
        else struct.pack("!BBH", 0x81, 0x80 | 126, size)
    )
    return head + b"\0\0\0\0" + payload


class Peer:
    """One socket."""

    __slots__ = (
        "buffer",
        "cancel_at",
        "cancelled_at",
        "done",
        "first",
        "latency",
        "open",
        "seen",
        "sock",
        "started",
    )

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""
        self.open = False
        self.done = False
        self.seen = 0
        self.started = self.first = 0.0
        self.latency: list[tuple[int, float]] = []
        self.cancel_at = self.cancelled_at = 0.0

    def take(self, data: bytes, now: float) -> None:
        """Parse whole frames out of what has come."""
        self.buffer += data
        buffer, place = self.buffer, 0
        while len(buffer) - place >= 2:
            size, head = buffer[place + 1] & 0x7F, 2
            if size == 126:
                if len(buffer) - place < 4:
                    break
                size, head = int.from_bytes(buffer[place + 2 : place + 4], "big"), 4
            elif size == 127:
                if len(buffer) - place < 10:
                    break
                size, head = int.from_bytes(buffer[place + 2 : place + 10], "big"), 10
            if len(buffer) - place < head + size:
                break
            if buffer[place] & 0x0F == 1:
                self.message(buffer[place + head : place + head + size], now)
            place += head + size
        self.buffer = buffer[place:]

    def message(self, payload: bytes, now: float) -> None:
        place = payload.rfind(b'"tokens":')
        if b"chunk" in payload[:20] and place >= 0:
            rest = payload[place + 9 : place + 20]
            number = int(rest.split(b",")[0].split(b"}")[0])
            if not self.first:
                self.first = now
            self.latency.append((number, now))
            self.seen = number
        elif payload[:60].find(b'"type"') >= 0 and any(end in payload[:60] for end in ENDS):
            self.done = True
            self.cancelled_at = now


def run(args: argparse.Namespace) -> dict[str, Any]:
    dice = random.Random(1)
    poll = select.epoll()
    peers: dict[int, Peer] = {}
    request = text_frame(json.dumps(json.loads(args.request)).encode())
    cancel = text_frame(b'{"type":"cancel"}')
    for _ in range(args.sessions):
        sock = socket.create_connection((args.host, args.port))
        sock.sendall(UPGRADE.format(path=args.path, host=args.host).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(4096)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise SystemExit(f"no upgrade: {head[:100]!r}")
        sock.setblocking(False)
        peer = Peer(sock)
        peer.take(head.partition(b"\r\n\r\n")[2], time.monotonic())
        peers[sock.fileno()] = peer
        poll.register(sock.fileno(), select.EPOLLIN)
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.monotonic()
    waiting = [
        (begin + number * args.ramp / args.sessions, peer)
        for number, peer in enumerate(peers.values())
    ]
    waiting.reverse()
    left = len(peers)
    while left and time.monotonic() - begin < args.limit:
        while waiting and waiting[-1][0] <= time.monotonic():
            _, peer = waiting.pop()
            peer.started = time.monotonic()
            peer.sock.sendall(request)
            if args.cancel and dice.random() < args.cancel:
                peer.cancel_at = peer.started + dice.uniform(0.2, 0.8) * args.seconds
        for fd, _ in poll.poll(0.002):
            peer = peers[fd]
            try:
                data = peer.sock.recv(262144)
            except BlockingIOError:
                continue
            now = time.monotonic()
            if data:
                peer.take(data, now)
            if (peer.done or not data) and fd in peers and peer.open is False:
                peer.open = True
                left -= 1
                poll.unregister(fd)
        now = time.monotonic()
        if args.cancel:
            for peer in peers.values():
                if 0 < peer.cancel_at <= now and not peer.done:
                    peer.sock.sendall(cancel)
                    peer.cancel_at = -now
    return summary(args, list(peers.values()), time.monotonic() - begin)


def summary(args: argparse.Namespace, peers: list[Peer], wall_s: float) -> dict[str, Any]:
    late: list[float] = []
    for peer in peers:
        if args.rate and peer.latency:
            base = min(now - number / args.rate for number, now in peer.latency)
            late += [now - number / args.rate - base for number, now in peer.latency]
    cancels = [peer.cancelled_at + peer.cancel_at for peer in peers if peer.cancel_at < 0]
    firsts = [peer.first - peer.started for peer in peers if peer.first]
    usage = os.times()
    return {
        "deltas": sum(peer.seen for peer in peers),
        "messages": sum(len(peer.latency) for peer in peers),
        "ended": sum(peer.done for peer in peers),
        "sessions": len(peers),
        "wall_s": round(wall_s, 2),
        "client_cpu_s": round(usage.user + usage.system, 2),
        "late_ms": quantiles(late),
        "first_ms": quantiles(firsts),
        "cancel_ms": quantiles(cancels),
    }


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
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/stream")
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--request", required=True)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--cancel", type=float, default=0)
    parser.add_argument("--ramp", type=float, default=0)
    parser.add_argument("--limit", type=float, default=120)
    print(json.dumps(run(parser.parse_args())), flush=True)


if __name__ == "__main__":
    main()
