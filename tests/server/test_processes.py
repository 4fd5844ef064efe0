"""Several processes: when they are refused, and who holds the port."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from server.commands.serve import run
from server.processes import reserve_port
from server.settings import Settings


def test_processes_without_redis_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for more than one is told what they need, and why."""
    assert run(Settings(processes=3)) == 1
    said = capsys.readouterr().err
    assert "--processes 3 needs Redis" in said
    assert "share nothing" in said


def test_reserved_port_is_free_for_those_who_share_it() -> None:
    """The parent holds the port, and takes no connection on it."""
    with closing(reserve_port("127.0.0.1", 0)) as reserved:
        address = reserved.getsockname()
        with socket.socket() as client:
            assert client.connect_ex(address) != 0
        with socket.socket() as child:
            child.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            child.bind(address)
            child.listen()
            for _ in range(20):
                with socket.create_connection(address, timeout=1):
                    child.accept()[0].close()


def test_port_of_another_server_is_refused() -> None:
    """Two servers never share a port unawares, though both would allow it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            reserve_port("127.0.0.1", other.getsockname()[1])
