"""`antiphon content`: notes into exam-ready text, in the terminal."""

from __future__ import annotations

import sys

from engine import JSON
from server.commands.bars import Bars
from server.commands.files import read_text
from server.commands.streaming import JsonLines, Show, is_terminal_device, stream
from server.settings import Settings


def run(settings: Settings, *, file: str, as_json: bool, **fields: object) -> int:
    """Generate from a file's text; gives the exit code.

    Args:
        settings: where it runs.
        file: the source notes; "-" is standard input.
        as_json: one JSON message a line.
        fields: the request's other fields; a None is not given.
    """
    text = read_text(file)
    if text is None:
        return 2
    request = {"input_text": text, **{key: value for key, value in fields.items() if value}}
    if fields.get("max_retries") == 0:
        request["max_retries"] = 0
    show: Show
    if as_json:
        show = JsonLines()
    elif is_terminal_device():
        show = Screen()
    else:
        show = PlainLines()
    return stream(settings, protocol="content", path="/run/stream", request=request, show=show)


class PlainLines:
    """For pipes: a line for each stage, then the output."""

    def __init__(self) -> None:
        self._said = ("", "")

    def show(self, message: JSON) -> None:
        """Print what matters of a message."""
        match message["type"]:
            case "progress" if (message["stage"], message["message"]) != self._said:
                self._said = (message["stage"], message["message"])
                print(f"{message.get('progress', 0):3g}% {message['message']}", flush=True)
            case "draft":
                print(f"{message['progress']:3g}% {message['message']}", flush=True)
            case "complete":
                print_result(message)

    def close(self) -> None:
        """Nothing is left to do."""


class Screen:
    """For terminals: a bar, and the newest text while it is written."""

    def __init__(self) -> None:
        self._bars = Bars(["starting"])
        self._text = ""

    def show(self, message: JSON) -> None:
        """Move the bar, or show the text."""
        match message["type"]:
            case "progress":
                self._bars.move(0, message.get("progress", 0), message["message"])
            case "token":
                self._text += message["token"]
                self._bars.show_text(self._text)
            case "attempt":
                self._text = ""
            case "draft":
                self._text = ""
                self._bars.move(0, message["progress"], message["message"])
            case "complete":
                self._bars.stop()
                print_result(message)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bars.stop()


def print_result(message: JSON) -> None:
    """Print the output, or what there is of it and its errors on stderr."""
    if message["success"]:
        print(f"\n{message['output']}", flush=True)
        return
    print(f"\n{message['partial_output']}", flush=True)
    for error in message["validation_errors"]:
        where = f"Line {error['line']}: {error['message']} ({error['section']})"
        print(where, file=sys.stderr)
