"""Which providers there are: read from the environment and from antiphon.toml.

The one rule: pure, from mappings to frozen objects; a setting that is unknown or wrong stops the
start with its name and what is allowed. A key is never shown. Must not import a provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from engine.errors import InvalidRequest
from engine.providers.interface import Profile

Api = Literal["auto", "responses", "chat"]
Kind = Literal["openai", "simulated"]

OPENAI_URL = "https://api.openai.com/v1"


class ProviderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's settings."""

    name: str
    kind: Kind = "openai"
    base_url: str = ""
    api_key: str = ""
    key_variable: str = ""
    """The environment's variable that holds the key; "" where none is wanted."""
    api: Api = "auto"
    """auto: Responses at OpenAI's own address, Chat Completions elsewhere."""
    default_model: str = ""
    models: tuple[str, ...] = ()
    """What it offers, for people and for choosing a provider by a model's name."""
    embedding_model: str = ""
    profile: dict[str, Any] = {}
    """Fields of `Profile` that differ from the API's own."""
    concurrency: int | None = None
    """Calls at one time; None: `Limits.provider_concurrency`; 0: no limit."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    fallback: tuple[str, ...] = ()
    """Who is asked when it cannot answer, in order: "provider" or "provider/model"."""

    @property
    def missing(self) -> str:
        """What has to be set before it can be used; "" where nothing is missing."""
        if self.kind == "simulated":
            return ""
        if not self.base_url:
            return f"set {_url_variable(self.name)}"
        if self.key_variable and not self.api_key:
            return f"set {self.key_variable}"
        if not self.default_model:
            return f"set providers.{self.name}.default_model in antiphon.toml"
        return ""

    @property
    def is_at_openai(self) -> bool:
        """Whether its address is OpenAI's own, whatever its name."""
        return urlsplit(self.base_url).hostname == urlsplit(OPENAI_URL).hostname

    @property
    def speaks_responses(self) -> bool:
        """Whether it is asked by the Responses API at first."""
        return self.is_at_openai if self.api == "auto" else self.api == "responses"

    def __repr__(self) -> str:
        return f"<ProviderConfig {self.name!r} at {urlsplit(self.base_url).hostname}>"


_KNOWN = (
    ProviderConfig(
        name="openai",
        base_url=OPENAI_URL,
        key_variable="OPENAI_API_KEY",
        default_model="gpt-4o-mini",
        models=("gpt-4o-mini", "gpt-4o", "gpt-4", "gpt-5-mini", "gpt-5"),
        embedding_model="text-embedding-3-small",
    ),
    ProviderConfig(
        name="anthropic",
        base_url="https://api.anthropic.com/v1",
        key_variable="ANTHROPIC_API_KEY",
        default_model="claude-sonnet-4-5",
        models=("claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5"),
        # https://docs.anthropic.com/en/api/openai-sdk: response_format is ignored there.
        profile={"json_schema": False, "embeddings": False, "context_tokens": 200_000},
    ),
    ProviderConfig(
        name="google",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_variable="GEMINI_API_KEY",
        default_model="gemini-2.5-flash",
        models=("gemini-2.5-flash", "gemini-2.5-pro"),
        embedding_model="gemini-embedding-001",
        profile={"context_tokens": 1_000_000},
    ),
    ProviderConfig(
        name="openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        default_model="openai/gpt-4o-mini",
        profile={"embeddings": False},
    ),
    ProviderConfig(name="ollama", default_model="llama3.2", embedding_model="nomic-embed-text"),
)
KNOWN_NAMES = tuple(known.name for known in _KNOWN)

_URL_VARIABLES = {"google": "GEMINI_BASE_URL", "ollama": "OLLAMA_HOST"}


def _url_variable(name: str) -> str:
    plain = "".join(c if c.isalnum() else "_" for c in name).upper()
    return _URL_VARIABLES.get(name, f"{plain}_BASE_URL")


