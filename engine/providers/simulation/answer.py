"""An answer on its way out: its pieces, cut to its length, ready to be paced.

The pieces of a natural answer are made once and shared by all calls of the same request; a longer
one (`output_tokens`) goes on with sentences of the same writer, sentence by sentence, so that an
answer of 100,000 tokens needs no more memory than one of a thousand. Must not know of time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, cycle, islice

from engine.events import JSON
from engine.providers.interface import Delta, FinishReason
from engine.providers.simulation.tokens import tokenise


class Answer:
    """What one request is answered, as pieces that may be iterated many times.

    Args:
        text: the natural answer.
        more: writes what goes on after it, repeated for ever, where the answer has to be longer.
            None for text that has a form (JSON, an exam), which is never stretched.
        reasoning: the model's reasoning, before the text.
        tools: tool events, before the text.
    """

    def __init__(
        self,
        text: str,
        *,
        more: Callable[[], str] | None = None,
        reasoning: str = "",
        tools: tuple[JSON, ...] = (),
    ) -> None:
        self.preface = [Delta(tool=tool) for tool in tools]
        self.preface += [Delta(reasoning=piece) for piece in tokenise(reasoning)]
        self._pieces = [Delta(text=piece, tokens=1) for piece in tokenise(text)]
        self._more = more
        self._further: list[Delta] = []

    @property
    def has_form(self) -> bool:
        """Whether it is JSON or an exam, which nothing may be added to."""
        return self._more is None

    def length(self, *, output_tokens: int, max_tokens: int | None) -> tuple[int, FinishReason]:
        """Say how many tokens come, and why the answer ends there.

        Args:
            output_tokens: tokens of an answer without a form; 0: its natural length.
            max_tokens: the request's bound.
        """
        wanted = output_tokens if output_tokens and not self.has_form else len(self._pieces)
        if max_tokens is not None and max_tokens < wanted:
            return max_tokens, "length"
        return wanted, "stop"

    def pieces(self, tokens: int) -> Iterator[Delta]:
        """Iterate the first `tokens` pieces."""
        if tokens <= len(self._pieces) or self._more is None:
            return iter(self._pieces[:tokens])
        if not self._further:
            self._further = [Delta(text=piece, tokens=1) for piece in tokenise(self._more())]
        return islice(chain(self._pieces, cycle(self._further)), tokens)
