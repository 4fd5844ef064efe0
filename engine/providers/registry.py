"""All providers by name, each wrapped as its configuration says.

The one rule: this is the only module that knows all of its siblings. Clients are made when their
provider is first asked for; OpenAI's SDK, whose import takes a third of a second, is loaded with
the registry where a provider needs it, and nowhere else. Place in the flow: pipelines get their
providers here. Must not import sessions or pipelines.

The order of the wrappers, from the outside to the provider, and why:

    fallback    the whole of a provider, its waits included, has to have failed before the next
                is asked; a provider whose breaker is open gives way at once
    breaking    a call that succeeds at its second try is a success: what counts is what callers
                see; an open breaker costs no wait for a slot and no retries
    retrying    its waits hold no slot
    limiting    each try is a request of its own, and reserves its own tokens
    metering    counts real calls, and tells the limit what was used
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import msgspec
import trio

from engine.errors import ProviderNotConfigured, ProviderNotFound
from engine.limits import Limits
from engine.providers.breaking import BreakingProvider
from engine.providers.config import ProviderConfig
from engine.providers.fallback import FallbackProvider, FallingBack, Link
from engine.providers.interface import Profile, Provider, ProviderHealth, ProviderInfo
from engine.providers.limiting import LimitedProvider, LimiterStatistics
from engine.providers.metering import MeteredProvider, MeterStatistics
from engine.providers.retrying import OnRetry, RetryingProvider
from engine.providers.simulated import SIMULATED, SimulatedProvider
from engine.providers.simulation.pacing import Wheel
from engine.providers.simulation.settings import MODELS, SimSettings
from engine.supervision.breaker import Breaker, BreakerState

if TYPE_CHECKING:
    from engine.providers.openai import OpenAIProvider


class ProviderStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What one provider did so far, and how it is."""

    name: str
    meter: MeterStatistics
    limiter: LimiterStatistics | None
    retries: int
    breaker: BreakerState


class Wrapped(msgspec.Struct, frozen=True, kw_only=True):
    """A provider with its wrappers, each within reach for its statistics."""

    provider: Provider
    """The outermost one: the one to use."""
    meter: MeteredProvider
    limiter: LimitedProvider | None
    retrying: RetryingProvider
    breaking: BreakingProvider

    def statistics(self) -> ProviderStatistics:
        """Put the wrappers' statistics together."""
        return ProviderStatistics(
            name=self.provider.name,
            meter=self.meter.statistics(),
            limiter=self.limiter.statistics() if self.limiter else None,
            retries=self.retrying.retries,
            breaker=self.breaking.breaker.state,
        )

    def health(self) -> ProviderHealth:
        """Say how the provider is; see `Directory.health`."""
        info, counts = self.provider.info(), self.meter.statistics()
        breaker, limiter = self.breaking.breaker, self.limiter
        requests_per_minute, tokens_per_minute = limiter.rates if limiter else (None, None)
        return ProviderHealth(
            name=info.name,
            simulated=info.simulated,
            healthy=info.healthy,
            reason=info.reason,
            breaker=breaker.state,
            retry_after_s=breaker.retry_after_s(trio.current_time()),
            open_upstreams=counts.open,
            waiting=limiter.statistics().waiting if limiter else 0,
            concurrency=limiter.concurrency if limiter else 0,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            calls=counts.calls,
            failed=counts.failed,
            retries=self.retrying.retries,
        )


def wrap(
    provider: Provider,
    config: ProviderConfig,
    limits: Limits,
    *,
    on_retry: OnRetry | None = None,
    attempts: int | None = None,
) -> Wrapped:
    """Wrap a provider in the order of this module's table, without the fallback.

    Args:
        provider: the innermost one.
        config: its limits.
        limits: attempts, waits and the breaker's bounds.
        on_retry: is told of each retry; must not block.
        attempts: of one call, the first included; None is as the limits say.
    """
    if attempts is not None:
        limits = msgspec.structs.replace(limits, max_attempts=attempts)
    meter = MeteredProvider(provider)
    concurrency = limits.provider_concurrency if config.kind == "openai" else 0
    if config.concurrency is not None:
        concurrency = config.concurrency
    limiter = None
    if concurrency or config.requests_per_minute or config.tokens_per_minute:
        limiter = LimitedProvider(
            meter,
            concurrency=concurrency,
            requests_per_minute=config.requests_per_minute,
            tokens_per_minute=config.tokens_per_minute,
            limits=limits,
        )
    retrying = RetryingProvider(limiter or meter, limits=limits, on_retry=on_retry)
    breaker = Breaker(
        failures=limits.provider_breaker_failures,
        calls=limits.provider_breaker_calls,
        reset_s=limits.provider_breaker_reset_s,
    )
    breaking = BreakingProvider(retrying, breaker=breaker)
    return Wrapped(
        provider=breaking, meter=meter, limiter=limiter, retrying=retrying, breaking=breaking
    )


