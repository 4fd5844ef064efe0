"""What the load client reads from: one socket each, WebSocket frames or server-sent events.

No library stands between it and the socket, and a message is searched rather than decoded, so that
a reader costs less than any server that it measures. Must not import the servers.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct

UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
GET = "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n"
ENDS = tuple(
    f'"type":{space}"{kind}"'.encode()
    for kind in ("result", "cancelled", "error")
    for space in ("", " ")
)
RECEIVE = 262_144


def text_frame(message: object) -> bytes:
    """Give a client's text frame, masked with zeros (the server unmasks it all the same)."""
    payload = json.dumps(message).encode()
    size = len(payload)
    head = (
        struct.pack("!BB", 0x81, 0x80 | size)
        if size < 126
        else struct.pack("!BBH", 0x81, 0x80 | 126, size)
    )
    return head + b"\0\0\0\0" + payload


class Reader:
    """One socket, and what it has told so far."""

    def __init__(self, host: str, port: int, *, tls: bool) -> None:
        sock = socket.create_connection((host, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["http/1.1"])
            sock = context.wrap_socket(sock)
        self.sock = sock
        self.host = host
        self.buffer = b""
        self.last = b""
        self.session_id = ""
        self.done = self.closed = False
        self.seen = 0
        self.started = self.first = self.ended = self.cancelled = 0.0
        self.arrivals: list[tuple[int, float]] = []
        """For each message with deltas: the number of its last one, and when it was read."""

    def open(self, request: str) -> None:
        """Send the request's head, and wait for the answer's."""
        self.sock.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.sock.recv(4096)
            if not data:
                raise SystemExit(f"the server closed the connection after {head[:200]!r}")
            head += data
        status = head.split(b"\r\n")[0]
        if b" 101 " not in status and b" 200 " not in status:
            raise SystemExit(f"the server does not take it: {head[:300]!r}")
        self.take(head.partition(b"\r\n\r\n")[2], 0.0)

    def wait_session_id(self) -> str:
        """Read until a message has named the session."""
        while not self.session_id:
            self.take(self.sock.recv(65536), 0.0)
            place = self.last.find(b'"session_id":')
            if place >= 0:
                self.session_id = self.last[place + 13 :].split(b'"')[1].decode()
        return self.session_id

    def pull(self, now: float) -> None:
        """Take what has come on the non-blocking socket; `closed` where it has ended."""
        while True:
            try:
                data = self.sock.recv(RECEIVE)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except OSError:
                data = b""
            if not data:
                self.closed = True
                return
            self.take(data, now)
            if not isinstance(self.sock, ssl.SSLSocket) or not self.sock.pending():
                return

    def take(self, data: bytes, now: float) -> None:
        """Take bytes of the stream."""
        raise NotImplementedError

    def message(self, payload: bytes, now: float) -> None:
        """Count the deltas of one message: its `tokens` against those of the last one."""
        self.last = payload
        if b"chunk" in payload[:20]:
            place = payload.rfind(b'"tokens":')
            self.seen = int(payload[place + 9 : place + 20].split(b",")[0].split(b"}")[0])
            if not self.first:
                self.first = now
            self.arrivals.append((self.seen, now))
        elif any(end in payload[:60] for end in ENDS):
            self.done = True
            self.ended = now


class SocketReader(Reader):
    """A WebSocket."""

    def open_path(self, path: str) -> None:
        """Shake hands."""
        self.open(UPGRADE.format(path=path, host=self.host))

    def take(self, data: bytes, now: float) -> None:
        """Parse whole frames."""
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


class EventReader(Reader):
    """Server-sent events over a chunked answer."""

    def __init__(self, host: str, port: int, *, tls: bool) -> None:
        super().__init__(host, port, tls=tls)
        self.chunks = b""

    def open_path(self, path: str) -> None:
        """Ask for the events."""
        self.open(GET.format(path=path, host=self.host))

    def take(self, data: bytes, now: float) -> None:
        """Undo the chunks, then parse whole events."""
        self.chunks += data
        chunks, place = self.chunks, 0
        while (end := chunks.find(b"\r\n", place)) >= 0:
            size = int(chunks[place:end] or b"0", 16)
            if len(chunks) < end + 2 + size + 2:
                break
            self.buffer += chunks[end + 2 : end + 2 + size]
            place = end + 2 + size + 2
        self.chunks = chunks[place:]
        *events, self.buffer = self.buffer.split(b"\n\n")
        for event in events:
            start = event.find(b"data:")
            if start >= 0:
                self.message(event[start + 5 :].lstrip(), now)
