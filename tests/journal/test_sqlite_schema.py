"""A file is opened only if it is ours, whole, of a schema that we know, and by one process."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from engine.errors import JournalFailed
from engine.journal.interface import Document, Epoch
from engine.journal.sqlite import SqliteJournal
from engine.journal.sqlite_schema import MIGRATIONS, FileLock, connect, open_database
from engine.testing.journal_suite import batch, entry, merged, read_all, refused
from tests.journal.test_sqlite import running

FIXTURES = Path(__file__).parent / "data"


async def opening_fails(path: Path, *words: str) -> None:
    """Expect that the journal refuses a file, names it, and says what to do."""
    with pytest.raises(JournalFailed) as failure:
        await SqliteJournal(path).run()
    for word in (str(path), *words):
        assert word in failure.value.message


def schema_of(path: Path) -> set[tuple[str, str]]:
    connection = sqlite3.connect(path)
    found = {tuple(row) for row in connection.execute("SELECT name, sql FROM sqlite_master")}
    connection.close()
    return found


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_file_of_an_older_schema_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    """Every schema that was ever released can be opened, and nothing in it is lost."""
    path = tmp_path / "journal.sqlite3"
    connection = sqlite3.connect(path)
    connection.executescript((FIXTURES / f"schema_{version}.sql").read_text())
    connection.close()
    async with running(path) as journal:
        held = await journal.load("s1")
        assert held is not None
        assert (held.state, held.updated_at) == ("completed", 1006.0)
        assert (held.opened, held.notes) == ({"p1": 1}, {"draft": "é"})
        found = await read_all(journal)
        assert found[:2] == [entry(1), merged(2, 5)]
        assert getattr(found[2].event, "text", None) == "half a pair: \ud83d"
        assert await journal.has_expired("old")
        assert await journal.get("personas", "k") == Document(
            collection="personas", key="k", owner="ann", value={"name": "Ada"}, updated_at=1.0
        )
        begun = await journal.begin_epoch("s2", "e2")
        assert begun.epochs[-1] == Epoch(name="e2", after_seq=0)
        assert not await refused(journal, batch(entry(1), session_id="s2", epoch="e2"))
    open_database(tmp_path / "new.sqlite3").close()
    assert schema_of(path) == schema_of(tmp_path / "new.sqlite3")


async def test_file_of_a_newer_schema_is_refused_and_unchanged(tmp_path: Path) -> None:
    """Two versions of the program never spoil each other's data."""
    path = tmp_path / "journal.sqlite3"
    connection = open_database(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    await opening_fails(path, "newer version", "schema 99", "Update the program")
    assert path.read_bytes() == before


async def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """The message names the file and says to move it away; the file stays as it is."""
    path = tmp_path / "journal.sqlite3"
    path.write_bytes(b"Dear diary, " * 100)
    await opening_fails(path, "not a database", "move it away")
    assert path.read_bytes() == b"Dear diary, " * 100


async def test_damaged_file_is_refused(tmp_path: Path) -> None:
    """A file with a broken page is not served from."""
    path = tmp_path / "journal.sqlite3"
    open_database(path).close()
    data = bytearray(path.read_bytes())
    data[100:1000] = b"\xff" * 900
    path.write_bytes(data)
    await opening_fails(path, "malformed", "restore a backup")


async def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """Our tables never land in somebody else's file."""
    path = tmp_path / "journal.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    await opening_fails(path, "another program")
    assert {name for name, _ in schema_of(path)} == {"bookmarks"}


async def test_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    """A path below a file is the operator's slip; the message says so."""
    (tmp_path / "file").write_text("")
    await opening_fails(tmp_path / "file" / "journal.sqlite3", "cannot write beside")


async def test_second_opener_is_refused(tmp_path: Path) -> None:
    """One process for each file: the message says which one holds it; later it may be opened."""
    path = tmp_path / "journal.sqlite3"
    lock = FileLock(path)
    await opening_fails(path, "in use by another process", "pid ")
    lock.release()
    async with running(path) as journal:
        assert journal.problem == ""
        await opening_fails(path, "in use by another process")
    FileLock(path).release()


async def test_file_that_failed_to_open_is_let_go_of(tmp_path: Path) -> None:
    """After the operator repaired it, the same process can open it."""
    path = tmp_path / "journal.sqlite3"
    path.write_bytes(b"x" * 2000)
    await opening_fails(path)
    path.unlink()
    async with running(path):
        pass


def test_commits_are_synced_and_the_file_is_private(tmp_path: Path) -> None:
    """Durable means synced: WAL with synchronous FULL; texts are for this user's eyes only."""
    path = tmp_path / "deep" / "folder" / "journal.sqlite3"
    path.parent.mkdir(parents=True)
    writer, reader = open_database(path), connect(path, read_only=True)
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM sessions")
    writer.close()
    reader.close()
