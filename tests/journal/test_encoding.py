"""Whatever JSON can express comes back equal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import JournalFailed
from engine.events import Completed, Entry
from engine.journal.encoding import Decoder, encode, key_text, text_key

TEXTS = st.text('a"\\\x00é€𝄞\u2028\ud83d\udc4d', max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
entries: Decoder[tuple[Entry, ...]] = Decoder(tuple[Entry, ...])
anything: Decoder[Any] = Decoder(Any)


@given(VALUES)
def test_any_json_comes_back_equal(value: Any) -> None:
    """Alone, and inside an entry's event: odd text and integers of any size as well."""
    assert anything.decode(encode(value)) == value
    entry = Entry(seq=1, at=0.5, event=Completed(data={"value": value}), cuts=((1, 2),))
    assert entries.decode(encode((entry,))) == (entry,)


@given(TEXTS)
def test_key_is_the_same_text_again(text: str) -> None:
    """A key is text that a database accepts, or else bytes that stand for it alone."""
    key = text_key(text)
    assert key_text(key) == text
    assert isinstance(key, bytes) == any("\ud800" <= char <= "\udfff" for char in text)


@pytest.mark.parametrize("value", [object(), {"a": object()}, {1j: 1}, ["\ud83d", object()]])
def test_what_json_cannot_express_is_refused(value: object) -> None:
    """A batch that holds something else fails alone, with a sentence."""
    with pytest.raises(JournalFailed, match="cannot be written"):
        encode(value)


@pytest.mark.parametrize("damaged", [b"", b"\x91", b"\xc1{", b"\xc1[1]", encode([{"seq": "x"}])])
def test_damaged_bytes_are_reported(damaged: bytes) -> None:
    """What cannot be read is the journal's failure, never an error of a library."""
    with pytest.raises(JournalFailed, match="cannot be read"):
        entries.decode(damaged)
