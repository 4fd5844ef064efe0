"""Hosts of the tests' own: network namespaces with links that can be cut, on this machine alone.

Redis has a host, and so has each server. A server has one link to Redis and one to the test, so it
can be cut off from Redis while its clients still reach it. Addresses are private to the namespaces;
everything is removed at the end.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress

from tests.requirements import need_namespaces


class Hosts:
    """So many servers' hosts, numbered from 1, and Redis's."""

    def __init__(self, count: int) -> None:
        self._ip = need_namespaces()
        self._mark = f"at{os.getpid()}"
        self._count = count

    def within(self, number: int) -> list[str]:
        """Give the command that runs a program on a server's host; 0 is Redis's."""
        return [self._ip, "netns", "exec", self._name(number)]

    @staticmethod
    def address(number: int) -> str:
        """Give the address at which the test reaches a server's host."""
        return f"10.77.{number}.2"

    @staticmethod
    def redis_address(number: int) -> str:
        """Give the address at which a server's host reaches Redis's."""
        return f"10.78.{number}.1"

    def cut(self, number: int) -> None:
        """Let nothing pass between a server and Redis any more, and tell neither."""
        self._in(0, "link", "set", f"redis{number}", "down")

    def mend(self, number: int) -> None:
        """Let everything pass again."""
        self._in(0, "link", "set", f"redis{number}", "up")

    def make(self) -> None:
        """Make the hosts and their links."""
        for number in range(self._count + 1):
            self._run("netns", "add", self._name(number))
            self._in(number, "link", "set", "lo", "up")
        for number in range(1, self._count + 1):
            ours, name = f"{self._mark}c{number}", self._name(number)
            self._run("link", "add", ours, "type", "veth", "peer", "eth0", "netns", name)
            self._run("address", "add", f"10.77.{number}.1/24", "dev", ours)
            self._run("link", "set", ours, "up")
            self._in(number, "address", "add", f"{self.address(number)}/24", "dev", "eth0")
            self._in(number, "link", "set", "eth0", "up")
            theirs = f"redis{number}"
            self._in(0, "link", "add", theirs, "type", "veth", "peer", "eth1", "netns", name)
            self._in(0, "address", "add", f"{self.redis_address(number)}/24", "dev", theirs)
            self._in(0, "link", "set", theirs, "up")
            self._in(number, "address", "add", f"10.78.{number}.2/24", "dev", "eth1")
            self._in(number, "link", "set", "eth1", "up")

    def remove(self) -> None:
        """Remove them; a link is removed first, for the kernel takes its time with a host."""
        for number in range(1, self._count + 1):
            with suppress(subprocess.CalledProcessError):
                self._run("link", "delete", f"{self._mark}c{number}")
        for number in range(self._count + 1):
            with suppress(subprocess.CalledProcessError):
                self._run("netns", "delete", self._name(number))

    def _name(self, number: int) -> str:
        return f"{self._mark}h{number}"

    def _in(self, number: int, *words: str) -> None:
        self._run("-netns", self._name(number), *words)

    def _run(self, *words: str) -> None:
        subprocess.run([self._ip, *words], check=True, capture_output=True)


@contextmanager
def open_hosts(count: int) -> Generator[Hosts, None, None]:
    """Have so many servers' hosts, and one for Redis, for as long as the block lasts."""
    hosts = Hosts(count)
    try:
        hosts.make()
        yield hosts
    finally:
        hosts.remove()
