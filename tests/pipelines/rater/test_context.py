"""What of a story reaches the model, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from engine.commands.rater import RaterCommand, parse_rating
from engine.pipelines.rater.context import select
from engine.pipelines.rater.elements import Element
from engine.pipelines.rater.prompts import FEEDBACK_SCHEMA, Prepared, prepare, repair_request
from engine.providers.interface import count_tokens

CONTEXT: dict[str, Any] = {
    "systemPrompts": {
        "mainPrefix": "PREFIX",
        "mainSuffix": "SUFFIX",
        "assistantPrompt": "ASSISTANT",
        "editorPrompt": "EDITOR",
    },
    "worldbuilding": {"content": "WORLD"},
    "storySummary": {"summary": "SUMMARY"},
    "previousChapters": [
        {"number": 1, "title": "FIRST", "content": "CHAPTER-ONE", "plotPoint": "POINT-ONE"},
        {"number": 2, "title": "SECOND", "content": "CHAPTER-TWO"},
    ],
    "characters": [
        {
            "name": "NAME", "basicBio": "BIO", "sex": "SEX", "gender": "GENDER", "age": 1234,
            "physicalAppearance": "APPEARANCE", "usualClothing": "CLOTHING",
            "personality": "PERSONALITY", "motivations": "MOTIVATIONS", "fears": "FEARS",
            "relationships": "RELATIONSHIPS", "isHidden": False,
        },
        {"name": "SECRET", "basicBio": "NOT-TO-BE-SEEN", "isHidden": True},
    ],
    "plotContext": {
        "plotPoint": "OTHER-POINT",
        "plotOutline": "OUTLINE",
        "plotOutlineStatus": "under_review",
        "relatedOutlineItems": ["ITEM-TEXT", {"title": "ITEM-TITLE"}],
    },
    "plot_elements": [
        {"type": "twist", "content": "ELEMENT-HIGH", "priority": "high", "tags": ["TAG"]},
        {"type": "scene", "content": "ELEMENT-LOW", "priority": "low"},
    ],
    "character_contexts": [
        {
            "character_id": "b", "character_name": "B-NAME", "current_state": {"mood": "STATE"},
            "recent_actions": ["ACTION"], "relationships": {"x": "B-RELATION"}, "goals": ["GOAL"],
            "memories": ["MEMORY"], "personality_traits": ["TRAIT"],
        },
        {"character_id": "c", "character_name": "secret", "memories": ["NOT-TO-BE-SEEN"]},
    ],
    "user_requests": [{"type": "focus", "content": "REQUEST", "target": "TARGET"}],
    "system_instructions": [{"type": "style", "content": "INSTRUCTION", "scope": "SCOPE"}],
}  # fmt: skip
PHASE = {
    "previous_phase_output": "OUTPUT-BEFORE",
    "phase_specific_instructions": "PHASE-INSTRUCTIONS",
    "conversation_history": [
        {"role": "user", "content": "SAID-FIRST"},
        {"role": "assistant", "content": "SAID-LAST"},
    ],
}


WORDS = [
    "WORLD",
    "SUMMARY",
    "FIRST",
    "CHAPTER-ONE",
    "POINT-ONE",
    "SECOND",
    "CHAPTER-TWO",
    "NAME",
    "BIO",
    "SEX",
    "GENDER",
    "1234",
    "APPEARANCE",
    "CLOTHING",
    "PERSONALITY",
    "MOTIVATIONS",
    "FEARS",
    "RELATIONSHIPS",
    "OTHER-POINT",
    "OUTLINE",
    "under_review",
    "ITEM-TEXT",
    "ITEM-TITLE",
    "PLOT-POINT",
    "ELEMENT-LOW",
    "ELEMENT-HIGH",
    "TAG",
    "Twist",
    "B-NAME",
    "STATE",
    "ACTION",
    "B-RELATION",
    "GOAL",
    "MEMORY",
    "TRAIT",
    "REQUEST",
    "focus",
    "TARGET",
    "INSTRUCTION",
    "SCOPE",
    "ASSISTANT",
    "EDITOR",
    "OUTPUT-BEFORE",
    "PHASE-INSTRUCTIONS",
    "SAID-FIRST",
    "SAID-LAST",
]


def prepared(*, budget_tokens: int = 8_000, **fields: Any) -> Prepared:
    data = {"raterPrompt": "RATER-PROMPT", "plotPoint": "PLOT-POINT", "structured_context": {}}
    command, warnings = parse_rating({**data, **fields})
    assert warnings == ()
    assert isinstance(command, RaterCommand)
    return prepare(
        command,
        rater_name=command.rater_name,
        rater_prompt=command.rater_prompt,
        model="m",
        budget_tokens=budget_tokens,
    )


def user_text(prepared: Prepared) -> str:
    assert len(prepared.request.messages) == 1
    return prepared.request.messages[0].content


def test_the_system_prompt_is_prefix_rater_prompt_suffix() -> None:
    """system = mainPrefix + raterPrompt + mainSuffix."""
    assert prepared(structured_context=CONTEXT).request.instructions == (
        "PREFIX\n\nRATER-PROMPT\n\nSUFFIX"
    )
    assert prepared().request.instructions == "RATER-PROMPT"


def test_both_shapes_reach_the_model() -> None:
    """Both are accepted, also mixed, and both reach the model."""
    text = user_text(prepared(structured_context=CONTEXT, phase_context=PHASE))
    for word in WORDS:
        assert word in text, word


def test_hidden_characters_reach_no_model() -> None:
    """Characters: hidden ones left out, in either shape."""
    whole = prepared(structured_context=CONTEXT)
    assert "NOT-TO-BE-SEEN" not in repr(whole.request)
    assert "SECRET" not in repr(whole.request).upper()


def test_the_parts_stand_in_the_contracts_order() -> None:
    """World, summary, chapters, characters, outline, plot point, phase, conversation, question."""
    text = user_text(prepared(structured_context=CONTEXT, phase_context=PHASE))
    order = [
        "WORLD", "SUMMARY", "CHAPTER-ONE", "CHAPTER-TWO", "BIO", "OUTLINE", "PLOT-POINT",
        "PHASE-INSTRUCTIONS", "SAID-FIRST", "SAID-LAST", "Judge the plot point",
    ]  # fmt: skip
    places = [text.index(word) for word in order]
    assert places == sorted(places)


def test_elements_of_a_kind_are_ordered_by_priority() -> None:
    """Elements are ordered by priority, then recency."""
    text = user_text(prepared(structured_context=CONTEXT))
    assert text.index("ELEMENT-HIGH") < text.index("ELEMENT-LOW")
    same = [{"type": "scene", "content": f"ELEMENT-{n}"} for n in (1, 2)]
    text = user_text(prepared(structured_context={"plot_elements": same}))
    assert text.index("ELEMENT-2") < text.index("ELEMENT-1")


@pytest.mark.parametrize("phase", ["plot_outline", "chapter_detail", "final_edit"])
def test_the_phase_of_composition_reaches_the_model(phase: str) -> None:
    """compose_phase says what to judge by."""
    assert len({user_text(prepared()), user_text(prepared(compose_phase=phase))}) == 2


def test_the_schema_and_the_settings_are_in_the_request() -> None:
    """The question, answered by the JSON schema; temperature 0.7, max_tokens 600."""
    request = prepared(temperature=0.2, max_tokens=99).request
    assert request.response_schema == FEEDBACK_SCHEMA
    assert (request.temperature, request.max_tokens, request.model) == (0.2, 99, "m")
    assert '"opinion"' in request.messages[0].content


def test_a_repair_shows_the_answer_that_could_not_be_read() -> None:
    """One repair attempt."""
    request = prepared().request
    repair = repair_request(request, "BAD-ANSWER")
    assert [message.role for message in repair.messages] == ["user", "assistant", "user"]
    assert repair.messages[0] == request.messages[0]
    assert repair.messages[1].content == "BAD-ANSWER"
    assert repair_request(request, " ").messages[1].role == "user"


def test_all_that_fits_is_kept_and_counted() -> None:
    """context_metadata {tokens, total_elements, filtered_elements, truncated}."""
    whole = prepared(structured_context=CONTEXT, phase_context=PHASE)
    assert whole.total_elements == 20
    assert (whole.filtered_elements, whole.is_truncated) == (0, False)
    said = whole.request.instructions + user_text(whole)
    assert whole.tokens == pytest.approx(count_tokens(said), abs=1)


def test_what_does_not_fit_is_left_out_and_counted() -> None:
    """Trimmed to the token budget; what was left out is counted."""
    elements = [
        {"type": "scene", "content": f"E{n}. " + "word " * 100, "priority": priority}
        for n, priority in enumerate(["low", "medium", "high", "medium", "low"])
    ]
    small = prepared(structured_context={"plot_elements": elements}, budget_tokens=700)
    text = user_text(small)
    assert small.tokens <= 700
    assert small.is_truncated
    there = [f"E{n}." in text for n in range(5)]
    assert there[1:4] == [True, True, True]
    assert not there[0]
    assert (small.total_elements, small.filtered_elements) == (5, there.count(False))


def test_the_plot_point_and_the_raters_prompt_are_never_trimmed() -> None:
    """The plot point and the rater's prompt are never trimmed, whatever the budget."""
    point, prompt = "the point " * 2_000, "the prompt " * 2_000
    whole = prepared(
        plotPoint=point, raterPrompt=prompt, structured_context=CONTEXT, budget_tokens=100
    )
    assert point.strip() in user_text(whole)
    assert whole.request.instructions == f"PREFIX\n\n{prompt.strip()}\n\nSUFFIX"
    assert whole.filtered_elements == whole.total_elements
    assert "WORLD" not in user_text(whole)


