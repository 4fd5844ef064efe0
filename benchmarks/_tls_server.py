"""Our server with TLS of its own, which `antiphon serve` leaves to a proxy.

It is no benchmark by itself; `benchmarks._servers` runs it.

    python -m benchmarks._tls_server FOLDER CERTIFICATE KEY
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import trio

from server.access import open_access
from server.app import create_app
from server.connections import Connections
from server.hub import Hub
from server.listening import open_listeners, open_tls, serve
from server.metrics import Metrics
from server.protocols import all_codecs
from server.serving import GC_THRESHOLDS, open_everything
from server.settings import load


async def main(folder: str, certificate: str, key: str) -> None:
    settings = load({"data": Path(folder)})
    async with open_everything(settings) as engine:
        hub = Hub(engine, all_codecs(), bounds=settings.bounds(), drain_s=settings.drain_s)
        connections = Connections()
        metrics = Metrics(hub, connections)
        engine.telemetry.listen(metrics.listen)
        app = create_app(hub, open_access(engine, settings), metrics)
        listeners = open_listeners("127.0.0.1", 0)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        print(f"listening on http://127.0.0.1:{listeners[0].socket.getsockname()[1]}", flush=True)
        await serve(
            app,
            listeners,
            connections=connections,
            limits=settings.connection_limits(),
            tls=open_tls(certificate, key),
        )


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:4])
