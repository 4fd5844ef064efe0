"""Settings: where they come from, which one counts, what is refused and how it is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine import Limits
from server.settings import BadSetting, Settings, load

CONTRACT_DEFAULTS: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 8000,
    "data": Path("data"),
    "jwt_secret": "",
    "jwks": "",
    "allowed_origins": "",
    "default_provider": "",
    "default_model": "",
    "grace_s": 5,
    "stall_s": 30,
    "drain_s": 30,
    "retention_s": 86400,
    "sim_ttft_ms": 120,
    "sim_tokens_per_s": 60,
    "sim_output_tokens": 0,
    "sim_faults": "",
    "sim_seed": 1,
    "max_sessions": 10_000,
    "max_sessions_per_connection": None,
    "max_sessions_per_user": 64,
    "runs_per_minute": 10,
    "max_message_bytes": 1024 * 1024,
    "token": "",
    "url": "",
    "demo": False,
}
"""Contract 6's table, and contract 0's limits."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without an antiphon.toml, unless a test writes one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of(
    flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None, toml: str = ""
) -> Settings:
    """Load settings from these three places and from nowhere else."""
    Path("antiphon.toml").write_text(toml, encoding="utf-8")
    return load(flags, environ=environ or {})


def refused(*places: Any, **named: Any) -> str:
    """Give the sentence by which a setting is refused."""
    with pytest.raises(BadSetting) as caught:
        of(*places, **named)
    return str(caught.value)


# ---- where they come from ------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTRACT_DEFAULTS)
def test_default(name: str) -> None:
    """Contract 6 says what holds when nothing is said."""
    assert getattr(load(environ={}), name) == CONTRACT_DEFAULTS[name]


def test_default_bounds_of_a_connection() -> None:
    """200 running sessions for a connection of /stream, 16 for one of /ws."""
    bounds = load(environ={}).bounds()
    assert bounds.sessions_per_stream_connection == 200
    assert bounds.sessions_per_chat_connection == 16


@pytest.mark.parametrize(
    ("flags", "environ", "toml", "port"),
    [
        ({"port": 1}, {"ANTIPHON_PORT": "2"}, "port = 3", 1),
        ({"port": None}, {"ANTIPHON_PORT": "2"}, "port = 3", 2),
        ({}, {"ANTIPHON_PORT": "2"}, "port = 3", 2),
        ({"port": 1}, {}, "port = 3", 1),
        ({}, {}, "port = 3", 3),
        ({}, {"ANTIPHON_PORT": ""}, "port = 3", 3),
        ({}, {"ANTIPHON_PORT": ""}, "", 8000),
        ({"port": 0}, {"ANTIPHON_PORT": "2"}, "", 0),
    ],
    ids=[
        "all three",
        "a flag that is not said",
        "environment and file",
        "flag and file",
        "file",
        "empty variable and file",
        "empty variable",
        "a flag of zero",
    ],
)
def test_order(flags: dict[str, Any], environ: dict[str, str], toml: str, port: int) -> None:
    """Flags, then ANTIPHON_* variables, then antiphon.toml; an empty variable is none."""
    assert of(flags, environ, toml).port == port


def test_places_that_say_different_things() -> None:
    """Each setting is taken from the first place that has it, not each place as a whole."""
    found = of({"port": 1}, {"ANTIPHON_GRACE_S": "2"}, 'host = "0.0.0.0"\ngrace_s = 9')
    assert (found.port, found.grace_s, found.host) == (1, 2, "0.0.0.0")


def test_file_that_is_named(folder: Path) -> None:
    """`--config FILE` takes the place of antiphon.toml."""
    (folder / "antiphon.toml").write_text("port = 1")
    other = folder / "other.toml"
    other.write_text("port = 2")
    assert load(environ={}, config=other).port == 2


def test_variables_of_others() -> None:
    """Only ANTIPHON_* is ours; what else is in the environment is no setting."""
    assert of(environ={"PORT": "1", "OPENAI_API_KEY": "k", "ANTIPHONY": "x"}).port == 8000


def test_settings_are_frozen() -> None:
    """Frozen at start."""
    settings = of()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "said", "near"),
    [
        ("flags", {"prot": 1}, "port"),
        ("environ", {"ANTIPHON_STAL_S": "1"}, "ANTIPHON_STALL_S"),
        ("environ", {"ANTIPHON_JWT_SECRT": "1"}, "ANTIPHON_JWT_SECRET"),
        ("toml", "grace = 1", "grace_s"),
        ("toml", "[provider.openai]\napi = 'chat'", "providers"),
    ],
)
def test_unknown_name(place: str, said: Any, near: str) -> None:
    """An unknown setting stops the start with its name, the nearest one, and what is allowed."""
    message = refused(**{place: said})
    name = said.split()[0].strip("[]").partition(".")[0] if place == "toml" else next(iter(said))
    assert message.startswith(f"unknown setting {name}; did you mean {near}?")
    assert "Allowed are" in message


def test_unknown_name_that_is_like_no_other() -> None:
    """Where nothing is near, nothing is guessed; what is allowed is listed all the same."""
    message = refused(environ={"ANTIPHON_XYZZY": "1"})
    assert "did you mean" not in message
    assert message.startswith("unknown setting ANTIPHON_XYZZY. Allowed are ")
    assert "ANTIPHON_PORT" in message


