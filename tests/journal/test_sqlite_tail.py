"""Appends go to the file's tail, and to their sessions' logs when there is time."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from engine.events import Completed, Delta, Entry
from engine.journal.interface import Batch
from engine.journal.sqlite_commits import Append, Call
from engine.journal.sqlite_reading import load, read
from engine.journal.sqlite_schema import connect, open_database
from engine.journal.sqlite_tail import Snapshot, TailView, log_rows
from engine.journal.sqlite_writing import Writer
from engine.limits import Limits
from engine.testing.journal_suite import PART, batch, entry, read_all, record, single, text_of
from tests.journal.test_sqlite import running

BUSY = Limits(journal_settle_s=1000.0)
"""Nothing is moved only because nobody writes."""
END = Completed(data={"text": "all"})


def soon(seq: int, text: str | None = None) -> Entry:
    """Make an entry that comes 10 ms after the one before."""
    return Entry(
        seq=seq,
        at=1000.0 + seq / 100,
        event=Delta(part=PART, text=f"<{seq}>" if text is None else text, tokens=seq),
    )


def count(path: Path, table: str) -> int:
    connection = connect(path, read_only=True)
    (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(rows)


def crashed(path: Path) -> Path:
    """Give a copy of a file that is in use, as a crash would leave it."""
    copy = path.with_name("crashed")
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    return copy


@contextmanager
def writing(path: Path, limits: Limits = BUSY) -> Generator[Writer, None, None]:
    """Have a writer with the session s1, without the actor around it."""
    writer = Writer(open_database(path), limits)
    writer.write([Call(lambda writer: writer.create(record()))])
    yield writer
    writer.close()


def append(*entries: Entry) -> list[Append]:
    return [Append(batch(*entries), 100)]


def look(path: Path, view: TailView) -> list[tuple[int, object]]:
    """Read s1's log with a view of the tail, however old."""
    connection = connect(path, read_only=True)
    found = read(Snapshot(connection, view), "s1", 0, 1000)
    connection.close()
    return list(single(found))


async def test_batches_of_many_sessions_are_one_row(tmp_path: Path) -> None:
    """A commit writes as many pages as there is text, not one for each session."""
    async with running(tmp_path / "j", BUSY) as journal:
        for index in range(40):
            await journal.create(record(f"s{index}"))
        for seq in (1, 2):
            for index in range(40):
                commit = journal.append_nowait(batch(soon(seq), session_id=f"s{index}"))
            await commit.wait()
        assert (count(tmp_path / "j", "tail"), count(tmp_path / "j", "entries")) == (2, 0)
        for index in range(40):
            assert await read_all(journal, f"s{index}") == [soon(1), soon(2)]
            held = await journal.load(f"s{index}")
            assert held is not None
            assert held.updated_at == soon(2).at


async def test_log_of_an_ended_session_is_at_its_place_and_merged(tmp_path: Path) -> None:
    """With the terminal event everything moves, in the same transaction; no offset is lost."""
    async with running(tmp_path / "j", BUSY) as journal:
        await journal.create(record())
        given = [*map(soon, range(1, 21)), Entry(seq=21, at=1001.0, event=END)]
        for each in given:
            state = "completed" if each is given[-1] else None
            await journal.append_nowait(batch(each, state=state)).wait()
        assert (count(tmp_path / "j", "tail"), count(tmp_path / "j", "entries")) == (0, 1)
        found = await read_all(journal)
        assert len(found) == 2
        assert single(found) == single(given)
        assert text_of(await read_all(journal, after_seq=17)) == "<18><19><20>"


def test_merging_keeps_the_pace(tmp_path: Path) -> None:
    """Deltas are joined for half a second at most, and up to 16 KiB."""
    slow = [Entry(seq=n, at=n * 0.2, event=Delta(part=PART, text="x")) for n in range(1, 11)]
    ((_, last_seq, at, _),) = log_rows(1, slow)
    assert (last_seq, at) == (10, slow[-1].at)
    with writing(tmp_path / "j") as writer:
        writer.write(append(*slow))
        writer.write(())  # nobody writes: everything moves
        assert not writer.tail
        view = writer.tail.view()
        reader = connect(tmp_path / "j", read_only=True)
        found = read(Snapshot(reader, view), "s1", 0, 1000)
        reader.close()
    assert [each.seq for each in found] == [3, 6, 9, 10]
    assert [each.at for each in found] == [slow[seq - 1].at for seq in (3, 6, 9, 10)]


