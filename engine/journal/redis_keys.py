"""How the Redis journal names its keys. Pure.

Of a session, all with its id in braces, so that Redis Cluster would keep them together:

    PREFIX:{ID}:record   hash    what is known of it: epoch, state, last offset, the whole record
    PREFIX:{ID}:log      stream  its entries; an entry's id is its offset, `<seq>-0`
    PREFIX:{ID}:epochs   list    name, offset before it, name, offset …
    PREFIX:{ID}:opened   hash    part: attempt
    PREFIX:{ID}:notes    hash    key: value

Of all sessions, sorted sets of places (see `place`): PREFIX:all, PREFIX:owner:…, PREFIX:protocol:…,
PREFIX:state:…; and of ids by the time of their end: PREFIX:ended, PREFIX:expired.

Of a collection of documents: a hash of them, a hash of their owners, and sorted sets by time, of
all and of each owner's.
"""

from __future__ import annotations

import struct

SESSION_KEYS = ("record", "log", "epochs", "opened", "notes")


def as_bytes(text: str) -> bytes:
    """Give a text as Redis keeps it; halves of surrogate pairs are kept as they are."""
    return text.encode("utf-8", "surrogatepass")


def as_text(data: bytes) -> str:
    """Give the text of which `as_bytes` made this."""
    return data.decode("utf-8", "surrogatepass")


def place(created_at: float, session_id: str) -> bytes:
    """Give a session's place in listings: its time as bytes that sort as numbers do, and its id."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", created_at))
    bits ^= 0xFFFFFFFFFFFFFFFF if bits >> 63 else 0x8000000000000000
    return b"%016x" % bits + as_bytes(session_id)


class Keys:
    """The names of a journal's keys.

    Args:
        prefix: what they all begin with.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = as_bytes(prefix)

    def session(self, session_id: str) -> tuple[bytes, ...]:
        """Give a session's keys, in the order of `SESSION_KEYS`."""
        begin = b"%s:{%s}:" % (self.prefix, as_bytes(session_id))
        return tuple(begin + name.encode() for name in SESSION_KEYS)

    def log(self, session_id: str) -> bytes:
        """Give the key of a session's stream."""
        return self.session(session_id)[1]

    def index(self, kind: str, value: str = "") -> bytes:
        """Give the key of a sorted set: all, owner, protocol, state, ended or expired."""
        name = b"%s:%s" % (self.prefix, kind.encode())
        return name + b":" + as_bytes(value) if value or kind == "owner" else name

    def documents(self, collection: str, owner: str | None = None) -> bytes:
        """Give the key of a collection's sorted set, or of one owner's."""
        # With its length, for a collection's name may hold anything.
        begin = b"%s:documents:%d:%s" % (self.prefix, len(collection), as_bytes(collection))
        return begin + (b":all" if owner is None else b":of:" + as_bytes(owner))

    def held(self, collection: str) -> tuple[bytes, bytes]:
        """Give the keys of a collection's documents and of their owners."""
        begin = b"%s:documents:%d:%s" % (self.prefix, len(collection), as_bytes(collection))
        return begin + b":data", begin + b":owners"
