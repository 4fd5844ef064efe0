"""An entry that several readers want at once is made into bytes once."""

from __future__ import annotations

import json

import pytest

from engine.events import Delta, Entry, Part
from server.protocols import all_codecs
from server.protocols.encoding import Encoder, to_ascii, to_json
from server.protocols.interface import Codec, Story

PART = Part(id="p%d", target={"stage": "generator"}, phase="generator")


def encoder(codec: Codec) -> Encoder:
    story = Story(
        session_id="s-1",
        protocol=codec.protocol,
        epoch="e1",
        request_id=None,
        command={},
        warnings=(),
    )
    return Encoder(codec, story)


def delta(seq: int, text: str = "x") -> Entry:
    return Entry(seq=seq, at=1.5, event=Delta(part=PART, text=text, tokens=seq))


def test_readers_of_one_form_share_what_was_made_of_an_entry() -> None:
    """One entry is encoded and framed once for all readers that want it in this form."""
    made: list[int] = []

    def form(encoder: Encoder, entry: Entry) -> bytes:
        made.append(entry.seq)
        return b"%d" % entry.seq

    shared = encoder(all_codecs()[0])
    first, second = shared.shared(form), shared.shared(form)
    newest = delta(2)
    assert first(newest) is second(newest)
    assert made == [2]
    assert [first(delta(3)), second(newest)] == [b"3", b"2"]
    assert made == [2, 3, 2]


def test_an_equal_entry_is_not_taken_for_the_newest() -> None:
    """A lagging reader's merged entry may end where the newest one does, and is another one."""
    shared = encoder(all_codecs()[0]).shared(lambda encoder, entry: encoder.encode(entry))
    merged = Entry(
        seq=3, at=1.5, event=Delta(part=PART, text="xx", tokens=3), cuts=((1, 2), (1, 3))
    )
    assert shared(delta(3)) != shared(merged)


@pytest.mark.parametrize("codec", all_codecs(), ids=lambda codec: codec.protocol)
def test_an_entry_is_told_under_the_life_that_has_begun(codec: Codec) -> None:
    """Readers that were moved get the new epoch, for deltas and all else, an old entry too."""
    told = encoder(codec)
    shared = told.shared(lambda encoder, entry: encoder.encode(entry))
    entry = delta(5)
    assert json.loads(shared(entry))["epoch"] == "e1"
    told.begin_life("e2")
    assert told.epoch == "e2"
    assert json.loads(shared(entry))["epoch"] == "e2"
    assert told.fields(entry)["epoch"] == "e2"


@pytest.mark.parametrize("codec", all_codecs(), ids=lambda codec: codec.protocol)
@pytest.mark.parametrize("text", ["x", '100 % é ☕ "\\\n', "half a pair \ud83d"])
def test_a_delta_put_together_is_the_same_message_as_its_fields(codec: Codec, text: str) -> None:
    """What is encoded once for a part, and the rest, make the message that `fields` tells."""
    entry = delta(7, text)
    made = encoder(codec)
    assert json.loads(made.encode(entry)) == made.fields(entry)


@pytest.mark.parametrize("times", [1, 500])
@pytest.mark.parametrize(
    "text", ["plain", "é", "漢字 and more", '😀 x é "q" \\ \n y', "half \ud83d", "\x7f\u2028\uffff"]
)
def test_what_is_escaped_is_the_same_json(text: str, times: int) -> None:
    """Short messages are escaped run by run, long ones as a whole; they say the same."""
    message = to_json({"type": "chunk", "content": text * times, "ключ": 1})
    escaped = to_ascii(message)
    assert escaped.isascii()
    assert json.loads(escaped) == json.loads(message)
