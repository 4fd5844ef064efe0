"""What a pipeline is: the work of one kind of session.

The one rule: a pipeline says everything through its `Run`, and keeps nothing that a restart would
need. Pipelines import no sibling, no server, and no provider by name.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from engine.events import JSON, Completed, Failed
from engine.sessions.run import Run

C = TypeVar("C", bound=BaseModel)


class Pipeline(Protocol[C]):
    """One of the five words, at work."""

    name: str
    """generate, content, rater, persona or exhibition."""

    is_detached: bool
    """Whether its sessions run on without a reader, unless the request says otherwise."""

    def parse(self, data: JSON) -> tuple[C, tuple[str, ...]]:
        """Turn a request into a command, and say what was odd about it.

        Must also take what the command serialises itself to (`model_dump(mode="json")`).

        Raises:
            InvalidRequest: with one detail for each fault.
        """
        ...

    async def run(self, run: Run, command: C) -> Completed | Failed:
        """Do the work and give the terminal event; its usage is filled in by the session.

        After a crash it is called again with the same command, and `run.view` holds what is done.

        Raises:
            AntiphonError: ends the session with that error.

        Cancellation: at any point; whatever is open has to be closed.
        """
        ...


AnyPipeline = Pipeline[Any]
