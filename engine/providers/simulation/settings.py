"""How the simulated provider behaves: one frozen object, checked when it is made.

The server fills it from ANTIPHON_SIM_*; a test makes its own. The four models are four paces of the
same writer. Must not import the provider.
"""

from __future__ import annotations

import msgspec

from engine.limits import Limits
from engine.providers.simulation.faults import parse_faults

MODELS = ("default", "fast", "slow", "instant")
"""The provider's own models; any other name is played at the pace of `default`."""

FAST_TOKENS_PER_S = 1_000.0
SLOW_TOKENS_PER_S = 5.0


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """When tokens come."""

    ttft_s: float
    """Seconds until the first token."""
    tokens_per_s: float
    """0: no pause at all."""
    burst: int = 1
    """Tokens that come at once; the rate stays the same."""
    jitter_s: float = 0.0
    """A token is late by up to this; lateness does not add up."""

    def slowed(self, factor: float) -> Pace:
        """Give the same pace `factor` times as slow; one without pauses gets the slow model's."""
        return msgspec.structs.replace(
            self,
            ttft_s=self.ttft_s * factor,
            tokens_per_s=self.tokens_per_s / factor if self.tokens_per_s else SLOW_TOKENS_PER_S,
        )


class SimSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The simulated provider's settings.

    Raises:
        ValueError: a number is out of bounds, or the faults break their grammar; the message says
            what is allowed.
    """

    seed: int = 1
    """The same seed and the same request give the same text and the same faults."""
    ttft_ms: float = 120.0
    """Milliseconds until the first token."""
    tokens_per_s: float = 60.0
    """Tokens a second; 0: no pause at all."""
    output_tokens: int = 0
    """Tokens of every answer in prose; 0: a natural length."""
    burst: int = 1
    """Tokens that come at once."""
    jitter_ms: float = 0.0
    """Milliseconds by which a token may be late."""
    faults: str = ""
    """What goes wrong, and when: see `engine.providers.simulation.faults`."""
    read_timeout_s: float = Limits().provider_read_s
    """Seconds of silence after which a hanging stream is given up, as a real client would."""

    def __post_init__(self) -> None:
        for field, least in (
            ("ttft_ms", 0),
            ("tokens_per_s", 0),
            ("output_tokens", 0),
            ("burst", 1),
            ("jitter_ms", 0),
            ("read_timeout_s", 0),
        ):
            value = getattr(self, field)
            if not least <= value < float("inf"):
                raise ValueError(f"{field} must be a finite number of at least {least}: {value}")
        parse_faults(self.faults)

    def pace(self, model: str) -> Pace:
        """Give the pace of a model."""
        ttft_s, rate = self.ttft_ms / 1000, self.tokens_per_s
        if model == "instant":
            return Pace(ttft_s=0.0, tokens_per_s=0.0)
        if model == "fast":
            rate = FAST_TOKENS_PER_S
        elif model == "slow":
            rate = SLOW_TOKENS_PER_S
        return Pace(
            ttft_s=ttft_s, tokens_per_s=rate, burst=self.burst, jitter_s=self.jitter_ms / 1000
        )
