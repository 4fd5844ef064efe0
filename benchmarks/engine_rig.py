"""An engine of our own for one measurement: the simulated provider, and a journal by its name."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from engine import Engine
from server.serving import open_everything
from server.settings import Settings

JOURNALS = ("memory", "sqlite")


@asynccontextmanager
async def open_rig(journal: str, **settings: object) -> AsyncIterator[Engine]:
    """Open an engine as the server does, with a journal in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        values = {"journal": journal, "data": Path(folder), "max_sessions": 10_000, **settings}
        async with open_everything(Settings(**values)) as engine:  # type: ignore[arg-type]
            yield engine