@pytest.mark.parametrize("budget", [600, 1_000, 3_000, 8_000])
def test_a_large_story_keeps_to_the_budget(budget: int) -> None:
    """8,000 tokens by default; the latest chapter survives before the earlier ones."""
    chapters = [{"number": n, "content": f"C{n}. " + "word " * 3_000 + f"END{n}"} for n in range(9)]
    context = {"previousChapters": chapters, "worldbuilding": {"content": "world " * 9_000}}
    small = prepared(structured_context=context, budget_tokens=budget)
    assert small.tokens <= budget
    assert small.is_truncated
    assert "END8" in user_text(small)
    assert "END0" not in user_text(small)


# ---- choosing -----------------------------------------------------------------------------------


def element(text: str, **fields: Any) -> Element:
    return Element(section="World", text=text, **fields)


def test_one_long_text_does_not_push_out_the_others() -> None:
    """No element takes more than half of the budget."""
    long = element("long " * 10_000, priority="high")
    others = [element(f"short {n} " * 20) for n in range(3)]
    selection = select([long, *others], 1_000)
    assert selection.kept[1:] == tuple(others)
    assert count_tokens(selection.kept[0].text) <= 500
    assert selection.left_out == 0
    assert selection.is_truncated


def test_a_shortened_chapter_keeps_its_end() -> None:
    """A chapter's end is nearer to the plot point; other texts keep their beginning."""
    words = " ".join(f"w{n}" for n in range(1_000))
    end = select([element(words, keeps_end=True)], 100).kept[0].text
    start = select([element(words)], 100).kept[0].text
    assert (end[:2], end[-4:]) == ("… ", "w999")
    assert (start[:3], start[-2:]) == ("w0 ", " …")


@pytest.mark.parametrize("budget", [-5, 0, 1, 49])
def test_without_room_nothing_is_kept(budget: int) -> None:
    """A piece too short to tell anything is left out rather than shown."""
    selection = select([element("word " * 1_000)], budget)
    assert (selection.kept, selection.left_out) == ((), 1)
