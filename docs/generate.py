"""Writes the reference pages that come from the code; `--check` says which are out of step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec
import trio
from prometheus_client.core import Metric

from benchmarks.load import report as bench_report
from benchmarks.load.measures import MEASURES, Counts, Second
from benchmarks.load.plan import Plan
from benchmarks.load.verdict import MEANINGS, Finding
from docs.sizing_page import sizing_page
from docs.wire_reference import asyncapi_page, messages_page
from engine import (
    AntiphonError,
    AttemptStarted,
    CallEnded,
    Internal,
    Limits,
    Overloaded,
    PartEnded,
    Providers,
    Report,
    SessionEnded,
    SessionStarted,
    TooLarge,
    Usage,
    all_pipelines,
    open_engine,
    provider_configs,
)
from engine.errors import ErrorCode
from server.connections import Connections
from server.hub import Bounds, Hub
from server.metrics import Metrics
from server.problems import status_of
from server.protocols import all_codecs
from server.settings import PREFIX, Settings, flag_of

REFERENCE = Path(__file__).parent / "reference"
HEAD = "<!-- Written by docs/generate.py from the code: change it there. -->\n\n"


def settings_page() -> str:
    """Every setting of the server, from its model."""
    lines = [
        "# Settings",
        "",
        "Flags come first, then `ANTIPHON_*` in the environment, then `antiphon.toml` in the",
        "working directory (or `--config FILE`). In the file the names are those of the",
        "environment, without `ANTIPHON_` and in lower case. An unknown or bad setting stops the",
        "start with its name and what is allowed.",
        "",
        "| environment | flag | default | |",
        "| --- | --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        if name == "providers":
            continue
        shown = field.get_default(call_default_factory=True)
        default = "" if shown in (None, "", {}) else f"`{shown}`"
        flag = f"`{flag_of(name)}`"
        lines.append(f"| `{PREFIX}{name.upper()}` | {flag} | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def limits_page() -> str:
    """Every bound of the engine, from its struct's docstrings."""
    source = Path(sys.modules[Limits.__module__].__file__ or "").read_text(encoding="utf-8")
    defaults = {name: getattr(Limits(), name) for name in Limits.__struct_fields__}
    lines = [
        "# Limits",
        "",
        "The bounds of `engine.Limits`, for whoever embeds the engine. Every buffer has one.",
        "",
        "| name | default | why |",
        "| --- | --- | --- |",
    ]
    for name, value in defaults.items():
        lines.append(f"| `{name}` | {value:,} | {_doc_below(source, name)} |")
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Every error code, with its class, status and whether a repeat can help."""
    kinds = {kind.code: kind for kind in _subclasses(AntiphonError) if not kind.__subclasses__()}
    kinds["internal"], kinds["too_large"] = Internal, TooLarge
    kinds["overloaded"] = Overloaded
    lines = [
        "# Errors and close codes",
        "",
        "Every error carries a `code`. On HTTP it comes as `application/problem+json` with the",
        "status; on a stream as the protocol's own `error`. An `error` with `refused: true` ends",
        "no session.",
        "",
        "| code | HTTP | again? | |",
        "| --- | --- | --- | --- |",
    ]
    for code in get_args(ErrorCode):
        kind = kinds.get(code)
        if kind is None:
            continue
        first = (kind.__doc__ or "").strip().partition("\n")[0]
        again = "may help" if kind.retryable else "no"
        status = status_of(kind.__new__(kind))
        lines.append(f"| `{code}` | {status} | {again} | {first} |")
    lines += [
        "",
        "| close code | meaning | reconnect? |",
        "| --- | --- | --- |",
        "| 1000 | done | no |",
        "| 1002, 1007 | the client broke RFC 6455 | no |",
        "| 1008 | policy: not authenticated, or no such session on `/ws/{session_id}` | no |",
        "| 1009 | a message over the bound | no |",
        "| 1011 | an internal error | yes |",
        "| 1012 | the server restarts; resume | yes |",
        "| 1013 | too much at present | later |",
        "| 4008 | the client took no byte for the stall time; resume | yes |",
    ]
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Every metric of /metrics, from a registry that has seen one report of each kind."""
    lines = [
        "# Metrics",
        "",
        "`GET /metrics` gives them in Prometheus's text format, without a token: keep it from",
        "the outside at the proxy (the shipped configurations do). Names that begin with `gen_ai`",
        "are OpenTelemetry's. No label is a user, a session or a text. `process_*` and `python_*`",
        "are those of Prometheus's client library. A dashboard is in",
        "`docs/how-to/deployment/grafana-dashboard.json`.",
        "",
        "| name | type | labels | |",
        "| --- | --- | --- | --- |",
    ]
    for family in sorted(trio.run(_families), key=lambda family: str(family.name)):
        if not family.name.startswith(("antiphon_", "gen_ai_")):
            continue
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {key for sample in family.samples for key in sample.labels} - {"le"}
        shown = ", ".join(f"`{label}`" for label in sorted(labels))
        lines.append(f"| `{name}` | {family.type} | {shown} | {family.documentation} |")
    return "\n".join(lines) + "\n"


