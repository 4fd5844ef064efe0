"""`antiphon doctor`: checks the set-up, and says what to do about what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import trio

from engine import (
    AntiphonError,
    JournalFailed,
    Providers,
    check_redis,
    parse_address,
    provider_configs,
)
from server.settings import BadSetting, Settings, load

PACKAGES = ("trio", "hypercorn", "quart", "quart-trio", "trio-websocket", "openai", "pydantic")
OPTIONAL = {
    "chromium": "only the browser tests need it",
    "redis-server": "only several processes as one service need it",
    "node": "only the JavaScript tests need it",
}


class Finding(NamedTuple):
    """One line of the report."""

    level: Literal["ok", "note", "bad"]
    what: str
    advice: str = ""


def run(flags: dict[str, Any], config: Path | None) -> int:
    """Report; gives 1 where something has to be done, else 0."""
    worst = 0
    for finding in _findings(flags, config):
        mark = {"ok": "ok  ", "note": "note", "bad": "BAD "}[finding.level]
        print(f"{mark} {finding.what}" + (f": {finding.advice}" if finding.advice else ""))
        worst = max(worst, int(finding.level == "bad"))
    return worst


def _findings(flags: dict[str, Any], config: Path | None) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("ok", f"Python {version}")
    yield from _packages()
    try:
        settings = load(flags, environ=os.environ, config=config)
    except BadSetting as error:
        yield Finding("bad", "settings", str(error))
        return
    yield Finding("ok", "settings")
    yield _port(settings)
    yield _folder(settings)
    yield _full_text()
    if settings.redis_url:
        yield from _redis(settings)
    yield from _providers(settings)
    for name, purpose in OPTIONAL.items():
        found = shutil.which(name)
        yield Finding("ok", name) if found else Finding("note", f"no {name}", purpose)


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding("ok", f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding("bad", f"no {name}", "run make setup")


def _port(settings: Settings) -> Finding:
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            return Finding("bad", f"{where} cannot be listened on", f"{error.strerror}; try --port")
    return Finding("ok", f"{where} is free")


def _folder(settings: Settings) -> Finding:
    folder = settings.data
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".doctor"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        return Finding("bad", f"{folder} cannot be written", f"{error.strerror}; try --data")
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    if free_mb < 500:
        return Finding("bad", f"{folder} has {free_mb} MB left", "make room, or try --data")
    return Finding("ok", f"{folder} is writable, {free_mb} MB free")


def _full_text() -> Finding:
    with sqlite3.connect(":memory:") as database:
        try:
            database.execute("create virtual table probe using fts5(text)")
        except sqlite3.OperationalError:
            return Finding("bad", "SQLite has no full-text search", "use a Python built with FTS5")
    return Finding("ok", f"SQLite {sqlite3.sqlite_version} with full-text search")


def _redis(settings: Settings) -> Iterator[Finding]:
    address = parse_address(settings.redis_url)
    try:
        warnings = trio.run(check_redis, address, settings.limits())
    except JournalFailed as error:
        yield Finding("bad", "Redis", error.message)
        return
    yield Finding("ok", f"Redis at {address.name}")
    for warning in warnings:
        yield Finding("note", f"Redis at {address.name}", warning)


def _providers(settings: Settings) -> Iterator[Finding]:
    try:
        providers = Providers(
            provider_configs(os.environ, settings.providers),
            demo=settings.demo,
            default_provider=settings.default_provider,
            default_model=settings.default_model,
        )
    except (AntiphonError, ValueError) as error:
        yield Finding("bad", "providers", str(error))
        return
    for info in providers.infos():
        if info.configured:
            yield Finding("ok", f"provider {info.name}")
        else:
            yield Finding("note", f"provider {info.name}", info.reason)
    yield Finding("ok", f"default provider: {providers.default_name}")
