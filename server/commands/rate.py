"""`antiphon rate`: a plot point's judgement by one rater or several, in the terminal."""

from __future__ import annotations

import json
import sys

from engine import JSON
from server.commands.bars import Bars
from server.commands.files import read_text
from server.commands.streaming import JsonLines, Show, is_terminal_device, stream
from server.settings import Settings

ONE, SEVERAL = "/api/v1/rater-feedback/stream", "/api/v1/rater-feedback/batch/stream"
USUAL_PROMPT = "You are a careful story critic. Say what works, what does not, and why."


def run(
    settings: Settings,
    *,
    file: str,
    prompt: str | None,
    raters: tuple[str, ...],
    model: str | None,
    as_json: bool,
) -> int:
    """Have a plot point judged; gives the exit code.

    Args:
        settings: where it runs.
        file: a request of contract 3 as JSON, or the plot point as plain text; "-" is stdin.
        prompt: the rater's prompt.
        raters: several raters in the place of one, each `NAME=PROMPT`.
        model: who judges.
        as_json: one JSON message a line.
    """
    text = read_text(file)
    if text is None:
        return 2
    request = _request(text)
    if prompt is not None:
        request["raterPrompt"] = prompt
    if model is not None:
        request["model"] = model
    if raters:
        request.pop("raterPrompt", None)
        request["raters"] = [_rater(each) for each in raters]
    names = [_name(rater, place) for place, rater in enumerate(request.get("raters") or [{}])]
    show: Show
    if as_json:
        show = JsonLines()
    elif is_terminal_device():
        show = Screen(names)
    else:
        show = PlainLines()
    path = SEVERAL if "raters" in request else ONE
    return stream(settings, protocol="rater", path=path, request=request, show=show)


def _request(text: str) -> JSON:
    try:
        request = json.loads(text)
    except ValueError:
        request = None
    if isinstance(request, dict):
        return request
    return {"raterPrompt": USUAL_PROMPT, "plotPoint": text, "structured_context": {}}


def _rater(text: str) -> JSON:
    name, _, prompt = text.partition("=")
    return {"raterName": name, "raterPrompt": prompt}


def _name(rater: object, place: int) -> str:
    named = rater.get("raterName") if isinstance(rater, dict) else None
    return named if isinstance(named, str) else f"Rater {place + 1}"


class PlainLines:
    """For pipes: a line for each phase, then each rater's feedback."""

    def show(self, message: JSON) -> None:
        """Print what matters of a message."""
        who = f"{message['raterName']}: " if "raterName" in message else ""
        match message["type"]:
            case "status":
                print(f"{who}{message['progress']:3g}% {message['message']}", flush=True)
            case "error" if who:
                print(f"{who}failed: {message['message']}", file=sys.stderr)
            case "result":
                print_result(message["data"])

    def close(self) -> None:
        """Nothing is left to do."""


class Screen:
    """For terminals: a bar for each rater, and the newest opinion.

    Args:
        names: the raters'.
    """

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._bars = Bars(names)

    def show(self, message: JSON) -> None:
        """Move a bar, or show an opinion."""
        name = message.get("raterName", self._names[0])
        place = self._names.index(name) if name in self._names else 0
        match message["type"]:
            case "status":
                text = (
                    f"{name}: {message['message']}" if len(self._names) > 1 else message["message"]
                )
                self._bars.move(place, message["progress"], text)
            case "partial":
                self._bars.show_text(f"{name}: {message['feedback']['opinion']}")
            case "error" if "raterName" in message:
                self._bars.move(place, 100, f"{name}: failed: {message['message']}")
            case "result":
                self._bars.stop()
                print_result(message["data"])

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bars.stop()


def print_result(data: JSON) -> None:
    """Print each rater's opinion and suggestions."""
    for each in data.get("results", [data]):
        feedback = each["feedback"]
        print(f"\n== {each['raterName']}\n{feedback['opinion']}", flush=True)
        for suggestion in feedback["suggestions"]:
            print(f"- {suggestion}", flush=True)