BAD = [
    ("ANTIPHON_PORT", "many"),
    ("ANTIPHON_PORT", "-1"),
    ("ANTIPHON_PORT", "65536"),
    ("ANTIPHON_GRACE_S", "-0.1"),
    ("ANTIPHON_GRACE_S", "nan"),
    ("ANTIPHON_STALL_S", "0"),
    ("ANTIPHON_STALL_S", "inf"),
    ("ANTIPHON_DRAIN_S", "soon"),
    ("ANTIPHON_RETENTION_S", "0"),
    ("ANTIPHON_DEMO", "perhaps"),
    ("ANTIPHON_JOURNAL", "files"),
    ("ANTIPHON_MAX_SESSIONS", "0"),
    ("ANTIPHON_MAX_SESSIONS_PER_CONNECTION", "0"),
    ("ANTIPHON_MAX_SESSIONS_PER_USER", "0"),
    ("ANTIPHON_RUNS_PER_MINUTE", "0"),
    ("ANTIPHON_MAX_MESSAGE_BYTES", "10"),
    ("ANTIPHON_SIM_TTFT_MS", "-1"),
    ("ANTIPHON_SIM_TOKENS_PER_S", "-1"),
    ("ANTIPHON_SIM_OUTPUT_TOKENS", "1.5"),
    ("ANTIPHON_SIM_SEED", "x"),
    ("ANTIPHON_SIM_FAULTS", "sometimes"),
    ("ANTIPHON_ALLOWED_ORIGINS", "example.com"),
    ("ANTIPHON_ALLOWED_ORIGINS", "https://example.com/page"),
    ("ANTIPHON_URL", "example.com"),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}={value}" for name, value in BAD])
def test_bad_value(name: str, value: str) -> None:
    """A bad setting stops the start with the setting's name, what is allowed, and what it got."""
    message = refused(environ={name: value})
    assert message.startswith(f"{name}: ")
    assert repr(value) in message


def test_bad_value_of_a_secret() -> None:
    """A secret is not shown, whatever is wrong with the settings."""
    secrets = {"ANTIPHON_JWT_SECRET": "hush-hush-hush", "ANTIPHON_TOKEN": "hush-hush-hush"}
    found = of(environ=secrets)
    assert "hush-hush-hush" not in repr(found)
    assert "hush-hush-hush" not in refused(toml='jwt_secret = ["hush-hush-hush"]')


def test_several_bad_values() -> None:
    """All that is wrong is said at once."""
    message = refused(environ={"ANTIPHON_PORT": "x", "ANTIPHON_GRACE_S": "y"})
    assert "ANTIPHON_PORT" in message
    assert "ANTIPHON_GRACE_S" in message


@pytest.mark.parametrize(
    ("text", "sentence"), [("port = ", "not valid TOML"), ("port = 'x'", "ANTIPHON_PORT")]
)
def test_bad_file(text: str, sentence: str) -> None:
    """A file that cannot be read as TOML is named; so is the setting in one that can."""
    assert sentence in refused(toml=text)


def test_named_file_that_is_not_there(folder: Path) -> None:
    """A file that was asked for has to exist."""
    with pytest.raises(BadSetting, match=r"nowhere\.toml cannot be read"):
        load(environ={}, config=folder / "nowhere.toml")


# ---- tables --------------------------------------------------------------------------------------


def test_provider_tables() -> None:
    """[providers.NAME] tables come from antiphon.toml, as they stand there."""
    found = of(toml='[providers.local]\nbase_url = "http://127.0.0.1:9/v1"\nrequests_per_min = 3\n')
    assert found.providers == {
        "local": {"base_url": "http://127.0.0.1:9/v1", "requests_per_min": 3}
    }


def test_providers_in_the_environment() -> None:
    """Tables have no variable: one of that name is unknown."""
    assert refused(environ={"ANTIPHON_PROVIDERS": "{}"}).startswith(
        "unknown setting ANTIPHON_PROVIDERS"
    )


def test_providers_that_are_no_tables() -> None:
    """`providers` has to be tables by name."""
    assert refused(toml="providers = 3").startswith("providers: ")


# ---- what they become ----------------------------------------------------------------------------


def test_limits_of_the_engine() -> None:
    """A limit for each user holds with authentication only."""
    values = {"ANTIPHON_MAX_SESSIONS": "7", "ANTIPHON_GRACE_S": "1", "ANTIPHON_DRAIN_S": "2"}
    limits = of(environ=values).limits()
    assert (limits.max_sessions, limits.grace_s, limits.drain_s) == (7, 1, 2)
    assert limits.max_sessions_per_owner == 0
    assert of(environ={"ANTIPHON_JWT_SECRET": "s" * 32}).limits().max_sessions_per_owner == 64
    assert of().limits() == Limits(max_sessions_per_owner=0)


def test_bounds_of_a_connection_that_are_set() -> None:
    """One setting bounds connections of both kinds."""
    bounds = of(environ={"ANTIPHON_MAX_SESSIONS_PER_CONNECTION": "3"}).bounds()
    assert bounds.sessions_per_stream_connection == bounds.sessions_per_chat_connection == 3


def test_origins() -> None:
    """Comma-separated, without regard to case or a slash at the end."""
    found = of(environ={"ANTIPHON_ALLOWED_ORIGINS": "https://A.example/ , http://b.example:81"})
    assert found.origins() == ("https://a.example", "http://b.example:81")
