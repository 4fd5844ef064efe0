"""Everything that can be set, in one frozen object: flags, the environment, then antiphon.toml.

The one rule: an unknown or bad setting stops the start, with its name and what is allowed.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from engine import (
    SOURCE_NAMES,
    InvalidRequest,
    Limits,
    SimSettings,
    SourceSettings,
    parse_address,
)
from server.connection import ConnectionLimits
from server.hub import Bounds
from server.logs import LogFormat, LogLevel

PREFIX = "ANTIPHON_"
FILE = "antiphon.toml"
_FILE_ONLY = ("providers", "source_urls")
"""Tables: only the file can hold them."""


_FLAGS = {"redis_url": "redis"}
"""Flags that are not their setting's name."""


def flag_of(name: str) -> str:
    """Give a setting's flag."""
    return f"--{_FLAGS.get(name, name).replace('_', '-')}"


class BadSetting(Exception):
    """A setting that does not exist, or a value that is not allowed; the message names both."""


class Settings(BaseSettings):
    """The server's settings. Each is also `ANTIPHON_<NAME>` in the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, allow_inf_nan=False
    )

    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="The port; 0 takes a free one.")
    data: Path = Field(Path("data"), description="The folder of the journal and the caches.")
    journal: str = Field(
        "sqlite",
        pattern="^(sqlite|memory)$",
        description="Where logs live without Redis: sqlite (in the data folder) or memory (lost at "
        "the end).",
    )
    redis_url: str = Field(
        "", repr=False, description="Where logs live instead: redis://host:6379/0 or its like."
    )
    lease_s: float = Field(
        15, gt=0, description="With Redis: a dead process's sessions go on elsewhere after it."
    )
    processes: int = Field(
        1, ge=1, le=256, description="Processes on this port; more than one need Redis."
    )
    demo: bool = Field(
        False, description="Known providers without a key are played by the simulated one."
    )

    default_provider: str = Field(
        "", description="openai where OPENAI_API_KEY is set, else simulated."
    )
    default_model: str = Field("", description="The default provider's own default.")
    providers: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Provider tables; only in antiphon.toml."
    )

    offline: bool = Field(False, description="Ask no museum on the web: the catalogue alone.")
    europeana_key: str = Field("", description="A key of Europeana's API; without one it is mute.")
    source_urls: dict[str, str] = Field(
        default_factory=dict, description="Sources' addresses, by name; only in antiphon.toml."
    )

    jwt_secret: str = Field(
        "", repr=False, description="The HS256 secret; none and no JWKS: no authentication."
    )
    jwks: str = Field("", description="A JWKS for RS256 and ES256 tokens: a file or a URL.")
    jwt_audience: str = Field("", description="What a token's aud has to name; empty: any.")
    jwt_issuer: str = Field("", description="What a token's iss has to be; empty: any.")
    token_lifetime_s: float = Field(
        12 * 3600, gt=0, description="How long a token that we issue is valid."
    )
    allowed_origins: str = Field(
        "", description="Comma-separated origins of pages that may come, besides our own."
    )

    grace_s: float = Field(5, ge=0, description="How long an attached session waits for a reader.")
    stall_s: float = Field(30, gt=0, description="A reader that takes no byte so long is cut off.")
    drain_s: float = Field(30, ge=0, description="How long sessions may finish at a planned stop.")
    retention_s: float = Field(86400, gt=0, description="How long ended sessions are kept.")

    selection_s: float = Field(
        3600, gt=0, description="How long an exhibition waits for a person to choose."
    )

    max_sessions: int = Field(10_000, ge=1, description="Running sessions in this process.")
    max_sessions_per_connection: int | None = Field(
        None, ge=1, description="Running sessions of one WebSocket: 200 on /stream, 16 on /ws."
    )
    max_sessions_per_user: int = Field(
        64, ge=1, description="Running sessions of one user, with authentication."
    )
    runs_per_minute: int = Field(
        10, ge=1, description="Calls of /run and its like a minute for a user."
    )
    requests_per_second: float = Field(
        20, ge=0, description="Requests and messages of one user; faster ones wait. 0: no bound."
    )
    max_message_bytes: int = Field(
        1024 * 1024, ge=1024, description="The longest WebSocket message; longer ones get 1009."
    )

    sim_ttft_ms: float = Field(120, ge=0, description="Simulated time to the first token.")
    sim_tokens_per_s: float = Field(60, ge=0, description="Simulated pace; 0 is no pause at all.")
    sim_output_tokens: int = Field(0, ge=0, description="Simulated length; 0 is a natural one.")
    sim_faults: str = Field("", description="Simulated faults; see the reference.")
    sim_seed: int = Field(1, description="The simulated provider's seed.")

    log_format: LogFormat = Field("text", description="The log's lines: text, or json.")
    log_level: LogLevel = Field(
        "warning", description="What the log leaves out below: debug, info, warning, error."
    )
    log_text: bool = Field(
        False, description="Log the messages of exceptions, which may quote prompts and answers."
    )
    otlp_endpoint: str = Field(
        "", description="A collector that takes traces by OTLP over HTTP; none: no traces."
    )

    token: str = Field("", repr=False, description="For the client commands: the bearer token.")
    url: str = Field("", description="For the client commands: a running server's address.")

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        for origin in _origins(value):
            parts = urlsplit(origin)
            if origin != "*" and (
                parts.scheme not in ("http", "https")
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{origin!r} is no origin of the form https://example.com")
        return value

    @field_validator("sim_faults")
    @classmethod
    def _check_faults(cls, faults: str) -> str:
        SimSettings(faults=faults)
        return faults

    @field_validator("url", "otlp_endpoint")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be an address like http://127.0.0.1:8000")
        return url

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: str) -> str:
        if url:
            try:
                parse_address(url)
            except InvalidRequest as error:
                raise ValueError(error.message) from None
        return url

    @model_validator(mode="after")
    def _has_one_journal(self) -> Settings:
        if self.redis_url and self.journal == "memory":
            raise ValueError(
                "ANTIPHON_JOURNAL=memory and ANTIPHON_REDIS_URL exclude each other: set one of them"
            )
        return self

    @field_validator("source_urls")
    @classmethod
    def _known_sources(cls, urls: dict[str, str]) -> dict[str, str]:
        known = [name for name in SOURCE_NAMES if name != "catalogue"]
        for name, url in urls.items():
            if name not in known or not url.startswith(("http://", "https://")):
                raise ValueError(f"must be tables of {', '.join(known)}, each an http(s) address")
        return urls

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags and the file come in by `load`, which puts the environment between them."""
        return (init_settings,)

    @property
    def has_authentication(self) -> bool:
        """Whether requests need a token."""
        return bool(self.jwt_secret or self.jwks)

    def origins(self) -> tuple[str, ...]:
        """Give the origins that are allowed besides our own."""
        return _origins(self.allowed_origins)

    def limits(self) -> Limits:
        """Give the engine's bounds."""
        return Limits(
            max_sessions=self.max_sessions,
            max_sessions_per_owner=self.max_sessions_per_user if self.has_authentication else 0,
            grace_s=self.grace_s,
            drain_s=self.drain_s,
            retention_s=self.retention_s,
            selection_s=self.selection_s,
            lease_s=self.lease_s,
        )

    def sources(self) -> SourceSettings:
        """Give where facts are asked for."""
        urls = {f"{name}_url": url for name, url in self.source_urls.items()}
        return SourceSettings(
            offline=self.offline, data_dir=self.data, europeana_key=self.europeana_key, **urls
        )

    def connection_limits(self) -> ConnectionLimits:
        """Give the bounds of every connection."""
        return ConnectionLimits(stall_s=self.stall_s, message_bytes=self.max_message_bytes)

    def bounds(self) -> Bounds:
        """Give what one connection may have."""
        wanted = self.max_sessions_per_connection
        if wanted is None:
            return Bounds()
        return Bounds(sessions_per_stream_connection=wanted, sessions_per_chat_connection=wanted)


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    config: Path | None = None,
) -> Settings:
    """Read all settings.

    Args:
        flags: what the command line says; a None is not said.
        environ: the environment; this process's unless given.
        config: the file; else `antiphon.toml` in the working directory, if there is one.

    Raises:
        BadSetting: something is unknown or not allowed.
    """
    environ = os.environ if environ is None else environ
    said = {name: value for name, value in (flags or {}).items() if value is not None}
    values = {**_from_file(config), **_from_environment(environ), **said}
    _check_names(values)
    try:
        return Settings(**values)
    except ValidationError as error:
        raise BadSetting(_explain(error)) from None


