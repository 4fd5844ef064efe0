"""From an entry of a log to the bytes of one message: a codec's fields and the common ones.

The one rule: one entry becomes one message, and an entry that several readers get is encoded once.
Pure but for its caches. Must not import trio or Quart.
"""

from __future__ import annotations

import json

import msgspec

from engine import JSON, AntiphonError, Delta, Entry, InvalidRequest, Part, SessionRecord
from server.protocols.interface import Codec, Story

_encode = msgspec.json.Encoder().encode

_KEPT = 8
"""Messages that are kept for further readers of the same session."""


def to_json(value: object) -> bytes:
    """Encode JSON; a lone surrogate, which a model may send in pieces, is escaped as it is."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def to_ascii(message: bytes) -> bytes:
    """Escape what is not ASCII, for SSE: clients exist that decode each network chunk alone."""
    if message.isascii():
        return message
    return json.dumps(json.loads(message), separators=(",", ":")).encode()


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


class Encoder:
    """Encodes one session's entries, for all its readers.

    Args:
        codec: the session's protocol.
        story: the session.
    """

    def __init__(self, codec: Codec, story: Story) -> None:
        self._codec = codec
        self._story = story
        common: JSON = {"session_id": story.session_id, "epoch": story.epoch}
        if story.request_id is not None:
            common["request_id"] = story.request_id
        self._common = common
        self._tail = b"," + to_json(common)[1:-1] + b',"seq":'
        self._chunks: dict[str, tuple[Part, bytes, bytes, bytes | None, bytes | None]] = {}
        self._recent: dict[int, tuple[Entry, bytes]] = {}

    @property
    def epoch(self) -> str:
        """The life of the log that the entries are told under."""
        return self._story.epoch

    @property
    def names_events(self) -> bool:
        """See `Codec`."""
        return self._codec.names_events

    def encode(self, entry: Entry) -> bytes:
        """Give the message of an entry, as UTF-8 JSON."""
        recent = self._recent.get(entry.seq)
        if recent is not None and recent[0] is entry:
            return recent[1]
        event = entry.event
        if type(event) is Delta and entry.seq > 1 and not entry.cuts:
            message = self._delta(event, entry)
        else:
            message = to_json(self.fields(entry))
        if len(self._recent) >= _KEPT:
            del self._recent[next(iter(self._recent))]
        self._recent[entry.seq] = (entry, message)
        return message

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

    def _delta(self, event: Delta, entry: Entry) -> bytes:
        part = event.part
        known = self._chunks.get(part.id)
        if known is None or known[0] is not part:
            known = self._learn(part)
        _, head, text, tokens, timestamp = known
        message = head + text + to_json(event.text)
        if tokens is not None:
            message += tokens + b"%d" % event.tokens
        if timestamp is not None:
            message += timestamp + b"%d" % entry.at
        return message + self._tail + b"%d}" % entry.seq

    def _learn(self, part: Part) -> tuple[Part, bytes, bytes, bytes | None, bytes | None]:
        chunk = self._codec.chunk(part, self._story)

        def key(name: str | None) -> bytes | None:
            return None if name is None else b"," + to_json(name) + b":"

        known = (
            part,
            to_json(chunk.static)[:-1],
            key(chunk.text) or b"",
            key(chunk.tokens),
            key(chunk.timestamp),
        )
        self._chunks[part.id] = known
        return known


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
