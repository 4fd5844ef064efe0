"""Providers are found by name, by model, or refused in the contract's words."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from engine.errors import ProviderNotConfigured, ProviderNotFound, ProviderUnavailable
from engine.limits import Limits
from engine.providers.config import ProviderConfig, provider_configs
from engine.providers.interface import Delta, GenerationRequest, Message, Provider
from engine.providers.registry import Providers, wrap
from engine.providers.simulation.settings import SimSettings
from engine.testing.scripted_provider import Fail, ScriptedProvider, say

INSTANT = SimSettings(ttft_ms=0, tokens_per_s=0)
KEYS = {"OPENAI_API_KEY": "sk-secret-key"}


def _providers(environ: dict[str, str] | None = None, *, demo: bool = False) -> Providers:
    return Providers(provider_configs(environ or {}), sim=INSTANT, demo=demo)


async def _read(provider: Provider, model: str = "") -> list[Delta]:
    message = Message(role="user", content="Say something")
    async with provider.stream(GenerationRequest(messages=(message,), model=model)) as deltas:
        return [delta async for delta in deltas]


@pytest.mark.parametrize("name", ["nobody", "open ai", "simulated/"])
def test_unknown_name_is_refused_with_those_that_there_are(name: str) -> None:
    """A refusal names what is wrong and what is allowed; StreamGenerate has words of its own."""
    with pytest.raises(ProviderNotFound) as caught:
        _providers().get(name)
    known = ", ".join(info.name for info in _providers().infos())
    assert caught.value.message == f"no provider is named {name!r}; there are {known}"


def test_known_one_without_a_key_is_refused_in_the_contracts_words() -> None:
    """It names the variable to set."""
    with pytest.raises(ProviderNotConfigured) as caught:
        _providers().get("openai")
    assert caught.value.message == "openai is not configured (set OPENAI_API_KEY)"


async def test_demo_mode_plays_a_known_one_and_says_so() -> None:
    """The simulated provider plays it, and says so in provider and model."""
    provider = _providers(demo=True).get("OpenAI")
    assert provider.name == "openai"
    assert provider.info().simulated
    deltas = await _read(provider, "gpt-4o")
    assert deltas[-1].finish == "stop"
    models = {delta.model for delta in deltas if delta.model}
    assert models
    assert all("simulated" in model for model in models)
    assert {delta.provider for delta in deltas if delta.model} == {"simulated"}


def test_demo_mode_leaves_a_configured_one_alone() -> None:
    """Only a provider without a key is played."""
    assert not _providers(KEYS, demo=True).get("openai").info().simulated


@pytest.mark.parametrize(("environ", "name"), [({}, "simulated"), (KEYS, "openai")])
def test_default_is_openai_where_its_key_is_set(environ: dict[str, str], name: str) -> None:
    """`openai` where OPENAI_API_KEY is set, else `simulated`."""
    providers = _providers(environ)
    assert providers.default_name == name
    assert providers.get("").name == name


def test_default_can_be_overridden() -> None:
    """ANTIPHON_DEFAULT_PROVIDER and ANTIPHON_DEFAULT_MODEL."""
    providers = Providers(
        provider_configs(KEYS), default_provider="Simulated", default_model="instant"
    )
    assert providers.default_name == "simulated"
    provider, model = providers.resolve("")
    assert (provider.name, model) == ("simulated", "instant")
    with pytest.raises(ProviderNotFound):
        Providers((), default_provider="nobody")


@pytest.mark.parametrize(
    ("text", "name", "model"),
    [
        ("", "openai", "gpt-4o-mini"),
        ("openai", "openai", "gpt-4o-mini"),
        ("openai/gpt-9", "openai", "gpt-9"),
        ("openrouter/meta/llama", "openrouter", "meta/llama"),
        ("gpt-4o", "openai", "gpt-4o"),
        ("instant", "simulated", "instant"),
        (" Simulated ", "simulated", "default"),
    ],
)
def test_resolve_finds_provider_and_model(text: str, name: str, model: str) -> None:
    """A provider and model, a provider's name, a model that one lists, or nothing."""
    providers = _providers({**KEYS, "OPENROUTER_API_KEY": "k"})
    provider, found = providers.resolve(text)
    assert (provider.name, found) == (name, model)


def test_resolve_prefers_a_provider_that_is_configured() -> None:
    """A model that two list goes to the one that can answer."""
    configs = (
        ProviderConfig(name="a", models=("m",)),
        ProviderConfig(name="b", models=("m",), base_url="http://b/v1", default_model="m"),
    )
    assert Providers(configs).resolve("m")[0].name == "b"


@pytest.mark.parametrize("text", ["no-such-model", "nobody/gpt-4o", "openai/"])
def test_resolve_refuses_what_nobody_lists(text: str) -> None:
    """A model that nobody lists is no provider."""
    with pytest.raises(ProviderNotFound):
        _providers(KEYS).resolve(text)


def test_infos_tell_what_to_do_and_no_secret() -> None:
    """Names, models, whether configured and healthy; no secret."""
    infos = {info.name: info for info in _providers(KEYS).infos()}
    assert infos["openai"].configured
    assert infos["openai"].healthy
    assert not infos["google"].configured
    assert infos["google"].reason == "not configured (set GEMINI_API_KEY)"
    assert infos["simulated"].simulated
    assert "sk-secret-key" not in str(infos)


async def test_same_name_gives_the_same_provider_until_closed() -> None:
    """One client for all calls of a name; closing closes them all."""
    providers = _providers(KEYS)
    assert providers.get("openai") is providers.get("openai")
    await _read(providers.get("simulated"))
    [statistics] = [one for one in providers.statistics() if one.name == "simulated"]
    assert (statistics.meter.calls, statistics.meter.open) == (1, 0)
    await providers.aclose()
    assert providers.statistics() == ()


async def test_chain_is_composed_from_the_configuration() -> None:
    """The next provider of the chain answers under its own name."""
    configs = provider_configs(
        {},
        {
            "gone": {
                "base_url": "http://127.0.0.1:1/v1",
                "default_model": "m",
                "fallback": ["simulated/instant"],
            }
        },
    )
    limits = Limits(max_attempts=1)
    providers = Providers(configs, limits=limits, sim=INSTANT)
    deltas = await _read(providers.get("gone"))
    assert deltas[0].provider == "simulated"
    await providers.aclose()


async def test_wrapped_provider_retries_counts_and_breaks(autojump_clock: MockClock) -> None:
    """The wrappers stand in the documented order: each try is counted, one outcome breaks."""
    down = [Fail(ProviderUnavailable("down"))]
    inner = ScriptedProvider(down, say("ok"), down)
    limits = Limits(max_attempts=2, provider_breaker_failures=1, provider_breaker_calls=1)
    wrapped = wrap(inner, ProviderConfig(name="scripted", concurrency=1), limits)
    assert "".join(delta.text for delta in await _read(wrapped.provider)) == "ok"
    assert wrapped.statistics().breaker == "closed"
    with pytest.raises(ProviderUnavailable, match="down"):
        await _read(wrapped.provider)
    with pytest.raises(ProviderUnavailable, match="left alone"):
        await _read(wrapped.provider)
    statistics = wrapped.statistics()
    assert (statistics.meter.calls, statistics.meter.completed, statistics.meter.failed) == (
        4,
        1,
        3,
    )
    assert (statistics.retries, statistics.breaker) == (2, "open")
    assert statistics.limiter is not None
    assert (statistics.limiter.running, inner.open_calls) == (0, 0)
    assert not wrapped.provider.info().healthy
