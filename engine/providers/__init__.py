"""Providers: sources of generated text, and the policies that wrap them.

`OpenAIProvider` is loaded when it is first asked for: its SDK takes a third of a second to import,
and a process that has no key never needs it.
"""

from typing import TYPE_CHECKING

from engine.providers.config import ProviderConfig, provider_configs
from engine.providers.interface import (
    Delta,
    GenerationRequest,
    Message,
    Profile,
    Provider,
    ProviderInfo,
)
from engine.providers.registry import Providers, ProviderStatistics, wrap
from engine.providers.simulated import SimulatedProvider
from engine.providers.simulation.settings import SimSettings

if TYPE_CHECKING:
    from engine.providers.openai import OpenAIProvider

__all__ = [
    "Delta",
    "GenerationRequest",
    "Message",
    "OpenAIProvider",
    "Profile",
    "Provider",
    "ProviderConfig",
    "ProviderInfo",
    "ProviderStatistics",
    "Providers",
    "SimSettings",
    "SimulatedProvider",
    "provider_configs",
    "wrap",
]


def __getattr__(name: str) -> object:
    if name != "OpenAIProvider":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from engine.providers.openai import OpenAIProvider

    return OpenAIProvider
