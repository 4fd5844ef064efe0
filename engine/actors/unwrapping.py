"""A nursery's group of one error leaves as that error.

Its one rule: callers of an actor or a supervisor meet the error that happened, and a group only
where several happened at once; so a predicate like `may_restart` sees a plain error, however many
nurseries it came through. Must not import anything of the engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def single_error() -> Iterator[None]:
    """Unwrap one level of a group that has one member; let everything else pass as it is.

    The error keeps its own `__cause__` and `__context__`.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) != 1:
            raise
        error = group.exceptions[0]
        context = error.__context__
        try:
            raise error
        finally:
            # `raise` put the group here, and the group holds the error: a loop.
            error.__context__ = context
            del error, context