async def test_tail_that_a_crash_left_is_moved_at_the_next_start(tmp_path: Path) -> None:
    """What was committed survives, wherever it was; what was deleted stays deleted."""
    path = tmp_path / "j"
    async with running(path, BUSY) as journal:
        for name in ("s1", "gone", "again", "last"):
            await journal.create(record(name))
            for seq in (1, 2):
                await journal.append_nowait(batch(soon(seq), session_id=name)).wait()
        await journal.delete("gone")
        await journal.delete("again")
        await journal.delete("last")
        await journal.create(record("again", owner="bob"))
        await journal.append_nowait(batch(soon(1, "new"), session_id="again")).wait()
        assert text_of(await read_all(journal, "again")) == "new"
        await journal.delete("again")
        copy = crashed(path)
    assert count(copy, "tail") > 0
    async with running(copy) as journal:
        assert count(copy, "tail") == 0
        assert single(await read_all(journal)) == single([soon(1), soon(2)])
        assert await journal.load("gone") is None
        for index in range(5):  # none comes to what a deleted one has left
            await journal.create(record(f"new-{index}"))
            assert await read_all(journal, f"new-{index}") == []
        await journal.append_nowait(batch(soon(3))).wait()
        assert text_of(await read_all(journal)) == "<1><2><3>"


def test_crash_between_two_moves_doubles_nothing(tmp_path: Path) -> None:
    """A row stays while any session needs it; what is moved of it is not moved twice."""
    path = tmp_path / "j"
    with writing(path) as writer:
        writer.write([Call(lambda writer: writer.create(record("slow")))])
        slow = Append(batch(soon(1), session_id="slow"), 100)
        writer.write([slow, *append(soon(1))])
        writer.write([Append(batch(soon(2, "x" * 200_000)), 200_000)])
        writer.write(append(soon(3)))
        assert count(path, "entries") > 0
        assert count(path, "tail") == 2
        copy = crashed(path)
    again = Writer(open_database(copy), BUSY)
    found = look(copy, again.tail.view())
    again.close()
    assert found == single([soon(1), soon(2, "x" * 200_000), soon(3)])


async def test_tail_is_moved_when_nobody_writes(tmp_path: Path) -> None:
    """After `journal_settle_s` every session's log is at its place, some at a time."""
    async with running(tmp_path / "j", Limits(journal_settle_s=0.01)) as journal:
        for index in range(150):
            await journal.create(record(f"s{index}"))
            await journal.append_nowait(batch(soon(1), session_id=f"s{index}")).wait()
        with trio.fail_after(10):
            while count(tmp_path / "j", "tail"):  # noqa: ASYNC110 - a state, with no event
                await trio.sleep(0.01)
        assert count(tmp_path / "j", "entries") == 150
        assert await read_all(journal, "s149") == [soon(1)]
        assert not journal.problem


async def test_closing_leaves_no_tail(tmp_path: Path) -> None:
    """After a regular end every log is at its place."""
    async with running(tmp_path / "j", BUSY) as journal:
        for index in range(150):
            await journal.create(record(f"s{index}"))
            journal.append_nowait(batch(soon(1), session_id=f"s{index}"))
    assert (count(tmp_path / "j", "tail"), count(tmp_path / "j", "entries")) == (0, 150)


