"""Merging keeps all text and every offset (invariant I12)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.events import Delta, Entry, Part, PhaseStarted, Reasoning
from engine.merging import cut_after, merge

PART = Part(id="a", target={"prompt_id": "a"}, phase="generate")
OTHER = Part(id="b", target={"prompt_id": "b"}, phase="generate")
CHARACTERS = "aé€𝄞\ud800"
"""One to four bytes in UTF-8, and half a surrogate pair: JSON can express it, UTF-8 cannot."""
AGAIN = Part(id="a", target={"prompt_id": "a"}, phase="generate", attempt=2)


def delta(seq: int, text: str, *, part: Part = PART, tokens: int = 0) -> Entry:
    return Entry(
        seq=seq, at=float(seq), event=Delta(part=part, text=text, tokens=tokens or seq * 2)
    )


def text_of(entry: Entry) -> str:
    assert isinstance(entry.event, Delta)
    return entry.event.text


@st.composite
def runs(draw: st.DrawFn) -> list[Entry]:
    """Make a log's stretch: deltas of three parts, some merged before, and other events."""
    run: list[Entry] = []
    seq = draw(st.integers(1, 1000))
    for _ in range(draw(st.integers(0, 25))):
        kind = draw(st.sampled_from(["delta", "delta", "delta", "merged", "reasoning", "phase"]))
        part = draw(st.sampled_from([PART, PART, OTHER, AGAIN]))
        match kind:
            case "delta":
                run.append(delta(seq, draw(st.text(CHARACTERS, max_size=5)), part=part))
            case "merged":
                size = draw(st.integers(2, 4))
                texts = [draw(st.text(CHARACTERS, max_size=4)) for _ in range(size)]
                singles = [delta(seq + i, text, part=part) for i, text in enumerate(texts)]
                seq += size - 1
                run.extend(merge(singles, 10_000))
            case "reasoning":
                run.append(Entry(seq=seq, at=0.0, event=Reasoning(part=part, text="hm")))
            case _:
                run.append(Entry(seq=seq, at=0.0, event=PhaseStarted(phase="p")))
        seq += 1
    return run


def pieces(run: tuple[Entry, ...] | list[Entry]) -> list[tuple[int, object]]:
    """Give what happened at each offset; two runs that say the same give the same."""
    found: list[tuple[int, object]] = []
    for entry in run:
        if not isinstance(entry.event, Delta):
            found.append((entry.seq, entry.event))
            continue
        start = 0
        event = entry.event
        cuts = entry.cuts or ((len(event.text), event.tokens),)
        for i, (chars, tokens) in enumerate(cuts):
            part = (event.part.id, event.part.attempt)
            found.append((entry.first_seq + i, (part, event.text[start : start + chars], tokens)))
            start += chars
        assert start == len(event.text)
        assert cuts[-1][1] == event.tokens
    return found


@given(runs(), st.integers(0, 40))
def test_merging_keeps_every_offset_its_text_and_its_tokens(run: list[Entry], bound: int) -> None:
    """I12: merging keeps all text, and offsets stay contiguous."""
    assert pieces(merge(run, bound)) == pieces(run)


@given(runs(), st.integers(0, 40))
def test_merging_twice_is_merging_once(run: list[Entry], bound: int) -> None:
    """Merging already merged entries works, and there is nothing left to join."""
    once = merge(run, bound)
    assert merge(once, bound) == once


@given(runs(), st.integers(0, 40))
def test_joined_entry_is_within_its_bound(run: list[Entry], bound: int) -> None:
    """Joining makes no entry larger than its bound in UTF-8."""
    for entry in merge(run, bound):
        if isinstance(entry.event, Delta) and entry not in run:
            assert len(text_of(entry).encode("utf-8", "surrogatepass")) <= bound


@given(runs(), st.data())
def test_cut_and_what_came_before_are_the_whole(run: list[Entry], data: st.DataObject) -> None:
    """After any offset, a reader that held what came before holds the whole again."""
    merged = merge(run, 10_000)
    if not merged:
        return
    seq = data.draw(st.integers(merged[0].first_seq - 1, merged[-1].seq + 1))
    rest = [cut for entry in merged if (cut := cut_after(entry, seq)) is not None]
    before = [piece for piece in pieces(run) if piece[0] <= seq]
    assert before + pieces(rest) == pieces(run)


def test_adjacent_deltas_of_one_part_become_one_entry() -> None:
    """The joined entry has the offset, time and tokens of its last delta."""
    (merged,) = merge([delta(7, "Hello, "), delta(8, "wörld"), delta(9, "!")], 1000)
    assert merged == Entry(
        seq=9,
        at=9.0,
        event=Delta(part=PART, text="Hello, wörld!", tokens=18),
        cuts=((7, 14), (5, 16), (1, 18)),
    )
    assert merged.first_seq == 7


def test_parts_and_attempts_are_never_mixed() -> None:
    """Only deltas of the same part and the same attempt are joined."""
    run = [delta(1, "a"), delta(2, "b", part=OTHER), delta(3, "c"), delta(4, "d", part=AGAIN)]
    assert merge(run, 1000) == tuple(run)


def test_equal_part_of_another_object_is_joined() -> None:
    """A part is the same by id and attempt: after a restart its object is a new one."""
    twin = Part(id="a", target={"prompt_id": "a"}, phase="generate")
    assert len(merge([delta(1, "a"), delta(2, "b", part=twin)], 1000)) == 1


def test_other_event_between_two_deltas_keeps_them_apart() -> None:
    """The order of events never changes."""
    run = [delta(1, "a"), Entry(seq=2, at=0.0, event=PhaseStarted(phase="p")), delta(3, "b")]
    assert merge(run, 1000) == tuple(run)


def test_hole_between_two_deltas_keeps_them_apart() -> None:
    """A merged entry covers its offsets without a hole."""
    run = [delta(1, "a"), delta(3, "b")]
    assert merge(run, 1000) == tuple(run)


def test_delta_larger_than_the_bound_stays_alone() -> None:
    """Merging never splits, and never drops what is too large."""
    run = [delta(1, "a"), delta(2, "b" * 50), delta(3, "c")]
    assert merge(run, 10) == tuple(run)


def test_entry_without_neighbour_is_the_same_object() -> None:
    """What is not joined costs nothing, and what is cached by identity stays."""
    entry = delta(1, "a")
    assert merge([entry], 1000)[0] is entry
    assert cut_after(entry, 0) is entry


def test_nothing_is_left_after_the_last_offset() -> None:
    """A cut behind the end gives None."""
    (merged,) = merge([delta(1, "a"), delta(2, "b")], 1000)
    assert cut_after(merged, 2) is None
    assert cut_after(merged, 1) == delta(2, "b")
