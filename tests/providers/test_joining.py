"""Pieces that came in one read are one delta: in order, whole, and nothing else with them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.events import Usage
from engine.providers.interface import Delta
from engine.providers.openai_api.joining import joined

PIECES = st.one_of(
    st.builds(Delta, text=st.text(max_size=4)),
    st.builds(Delta, reasoning=st.text(max_size=4)),
    st.builds(Delta, text=st.text(max_size=4), reasoning=st.text(max_size=4)),
    st.builds(Delta, text=st.text(max_size=2), tokens=st.integers(0, 3)),
    st.builds(Delta, text=st.text(max_size=2), model=st.just("m")),
    st.builds(Delta, text=st.text(max_size=2), response_id=st.just("r")),
    st.builds(Delta, text=st.text(max_size=2), provider=st.just("p")),
    st.just(Delta(tool={"status": "completed"})),
    st.just(Delta(usage=Usage(), finish="stop")),
)


@given(st.lists(PIECES, max_size=12), st.integers(1, 8))
def test_joining_keeps_all_text_in_order_and_every_other_field(
    deltas: list[Delta], max_chars: int
) -> None:
    """What a reader makes of the joined deltas is what it makes of the single ones."""
    found = joined(deltas, max_chars)
    assert "".join(each.text for each in found) == "".join(each.text for each in deltas)
    assert "".join(each.reasoning for each in found) == "".join(each.reasoning for each in deltas)

    def told(run: list[Delta]) -> list[Delta]:
        plain = {"text", "reasoning"}
        return [
            each
            for each in run
            if any(
                getattr(each, field) is not None for field in set(Delta.__struct_fields__) - plain
            )
        ]

    assert told(found) == told(deltas)
    longest = max((len(each.text + each.reasoning) for each in deltas), default=0)
    assert all(len(each.text + each.reasoning) <= max(longest, max_chars) for each in found)


def test_neighbours_are_joined_and_kinds_are_not_mixed() -> None:
    """Reasoning comes before the text that it led to."""
    run = [Delta(reasoning="a"), Delta(reasoning="b"), Delta(text="c"), Delta(text="d")]
    last = Delta(finish="stop")
    assert joined([*run, last], 100) == [Delta(reasoning="ab"), Delta(text="cd"), last]
    assert joined(run, 1) == run