def test_tail_is_bounded_while_sessions_run(tmp_path: Path) -> None:
    """Above `journal_tail_bytes` the oldest stretches move, and their rows are deleted."""
    with writing(tmp_path / "j", Limits(journal_tail_bytes=20_000)) as writer:
        for index in range(50):
            name = f"t{index}"
            writer.write([Call(lambda writer, name=name: writer.create(record(name)))])
        for seq in range(1, 101):
            for index in range(50):
                each = Append(batch(soon(seq), session_id=f"t{index}"), 100)
                writer.write([each])
                assert each.error is None
                assert writer.tail.size_bytes < 2 * 20_000
        assert count(tmp_path / "j", "tail") < 500
        assert len(writer.tail) > 0
        assert look(tmp_path / "j", writer.tail.view()) == []
        connection = connect(tmp_path / "j", read_only=True)
        for index in range(50):
            found = read(Snapshot(connection, writer.tail.view()), f"t{index}", 0, 1000)
            assert single(found) == single(map(soon, range(1, 101)))
        connection.close()


def test_session_that_writes_much_does_not_fill_the_tail(tmp_path: Path) -> None:
    """A long stretch moves, though the session runs and the tail has room."""
    with writing(tmp_path / "j") as writer:
        for seq in range(1, 400):
            writer.write([Append(batch(soon(seq)), 1000)])
            assert writer.tail.size_bytes < 60_000
        assert look(tmp_path / "j", writer.tail.view()) == single(map(soon, range(1, 400)))


@pytest.mark.parametrize("change", ["append", "move", "both"])
def test_reader_whose_view_is_old_sees_what_is_durable(tmp_path: Path, change: str) -> None:
    """The file says what is durable: nothing is missed or doubled, whatever memory held."""
    path = tmp_path / "j"
    with writing(path) as writer:
        for seq in (1, 2):
            writer.write(append(soon(seq)))
        view = writer.tail.view()
        wanted = [soon(1), soon(2)]
        if change != "append":
            writer.write(())
            assert count(path, "entries") == 1
        if change != "move":
            writer.write(append(soon(3)))
            wanted.append(soon(3))
        assert look(path, view) == single(wanted)
        connection = connect(path, read_only=True)
        held = load(Snapshot(connection, view), "s1")
        connection.close()
        assert held is not None
        assert held.updated_at == wanted[-1].at


async def test_batches_that_nobody_waits_for_are_gathered(tmp_path: Path) -> None:
    """They become one group after `journal_gather_s`; one that is waited for takes them along."""
    async with running(tmp_path / "j", Limits(journal_gather_s=1000.0)) as journal:
        await journal.create(record())
        first = journal.append_nowait(batch(soon(1)))
        await trio.sleep(0.05)
        assert not first.is_done
        second = journal.append_nowait(batch(soon(2)))
        with trio.fail_after(5):
            await second.wait()
        assert first.is_done
        assert count(tmp_path / "j", "tail") == 1
    async with running(tmp_path / "k", Limits(journal_gather_s=0.02)) as journal:
        await journal.create(record())
        commit = journal.append_nowait(batch(soon(1)))
        with trio.fail_after(5):
            while not commit.is_done:  # noqa: ASYNC110 - waiting would hurry it
                await trio.sleep(0.005)


async def test_odd_text_beside_a_faulty_batch_is_kept(tmp_path: Path) -> None:
    """A group is encoded as a whole, and batch by batch where something in it cannot be."""
    odd = soon(1, "half a pair: \ud83d")
    async with running(tmp_path / "j", BUSY) as journal:
        for name in ("s1", "s2", "s3"):
            await journal.create(record(name))
        commits = [
            journal.append_nowait(batch(odd)),
            journal.append_nowait(
                Batch(
                    session_id="s2",
                    epoch="e1",
                    entries=(entry(1, Completed(data={"x": object()})),),
                )
            ),
            journal.append_nowait(batch(entry(2), session_id="s2")),
            journal.append_nowait(batch(entry(1), session_id="s3", notes={"n": 1})),
        ]
        for commit, words in zip(
            commits, ("", "cannot be written", "came instead", ""), strict=True
        ):
            if words:
                with pytest.raises(Exception, match=words):
                    await commit.wait()
            else:
                await commit.wait()
        copy = crashed(tmp_path / "j")
        assert await read_all(journal) == [odd]
    async with running(copy) as journal:
        assert await read_all(journal) == [odd]
        assert await read_all(journal, "s2") == []
        held = await journal.load("s3")
        assert held is not None
        assert held.notes == {"n": 1}