def _origins(text: str) -> tuple[str, ...]:
    return tuple(each.strip().rstrip("/").lower() for each in text.split(",") if each.strip())


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in environ.items():
        if name.startswith(PREFIX) and value != "":
            field = name.removeprefix(PREFIX).lower()
            if field in _FILE_ONLY or field not in Settings.model_fields:
                raise BadSetting(_unknown(name, [_env_name(each) for each in _names()]))
            values[field] = value
    return values


def _from_file(config: Path | None) -> dict[str, Any]:
    path = config or Path(FILE)
    if config is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSetting(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path} is not valid TOML: {error}") from None


def _check_names(values: Mapping[str, Any]) -> None:
    for name in values:
        if name not in Settings.model_fields:
            raise BadSetting(_unknown(name, list(Settings.model_fields)))


def _names() -> list[str]:
    return [name for name in Settings.model_fields if name not in _FILE_ONLY]


def _env_name(field: str) -> str:
    return PREFIX + field.upper()


def _unknown(name: str, known: list[str]) -> str:
    by_own_name = {each.removeprefix(PREFIX): each for each in known}  # the prefix is near to all
    near = difflib.get_close_matches(name.removeprefix(PREFIX), by_own_name, n=1)
    hint = f"; did you mean {by_own_name[near[0]]}?" if near else "."
    return f"unknown setting {name}{hint} Allowed are {', '.join(sorted(known))}"


def _explain(error: ValidationError) -> str:
    faults = []
    for fault in error.errors():
        if not fault["loc"]:  # of several settings together
            faults.append(fault["msg"].removeprefix("Value error, "))
            continue
        field = str(fault["loc"][0])
        name = field if field == "providers" else _env_name(field)
        got = f", got {str(fault['input'])[:80]!r}" if Settings.model_fields[field].repr else ""
        faults.append(f"{name}: {fault['msg']}{got}")
    return "; ".join(faults)
