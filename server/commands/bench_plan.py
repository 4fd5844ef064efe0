"""From the flags of `antiphon bench` to the plan of a run, and what is around it."""

from __future__ import annotations

import json
import os
from typing import Any

from benchmarks.load.arrivals import (
    Arrivals,
    Closed,
    Constant,
    Gamma,
    Poisson,
    Ramp,
    Trace,
)
from benchmarks.load.plan import Cancel, Kill, Plan, Slo, Slow, Storm
from benchmarks.load.run import Setting, UpstreamPlan
from benchmarks.load.traces import read_trace


def make_plan(flags: dict[str, Any]) -> Plan:
    """Give what is to be done. Raises: ValueError: a flag is wrong; the message names it."""
    scenario = flags["scenario"]
    slow_share = flags["slow_share"]
    if slow_share is None and scenario == "slow":
        slow_share = 0.2
    return Plan(
        url=flags["url"],
        target="persona" if scenario == "personas" else flags["target"],
        options=_options(flags),
        arrivals=_arrivals(flags),
        scenario=scenario,
        cancel=_cancel(flags),
        storm=Storm(
            at_s=flags["reconnect_at_s"],
            rounds=flags["reconnect_rounds"],
            spread_s=flags["reconnect_spread_s"],
        )
        if scenario == "reconnect"
        else None,
        slow=Slow(share=slow_share, bytes_per_s=flags["slow_bytes_per_s"])
        if slow_share is not None
        else None,
        kill=Kill(at_s=flags["kill_at_s"]) if scenario == "kill" else None,
        slo=_slo(flags["slos"]),
        min_goodput=flags["goodput"],
        max_error_share=flags["allow_errors"],
        min_fairness=flags["min_fairness"],
        duration_s=flags["duration_s"],
        max_requests=flags["requests"],
        max_open=flags["max_open"],
        settle_s=flags["settle_s"],
        preconnect=flags["preconnect"],
        pace_per_s=flags["pace"],
        max_lag_ms=flags["max_lag_ms"],
        allow_saturation=flags["allow_saturation"],
        seed=flags["seed"],
    )


def _options(flags: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for each in flags["options"]:
        key, equals, value = each.partition("=")
        if not equals:
            raise ValueError(f"--option {each!r} is not KEY=VALUE")
        options[key] = value
    if flags["request"] is not None:
        try:
            options["request"] = json.loads(flags["request"])
        except ValueError as error:
            raise ValueError(f"--request is not JSON: {error}") from None
    if flags["personas"] is not None or flags["scenario"] == "personas":
        options["personas"] = flags["personas"] or "10"
    return options


def _arrivals(flags: dict[str, Any]) -> Arrivals:
    rate = flags["rate"]
    if (flags["trace"] is None) == (flags["arrivals"] == "trace"):
        raise ValueError("--trace FILE and --arrivals trace belong together")
    match flags["arrivals"]:
        case "constant":
            return Constant(rate_per_s=rate)
        case "poisson":
            return Poisson(rate_per_s=rate)
        case "gamma":
            return Gamma(rate_per_s=rate, burst=flags["burst"])
        case "ramp":
            to_rate = flags["to_rate"] or 10 * rate
            return Ramp(rate_per_s=rate, to_rate_per_s=to_rate, over_s=flags["duration_s"])
        case "closed":
            return Closed(users=flags["users"], think_s=flags["think_s"])
        case _:
            return Trace(offsets_s=read_trace(flags["trace"], speed=flags["trace_speed"]))


def _cancel(flags: dict[str, Any]) -> Cancel | None:
    share = flags["cancel_share"]
    if share is None:
        if flags["scenario"] != "cancel":
            return None
        share = 1.0
    if flags["cancel_after_tokens"] is not None:
        return Cancel(share=share, after_tokens=flags["cancel_after_tokens"])
    if flags["cancel_after_s"] is None:
        return Cancel(share=share)
    first, _, last = flags["cancel_after_s"].partition(":")
    try:
        moments = (float(first), float(last or first))
    except ValueError:
        raise ValueError(f"--cancel-after-s {flags['cancel_after_s']!r} is not FROM:TO") from None
    if not 0 <= moments[0] <= moments[1]:
        raise ValueError("--cancel-after-s goes from a moment to a later one")
    return Cancel(share=share, after_s=moments)


def _slo(stated: tuple[str, ...]) -> Slo:
    found: dict[str, float] = {}
    for each in stated:
        name, _, value = each.partition("=")
        if f"{name}_ms" not in Slo.__struct_fields__:
            names = ", ".join(field.removesuffix("_ms") for field in Slo.__struct_fields__)
            raise ValueError(f"--slo {each!r}: there is no limit {name!r}; there are {names}")
        try:
            found[f"{name}_ms"] = float(value)
        except ValueError:
            raise ValueError(f"--slo {each!r} is not NAME=MS") from None
    return Slo(**found)


def make_setting(flags: dict[str, Any]) -> Setting:
    """Give what is around it. Raises: ValueError: a flag is wrong; the message names it."""
    upstream = None
    if flags["upstream"]:
        upstream = UpstreamPlan(
            port=flags["upstream_port"],
            pace_s=flags["upstream_pace_s"],
            words=flags["upstream_words"],
        )
    return Setting(
        headers=_headers(flags),
        processes=flags["processes"],
        allowed_hosts=flags["allowed_hosts"],
        server_pid=flags["server_pid"],
        server_command=flags["server_command"],
        upstream=upstream,
        find_rate_up_to=flags["max_rate"] if flags["find_rate"] else None,
    )


def _headers(flags: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    for each in flags["headers"]:
        name, colon, value = each.partition(":")
        if not colon:
            raise ValueError(f"--header {name!r} is not NAME:VALUE")
        headers.append((name.strip(), value.strip()))
    if not any(name.lower() == "authorization" for name, _ in headers):
        source = "OPENAI_API_KEY" if flags["target"].startswith("openai-") else "ANTIPHON_TOKEN"
        if ":" not in flags["target"] and os.environ.get(source):
            headers.append(("Authorization", f"Bearer {os.environ[source]}"))
    return tuple(headers)
