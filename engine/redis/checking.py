"""Looks at a Redis server before it is relied upon: what it lacks, and what may be lost with it.

Must not import coredis, nor a journal.
"""

from __future__ import annotations

import trio

from engine.errors import JournalFailed
from engine.limits import Limits
from engine.redis.address import RedisAddress
from engine.redis.link import Away, Link, Refused

OLDEST = (6, 2)
"""XAUTOCLAIM came with it."""


async def check_redis(address: RedisAddress, limits: Limits) -> list[str]:
    """Connect once, and give what `check_server` gives.

    Raises:
        JournalFailed: it cannot be reached, or cannot be used; the message says why.
    """
    link = Link(address, name="antiphon-doctor", limits=limits)
    found: list[str] = []
    failure: JournalFailed | None = None
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(link.run)
            found = await check_server(link)
        except JournalFailed as error:
            failure = error
        except Away as error:
            failure = JournalFailed(f"Redis at {address.name} cannot be used: {error}")
        nursery.cancel_scope.cancel(reason="it was looked at")
    if failure is not None:
        raise failure
    return found


async def check_server(link: Link) -> list[str]:
    """Give what an operator should know of how durable it is; empty: all is well.

    Raises:
        JournalFailed: it cannot be used: too old, a cluster, or set to throw data away.
        Away: it cannot be asked now.
    """
    name = link.address.name
    server = _fields(await link.ask(b"INFO", b"server"))
    version = server.get("redis_version", "0")
    if tuple(int(each) for each in version.split(".")[:2] if each.isdecimal()) < OLDEST:
        raise JournalFailed(f"Redis at {name} is version {version}; 6.2 or later is needed")
    if server.get("redis_mode") == "cluster":
        raise JournalFailed(f"Redis at {name} is a cluster; a single server is needed")
    try:
        policy = await _setting(link, "maxmemory-policy")
        append_only = await _setting(link, "appendonly")
        sync = await _setting(link, "appendfsync")
    except Refused as error:
        return [f"how durable it is could not be checked ({error})"]
    if policy.startswith("allkeys"):
        raise JournalFailed(
            f"Redis at {name} throws data away when its memory is full: "
            f"set its maxmemory-policy to noeviction instead of {policy}"
        )
    if append_only != "yes":
        return [
            "it does not write every change to its disk (appendonly no): when it is killed, "
            "sessions since its last snapshot are lost; set appendonly to yes"
        ]
    if sync == "no":
        return [
            "it leaves it to its system when to write to the disk (appendfsync no): when the "
            "machine fails, half a minute may be lost; set appendfsync to everysec or always"
        ]
    return []


async def _setting(link: Link, name: str) -> str:
    answer = await link.ask(b"CONFIG GET", name)
    pairs = (
        answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
    )
    value: bytes = pairs.get(name.encode(), b"")
    return value.decode()


def _fields(info: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in info.decode().splitlines())
    return {name: value for name, mark, value in lines if mark}
