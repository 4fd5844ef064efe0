"""The life of a serving process: journal, engine, sockets, signals, drain.

From the outside in: the journal's writer, the engine's nursery, the sockets. So sessions outlive
connections, and what sessions say outlives sessions.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from engine import (
    Board,
    Conversations,
    Engine,
    InvalidRequest,
    Journal,
    Limits,
    MemoryJournal,
    Personas,
    ProviderNotFound,
    Providers,
    RedisBoard,
    RedisJournal,
    SimSettings,
    SqliteJournal,
    Wheel,
    all_pipelines,
    open_engine,
    open_sources,
    parse_address,
    provider_configs,
)
from server import last_resort
from server.access import check_keys, open_access
from server.app import create_app
from server.connections import Connections
from server.hub import Hub
from server.listening import open_listeners, serve
from server.logs import log_report
from server.metrics import Metrics
from server.protocols import all_codecs
from server.settings import Settings
from server.tracing import open_tracing

_log = logging.getLogger("antiphon.server")

SOCKETS_S = 0.6
"""What the sockets have for their goodbye: at most until so long after the grace."""

END_S = 0.95
"""When the process is gone, counted from the end of the grace: it has promised one second. What
stalls then (a disk, an upstream that does not close) is left; the journal is safe at any moment."""

AT_ONCE_S = 0.5
"""When it is gone after a second signal."""

GC_THRESHOLDS = (10_000, 500, 100)
"""Young objects are looked at by the ten thousand, which takes 2 to 4 ms, old ones rarely. With the
defaults a full collection in the middle of a stream made p99 215 ms late; with 100,000 young ones
each, every start of some hundred sessions was a pause of 40 ms for all others."""


@asynccontextmanager
async def open_everything(settings: Settings) -> AsyncIterator[Engine]:
    """Open the journal, the providers and the engine, as the settings say."""
    limits = settings.limits()
    async with (
        open_journal(settings, limits) as journal,
        open_providers(settings, limits) as providers,
        open_sources(settings.sources(), limits) as sources,
        open_engine(
            providers=providers,
            pipelines=all_pipelines(templates=Path(settings.data) / "templates"),
            journal=journal,
            limits=limits,
            services={**open_services(settings, journal), "sources": sources},
            board=open_board(settings, limits),
        ) as engine,
    ):
        yield engine


async def serve_until_told(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends it at once.

    Prints `antiphon: listening on http://H:P` on stdout when it is ready.
    """
    await check_keys(settings)
    async with open_everything(settings) as engine:
        hub = Hub(engine, all_codecs(), bounds=settings.bounds(), drain_s=settings.drain_s)
        listeners = open_listeners(settings.host, settings.port, reuse_port=settings.processes > 1)
        connections = Connections()
        metrics = Metrics(hub, connections)
        engine.telemetry.listen(metrics.listen)
        engine.telemetry.listen(log_report)
        async with (
            open_tracing(settings.otlp_endpoint, engine.telemetry),
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(metrics.watch_loop)
            nursery.start_soon(hub.notices.watch)
            await nursery.start(_watch_signals, hub, settings.drain_s, nursery.cancel_scope)
            app = create_app(hub, open_access(engine, settings), metrics)
            await nursery.start(
                _serve_sockets, hub, app, connections, settings, listeners, nursery.cancel_scope
            )
            _settle_memory()
            _announce(listeners)


async def _serve_sockets(
    hub: Hub,
    app: Any,
    connections: Connections,
    settings: Settings,
    listeners: Sequence[trio.SocketListener],
    scope: trio.CancelScope,
    *,
    task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until the drain is over, then end everything, whoever stalls."""

    async def end_in_time() -> None:
        await hub.stopped.wait()
        await trio.sleep_until(min(trio.current_time(), hub.grace_ends_at) + SOCKETS_S)
        scope.cancel(reason="the time after the drain is over")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_in_time)
        await serve(
            app,
            listeners,
            connections=connections,
            limits=settings.connection_limits(),
            grace_s=SOCKETS_S,
            shutdown_trigger=hub.stopped.wait,
            task_status=task_status,
        )
        scope.cancel(reason="all sockets are closed")


def open_board(settings: Settings, limits: Limits) -> Board | None:
    """Give what this process shares with others on the same Redis; None: there is no Redis."""
    if not settings.redis_url:
        return None
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    return RedisBoard(parse_address(settings.redis_url), name, limits)


def open_services(settings: Settings, journal: Journal) -> dict[str, Any]:
    """Give what pipelines get by name.

    Raises:
        TemplateBroken: one of the operator's personas is not right; the message names its file.
    """
    personas = Personas(journal, folder=Path(settings.data) / "personas")
    return {
        "personas": personas,
        "persona_prompts": personas.system_prompt,
        "conversations": Conversations(journal),
    }


@asynccontextmanager
async def open_journal(settings: Settings, limits: Limits) -> AsyncIterator[Journal]:
    """Open the journal; its writer runs inside the block.

    Raises:
        JournalFailed: it cannot be opened; the message says what to do.
    """
    if settings.journal == "memory":
        yield MemoryJournal(limits)
        return
    journal: SqliteJournal | RedisJournal
    if settings.redis_url:
        journal = RedisJournal(parse_address(settings.redis_url), limits)
    else:
        journal = SqliteJournal(journal_path(settings), limits)
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        yield journal
        nursery.cancel_scope.cancel()


def journal_path(settings: Settings) -> Path:
    """Give the journal's file."""
    return Path(settings.data) / "journal.sqlite3"


@asynccontextmanager
async def open_providers(settings: Settings, limits: Limits) -> AsyncIterator[Providers]:
    """Make the providers that the settings name, and close them afterwards.

    Raises:
        InvalidRequest: a provider's table in antiphon.toml, or one of its variables, is not
            allowed, or the default provider is none of them; the message names the setting.
    """
    wheel = Wheel()
    providers = _make_providers(settings, limits, wheel)
    async with trio.open_nursery() as nursery:
        await nursery.start(wheel.run)
        try:
            yield providers
        finally:
            with trio.move_on_after(limits.close_s, shield=True):
                await providers.aclose()
            nursery.cancel_scope.cancel(reason="the providers are closed")


def _make_providers(settings: Settings, limits: Limits, wheel: Wheel) -> Providers:
    configs = provider_configs(os.environ, settings.providers)
    try:
        return Providers(
            configs,
            limits=limits,
            sim=SimSettings(
                ttft_ms=settings.sim_ttft_ms,
                tokens_per_s=settings.sim_tokens_per_s,
                output_tokens=settings.sim_output_tokens,
                faults=settings.sim_faults,
                seed=settings.sim_seed,
            ),
            demo=settings.demo,
            default_provider=settings.default_provider,
            default_model=settings.default_model,
            wheel=wheel,
            attempts=1,
        )
    except ProviderNotFound as error:
        allowed = ", ".join(["simulated", *(config.name for config in configs)])
        raise InvalidRequest(
            f"ANTIPHON_DEFAULT_PROVIDER: no provider is named {settings.default_provider!r}; "
            f"allowed are {allowed}"
        ) from error


async def _watch_signals(
    hub: Hub,
    drain_s: float,
    scope: trio.CancelScope,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async with trio.open_nursery() as nursery:
            async for number in signals:
                if hub.draining.is_set():
                    _log.warning("%s again: ending at once", signal.Signals(number).name)
                    last_resort.end_process(AT_ONCE_S)
                    scope.cancel(reason="second signal")
                    return
                _log.info("%s: draining for at most %g s", signal.Signals(number).name, drain_s)
                last_resort.end_process(drain_s + END_S)
                hub.begin_drain()
                nursery.start_soon(_drain, hub, drain_s)


async def _drain(hub: Hub, drain_s: float) -> None:
    await hub.engine.drain(drain_s)
    hub.stopped.set()


def _settle_memory() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _announce(listeners: Sequence[trio.SocketListener]) -> None:
    host, port = listeners[0].socket.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"antiphon: listening on http://{shown}:{port}", flush=True)
