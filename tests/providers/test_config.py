"""Providers are read from the environment and antiphon.toml, and faults are named."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from engine.errors import InvalidRequest
from engine.providers.config import KNOWN_NAMES, ProviderConfig, provider_configs


def _named(name: str, environ: dict[str, str], toml: str = "") -> ProviderConfig:
    table = tomllib.loads(toml).get("providers", {})
    return next(config for config in provider_configs(environ, table) if config.name == name)


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("google", "GEMINI_API_KEY"),
        ("openrouter", "OPENROUTER_API_KEY"),
    ],
)
def test_known_provider_needs_its_key_and_no_more(name: str, variable: str) -> None:
    """Each is switched on under its name by its key's variable."""
    assert _named(name, {}).missing == f"set {variable}"
    assert _named(name, {variable: "k-1"}).missing == ""


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434/v1"),
        ("127.0.0.1:9", "http://127.0.0.1:9/v1"),
        ("http://box:11434", "http://box:11434/v1"),
        ("https://box/", "https://box/v1"),
        ("http://box/ollama/v1", "http://box/ollama/v1"),
    ],
)
def test_ollama_is_switched_on_by_its_host(host: str, url: str) -> None:
    """OLLAMA_HOST is a host, host:port or address; no key is wanted."""
    assert _named("ollama", {}).missing == "set OLLAMA_HOST"
    config = _named("ollama", {"OLLAMA_HOST": host})
    assert (config.base_url, config.missing) == (url, "")


@pytest.mark.parametrize(
    ("url", "toml", "responses"),
    [
        ("", "", True),
        ("http://localhost:8080/v1", "", False),
        ("http://localhost:8080/v1", 'api = "responses"', True),
        ("", 'api = "chat"', False),
    ],
)
def test_responses_is_used_at_openai_alone_unless_told(
    url: str, toml: str, responses: bool
) -> None:
    """Responses at OpenAI's own address, Chat Completions elsewhere, unless the config says so."""
    environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": url}
    config = _named("openai", environ, f"[providers.openai]\n{toml}")
    assert config.speaks_responses is responses


def test_table_adds_a_provider_and_changes_a_known_one() -> None:
    """Any other provider is named in antiphon.toml."""
    toml = """
    [providers.vllm]
    base_url = "http://10.0.0.5:8000/v1/"
    default_model = "qwen3"
    tokens_per_minute = 90000
    fallback = ["simulated", "openai/gpt-4o"]
    [providers.vllm.profile]
    tools = false
    [providers.anthropic]
    default_model = "claude-opus-4-5"
    [providers.anthropic.profile]
    json_schema = true
    """
    vllm = _named("vllm", {}, toml)
    assert (vllm.base_url, vllm.missing, vllm.tokens_per_minute) == (
        "http://10.0.0.5:8000/v1",
        "",
        90000,
    )
    assert vllm.profile == {"tools": False}
    anthropic = _named("anthropic", {}, toml)
    assert anthropic.default_model == "claude-opus-4-5"
    assert anthropic.profile == {
        "json_schema": True,
        "embeddings": False,
        "context_tokens": 200_000,
    }


def test_own_provider_may_have_a_key_of_its_own() -> None:
    """`key_variable` names the variable; the table itself holds no key."""
    toml = """
    [providers.mine]
    base_url = "https://llm.example/v1"
    default_model = "m"
    key_variable = "MINE_KEY"
    """
    assert _named("mine", {}, toml).missing == "set MINE_KEY"
    assert _named("mine", {"MINE_KEY": " k "}, toml).api_key == "k"


@pytest.mark.parametrize(
    ("table", "setting", "allowed"),
    [
        ({"x": {"modell": "m"}}, "providers.x.modell", "default_model"),
        ({"x": {"api_key": "secret"}}, "providers.x.api_key", "environment"),
        ({"openai": {"api": "grpc"}}, "providers.openai.api", "grpc"),
        ({"openai": {"concurrency": -1}}, "providers.openai.concurrency", "at least 0"),
        ({"openai": {"tokens_per_minute": 0}}, "providers.openai.tokens_per_minute", "at least 1"),
        ({"openai": {"models": "gpt"}}, "providers.openai.models", "array"),
        ({"openai": {"profile": {"jsn": 1}}}, "providers.openai.profile.jsn", "json_schema"),
        ({"openai": {"profile": {"tools": 3}}}, "providers.openai.profile.tools", "bool"),
        ({"openai": {"fallback": ["nobody"]}}, "providers.openai.fallback", "anthropic"),
        ({"openai": {"fallback": ["openai"]}}, "providers.openai.fallback", "anthropic"),
        ({"x": {"base_url": "ftp://x"}}, "X_BASE_URL", "https://host/v1"),
        ({"simulated": {}}, "providers.simulated", "lower case"),
        ({"x": 3}, "providers.x", "table"),
    ],
)
def test_wrong_setting_is_named_with_what_is_allowed(
    table: dict[str, Any], setting: str, allowed: str
) -> None:
    """An unknown or bad setting stops the start with its name and what is allowed."""
    with pytest.raises(InvalidRequest) as caught:
        provider_configs({}, table)
    [(named, fault)] = caught.value.details
    assert named == setting
    assert allowed in fault
    assert "secret" not in caught.value.message


def test_key_is_never_shown() -> None:
    """A key is never shown."""
    for config in provider_configs({"OPENAI_API_KEY": "sk-very-secret"}):
        assert "sk-very-secret" not in repr(config) + str(config)


def test_known_names_are_those_of_the_contract() -> None:
    """The known names are fixed: clients send them."""
    assert KNOWN_NAMES == ("openai", "anthropic", "google", "openrouter", "ollama")
