"""The flags of `antiphon bench`, in the order in which its help shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

SCENARIOS = ("plain", "cancel", "reconnect", "slow", "personas", "kill")

FLAGS: tuple[Callable[[Any], Any], ...] = (
    click.argument("url", metavar="URL"),
    click.option(
        "--target",
        default="generate",
        show_default=True,
        help=(
            "What is spoken there: generate, persona, exhibition, content, rater, "
            "subscribers, openai-chat, openai-responses, or MODULE:NAME of an adapter of "
            "your own."
        ),
    ),
    click.option(
        "--option",
        "options",
        multiple=True,
        metavar="KEY=VALUE",
        help="For the target's adapter; may repeat.",
    ),
    click.option(
        "--request",
        metavar="JSON",
        help="What begins each request, in the place of the target's own.",
    ),
    click.option(
        "--header",
        "headers",
        multiple=True,
        metavar="NAME:VALUE",
        help=(
            "Sent with every request; may repeat. ANTIPHON_TOKEN (and OPENAI_API_KEY for "
            "openai-…) is sent by itself."
        ),
    ),
    click.option(
        "--arrivals",
        type=click.Choice(["constant", "poisson", "gamma", "ramp", "closed", "trace"]),
        default="constant",
        show_default=True,
        help="When requests start.",
    ),
    click.option(
        "--rate",
        type=float,
        default=5.0,
        show_default=True,
        help="Requests a second, on average.",
    ),
    click.option(
        "--to-rate",
        type=float,
        help="Where a ramp goes to.  [default: 10 × --rate]",
    ),
    click.option(
        "--burst",
        type=float,
        default=4.0,
        show_default=True,
        help="Of gamma arrivals: the gaps' squared coefficient of variation.",
    ),
    click.option(
        "--users",
        type=int,
        default=10,
        show_default=True,
        help="Of a closed loop.",
    ),
    click.option(
        "--think-s",
        type=click.FloatRange(min=0),
        default=0.0,
        help="A user's pause.  [default: 0]",
    ),
    click.option(
        "--trace",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Recorded offsets, CSV or JSON lines.",
    ),
    click.option(
        "--trace-speed",
        type=click.FloatRange(min=0, min_open=True),
        default=1.0,
        show_default=True,
        help="2 plays it in half of the time.",
    ),
    click.option(
        "--duration-s",
        type=float,
        default=10.0,
        show_default=True,
        help="How long requests arrive.",
    ),
    click.option(
        "--requests",
        type=int,
        default=1000,
        show_default=True,
        help="Requests at most.",
    ),
    click.option(
        "--max-open",
        type=int,
        default=1000,
        show_default=True,
        help="Requests that are open at once, at most.",
    ),
    click.option(
        "--settle-s",
        type=float,
        default=30.0,
        show_default=True,
        help="How long open requests may take after that.",
    ),
    click.option(
        "--preconnect",
        is_flag=True,
        help="Open every connection before the run begins.",
    ),
    click.option(
        "--scenario",
        type=click.Choice(SCENARIOS),
        default="plain",
        show_default=True,
        help="What befalls them.",
    ),
    click.option(
        "--cancel-share",
        type=click.FloatRange(0, 1),
        help="Requests that are cancelled.  [default: 1 in the scenario cancel]",
    ),
    click.option(
        "--cancel-after-s",
        metavar="FROM:TO",
        help="When, after the request.  [default: 0.2:2]",
    ),
    click.option(
        "--cancel-after-tokens",
        type=click.IntRange(min=1),
        help="When, in its place: after so many tokens.",
    ),
    click.option(
        "--reconnect-at-s",
        type=click.FloatRange(min=0.01),
        default=2.0,
        show_default=True,
        help="When all connections are cut.",
    ),
    click.option(
        "--reconnect-rounds",
        type=click.IntRange(1, 1000),
        default=1,
        show_default=True,
        help="How often.",
    ),
    click.option(
        "--reconnect-spread-s",
        type=click.FloatRange(min=0),
        default=0.0,
        help="Clients come back within so much time.  [default: 0, all at once]",
    ),
    click.option(
        "--slow-share",
        type=click.FloatRange(0, 1),
        help="Clients that read slowly.  [default: 0.2 in the scenario slow]",
    ),
    click.option(
        "--slow-bytes-per-s",
        type=click.FloatRange(min=1),
        default=2000.0,
        show_default=True,
        help="How slowly.",
    ),
    click.option(
        "--personas",
        help=("Ids with commas between them, or how many.  [default: 10 in the scenario personas]"),
    ),
    click.option(
        "--kill-at-s",
        type=click.FloatRange(min=0.01),
        default=3.0,
        show_default=True,
        help="When the server is killed.",
    ),
    click.option(
        "--server-pid",
        type=click.IntRange(min=2),
        help="The server's process: for its CPU, and to be killed.",
    ),
    click.option(
        "--server-command",
        help="Starts the server; it is ended afterwards, and started again after a kill.",
    ),
    click.option(
        "--upstream",
        is_flag=True,
        help=(
            "Run an OpenAI-compatible upstream double that notes each close; "
            "--server-command gets OPENAI_BASE_URL."
        ),
    ),
    click.option(
        "--upstream-port",
        type=int,
        default=0,
        help="Its port.  [default: a free one]",
    ),
    click.option(
        "--upstream-pace-s",
        type=float,
        default=0.05,
        show_default=True,
        help="Between two of its tokens.",
    ),
    click.option(
        "--upstream-words",
        type=int,
        default=2000,
        show_default=True,
        help="Of each of its answers.",
    ),
    click.option(
        "--slo",
        "slos",
        multiple=True,
        metavar="NAME=MS",
        help="A limit for each request: ttft, itl, tpot, e2e, cancel, resume; may repeat.",
    ),
    click.option(
        "--goodput",
        type=float,
        default=0.99,
        show_default=True,
        help="The share of requests that has to keep the limits.",
    ),
    click.option(
        "--allow-errors",
        type=float,
        default=0.0,
        help="The share of requests that may fail.  [default: 0]",
    ),
    click.option(
        "--min-fairness",
        type=click.FloatRange(0, 1),
        help="Jain's index of the requests' pace, at least.",
    ),
    click.option(
        "--pace",
        type=click.FloatRange(min=0, min_open=True),
        help="Tokens a second that the server means to send: measures lateness.",
    ),
    click.option(
        "--find-rate",
        is_flag=True,
        help="Find the highest rate that keeps the limits, from --rate on.",
    ),
    click.option(
        "--max-rate",
        type=float,
        default=1000.0,
        show_default=True,
        help="None above it is tried.",
    ),
    click.option(
        "--processes",
        type=click.IntRange(1, 64),
        help="Workers.  [default: as many as it takes]",
    ),
    click.option(
        "--max-lag-ms",
        type=float,
        default=50.0,
        show_default=True,
        help="A worker's loop that is later at its p99 makes the run invalid.",
    ),
    click.option(
        "--allow-saturation",
        is_flag=True,
        help=(
            "Take a run whose limit was the tool: counts and the server's CPU hold, times do not."
        ),
    ),
    click.option(
        "--seed",
        type=int,
        default=1,
        show_default=True,
        help="Of all that is random.",
    ),
    click.option(
        "--json",
        "json_path",
        type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        help='A file for the report ("-": standard output, in the table\'s place).',
    ),
    click.option(
        "--csv",
        "csv_path",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A file for its figures.",
    ),
    click.option(
        "--html",
        "html_path",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A file for a page with plots.",
    ),
    click.option(
        "--i-may-load",
        "allowed_hosts",
        multiple=True,
        metavar="HOST",
        help="Say that this host is yours; else only this machine is loaded.",
    ),
)


def with_flags(command: Any) -> Any:
    """Give a command all of them."""
    for flag in reversed(FLAGS):
        command = flag(command)
    return command
