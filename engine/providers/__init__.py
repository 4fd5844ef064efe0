"""Providers: sources of generated text, and the policies that wrap them."""

from engine.providers.config import ProviderConfig, provider_configs
from engine.providers.interface import (
    Delta,
    GenerationRequest,
    Message,
    Profile,
    Provider,
    ProviderInfo,
)
from engine.providers.openai import OpenAIProvider
from engine.providers.registry import Providers, ProviderStatistics, wrap
from engine.providers.simulated import SimulatedProvider
from engine.providers.simulation.settings import SimSettings

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
