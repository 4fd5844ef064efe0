"""`antiphon generate`: StreamGenerate in the terminal."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from engine import JSON
from server.commands.streaming import JsonLines, Show, is_terminal_device, stream
from server.settings import Settings


def run(
    settings: Settings,
    *,
    text: str,
    phases: str | None,
    count: int | None,
    parallel: bool,
    auto_select: bool,
    provider: str | None,
    model: str | None,
    as_json: bool,
) -> int:
    """Generate; gives the exit code."""
    request: JSON = {"input": text}
    if phases is not None:
        request["phases"] = [phase.strip() for phase in phases.split(",")]
    if count is not None:
        request["count"] = count
    message: JSON = {"request": request, "useParallel": parallel, "autoSelect": auto_select}
    if provider is not None or model is not None:
        names = request.get("phases") or ["prima-materia", "solutio", "coagulatio"]
        config = {"provider": provider or "", "model": model}
        message["phaseConfigs"] = [
            {"phase": name, **{key: value for key, value in config.items() if value}}
            for name in names
        ]
    show: Show
    if as_json:
        show = JsonLines()
    elif is_terminal_device():
        show = Screen(len(request.get("phases", "abc")) * request.get("count", 3))
    else:
        show = PlainLines()
    return stream(settings, protocol="generate", path="/stream", request=message, show=show)


class PlainLines:
    """For pipes: a line for each phase and prompt, then the result."""

    def show(self, message: JSON) -> None:
        """Print what matters of a message."""
        match message["type"]:
            case "phase_start":
                print(f"phase {message['phase']}", flush=True)
            case "prompt_complete":
                print(f"  {message['content']}", flush=True)
            case "prompt_failed":
                print(f"  prompt {message['index'] + 1} failed: {message['error']}", flush=True)
            case "attempt":
                print(f"  again, attempt {message['attempt']}: {message['code']}", flush=True)
            case "result":
                for title, text in _results(message):
                    print(f"\n== {title}\n{text}", flush=True)

    def close(self) -> None:
        """Nothing is left to do."""


class Screen:
    """For terminals: a bar, and the newest text while it is written."""

    def __init__(self, prompts: int) -> None:
        self._console = Console()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} prompts"),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task("starting", total=prompts)
        self._texts: dict[str, str] = {}
        self._live = Live(self._bar, console=self._console, refresh_per_second=12)
        self._live.start()

    def show(self, message: JSON) -> None:
        """Move the bar, or show the text."""
        match message["type"]:
            case "phase_start":
                self._bar.update(self._task, description=message["phase"])
            case "chunk":
                self._write(message["prompt_id"], message["content"])
            case "attempt":
                self._texts[message["target"]["prompt_id"]] = ""
            case "prompt_complete" | "prompt_failed":
                self._texts.pop(message["prompt_id"], None)
                self._bar.advance(self._task)
            case "result":
                self._live.update(self._bar)
                self._live.stop()
                for title, text in _results(message):
                    self._console.print(Panel(Text(text), title=title, title_align="left"))

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._live.stop()

    def _write(self, prompt_id: str, text: str) -> None:
        self._texts[prompt_id] = self._texts.get(prompt_id, "") + text
        tail = self._texts[prompt_id][-600:]
        layout = Panel(Text(tail), subtitle=f"{len(self._texts)} at work", subtitle_align="right")
        self._live.update(_stack(self._bar, layout))


def _stack(*parts: Any) -> Any:
    from rich.console import Group

    return Group(*parts)


def _results(message: JSON) -> list[tuple[str, str]]:
    """Give what a person wants to read: the chosen prompt, or the last phase's, best first."""
    result = json.loads(message["content"])
    prompts = {prompt["id"]: prompt["content"] for prompt in result["prompts"]}
    selected = result.get("selected")
    if selected is not None:
        title = f"selected ({selected['reason']}, score {selected['score']:.2f})"
        return [(title, selected["content"])]
    return [
        (f"{place}. score {ranking['score']:.2f}", prompts[ranking["prompt_id"]])
        for place, ranking in enumerate(result["rankings"], start=1)
    ]
