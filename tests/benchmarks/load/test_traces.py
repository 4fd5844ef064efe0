"""A recorded trace is read from CSV and from JSON lines, and what is wrong in it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.load.traces import BadTrace, read_trace


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "user,offset_s\nx,12.5\ny,10\nz,11\n"),
        ("a.csv", "12.5\n10\n\n11\n"),
        ("a.jsonl", '{"offset_s": 12.5}\n10\n\n{"offset_s": 11, "user": 3}\n'),
        ("a.txt", "12.5\n10\n11"),
    ],
)
def test_offsets_are_sorted_and_count_from_the_first(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert read_trace(path) == (0.0, 1.0, 2.5)
    assert read_trace(path, speed=2) == (0.0, 0.5, 1.25)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "offset_s\n1\nsoon\n", "line 3: 'soon' is no offset"),
        ("a.csv", "user,offset_s\nx\n", "line 2: None is no offset"),
        ("a.jsonl", "1\n-1\n", "line 2: -1.0 is no offset from 0 on"),
        ("a.jsonl", '1\n{"at": 2}\n', "line 2: None is no offset"),
        ("a.jsonl", "1\nnan\n", "line 2: nan is no offset"),
        ("a.csv", "offset_s\n", "has no rows"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BadTrace, match=message):
        read_trace(path)
