"""A real redis-server of the tests' own: on a free port, in a folder of its own, ended by pid."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.requirements import need_redis


class RedisServer:
    """Redis on the loopback, that can be killed and started again with its data.

    Args:
        folder: where it keeps its data.
        options: what its command line says besides.
        host: the address that it listens on and is asked at.
        within: a command that runs it, such as one that enters a network namespace.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        host: str = "127.0.0.1",
        within: Sequence[str] = (),
    ) -> None:
        self._host = host
        self._within = within
        self._program = need_redis()
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://{self._host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it has read its data."""
        self.start_unseen()
        self._wait_ready()

    def start_unseen(self) -> None:
        """Start it where the test itself does not reach it: on a host of its own."""
        command = [*self._within, self._program, "--bind", self._host, "--port", str(self.port)]
        command += ["--dir", str(self._folder), "--save", "", "--appendonly", "yes"]
        self._process = subprocess.Popen(
            [*command, *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 10
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended by itself"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self._host, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(5) in (b"+PONG", b"-NOAU")
        except OSError:
            return False

    def ask(self, *words: str, password: str = "") -> bytes:
        """Send a command as an operator would, over a connection of its own."""
        with socket.create_connection((self._host, self.port), timeout=5) as connection:
            if password:
                connection.sendall(_command("AUTH", password))
                connection.recv(100)
            connection.sendall(_command(*words))
            answer = connection.recv(65536)
        assert not answer.startswith(b"-"), answer
        return answer

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def hang(self) -> None:
        """Have it answer nothing, and keep its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Have it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(10)


def free_port() -> int:
    """Give a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _command(*words: str) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words]
    return b"".join(parts)


@contextmanager
def redis_server(folder: Path, *options: str) -> Generator[RedisServer, None, None]:
    """Run a Redis for as long as the block lasts."""
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
