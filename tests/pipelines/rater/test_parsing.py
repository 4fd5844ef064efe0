"""What a rater wrote, read whole and while it is written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pipelines.rater.parsing import Feedback, parse_feedback, parse_partial

WHOLE = {"opinion": "It holds. It moves.", "suggestions": ["Show the door.", "Cut the dream."]}
FEEDBACK = Feedback("It holds. It moves.", ("Show the door.", "Cut the dream."))
TEXT = json.dumps(WHOLE)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"\n {json.dumps(WHOLE, indent=2)} \n",
        f"Here it is:\n```json\n{TEXT}\n```\nI hope it helps.",
        f"```\n{TEXT}\n```",
        f"Sure! {TEXT} Anything else?",
        json.dumps({"feedback": WHOLE}),
        json.dumps({"Opinion": WHOLE["opinion"], "Suggestions": WHOLE["suggestions"]}),
        json.dumps({**WHOLE, "suggestions": "- Show the door.\n- Cut the dream."}),
        json.dumps(
            {**WHOLE, "suggestions": [{"suggestion": "Show the door."}, {"text": "Cut the dream."}]}
        ),
        json.dumps({**WHOLE, "suggestions": ["", "Show the door.", " ", "2. Cut the dream."]}),
        "It holds. It moves.\nShow the door.\nCut the dream.",
        "Opinion: It holds. It moves.\n\nSuggestions:\n1. Show the door.\n2) Cut the dream.\n",
        "**Opinion:** It holds. It moves.\n**Suggestions:**\n* Show the door.\n• Cut the dream.",
    ],
)
def test_an_answer_is_read_in_whatever_form_it_comes(text: str) -> None:
    """Structured output; else a fenced block, the widest {…}, then plain lines."""
    assert parse_feedback(text) == FEEDBACK


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "I cannot judge this.",
        "{}",
        "[]",
        "null",
        '"text"',
        json.dumps({"opinion": "x"}),
        json.dumps({"opinion": "x", "suggestions": []}),
        json.dumps({"opinion": "x", "suggestions": [" ", None, 5]}),
        json.dumps({"opinion": " ", "suggestions": ["x"]}),
        json.dumps({"opinion": None, "suggestions": ["x"]}),
        json.dumps({"suggestions": ["x"]}),
        json.dumps({"opinion": 5, "suggestions": ["x"]}),
        TEXT[:-1],
        TEXT[:-4],
        json.dumps(WHOLE, indent=2)[:-3],
        f"Here it is:\n{json.dumps(WHOLE, indent=2)[:-3]}",
        f"```json\n{json.dumps(WHOLE, indent=2)[:40]}\n```",
        "---\n***\n",
        "Opinion: It holds.\nSuggestions:\n",
        "{" * 100_000,
        "x\ny\n" * 100_000,
    ],
)
def test_what_has_no_opinion_and_suggestion_is_no_answer(text: str) -> None:
    """At least an opinion and one suggestion must come of it; never an invented answer."""
    assert parse_feedback(text) is None


def test_a_fenced_block_comes_before_braces_around_it() -> None:
    """A fenced JSON block, then the widest {…}."""
    assert parse_feedback(f"A set {{a, b}} first.\n```json\n{TEXT}\n```\nAnd {{c}}.") == FEEDBACK


@pytest.mark.parametrize(
    ("text", "opinion", "suggestions"),
    [
        ('{"opinion": "It ho', "It ho", ()),
        ('{"opinion": "It holds.", "sugg', "It holds.", ()),
        ('{"opinion": "It holds.", "suggestions": [', "It holds.", ()),
        ('{"opinion": "It holds.", "suggestions": ["Show', "It holds.", ("Show",)),
        ('{"opinion": "It holds.", "suggestions": ["Show it.", "C', "It holds.", ("Show it.", "C")),
        ('```json\n{"opinion": "It ho', "It ho", ()),
        ('Sure: {"opinion": "caf\\u00e9, \\"so', 'café, "so', ()),
        (f"```json\n{TEXT}\n``", *WHOLE.values()),
    ],
)
def test_half_an_answer_is_read_as_far_as_it_goes(
    text: str, opinion: str, suggestions: tuple[str, ...]
) -> None:
    """As far as the answer can be read yet."""
    assert parse_partial(text) == Feedback(opinion, tuple(suggestions))


@pytest.mark.parametrize(
    "text", ["", "Sure", "{", '{"opi', '{"opinion": "', '{"opinion": 5', "{x}"]
)
def test_what_cannot_be_read_yet_is_nothing(text: str) -> None:
    """No partial is shown before there is anything to show."""
    assert parse_partial(text) is None


@given(st.integers(0, len(TEXT)))
def test_a_partial_is_always_the_beginning_of_the_whole(cut: int) -> None:
    """What a client sees grows and is never taken back."""
    partial = parse_partial(TEXT[:cut])
    if partial is not None:
        assert FEEDBACK.opinion.startswith(partial.opinion)
        assert len(partial.suggestions) <= len(FEEDBACK.suggestions)
        for have, whole in zip(partial.suggestions, FEEDBACK.suggestions, strict=False):
            assert whole.startswith(have)


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["opinion", "suggestions", "feedback", "x"]), inner)
        ),
    ).map(json.dumps)
)
def test_no_text_crashes_it(text: str) -> None:
    """Whatever a model writes, the answer is a feedback or none."""
    found = parse_feedback(text)
    assert found is None or (found.opinion and found.suggestions and all(found.suggestions))
    parse_partial(text)
