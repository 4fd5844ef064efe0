"""Bytes into messages: whatever the pieces in which they arrive, each message comes once, whole."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.lines import Lines
from benchmarks.load.wires.events import EventSplitter
from benchmarks.load.wires.frames import BadFrame, FrameSplitter
from server.frames import PING, close_frame, text_frame

PAYLOADS = st.lists(st.integers(0, 70_000).map(lambda size: b"x" * size), max_size=4)


def pieces(data: bytes, cuts: list[float]) -> list[bytes]:
    places = sorted({0, len(data), *(int(cut * len(data)) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(PAYLOADS, st.lists(st.floats(0, 1), max_size=8))
def test_frames_come_whole_and_pings_are_handed_on(
    payloads: list[bytes], cuts: list[float]
) -> None:
    splitter = FrameSplitter()
    found, control = [], b""
    for piece in pieces(b"".join(text_frame(each) + PING for each in payloads), cuts):
        messages, rest = splitter.feed(piece)
        found += messages
        control += rest
    assert found == payloads
    assert control == PING * len(payloads)


def test_a_message_in_fragments_is_put_together_around_a_ping() -> None:
    first, middle, last = b"\x01\x02ab", b"\x00\x01c", b"\x80\x02de"
    assert FrameSplitter().feed(first + PING + middle + last) == ([b"abcde"], PING)


@pytest.mark.parametrize(("frame", "code"), [(close_frame(1013, "later"), 1013), (b"\x88\0", 1005)])
def test_a_close_frame_tells_its_code_and_is_handed_on(frame: bytes, code: int) -> None:
    splitter = FrameSplitter()
    assert splitter.feed(frame) == ([], frame)
    assert splitter.close_code == code


@pytest.mark.parametrize(
    "data",
    [b"\x81\x81abcdx", b"\x80\x01x", b"\x01\x01a\x01\x01b", b"\x81\x7f" + b"\x7f" * 8],
    ids=["masked", "continues nothing", "within another", "too long"],
)
def test_what_no_server_may_send_is_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        FrameSplitter().feed(data)


@given(
    st.lists(st.tuples(st.sampled_from(["", "token", "error"]), st.text("ab é", max_size=20))),
    st.lists(st.floats(0, 1), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
)
def test_events_come_whole(events: list[tuple[str, str]], cuts: list[float], end: str) -> None:
    """With names and without, with either end of line, between comments and ids."""
    text = ""
    for name, data in events:
        text += f": still here{end}id: e:1{end}" + (f"event: {name}{end}" if name else "")
        text += f"data: {data}{end}{end}"
    splitter = EventSplitter()
    found = [each for piece in pieces(text.encode(), cuts) for each in splitter.feed(piece)]
    assert found == [(data.encode(), name) for name, data in events]


def test_an_event_of_several_lines_is_one() -> None:
    assert EventSplitter().feed(b"data:a\ndata: b\n\n: nothing\n\n") == [(b"a\nb", "")]


class Pieces:
    """A pipe."""

    def __init__(self, *pieces: bytes) -> None:
        self.left = list(pieces)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return self.left.pop(0) if self.left else b""


async def test_lines_come_whole_and_in_order() -> None:
    lines = Lines(Pieces(b"on", b"e\ntwo\nth", b"re", b"e\n"))
    assert [await lines.next() for _ in range(4)] == [b"one", b"two", b"three", None]
