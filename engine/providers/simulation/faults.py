"""Faults on purpose: a small grammar, and a decision that depends on the call alone.

    faults    = fault *("," fault)
    fault     = kind [":" probability] ["@" condition *("&" condition)]
    condition = ("model" | "persona" | "purpose" | "attempt" | "token") "=" value

    rate_limit:0.1                        one call in ten is answered 429, with a retry-after
    drop@attempt=1                        each first attempt loses its stream, the second succeeds
    hang@persona=data_scientist&token=20  that persona falls silent after 20 tokens

The probability is 1 where none is given. `token` says after how many tokens a stream breaks; the
other conditions hold, or the fault does not strike. Whether one strikes is drawn from the seed, the
request and the attempt's number, so a run can be repeated and a retry may succeed. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import msgspec

KINDS: Mapping[str, str] = {
    "timeout": "no answer within the time-out",
    "rate_limit": "answered 429, with a retry-after",
    "unavailable": "answered 503",
    "auth": "the key is not accepted",
    "refuse": "the content filter declines",
    "drop": "the connection is lost in mid-stream",
    "hang": "silence in mid-stream, until the read time-out",
    "no_finish": "the whole text comes, and no finish reason",
    "bad_output": "JSON that is cut, an exam without its answers; prose breaks the protocol",
    "slow": "ten times as slow",
    "invent": "a list of artists gets one who never lived",
}
"""What can go wrong, by name."""

MODIFIERS = frozenset({"slow", "invent", "bad_output"})
"""These change an answer; each of the others ends it, and only the first that strikes counts."""

CONDITIONS = ("model", "persona", "purpose", "attempt", "token")
RETRY_AFTER_S = 1.0
"""What a rate-limited call is told to wait: long enough to be seen, short enough for a demo."""
SLOWDOWN = 10.0


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of the settings."""

    kind: str
    probability: float = 1.0
    where: tuple[tuple[str, str], ...] = ()
    """Conditions on the call: all of them hold, or the fault does not strike."""
    token: int | None = None
    """The tokens of the answer that come before it strikes; None: drawn from the call."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a fault may depend on."""

    key: bytes
    """Names the request's content and the seed."""
    attempt: int = 1
    model: str = ""
    persona: str = ""
    purpose: str = ""


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Read the faults of a setting; an empty text has none.

    Raises:
        ValueError: the text breaks the grammar; the message says where, and what is allowed.
    """
    return tuple(_parse_fault(item.strip()) for item in text.split(",") if item.strip())


def _parse_fault(item: str) -> Fault:
    head, at, conditions = item.partition("@")
    kind, colon, probability = (piece.strip() for piece in head.partition(":"))
    if kind not in KINDS:
        raise ValueError(f"unknown fault {kind!r} in {item!r}; allowed: {', '.join(KINDS)}")
    share = 1.0
    if colon:
        try:
            share = float(probability)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise ValueError(f"the probability in {item!r} must be a number from 0 to 1")
    where: list[tuple[str, str]] = []
    token = None
    for condition in conditions.split("&") if at else ():
        name, equals, value = (piece.strip() for piece in condition.partition("="))
        if name not in CONDITIONS or not equals or not value:
            raise ValueError(
                f"bad condition {condition!r} in {item!r}; allowed: name=value, "
                f"the name one of {', '.join(CONDITIONS)}"
            )
        if name in ("attempt", "token") and not (value.isascii() and value.isdecimal()):
            raise ValueError(f"{name} in {item!r} must be a whole number: {value!r}")
        if name == "token":
            token = int(value)
        else:
            where.append((name, str(int(value)) if name == "attempt" else value))
    return Fault(kind=kind, probability=share, where=tuple(where), token=token)


def strikes(faults: Sequence[Fault], call: Call) -> tuple[Fault, ...]:
    """Say which faults strike this call: any modifiers, and at most one that ends it."""
    struck: list[Fault] = []
    ended = False
    for index, fault in enumerate(faults):
        if ended and fault.kind not in MODIFIERS:
            continue
        if not all(str(getattr(call, name)) == value for name, value in fault.where):
            continue
        drawn = random.Random(call.key + b"%d/%d" % (index, call.attempt)).random()
        if drawn < fault.probability:
            struck.append(fault)
            ended = ended or fault.kind not in MODIFIERS
    return tuple(struck)
