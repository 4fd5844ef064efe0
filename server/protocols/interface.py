"""What a codec is: one protocol's words for the engine's events and requests.

The one rule: a codec is a set of pure functions from one event to one message. So any suffix of a
log encodes to the same suffix of the wire, and a replay is the live stream again. Codecs import no
sibling, no trio and no Quart; the common fields are added by `server.protocols.encoding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from engine import JSON, AntiphonError, Entry, Options, Part


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What a codec may know of a session besides the event: only its epoch ever changes."""

    session_id: str
    protocol: str
    epoch: str
    request_id: str | None
    command: JSON
    """As the journal has it; canonical names."""
    warnings: tuple[str, ...]


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """How a protocol shows a delta: all that stays the same for a part, and where the rest goes.

    With this the delta, by far the most frequent message, is put together from bytes that were
    encoded once for the part.
    """

    static: JSON
    text: str
    """The field of the text."""
    tokens: str | None = None
    """The field of the cumulative token count, where there is one."""
    timestamp: str | None = None
    """The field of the Unix time, where there is one."""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A request that starts a session."""

    protocol: str
    data: JSON
    options: Options


class Codec(Protocol):
    """One protocol."""

    protocol: str
    """The pipeline's word."""
    names_events: bool
    """Whether its SSE events carry their type as `event:` too, for listeners by name."""

    def decode(self, message: JSON) -> tuple[str, JSON]:
        """Turn a client's message into a pipeline's word and its request.

        Common fields (`request_id`, `detached` …) have been taken out already.

        Raises:
            UnsupportedType, InvalidRequest: the message is none of this protocol's.
        """
        ...

    def target(self, target: JSON) -> JSON:
        """Give a cancel's target in the names that events have: aliases become canonical."""
        ...

    def chunk(self, part: Part, story: Story) -> Chunk:
        """Say how a part's deltas are shown."""
        ...

    def encode(self, entry: Entry, story: Story) -> JSON:
        """Give the message of one event, without the common fields."""
        ...

    def refusal(self, error: AntiphonError, about: Mapping[str, str]) -> JSON:
        """Give the message that refuses what a client sent; it ends no session.

        Args:
            error: why.
            about: what could be read of the message: its phase, type or persona.
        """
        ...
