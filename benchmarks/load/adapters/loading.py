"""From a target's name to its adapter: ours, OpenAI's, or MODULE:NAME of somebody else."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from benchmarks.load.adapters.antiphon import content, generate, rater
from benchmarks.load.adapters.exhibition import Exhibition
from benchmarks.load.adapters.interface import Adapter
from benchmarks.load.adapters.openai import OpenAI
from benchmarks.load.adapters.personas import personas
from benchmarks.load.adapters.subscribers import Subscribers

ADAPTERS: dict[str, Callable[..., Adapter]] = {
    "generate": generate,
    "persona": personas,
    "exhibition": Exhibition,
    "content": content,
    "rater": rater,
    "subscribers": Subscribers,
    "openai-chat": partial(OpenAI, api="chat"),
    "openai-responses": partial(OpenAI, api="responses"),
}
"""The targets that have a name."""

NEEDED = ("wire", "path", "conversation")


def load_adapter(target: str, options: dict[str, Any]) -> Adapter:
    """Make an adapter.

    Raises:
        ValueError: there is none of this name, or it does not take these options; the message says
            which there are.
    """
    make = ADAPTERS.get(target) or _import(target)
    try:
        inspect.signature(make).bind(**options)
    except TypeError as error:
        allowed = [name for name in inspect.signature(make).parameters if name != "api"]
        raise ValueError(
            f"target {target!r}: {error}; its options are {', '.join(allowed) or 'none'}"
        ) from None
    adapter = make(**options)
    missing = [name for name in NEEDED if not hasattr(adapter, name)]
    if missing:
        raise ValueError(f"target {target!r} has no {' and no '.join(missing)}")
    if adapter.wire not in ("websocket", "sse"):
        raise ValueError(f"target {target!r}: its wire is {adapter.wire!r}, not websocket or sse")
    return adapter


def _import(target: str) -> Callable[..., Adapter]:
    module, colon, name = target.partition(":")
    if not colon:
        raise ValueError(
            f"there is no target {target!r}; there are {', '.join(ADAPTERS)}, and MODULE:NAME"
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"target {target!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"target {target!r} is not callable")
    return cast("Callable[..., Adapter]", found)
