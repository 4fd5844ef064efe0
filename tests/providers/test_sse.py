"""A body is split into the same events, however the network cut it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ProviderBadOutput
from engine.providers.openai_api.sse import DataSplitter


def _split(body: bytes, cuts: list[int]) -> list[bytes]:
    splitter = DataSplitter(max_event_bytes=10_000)
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    events = []
    for start, end in pairwise(places):
        events += splitter.feed(body[start:end])
    return events + splitter.finish()


@given(
    datas=st.lists(st.text('añ{}:"x ', min_size=1).map(str.strip).filter(bool)),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(min_value=0, max_value=10_000), max_size=8),
)
def test_body_cut_anywhere_gives_the_same_events(
    datas: list[str], ending: str, cuts: list[int]
) -> None:
    """Lines end in LF, CRLF or CR, and an event ends at an empty line."""
    body = "".join(f": comment{ending}event: x{ending}data: {d}{ending}{ending}" for d in datas)
    assert _split(body.encode(), cuts) == [data.encode() for data in datas]


def test_several_data_lines_are_joined_and_the_last_event_needs_no_empty_line() -> None:
    """Data lines of one event are joined by LF."""
    assert _split(b"data: a\ndata:b\n\ndata: c", []) == [b"a\nb", b"c"]


def test_event_that_never_ends_is_refused() -> None:
    """A provider that never ends a line cannot fill the memory."""
    splitter = DataSplitter(max_event_bytes=100)
    splitter.feed(b"data: " + b"x" * 90)
    with pytest.raises(ProviderBadOutput):
        splitter.feed(b"x" * 20)


def test_event_of_many_data_lines_is_refused_too() -> None:
    """The bound holds for the event, not for the line."""
    splitter = DataSplitter(max_event_bytes=100)
    for _ in range(9):
        splitter.feed(b"data: xxxxxxxxxx\n")
    with pytest.raises(ProviderBadOutput):
        splitter.feed(b"data: xxxxxxxxxx\ndata: xxxxxxxxxx\n")
