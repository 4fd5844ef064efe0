"""The form of an event, and how the writer pushes events to a wire; without a socket."""

from __future__ import annotations

import json

import pytest
import trio
from trio.testing import memory_stream_one_way_pair, wait_all_tasks_blocked

from engine import Completed, Delta, Entry, Gap, Part, SessionRecord
from engine.journal.interface import Epoch
from server.frames import chunk
from server.protocols import all_codecs
from server.protocols.encoding import Encoder, tell
from server.transports.sse import entry_event, gap_event
from server.transports.writer import Feed, Writer
from server.wire import Wire
from tests.sessions.doubles import open_test_engine, read_all

CODECS = {codec.protocol: codec for codec in all_codecs()}


def encoder(protocol: str = "generate") -> Encoder:
    record = SessionRecord(
        session_id="s1",
        protocol=protocol,
        owner="ann",
        command={},
        created_at=0.0,
        updated_at=0.0,
        epochs=(Epoch(name="e", after_seq=0),),
    )
    return Encoder(CODECS[protocol], tell(record))


def delta(seq: int, text: str = "héé ☕\n\ndata: x\r\n") -> Entry:
    part = Part(id="p", target={"stage": "generator"}, phase="generator")
    return Entry(seq=seq, at=1.0, event=Delta(part=part, text=text, tokens=seq))


def test_event_has_its_cursor_and_one_line_of_ascii() -> None:
    """`id: <epoch>:<seq>`, its JSON on one `data:` line and ASCII-escaped."""
    event = entry_event(encoder(), delta(7))
    assert event.isascii()
    first, second, *rest = event.decode().split("\n")
    assert first == "id: e:7"
    assert rest == ["", ""]
    assert json.loads(second.removeprefix("data: "))["content"] == "héé ☕\n\ndata: x\r\n"
    assert "\r" not in event.decode()


@pytest.mark.parametrize("protocol", sorted(CODECS))
def test_event_is_named_where_the_protocol_names_its_events(protocol: str) -> None:
    """`event:` is the message's type, for protocols that use one; for the others there is none."""
    lines = entry_event(encoder(protocol), delta(2)).decode().split("\n")
    kind = json.loads(lines[-3].removeprefix("data: ")).get("type")
    names = [line for line in lines if line.startswith("event: ")]
    assert names == ([f"event: {kind}"] if CODECS[protocol].names_events else [])


def test_gap_has_no_id() -> None:
    """A gap is no place in the log: an EventSource keeps the id that it had."""
    event = gap_event(encoder(), "s1", Gap(requested=2, earliest=5, latest=9))
    assert not event.startswith(b"id:")
    assert json.loads(event.decode().removeprefix("data: "))["earliest"] == 5


async def test_idle_reader_is_written_to_from_the_numbering_step(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """An idle connection is written from the numbering step itself, and wakes nobody."""
    numbered = trio.Event()
    go_on = trio.Event()
    taken: list[int] = []

    async def script(run: object) -> Completed:
        await go_on.wait()
        before = len(taken)
        session.log.append(delta(0).event)
        taken.append(len(writes) - before)
        numbered.set()
        return Completed(data={})

    writes: list[bytes] = []

    class Taking(Wire):
        def write_frames(self, frames):  # type: ignore[no-untyped-def]
            writes.extend(frames)
            return True

    send, _ = memory_stream_one_way_pair()
    async with open_test_engine(script) as engine, trio.open_nursery() as nursery:  # type: ignore[arg-type]
        session = await engine.start("test", {})
        wire = Taking(send, nursery.start_soon, lambda: None, lambda: None)
        ended = trio.Event()
        writer = Writer(None, wire, frame=chunk, max_control=1, on_end=lambda _: ended.set())
        feed = Feed(lambda entry: chunk(b"%d" % entry.seq), lambda gap: chunk(b"gap"))
        feed.subscription = await engine.subscribe(
            session.session_id, wake=lambda _: writer.wake(feed)
        )
        nursery.start_soon(writer.run)
        writer.follow(feed)
        await wait_all_tasks_blocked()
        go_on.set()
        await numbered.wait()
        assert taken == [1], "it was not there when the numbering step returned"
        await ended.wait()
        assert writes == [chunk(b"1"), chunk(b"2")]
        assert len(await read_all(engine, session.session_id)) == 2
        nursery.cancel_scope.cancel()