async def _families() -> list[Metric]:
    limits = Limits()
    providers = Providers(provider_configs({}, {}), limits=limits, demo=True)
    async with open_engine(providers=providers, pipelines=all_pipelines()) as engine:
        hub = Hub(engine, all_codecs(), bounds=Bounds(), drain_s=limits.drain_s)
        hub.refusals["invalid_request"] += 1
        metrics = Metrics(hub, Connections())
        for report in _one_of_each():
            metrics.listen(report)
        return metrics.families()


def _one_of_each() -> list[Report]:
    ids: Any = {"session_id": "s", "at": 0.0}
    call: Any = {**ids, "call": 1, "part_id": "p", "provider": "simulated", "model": "m"}
    usage = Usage(input_tokens=1, output_tokens=2)
    return [
        SessionStarted(protocol="p", request_id=None, is_detached=False, is_recovered=False, **ids),
        PartEnded(part_id="p", phase="f", outcome="completed", tokens_after_cancel=0, **ids),
        AttemptStarted(part_id="p", attempt=2, reason="provider", code=None, void_tokens=1, **ids),
        CallEnded(
            outcome="completed",
            code=None,
            finish="stop",
            usage=usage,
            first_token_s=0.1,
            duration_s=1.0,
            **call,
        ),
        SessionEnded(
            protocol="p",
            state="completed",
            reason="",
            duration_s=1.0,
            usage=usage,
            receipt=None,
            open_upstreams=0,
            **ids,
        ),
    ]


def bench_page() -> str:
    """Every field of the load tool's JSON, from its structs."""
    lines = [
        "# The JSON of `antiphon bench`",
        "",
        "`--json FILE` writes one object. `format` goes up when a field changes its meaning or",
        "goes away; new fields may come at any time.",
    ]
    for kind, title in (
        (bench_report.Report, "The report"),
        (Finding, "A finding (`findings`)"),
        (Counts, "Counts (`counts`)"),
        (bench_report.Measure, "A measure (`measures.NAME`)"),
        (bench_report.Goodput, "Goodput (`goodput`)"),
        (bench_report.Fairness, "Fairness (`fairness`)"),
        (bench_report.ServerCost, "The server (`server`)"),
        (bench_report.ToolUse, "The tool (`tool`)"),
        (Second, "A second of the run (`timeline`)"),
        (bench_report.Search, "A search (`search`)"),
        (bench_report.Probe, "A run of a search (`search.probes`)"),
        (Plan, "The plan (`plan`)"),
    ):
        lines += ["", f"## {title}", "", "| field | |", "| --- | --- |", *_fields(kind)]
    lines += ["", "## Names of findings", "", "| name | |", "| --- | --- |"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in MEANINGS.items()]
    lines += ["", "## Names of measures", "", "| name | |", "| --- | --- |"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in MEASURES.items()]
    return "\n".join(lines) + "\n"


def _fields(kind: type[msgspec.Struct]) -> Iterator[str]:
    source = Path(sys.modules[kind.__module__].__file__ or "").read_text(encoding="utf-8")
    own = source.partition(f"\nclass {kind.__name__}(")[2].partition("\nclass ")[0]
    for name in kind.__struct_fields__:
        yield f"| `{name}` | {_doc_below(own, name)} |"


def _subclasses(kind: type[AntiphonError]) -> Iterator[type[AntiphonError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _subclasses(child)


def _doc_below(source: str, name: str) -> str:
    _, _, after = source.partition(f"\n    {name}: ")
    below = after.partition("\n")[2].lstrip()
    if not below.startswith('"""'):
        return ""
    return " ".join(below[3:].partition('"""')[0].split())


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "limits.md": limits_page,
    "errors.md": errors_page,
    "metrics.md": metrics_page,
    "bench.md": bench_page,
    "messages.md": messages_page,
    "asyncapi.json": asyncapi_page,
    "../explanation/sizing.md": sizing_page,
}


def text_of(name: str) -> str:
    """Give a page as it is to be; JSON has no place for a line that says where it comes from."""
    return PAGES[name]() if name.endswith(".json") else HEAD + PAGES[name]()


def stale() -> list[str]:
    """Give the pages that differ from what the code says."""
    return [
        name
        for name in PAGES
        if not (REFERENCE / name).exists()
        or (REFERENCE / name).read_text(encoding="utf-8") != text_of(name)
    ]


def main() -> int:
    if "--check" in sys.argv:
        found = stale()
        for name in found:
            print(f"docs/reference/{name} is out of step: run make docs", file=sys.stderr)
        return 1 if found else 0
    REFERENCE.mkdir(exist_ok=True)
    for name in PAGES:
        (REFERENCE / name).write_text(text_of(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
