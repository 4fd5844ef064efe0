"""The simulated tokeniser loses nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.providers.simulation.tokens import MAX_WORD, tokenise


@given(st.text())
def test_joined_tokens_are_the_text(text: str) -> None:
    """Joining the tokens of a text gives the text, character for character."""
    tokens = tokenise(text)
    assert "".join(tokens) == text
    assert all(0 < len(token.strip()) <= MAX_WORD or not token.strip() for token in tokens)


def test_words_keep_their_leading_space_and_long_ones_are_split() -> None:
    """A token is a word of at most twelve characters with its leading space."""
    assert tokenise("To be,\n\nuncharacteristically ") == [
        "To", " be,", "\n\nuncharacteri", "stically", " "
    ]  # fmt: skip