def provider_configs(
    environ: Mapping[str, str], table: Mapping[str, Any] | None = None
) -> tuple[ProviderConfig, ...]:
    """Give the known providers and those that the table adds, the known ones first.

    Args:
        environ: the environment's variables. A key or an address there wins over the table's.
        table: antiphon.toml's `providers` table: one table for each provider, by name.

    Raises:
        InvalidRequest: a setting is unknown or wrong; `details` has one pair for each.
    """
    table = table or {}
    faults: list[tuple[str, str]] = []
    configs = {known.name: known for known in _KNOWN}
    for name, fields in table.items():
        if name == "simulated" or "/" in name or name != name.strip().lower() or not name:
            faults.append((f"providers.{name}", "a name is lower case, without /, not simulated"))
            continue
        configs[name] = _merged(configs.get(name) or _unknown(name), fields, faults)
    read = [_from_environment(config, environ, faults) for config in configs.values()]
    _check_fallbacks(read, faults)
    if faults:
        sentence = "; ".join(f"{setting}: {fault}" for setting, fault in faults)
        raise InvalidRequest(sentence, faults)
    return tuple(read)


def _unknown(name: str) -> ProviderConfig:
    """Start with no key wanted: a local server; `key_variable` says otherwise."""
    return ProviderConfig(name=name)


_ALLOWED = tuple(
    field for field in ProviderConfig.__struct_fields__ if field not in ("name", "kind", "api_key")
)


def _merged(config: ProviderConfig, fields: Any, faults: list[tuple[str, str]]) -> ProviderConfig:
    place = f"providers.{config.name}"
    if not isinstance(fields, Mapping):
        faults.append((place, "must be a table"))
        return config
    fields = dict(fields)
    for field in [field for field in fields if field not in _ALLOWED]:
        hint = "a key belongs into the environment; " if "key" in field else ""
        faults.append((f"{place}.{field}", f"unknown; {hint}allowed: {', '.join(_ALLOWED)}"))
        del fields[field]
    own = {field: getattr(config, field) for field in ProviderConfig.__struct_fields__}
    own["profile"] = {**config.profile, **_profile(place, fields.pop("profile", {}), faults)}
    merged = config
    for field, value in fields.items():
        try:
            merged = msgspec.convert({**own, field: value}, ProviderConfig)
            own[field] = value
        except msgspec.ValidationError as error:
            faults.append((f"{place}.{field}", _in_words(str(error))))
    merged = msgspec.convert(own, ProviderConfig)
    for field in ("concurrency", "requests_per_minute", "tokens_per_minute"):
        number = getattr(merged, field)
        least = 0 if field == "concurrency" else 1
        if number is not None and number < least:
            faults.append((f"{place}.{field}", f"must be at least {least}: {number}"))
    return merged


def _profile(place: str, fields: Any, faults: list[tuple[str, str]]) -> dict[str, Any]:
    allowed = [field for field in Profile.__struct_fields__ if field != "api"]
    if not isinstance(fields, Mapping):
        faults.append((f"{place}.profile", "must be a table"))
        return {}
    good: dict[str, Any] = {}
    for field, value in fields.items():
        if field not in allowed:
            known = ", ".join(allowed)
            faults.append((f"{place}.profile.{field}", f"unknown; allowed: {known}"))
            continue
        try:
            msgspec.convert({field: value}, Profile)
            good[field] = value
        except msgspec.ValidationError as error:
            faults.append((f"{place}.profile.{field}", _in_words(str(error))))
    return good


def _in_words(error: str) -> str:
    return error.partition(" - at ")[0].replace("`", "").lower()


def _from_environment(
    config: ProviderConfig, environ: Mapping[str, str], faults: list[tuple[str, str]]
) -> ProviderConfig:
    variable = _url_variable(config.name)
    base_url = environ.get(variable, "").strip()
    if base_url and config.name == "ollama":
        base_url = _ollama_url(base_url)
    base_url = (base_url or config.base_url).rstrip("/")
    if base_url and not _is_address(base_url):
        faults.append((variable, "must be an address like https://host/v1"))
    key = environ.get(config.key_variable, "").strip() if config.key_variable else ""
    return msgspec.structs.replace(config, base_url=base_url, api_key=key)


def _ollama_url(host: str) -> str:
    """Give the base URL for OLLAMA_HOST, which Ollama takes as host, host:port or address."""
    if "//" not in host:
        host = f"http://{host}"
        if urlsplit(host).port is None:
            host += ":11434"
    return host if urlsplit(host).path.rstrip("/") else f"{host.rstrip('/')}/v1"


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_fallbacks(configs: list[ProviderConfig], faults: list[tuple[str, str]]) -> None:
    names = {config.name for config in configs} | {"simulated"}
    for config in configs:
        for entry in config.fallback:
            name = entry.partition("/")[0]
            if name not in names or name == config.name:
                others = ", ".join(sorted(names - {config.name}))
                faults.append(
                    (f"providers.{config.name}.fallback", f"{entry!r} is none of {others}")
                )
