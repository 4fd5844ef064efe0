"""From an entry of a log to the bytes of one message: a codec's fields and the common ones.

The one rule: one entry becomes one message, and an entry that several readers get at once is
encoded (and framed) once for all of them. Pure but for its caches. Must not import trio or Quart.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import TypeAlias

import msgspec

from engine import JSON, AntiphonError, Delta, Entry, InvalidRequest, Part, SessionRecord
from server.protocols.interface import Codec, Story

_encode = msgspec.json.Encoder().encode

_ESCAPE = "antiphon.json"
"""The name, among Python's handlers of what cannot be encoded, of the one that writes \\u…."""

_SHORT = 1024
"""Shorter messages are escaped run by run: about 1 µs for a run, where the whole takes 5."""


def to_json(value: object) -> bytes:
    """Encode JSON; a lone surrogate, which a model may send in pieces, is escaped as it is."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def to_ascii(message: bytes) -> bytes:
    """Escape what is not ASCII, for SSE: clients exist that decode each network chunk alone.

    It can only be inside of JSON's strings. So in a delta, one run of it or a few, it is escaped
    where it stands; of a long text, which has many, the whole is decoded and encoded again.
    """
    if message.isascii():
        return message
    if len(message) < _SHORT:
        return message.decode().encode("ascii", _ESCAPE)
    return json.dumps(json.loads(message), separators=(",", ":")).encode()


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError), "only encoding is asked for"
    return encode_basestring_ascii(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_ESCAPE, _escape)


def tell(record: SessionRecord) -> Story:
    """Give what codecs may know of a session."""
    return Story(
        session_id=record.session_id,
        protocol=record.protocol,
        epoch=record.epochs[-1].name,
        request_id=record.request_id,
        command=record.command,
        warnings=record.warnings,
    )


class Shared:
    """One form of a session's entries, made once for all readers that want it at the same moment.

    Idle readers ask for the newest entry one after the other, in the numbering step itself, so one
    entry is all that has to be kept. Readers that lag get entries of their own.
    """

    __slots__ = ("_data", "_encoder", "_entry", "_form")

    def __init__(self, encoder: Encoder, form: Form) -> None:
        self._encoder = encoder
        self._form = form
        self._entry: Entry | None = None
        self._data = b""

    def forget(self) -> None:
        """Make the next entry anew, were it the same: it is told otherwise now."""
        self._entry = None

    def __call__(self, entry: Entry) -> bytes:
        """Give the entry in this form."""
        if entry is not self._entry:
            self._data = self._form(self._encoder, entry)
            self._entry = entry
        return self._data


class Encoder:
    """Encodes one session's entries, for all its readers.

    Args:
        codec: the session's protocol.
        story: the session.
    """

    __slots__ = ("__weakref__", "_chunks", "_codec", "_common", "_shared", "_story", "_tail")

    def __init__(self, codec: Codec, story: Story) -> None:
        self._codec = codec
        self._tell(story)
        self._chunks: dict[str, tuple[Part, bytes, bytes | None, bytes | None]] = {}
        self._shared: dict[Form, Shared] = {}

    def _tell(self, story: Story) -> None:
        self._story = story
        common: JSON = {"session_id": story.session_id, "epoch": story.epoch}
        if story.request_id is not None:
            common["request_id"] = story.request_id
        self._common = common
        self._tail = b"," + to_json(common)[1:-1] + b',"seq":'

    @property
    def epoch(self) -> str:
        """The life of the log that the entries are told under."""
        return self._story.epoch

    def begin_life(self, epoch: str) -> None:
        """Tell entries under another life of the log: its readers were moved there."""
        if epoch != self._story.epoch:
            self._tell(msgspec.structs.replace(self._story, epoch=epoch))
            for shared in self._shared.values():
                shared.forget()

    @property
    def names_events(self) -> bool:
        """See `Codec`."""
        return self._codec.names_events

    def encode(self, entry: Entry) -> bytes:
        """Give the message of an entry, as UTF-8 JSON."""
        event = entry.event
        seq = entry.seq
        if type(event) is not Delta or seq == 1 or entry.cuts:
            return to_json(self.fields(entry))
        part = event.part
        known = self._chunks.get(part.id)
        if known is None or known[0] is not part:
            known = self._learn(part)
        _, head, tokens, timestamp = known
        text = to_json(event.text)
        if tokens is not None and timestamp is not None:  # in one step
            return b"%b%b%b%d%b%d%b%d}" % (
                head, text, tokens, event.tokens, timestamp, entry.at, self._tail, seq
            )  # fmt: skip
        if tokens is not None:
            text += tokens + b"%d" % event.tokens
        if timestamp is not None:
            text += timestamp + b"%d" % entry.at
        return b"%b%b%b%d}" % (head, text, self._tail, seq)

    def shared(self, form: Form) -> Shared:
        """Give what makes a form of an entry, the same one to all readers that want this form."""
        shared = self._shared.get(form)
        if shared is None:
            shared = self._shared[form] = Shared(self, form)
        return shared

    def fields(self, entry: Entry) -> JSON:
        """Give the message of an entry as a JSON object."""
        fields = self._codec.encode(entry, self._story)
        fields.update(self._common)
        fields["seq"] = entry.seq
        if entry.cuts:
            fields["first_seq"] = entry.first_seq
        if entry.first_seq == 1 and self._story.warnings:
            fields["warnings"] = list(self._story.warnings)
        return fields

    def _learn(self, part: Part) -> tuple[Part, bytes, bytes | None, bytes | None]:
        chunk = self._codec.chunk(part, self._story)

        def key(name: str | None) -> bytes | None:
            return None if name is None else b"," + to_json(name) + b":"

        known = (
            part,
            to_json(chunk.static)[:-1] + (key(chunk.text) or b""),
            key(chunk.tokens),
            key(chunk.timestamp),
        )
        self._chunks[part.id] = known
        return known


Form: TypeAlias = Callable[[Encoder, Entry], bytes]
"""Makes of an entry what leaves: a WebSocket's frame, say, or an SSE event."""


def refusal(
    codec: Codec,
    error: AntiphonError,
    *,
    request_id: str | None = None,
    session_id: str | None = None,
    about: dict[str, str] | None = None,
) -> bytes:
    """Give the message that refuses what a client sent: it started nothing and ended nothing."""
    fields = codec.refusal(error, about or {})
    fields["code"] = error.code
    fields["refused"] = True
    if isinstance(error, InvalidRequest) and error.details:
        fields["details"] = [{"path": path, "message": text} for path, text in error.details]
    if error.retry_after_s is not None:
        fields["retry_after"] = error.retry_after_s
    if request_id is not None:
        fields["request_id"] = request_id
    if session_id is not None:
        fields["session_id"] = session_id
    return to_json(fields)
