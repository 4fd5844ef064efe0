"""`antiphon chat`: one voice or several in the terminal, once or for a whole conversation."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Sequence

import trio

from engine import JSON, AntiphonError
from server.client import Unreachable
from server.commands.columns import LiveColumns, title_of
from server.commands.streaming import (
    CANCELLED,
    DONE,
    FAILED,
    JsonLines,
    Show,
    attend,
    exit_code,
    is_terminal_device,
    open_desk,
    stream,
)
from server.settings import Settings


def run(
    settings: Settings,
    *,
    message: str | None,
    personas: Sequence[str],
    debate: int | None,
    synthesis: bool,
    conversation: str | None,
    provider: str | None,
    model: str | None,
    as_json: bool,
) -> int:
    """Chat; gives the exit code."""
    asking = Asking(
        personas,
        debate=debate,
        synthesis=synthesis,
        conversation=conversation,
        provider=provider,
        model=model,
    )
    if message is not None:
        request, show = asking.request(message), _show(asking, as_json)
        return stream(settings, protocol="persona", path="/ws", request=request, show=show)
    return trio.run(_converse, settings, asking, as_json)


class Asking:
    """What is asked again with each message; the conversation goes on by itself."""

    def __init__(
        self,
        personas: Sequence[str],
        *,
        debate: int | None = None,
        synthesis: bool = False,
        conversation: str | None = None,
        provider: str | None = None,
        model: str | None = None,
    ) -> None:
        self.is_panel = len(personas) > 1
        self._personas = list(personas)
        options: JSON = {"api": provider, "model": model, "conversation_id": conversation}
        if self.is_panel and debate is not None:
            options.update(mode="debate", rounds=debate)
        if self.is_panel and synthesis:
            options["synthesis"] = True
        self._options = options

    def request(self, message: str) -> JSON:
        """Give the request for a message."""
        options = {name: value for name, value in self._options.items() if value is not None}
        if self.is_panel:
            data = {"message": message, "persona_ids": self._personas, **options}
            return {"type": "multi_chat", "data": data}
        if self._personas:
            data = {"message": message, "persona_id": self._personas[0], **options}
            return {"type": "chat", "data": data}
        return {"type": "openai_chat", "data": {"input_text": message, **options}}

    def heard(self, last: JSON) -> None:
        """Learn from a session's last message which conversation it belongs to."""
        found = last.get("conversation_id") or last.get("data", {}).get("conversation_id")
        self._options["conversation_id"] = found or self._options["conversation_id"]


# ---- a conversation -----------------------------------------------------------------------------


async def _converse(settings: Settings, asking: Asking, as_json: bool) -> int:
    """Ask for messages until there are no more; Ctrl-C stops the answer, and then the talk."""
    is_prompting = sys.stdin.isatty() and not as_json
    if is_prompting:
        print("Ctrl-C stops an answer, Ctrl-D ends the conversation.", file=sys.stderr)
    code = DONE
    try:
        async with open_desk(settings) as desk:
            while (message := await _read_message(is_prompting)) is not None:
                if not message.strip():
                    continue
                show = _show(asking, as_json)
                last = await attend(desk, "persona", "/ws", asking.request(message), show)
                asking.heard(last)
                exit_code(last)
    except* KeyboardInterrupt:
        code = CANCELLED
    except* (Unreachable, AntiphonError) as failed:
        print(f"antiphon: {failed.exceptions[0]}", file=sys.stderr)
        code = FAILED
    return code


async def _read_message(is_prompting: bool) -> str | None:
    """Read a line; None where there are no more.

    Raises:
        KeyboardInterrupt: Ctrl-C. It is listened for before the prompt is shown: Python's own could
            be raised in a task of the engine's, or where what is raised is only logged.
    """
    line = ""
    is_interrupted = False

    async def listen(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        nonlocal is_interrupted
        async for _ in signals:
            is_interrupted = True
            scope.cancel()

    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, signals, nursery.cancel_scope)
            if is_prompting:
                print("\nyou> ", end="", flush=True)
            line = await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
            nursery.cancel_scope.cancel()
    if is_interrupted:
        raise KeyboardInterrupt
    return line if line else None


# ---- showing ------------------------------------------------------------------------------------


def _show(asking: Asking, as_json: bool) -> Show:
    if as_json:
        return JsonLines()
    if not asking.is_panel:
        return OneVoice()
    return LiveColumns() if is_terminal_device() else PlainLines()


class OneVoice:
    """For one voice, on terminals and in pipes alike: its text as it comes."""

    def __init__(self) -> None:
        self._is_mid_line = False

    def show(self, message: JSON) -> None:
        """Print what matters of a message."""
        match message["type"]:
            case "chunk":
                print(message["chunk"], end="", flush=True)
                self._is_mid_line = self._is_mid_line or bool(message["chunk"])
            case "attempt":
                print(f"\n[again, attempt {message['attempt']}: {message['code']}]", flush=True)
            case "tool":
                print(f"[{message['tool']}: {message['status']}]", flush=True)

    def close(self) -> None:
        """End the line."""
        if self._is_mid_line:
            print(flush=True)
        self._is_mid_line = False


class PlainLines:
    """For pipes: each answer when it is whole, under its name."""

    def show(self, message: JSON) -> None:
        """Print what matters of a message."""
        match message["type"]:
            case "persona_response":
                print(f"== {title_of(message)}\n{message['response']}\n", flush=True)
            case "error" if "persona_id" in message:
                print(f"== {title_of(message)}\n[failed: {message['message']}]\n", flush=True)
            case "part_cancelled":
                print(f"== {title_of(message)}\n{message['partial']} [cancelled]\n", flush=True)

    def close(self) -> None:
        """Nothing is left to do."""
