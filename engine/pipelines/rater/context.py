"""Which elements of a story fit into a request: by priority, then recency, within a token budget.

The one rule: what is left out is counted, and nothing is left out while all of it fits. Elements
are taken in their order until one does not fit; that one is shortened if a useful piece of it
does, and the rest is left out. No element takes more than half of the budget, so that one long
text does not push out all others. Pure; must not import sessions or providers' implementations.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.pipelines.rater.elements import Element
from engine.providers.interface import count_tokens

MIN_PIECE_TOKENS = 50
"""A shorter piece of an element tells a model nothing."""

_RANKS = {"high": 0, "medium": 1, "low": 2}


class Selection(msgspec.Struct, frozen=True):
    """What of the elements goes into a request."""

    kept: tuple[Element, ...]
    """In the order in which they were given; one or more may be shortened."""
    left_out: int
    is_shortened: bool

    @property
    def is_truncated(self) -> bool:
        """Whether anything is missing."""
        return self.is_shortened or self.left_out > 0


def select(elements: Sequence[Element], budget_tokens: int) -> Selection:
    """Choose what fits.

    Args:
        elements: in the order of the prompt.
        budget_tokens: what they may take together; 0 or less: nothing fits.
    """
    if sum(cost(element) for element in elements) <= budget_tokens:
        return Selection(tuple(elements), 0, False)
    kept: dict[int, Element] = {}
    left = budget_tokens
    is_shortened = False
    for index in by_importance(elements):
        element = elements[index]
        room = min(left, max(budget_tokens // 2, MIN_PIECE_TOKENS))
        fits = cost(element) <= room
        if not fits:
            if room < MIN_PIECE_TOKENS:
                break
            element, is_shortened = shortened(element, room), True
        kept[index] = element
        if not fits and room == left:
            break
        left -= cost(element)
    return Selection(
        tuple(kept[index] for index in sorted(kept)), len(elements) - len(kept), is_shortened
    )


def by_importance(elements: Sequence[Element]) -> list[int]:
    """Give the elements' places, the most important one first: by priority, then recency."""
    return sorted(
        range(len(elements)),
        key=lambda index: (_RANKS[elements[index].priority], -elements[index].recency, index),
    )


def cost(element: Element) -> int:
    """Give the tokens that an element takes, with the blank line after it."""
    return count_tokens(element.text) + 1


def shortened(element: Element, tokens: int) -> Element:
    """Cut an element's text to a number of tokens, at a space, with a mark where it was cut."""
    characters = 4 * (tokens - 1) - 2
    if element.keeps_end:
        piece = element.text[-characters:]
        text = "… " + piece[piece.find(" ") + 1 :]
    else:
        piece = element.text[:characters]
        end = piece.rfind(" ")
        text = (piece[:end] if end > 0 else piece) + " …"
    return msgspec.structs.replace(element, text=text)
