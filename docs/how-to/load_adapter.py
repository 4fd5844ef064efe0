"""An adapter for `antiphon bench`: a WebSocket server that counts words, and is not ours.

Its protocol: {"words": N} starts; {"word": …} comes N times, then {"done": true}; {"stop": true}
cancels, and is answered by {"stopped": true}.
"""

from __future__ import annotations

import msgspec

from benchmarks.load.adapters.interface import Conversation, Reading, Sent, Wire


class Heard(msgspec.Struct):
    """What counts of a message; everything else is skipped without being decoded."""

    word: str | None = None
    done: bool = False
    stopped: bool = False


decode = msgspec.json.Decoder(Heard).decode


class Words:
    """The adapter; `--option words=50` comes as a keyword."""

    wire: Wire = "websocket"
    path = "/words"
    resumes = False

    def __init__(self, *, words: str = "20") -> None:
        self.words = int(words)

    def conversation(self, number: int) -> WordsConversation:
        """Make one request."""
        return WordsConversation(self.words)


class WordsConversation(Conversation):
    """One request, from the client's side."""

    def __init__(self, words: int) -> None:
        self.words = words

    def opening(self) -> Sent:
        """Say what starts it."""
        return Sent(body=b'{"words": %d}' % self.words)

    def read(self, message: bytes, event: str) -> Reading | None:
        """Say what a message means."""
        heard = decode(message)
        if heard.done:
            return Reading(kind="final")
        if heard.stopped:
            return Reading(kind="cancelled")
        return None if heard.word is None else Reading(kind="token")

    def cancelling(self) -> Sent:
        """Say what cancels it."""
        return Sent(body=b'{"stop": true}')
