"""Turns what a journal keeps into bytes, and back.

The rule: whatever JSON can express comes back equal. MessagePack is small and fast, but knows
neither halves of surrogate pairs nor integers beyond 64 bits; what has one is written as JSON
behind a byte that MessagePack never uses. Halves are written as they are and never as escapes, for
a reader would join two escapes that meet, and a merged entry's cuts would no longer fit its text.
Pure: must not import a journal.
"""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar

import msgspec

from engine.errors import JournalFailed

T = TypeVar("T")

_JSON = b"\xc1"
_encoder = msgspec.msgpack.Encoder()


def encode(value: object) -> bytes:
    """Write a value of structs and JSON as bytes.

    Raises:
        JournalFailed: there is something in it that JSON cannot express.
    """
    try:
        try:
            return _encoder.encode(value)
        except (UnicodeEncodeError, OverflowError):
            plain = msgspec.to_builtins(value)
            text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False)
            return _JSON + text.encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise JournalFailed(f"this cannot be written to the journal: {error}") from error


class Decoder(Generic[T]):
    """Reads what `encode` wrote.

    Args:
        kind: what the values are.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(kind)

    def decode(self, data: bytes) -> T:
        """Give the value.

        Raises:
            JournalFailed: the bytes are damaged, or of a kind that is not known here.
        """
        try:
            value: T = (
                msgspec.convert(json.loads(data[1:].decode("utf-8", "surrogatepass")), self._kind)
                if data[:1] == _JSON
                else self._decoder.decode(data)
            )
        except (msgspec.MsgspecError, ValueError) as error:
            raise JournalFailed(f"the journal holds what cannot be read: {error}") from error
        return value


def text_key(text: str) -> str | bytes:
    """Give a text as a database can hold and compare it: bytes where it is no proper Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def key_text(key: str | bytes) -> str:
    """Give the text of which `text_key` made this."""
    return key if isinstance(key, str) else key.decode("utf-8", "surrogatepass")
