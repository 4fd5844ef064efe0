"""The how-to page's samples are real files that work."""

from __future__ import annotations

import tomllib
from pathlib import Path

from engine.limits import Limits
from engine.providers.config import KNOWN_NAMES, provider_configs
from engine.providers.registry import Providers

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGE = (HOW_TO / "providers.md").read_text()
TOML = (HOW_TO / "providers.toml").read_text()
ENV = (HOW_TO / "providers.env").read_text()


def _environ() -> dict[str, str]:
    return dict(line.split("=", 1) for line in ENV.splitlines())


def test_samples_on_the_page_are_the_files() -> None:
    """Every sample is a file."""
    assert f"```toml\n{TOML}```" in PAGE
    assert f"```sh\n{ENV}```" in PAGE


def test_samples_make_the_providers_that_they_promise() -> None:
    """Every sample is a file that a test runs."""
    environ = _environ()
    configs = provider_configs(environ, tomllib.loads(TOML)["providers"])
    providers = Providers(configs, default_provider=environ["ANTIPHON_DEFAULT_PROVIDER"])
    configured = {info.name for info in providers.infos() if info.configured}
    assert configured == {"simulated", "openai", "anthropic", "ollama", "vllm", "gateway"}
    assert providers.get("gateway").profile.api == "responses"
    assert providers.get("vllm").profile.api == "chat"
    assert not providers.get("vllm").profile.embeddings
    assert providers.resolve("")[1] == "qwen3-32b"


def test_page_names_each_known_provider_with_its_variables() -> None:
    """The table is in step with the code."""
    for config in provider_configs({}):
        assert f"| `{config.name}` |" in PAGE
        assert f"`{config.key_variable}`" in PAGE or not config.key_variable
    assert len(KNOWN_NAMES) == 5


def test_numbers_on_the_page_are_those_of_the_limits() -> None:
    """What happens when a provider fails."""
    limits = Limits()
    assert (limits.max_attempts, limits.max_retry_after_s) == (3, 60)
    assert (limits.provider_breaker_failures, limits.provider_breaker_calls) == (5, 10)
    assert f"{limits.provider_breaker_reset_s:.0f} seconds" in PAGE
