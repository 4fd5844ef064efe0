"""The checker names what is broken: each test plants one fault into a log that was fine."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from engine.events import (
    Attempt,
    Cancelled,
    Completed,
    Delta,
    Entry,
    Event,
    Part,
    PartCompleted,
    Receipt,
)
from engine.testing.checker import (
    Missing,
    Reader,
    Reading,
    Sight,
    check_readers,
    check_source,
    fold,
)

FIRST = Part(id="p", target={"prompt_id": "p"}, phase="solutio")
SECOND = msgspec.structs.replace(FIRST, attempt=2)

GOOD: tuple[Event, ...] = (
    Delta(part=FIRST, text="half", tokens=1),
    Attempt(part=SECOND, reason="provider"),
    Delta(part=SECOND, text="a ", tokens=1),
    Delta(part=SECOND, text="whole ", tokens=2),
    Delta(part=SECOND, text="text", tokens=3),
    PartCompleted(part=SECOND, text="a whole text"),
    Completed(data={}),
)


def sights(*events: Event) -> list[Sight]:
    return [
        Sight(
            what=Entry(seq=seq, at=seq, event=event), at=seq, durable_seq=len(events), open_calls=0
        )
        for seq, event in enumerate(events, 1)
    ]


def reader(seen: list[Sight], name: str = "one") -> Reader:
    return Reader(name=name, readings=[Reading(after_seq=0, epoch="e", sights=seen)])


def broken(seen: list[Sight]) -> set[str]:
    return {violation.invariant for violation in check_readers([reader(seen)])}


def test_a_good_log_breaks_nothing() -> None:
    seen = sights(*GOOD)
    assert check_readers([reader(seen), reader(seen, "two")]) == []
    assert check_source([reader(seen)], {"p": "a whole text"}) == []
    assert fold(reader(seen).entries) == {"p": "a whole text"}


def test_a_reader_that_drops_and_resumes_at_its_cursor_breaks_nothing() -> None:
    seen = sights(*GOOD)
    back = Reading(after_seq=3, epoch="e", sights=seen[3:], has_ended=True)
    first = Reading(after_seq=0, epoch="e", sights=seen[:3])
    assert check_readers([Reader(name="one", readings=[first, back])]) == []


def lose(seen: list[Sight]) -> None:
    del seen[3]


def double(seen: list[Sight]) -> None:
    seen.insert(3, seen[3])


def reorder(seen: list[Sight]) -> None:
    seen[2], seen[3] = seen[3], seen[2]


@pytest.mark.parametrize("plant", [lose, double, reorder])
def test_a_lost_doubled_or_reordered_delta_breaks_the_order_and_the_text(
    plant: Callable[[list[Sight]], None],
) -> None:
    """I1 and I9."""
    seen = sights(*GOOD)
    plant(seen)
    assert broken(seen) == {"I1", "I9"}


def test_a_gap_that_skips_what_was_next_breaks_the_order() -> None:
    seen = sights(*GOOD)
    seen[2:5] = [Sight(what=Missing(requested=3, earliest=6), at=0)]
    assert broken(seen) == set()
    seen[2] = Sight(what=Missing(requested=4, earliest=6), at=0)
    assert broken(seen) == {"I1"}


def test_a_second_terminal_event_and_one_that_is_not_last_break_the_end() -> None:
    """I3."""
    assert broken(sights(*GOOD, Completed(data={}))) == {"I3"}
    assert broken(sights(*GOOD, Delta(part=SECOND, text="", tokens=3))) == {"I3"}


def test_the_end_without_a_terminal_event_breaks_the_end() -> None:
    one = reader(sights(*GOOD)[:-1])
    one.readings[0].has_ended = True
    assert {violation.invariant for violation in check_readers([one])} == {"I3"}


def test_an_upstream_that_is_open_when_the_end_is_seen_breaks_the_cancel() -> None:
    """I4."""
    seen = sights(*GOOD)
    seen[-1].open_calls = 1
    assert broken(seen) == {"I4"}


def test_a_milestone_that_is_seen_before_it_is_durable_breaks_the_commit() -> None:
    """I2."""
    seen = sights(*GOOD)
    seen[5].durable_seq = 5
    assert broken(seen) == {"I2"}


def test_text_of_an_attempt_that_nobody_announced_breaks_the_attempts() -> None:
    """I9: a retry whose attempt event is lost doubles the text."""
    events = [event for event in GOOD if not isinstance(event, Attempt)]
    assert broken(sights(*events)) == {"I9"}


def test_a_partial_with_more_or_less_than_was_streamed_breaks_the_cancel() -> None:
    """I12."""
    receipt = Receipt(accepted_at_seq=3, upstream_closed_ms=None, tokens_after_accept=0)
    for partial in ("a ", "a whole more"):
        end = Cancelled(reason="client", partial={"p": partial}, receipt=receipt)
        assert broken(sights(*GOOD[:4], end)) == {"I12"}
    end = Cancelled(reason="client", partial={"p": "a whole "}, receipt=receipt)
    assert broken(sights(*GOOD[:4], end)) == set()


def test_a_merged_entry_that_lost_text_breaks_the_merge() -> None:
    seen = sights(*GOOD)
    whole = Delta(part=SECOND, text="a whole text", tokens=3)
    cuts = ((2, 1), (6, 2), (4, 3))
    seen[2:5] = [Sight(what=Entry(seq=5, at=5, event=whole, cuts=cuts), at=5)]
    assert broken(seen) == set()
    short = Delta(part=SECOND, text="a whole tex", tokens=3)
    seen[2] = Sight(what=Entry(seq=5, at=5, event=short, cuts=cuts), at=5)
    assert broken(seen) == {"I12", "I9"}


def test_two_readers_that_saw_different_logs_break_the_one_log() -> None:
    other = sights(*GOOD)
    other[2].what = Entry(seq=3, at=3, event=Delta(part=SECOND, text="A ", tokens=1))
    found = check_readers([reader(sights(*GOOD)), reader(other, "two")])
    assert "I1: reader two: 3 differs from one's" in map(str, found)


def test_a_completed_text_that_no_provider_gave_breaks_the_source() -> None:
    (found,) = check_source([reader(sights(*GOOD))], {"p": "a whole tale"})
    assert found.invariant == "I9"
