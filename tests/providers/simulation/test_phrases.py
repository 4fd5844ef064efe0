"""Key phrases are nouns that can be set into a sentence."""

from __future__ import annotations

import pytest

from engine.providers.simulation.phrases import key_phrases
from engine.providers.simulation.prose import set_words
from engine.providers.simulation.reading import topic_of


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("Should we adopt remote work for junior engineers?", ["remote work", "junior engineers"]),
        ("Why is the sky blue?", ["the sky"]),
        ("The hero discovers a hidden door.", ["the hidden door", "the hero"]),
        ("How industry changed the nineteenth century", ["the nineteenth century", "industry"]),
        ("ISO 8601 durations, with Python 3", ["ISO 8601 durations", "Python 3"]),
        ("Acute kidney injury worsens quickly.", ["acute kidney injury"]),
        ("With " + "a" * 60 + ", the key", ["the key"]),
        ("the and of, 12 34!", []),
    ],
)
def test_phrases_are_nouns_of_the_text(text: str, phrases: list[str]) -> None:
    """Runs of words between stop words, cut at verbs and without adjectives at the end."""
    assert key_phrases(text, articles=True)[: len(phrases) or 1] == phrases


def test_phrases_that_a_text_repeats_come_first() -> None:
    """The weightiest first."""
    text = "The window was open. A tidal turbine turns. Each tidal turbine needs care."
    assert key_phrases(text)[0] == "tidal turbine"


@pytest.mark.parametrize(
    ("said", "topic"),
    [
        ("Tell me about tidal energy.", "tidal energy"),
        ("Hi! Could you please explain how the journal works?", "how the journal works"),
        ("How do I learn Rust in three months?", "how to learn Rust in three months"),
        ("Should we adopt microservices?", "the question whether to adopt microservices"),
        ("What do you think about remote work?", "remote work"),
        ("What are the benefits of sourdough bread?", "the benefits of sourdough bread"),
        ("remote work", "remote work"),
        ("Why is the sky blue?", "the sky"),
        ("", "this"),
    ],
)
def test_a_topic_is_a_noun_phrase(said: str, topic: str) -> None:
    """Its question without the asking, or its phrases."""
    assert topic_of(said, key_phrases(said, articles=True)) == topic


@pytest.mark.parametrize(
    ("line", "set_line"),
    [
        ("In practice {a} sets the pace.", "In practice engineers set the pace."),
        ("{a} is late, {b} is not.", "engineers are late, work is not."),
        ("The link between {b} and {a} is weak.", "The link between work and engineers is weak."),
        ("the cost of {a} is high", "the cost of engineers is high"),
        ("{a} carries {b}", "engineers carry work"),
        ("{b} and {a} {braces}", "work and engineers {braces}"),
    ],
)
def test_a_verb_agrees_with_a_plural_subject(line: str, set_line: str) -> None:
    """A verb after a plural subject agrees with it, unless the subject stands further left."""
    assert set_words(line, {"a": "engineers", "b": "work"}) == set_line