class Providers:
    """All providers of a process.

    Args:
        configs: as `provider_configs` gives them. The simulated one is always there besides.
        limits: bounds and time-outs.
        sim: the simulated provider's settings.
        demo: whether known providers without a key are played by the simulated one.
        default_provider: the name; "" is `openai` where it is configured, else `simulated`.
        default_model: the model of requests that name neither provider nor model; "" is the
            default provider's own.
        wheel: a shared timer for the simulated provider's pauses.
        on_retry: is told of each retry; must not block.
        attempts: of one call, the first included; None is as the limits say. Sessions set 1: they
            try again by themselves, so that each retry is an event that readers see.
        on_fallback: is told of each step along a chain; must not block.

    Raises:
        ProviderNotFound: `default_provider` is none of them.
    """

    def __init__(
        self,
        configs: Sequence[ProviderConfig] = (),
        *,
        limits: Limits | None = None,
        sim: SimSettings | None = None,
        demo: bool = False,
        default_provider: str = "",
        default_model: str = "",
        wheel: Wheel | None = None,
        on_retry: OnRetry | None = None,
        attempts: int | None = None,
        on_fallback: Callable[[FallingBack], None] | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._sim = sim or SimSettings()
        self._demo = demo
        self._wheel = wheel
        self._on_retry = on_retry
        self._attempts = attempts
        self._on_fallback = on_fallback
        simulated = ProviderConfig(name=SIMULATED, kind="simulated", models=MODELS)
        self._configs = {config.name: config for config in (simulated, *configs)}
        self._made: dict[str, Wrapped] = {}
        self._chained: dict[str, Provider] = {}
        self._default_name = self._key(default_provider) if default_provider else ""
        if not self._default_name:
            openai = self._configs.get("openai")
            self._default_name = "openai" if openai and not openai.missing else SIMULATED
        self._default_model = default_model
        if any(config.kind == "openai" and not config.missing for config in configs):
            import_module("engine.providers.openai")  # now, and not in the first request

    @property
    def names(self) -> tuple[str, ...]:
        """All names, configured or not."""
        return tuple(self._configs)

    @property
    def default_name(self) -> str:
        """The provider of requests that name none."""
        return self._default_name

    @property
    def default_model(self) -> str:
        """The model of requests that name neither provider nor model; "" is the provider's."""
        return self._default_model

    def get(self, name: str) -> Provider:
        """Give a provider by its name, in any case; "" is the default one.

        Raises:
            ProviderNotFound: no provider has this name.
            ProviderNotConfigured: its key or address is missing, and nobody plays it.
        """
        key = self._key(name) if name.strip() else self._default_name
        if key not in self._chained:
            self._chained[key] = self._with_fallback(key)
        return self._chained[key]

    def resolve(self, text: str) -> tuple[Provider, str]:
        """Find provider and model for what a request calls either of them.

        Args:
            text: "provider/model", a provider's name, a model that a provider lists, or "".

        Returns:
            The provider and the model's name, never "".

        Raises:
            ProviderNotFound, ProviderNotConfigured: as `get`.
        """
        text = text.strip()
        if not text:
            provider = self.get(self._default_name)
            return provider, self._default_model or provider.default_model
        name, slash, model = text.partition("/")
        if name.lower() in self._configs and (model or not slash):
            provider = self.get(name)
            return provider, model or provider.default_model
        listing = [config for config in self._configs.values() if text in config.models]
        ready = [config for config in listing if not config.missing]
        for config in (*ready, *listing):
            return self.get(config.name), text
        raise self._nobody(text)

    def infos(self) -> tuple[ProviderInfo, ...]:
        """Describe all of them, without secrets."""
        return tuple(self._info(config) for config in self._configs.values())

    def statistics(self) -> tuple[ProviderStatistics, ...]:
        """What those that were used did so far."""
        return tuple(wrapped.statistics() for wrapped in self._made.values())

    def health(self) -> tuple[ProviderHealth, ...]:
        """Say how those are that can be used, now; inside of trio only."""
        usable = [config.name for config in self._configs.values() if self._usable(config)]
        return tuple(self._wrapped(name).health() for name in usable)

    async def aclose(self) -> None:
        """Close them all. None may be used afterwards."""
        made, self._made, self._chained = list(self._made.values()), {}, {}
        async with trio.open_nursery() as nursery:
            for wrapped in made:
                nursery.start_soon(wrapped.provider.aclose)

    def _key(self, name: str) -> str:
        key = name.strip().lower()
        if key not in self._configs:
            raise self._nobody(name)
        return key

    def _nobody(self, name: str) -> ProviderNotFound:
        known = ", ".join(self._configs)
        return ProviderNotFound(f"no provider is named {name.strip()[:100]!r}; there are {known}")

    def _with_fallback(self, key: str) -> Provider:
        first = self._wrapped(key).provider
        chain = []
        for entry in self._configs[key].fallback:
            name, _, model = entry.partition("/")
            if self._usable(self._configs[name]):
                chain.append(Link(self._wrapped(name).provider, model))
        if not chain:
            return first
        return FallbackProvider(first, chain, on_fallback=self._on_fallback)

    def _usable(self, config: ProviderConfig) -> bool:
        return self._demo or not config.missing

    def _wrapped(self, key: str) -> Wrapped:
        if key not in self._made:
            config = self._configs[key]
            provider, plays = self._make(config)
            if plays:  # the account's limits are not those of the one that plays it
                config = ProviderConfig(name=config.name, kind="simulated")
            self._made[key] = wrap(
                provider, config, self._limits, on_retry=self._on_retry, attempts=self._attempts
            )
        return self._made[key]

    def _make(self, config: ProviderConfig) -> tuple[Provider, bool]:
        """Make a provider; and whether it is played by the simulated one."""
        if config.kind == "simulated":
            return SimulatedProvider(self._sim, name=config.name, wheel=self._wheel), False
        if not config.missing:
            return _openai(config, self._limits), False
        if not self._demo:
            raise ProviderNotConfigured(f"{config.name} is not configured ({config.missing})")
        played = SimulatedProvider(
            self._sim,
            name=config.name,
            plays=config.name,
            models=config.models or (config.default_model or "default",),
            wheel=self._wheel,
        )
        return played, True

    def _info(self, config: ProviderConfig) -> ProviderInfo:
        if self._usable(config):
            return self._wrapped(config.name).provider.info()
        return ProviderInfo(
            name=config.name,
            models=config.models,
            default_model=config.default_model,
            configured=False,
            healthy=False,
            reason=f"not configured ({config.missing})",
        )

    def __repr__(self) -> str:
        return f"<Providers {', '.join(self._configs)}; default {self._default_name}>"


def _openai(config: ProviderConfig, limits: Limits) -> OpenAIProvider:
    from engine.providers.openai import CHAT_PROFILE, RESPONSES_PROFILE, OpenAIProvider

    profile = RESPONSES_PROFILE if config.speaks_responses else CHAT_PROFILE
    if not config.is_at_openai:
        # The newer field is OpenAI's own; every other server knows the old one.
        profile = msgspec.structs.replace(profile, max_tokens_field="max_tokens")
    known = {**msgspec.structs.asdict(profile), **config.profile}
    return OpenAIProvider(
        name=config.name,
        api_key=config.api_key,
        base_url=config.base_url,
        profile=msgspec.convert(known, Profile),
        default_model=config.default_model,
        models=config.models,
        embedding_model=config.embedding_model,
        limits=limits,
        fall_back_to_chat=config.api in ("auto", "responses"),  # also where it was asked for
    )
