"""One request's account: what follows for the measures from what it did and heard, and when."""

from __future__ import annotations

import pytest

from benchmarks.load.account import Account
from benchmarks.load.adapters.interface import Kind, Reading
from benchmarks.load.measures import Measures, percentile_ms
from benchmarks.load.plan import Slo


class Story:
    """Tells an account what happens, in ms."""

    def __init__(self, slo: Slo | None = None, pace_per_s: float | None = None) -> None:
        self.measures = Measures()
        self.account = Account(self.measures, 7, 100.0, slo=slo, pace_per_s=pace_per_s)
        self.seq = 0

    def hear(self, ms: float, kind: Kind, seq: int | None = None, part: str = "") -> None:
        self.seq = self.seq + 1 if seq is None else seq
        reading = Reading(kind=kind, epoch="e", first_seq=self.seq, seq=self.seq, part=part)
        self.account.hear(reading, at(ms))

    def ms(self, name: str, percentile: float = 100) -> float:
        return percentile_ms(self.measures.histograms[name], percentile)


def at(ms: float) -> float:
    return 100.0 + ms / 1000


def near(ms: float) -> object:
    return pytest.approx(ms, rel=0.002)


def test_times_count_from_the_actual_and_from_the_intended_start() -> None:
    """A client that could not begin in time does not hide what its user waited for."""
    story = Story()
    story.account.start(at(400))
    for ms in (500, 550, 640):
        story.hear(ms, "token")
    story.hear(700, "final")
    story.account.conclude()
    assert story.ms("start_delay") == near(400)
    assert (story.ms("ttft"), story.ms("ttft_intended")) == (near(100), near(500))
    assert (story.ms("e2e"), story.ms("e2e_intended")) == (near(300), near(700))
    assert (story.ms("itl", 0), story.ms("itl")) == (near(50), near(90))
    assert story.ms("tpot") == near(70)


def test_a_first_sign_counts_as_the_first_token() -> None:
    story = Story()
    story.account.start(at(0))
    story.hear(30, "first")
    story.hear(45, "token")
    story.hear(50, "final")
    story.account.conclude()
    assert story.ms("ttft") == near(30)


def test_pauses_are_those_of_each_part() -> None:
    """Two personas that take turns are not twice as fast."""
    story = Story()
    story.account.start(at(0))
    for number in range(10):
        story.hear(100 + 10 * number, "token", part="ab"[number % 2])
    story.hear(300, "final")
    story.account.conclude()
    assert story.ms("itl", 0) == near(20)
    assert story.measures.parts_evenness.total == pytest.approx(1.0)


def test_lateness_counts_from_the_most_punctual_token() -> None:
    story = Story(pace_per_s=20)
    story.account.start(at(0))
    for ms in (120, 150, 200, 257, 300):
        story.hear(ms, "token")
    story.hear(310, "final")
    story.account.conclude()
    assert story.ms("lateness") == near(20)
    assert story.ms("lateness", 0) == 0


@pytest.mark.parametrize(
    ("ends_at_ms", "late_token_ms", "uncancelled"),
    [(300, None, 0), (2300, None, 1), (300, 330, 1)],
    ids=["in time", "too late", "a token after the end"],
)
def test_a_cancel_has_to_have_its_effect(
    ends_at_ms: float, late_token_ms: float | None, uncancelled: int
) -> None:
    story = Story()
    story.account.start(at(0))
    story.hear(100, "token")
    story.account.cancel(at(200))
    story.hear(230, "token")
    story.hear(ends_at_ms, "cancelled")
    if late_token_ms is not None:
        story.hear(late_token_ms, "token")
    story.account.conclude()
    counts = story.measures.counts
    assert (counts.cancels, counts.uncancelled) == (1, uncancelled)
    assert story.ms("cancel_to_silence") == near(30)
    assert story.ms("cancel_to_end") == near(ends_at_ms - 200)
    assert [each.number for each in story.measures.cancelled] == [7]


def test_a_request_that_goes_on_to_its_own_end_was_not_cancelled() -> None:
    """Unless it was about to end: the cancel and the end may cross."""
    for ends_at_ms, found in ((250, (0, 1)), (9000, (1, 0))):
        story = Story()
        story.account.start(at(0))
        story.account.cancel(at(200))
        story.hear(ends_at_ms, "final")
        story.account.conclude()
        counts = story.measures.counts
        assert (counts.uncancelled, counts.raced) == found


def test_coming_back_takes_until_something_is_heard() -> None:
    story = Story()
    story.account.start(at(0))
    story.hear(100, "token")
    story.account.lose(at(200))
    story.account.ask_again(at(260))
    story.hear(300, "token")
    story.hear(400, "final")
    story.account.conclude()
    assert (story.ms("resume"), story.ms("resume_answer")) == (near(100), near(40))
    assert (story.measures.counts.losses, story.measures.counts.resumed) == (1, 1)


def test_lost_and_doubled_events_are_counted_and_a_doubled_token_is_not_delivered() -> None:
    story = Story()
    story.account.start(at(0))
    for seq in (1, 2, 2, 5):
        story.hear(100 + seq, "token", seq=seq)
    story.hear(200, "final")
    story.account.conclude()
    counts = story.measures.counts
    assert (counts.lost, counts.doubled, counts.tokens) == (2, 1, 3)


@pytest.mark.parametrize(
    ("slo", "broken"),
    [
        (Slo(ttft_ms=99), {"ttft_ms": 1}),
        (Slo(ttft_ms=101), {}),
        (Slo(itl_ms=140), {"itl_ms": 1}),
        (Slo(tpot_ms=99), {"tpot_ms": 1}),
        (Slo(e2e_ms=399, itl_ms=500), {"e2e_ms": 1}),
    ],
)
def test_each_limit_is_applied_from_the_intended_start(slo: Slo, broken: dict[str, int]) -> None:
    story = Story(slo)
    story.account.start(at(50))
    for ms in (100, 250, 300):
        story.hear(ms, "token")
    story.hear(400, "final")
    story.account.conclude()
    counts = story.measures.counts
    assert story.measures.broken == broken
    assert (counts.judged, counts.good) == (1, int(not broken))


def test_a_request_that_failed_is_not_good_however_fast() -> None:
    story = Story(Slo(ttft_ms=1000))
    story.account.start(at(0))
    story.account.fail("connect_refused", at(1))
    story.account.conclude()
    assert (story.measures.counts.judged, story.measures.counts.good) == (1, 0)
    assert story.measures.errors == {"connect_refused": 1}
