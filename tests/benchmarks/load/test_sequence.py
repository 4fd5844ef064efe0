"""Lost and doubled events are seen, and a merged, resumed or recovered stream is neither."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.sequence import Sequence


def taken(*messages: tuple[str, int, int]) -> tuple[int, int]:
    sequence = Sequence()
    for message in messages:
        sequence.take(*message)
    return sequence.lost, sequence.doubled


@given(st.lists(st.integers(1, 5), min_size=1), st.data())
def test_what_is_left_out_and_repeated_is_counted(sizes: list[int], data: st.DataObject) -> None:
    """Whatever is dropped between first and last is lost; whatever comes twice is doubled."""
    messages, last = [], 0
    for size in sizes:
        messages.append(("e", last + 1, last + size))
        last += size
    assert taken(*messages) == (0, 0)
    place = data.draw(st.integers(0, len(messages) - 1))
    twice = [*messages[: place + 1], *messages[place:]]
    assert taken(*twice) == (0, sizes[place])
    if place < len(messages) - 1:
        assert taken(*messages[:place], *messages[place + 1 :]) == (sizes[place], 0)


def test_a_new_epoch_may_begin_before_what_was_seen_and_not_after_it() -> None:
    assert taken(("a", 1, 9), ("b", 7, 7), ("b", 8, 8)) == (0, 0)
    assert taken(("a", 1, 9), ("b", 12, 12)) == (2, 0)


def test_a_merged_message_that_repeats_in_part_counts_for_that_part() -> None:
    assert taken(("a", 1, 4), ("a", 3, 6)) == (0, 2)
