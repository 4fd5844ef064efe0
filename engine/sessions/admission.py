"""What a pipeline may look up before a session begins: whether what a request names is there.

A pipeline that has an `admit` may refuse a request that parses well: nothing is started then, and
nothing is kept. What it gives back is the command that the session runs and the journal keeps, so
that a session that is brought back needs no second look. Must not import pipelines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import msgspec

from engine.journal.interface import Journal
from engine.providers.interface import Directory


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and where to look."""

    owner: str
    journal: Journal
    providers: Directory
    services: Mapping[str, Any]
    new_id: Callable[[], str]
    now: Callable[[], float]


@runtime_checkable
class Admitting(Protocol):
    """A pipeline that looks things up before its sessions begin."""

    async def admit(self, command: Any, admission: Admission) -> Any:
        """Give the command that the session will run.

        Raises:
            CallerError: what the request names is not there, or not for this caller.

        Cancellation: nothing was started.
        """
        ...
