"""How the tool speaks with a server it knows nothing of: write an adapter, and it does.

An adapter makes a `Conversation` for each request. A conversation says what to send to begin, what
to send to cancel and to come back, and reads each message into a `Reading`. It does no I/O, reads
no clock and keeps no task: the tool owns connections and times. Your own is named on the command
line as `MODULE:NAME`, where NAME is called with the options (`--option KEY=VALUE`) as keywords:

    class Echo:
        wire = "websocket"
        path = "/echo"

        def __init__(self, words: str = "100") -> None:
            self.words = int(words)

        def conversation(self, number: int) -> Conversation:
            return EchoConversation(self.words)

    class EchoConversation(Conversation):
        def opening(self) -> Sent:
            return Sent(body=b'{"words": %d}' % self.words)

        def read(self, message: bytes, event: str) -> Reading | None:
            if message == b"END":
                return Reading(kind="final")
            return Reading(kind="token")

Reading is on the way of every token: decode narrow types (a `msgspec.Struct` with the two fields
that count), not whole objects.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

Kind = Literal["token", "first", "final", "error", "cancelled", "other"]
"""`token`: brings text. `first`: says that text begins, without any. `final`, `error`, `cancelled`:
the request's end. `other`: everything else that is numbered."""

Wire = Literal["websocket", "sse"]


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What a client sends: a WebSocket message, or an HTTP request."""

    body: bytes = b""
    method: str = "POST"
    """Over HTTP."""
    path: str = ""
    """Over HTTP; a WebSocket's is the conversation's."""
    headers: tuple[tuple[str, str], ...] = ()
    """Over HTTP, beside what the command line adds."""
    is_http: bool = False
    """Make a plain HTTP request of its own of it, also where the wire is a WebSocket."""


class Reading(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a message means to the tool."""

    kind: Kind
    tokens: int = 1
    """How many a `token` brings."""
    told_tokens: int = 0
    """With the `final`: how many the server says it were, where its messages do not tell."""
    part: str = ""
    """Which of several texts that run side by side (a persona, a lane)."""
    epoch: str = ""
    """Names one life of the numbering."""
    first_seq: int = 0
    """The first number that the message covers."""
    seq: int = 0
    """The last number that it covers; 0: the message is not numbered."""
    code: str = ""
    """What kind of error it is."""
    upstream_closed_ms: float | None = None
    """From a cancel's receipt."""


class Conversation:
    """One request, from its client's side. Only `opening` and `read` have to be written."""

    __slots__ = ()

    path: str = ""
    """The WebSocket's path, where it is not the adapter's: known after `prepared`."""

    def preparing(self) -> Sent | None:
        """Give a plain HTTP request to make before; None: nothing is needed."""
        return None

    def prepared(self, status: int, body: bytes) -> None:
        """Take the answer to it.

        Raises:
            ValueError: it is not what is needed; the request has failed.
        """

    def opening(self) -> Sent | None:
        """Give what begins the request; None: the server begins by itself, once connected."""
        raise NotImplementedError

    def answered(self, headers: dict[str, str]) -> None:
        """Take the headers of the answer, over SSE."""

    def read(self, message: bytes, event: str) -> Reading | None:
        """Understand one message.

        Args:
            message: a WebSocket message, or the data of a server-sent event.
            event: the event's name; empty over WebSocket.

        Returns:
            None: it means nothing to the request.

        Raises:
            ValueError, msgspec.MsgspecError: it cannot be read; the request has failed.
        """
        raise NotImplementedError

    def cancelling(self) -> Sent | None:
        """Give what cancels the request; None: closing the connection does."""
        return None

    def resuming(self) -> Sent | None:
        """Give what goes on after a lost connection; None: there is no way."""
        return None


class Adapter(Protocol):
    """One protocol of a server."""

    wire: Wire
    """What messages come by."""
    path: str
    """The WebSocket's path."""
    resumes: bool
    """Whether its conversations know how to come back."""

    def conversation(self, number: int) -> Conversation:
        """Make the conversation of request `number`.

        The text that it sends should name the number as `marked` does: the upstream double knows
        by it whose request it serves.
        """
        ...


MARK = "load request number {} ."
"""How a request's text names its number."""


def marked(text: str, number: int) -> str:
    """Put a request's number into its text, for the upstream double."""
    return f"{text} ({MARK.format(number)})"
