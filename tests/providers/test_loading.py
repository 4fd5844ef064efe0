"""The SDK takes longer to import than all of the engine: a process without keys never does it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import engine.providers

PROGRAM = """
import sys
import engine
assert "openai" not in sys.modules, "importing the engine loads the SDK"
engine.Providers(engine.provider_configs({}), demo=True).infos()
assert "openai" not in sys.modules, "a process without keys loads the SDK"
engine.Providers(engine.provider_configs({"OPENAI_API_KEY": "sk-some-key"}))
assert "openai" in sys.modules, "the first request would have to load the SDK"
"""


def test_sdk_is_loaded_at_the_start_of_a_process_that_has_a_key_and_of_no_other() -> None:
    """Without a key it is never imported; with one it is before the first request."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_provider_is_offered_though_it_is_loaded_late() -> None:
    """`from engine.providers import OpenAIProvider` works; a wrong name is an error as usual."""
    assert engine.providers.OpenAIProvider.__name__ == "OpenAIProvider"
    with pytest.raises(AttributeError, match="no attribute 'Nobody'"):
        engine.providers.Nobody  # noqa: B018
