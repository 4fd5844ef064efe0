"""A session's token budget: reserved before a call, refunded after it, never overspent.

Pure and synchronous: whoever reserves has it at once or is refused, so that parallel personas and
retries share one purse without a lock. Must not import anything but errors.
"""

from __future__ import annotations

from engine.errors import BudgetExceeded


class Budget:
    """So many tokens, input and output together; None is no bound."""

    __slots__ = ("limit", "reserved", "spent")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.spent = 0
        self.reserved = 0

    @property
    def left(self) -> int | None:
        """Tokens that can still be reserved; None: without bound."""
        return None if self.limit is None else self.limit - self.spent - self.reserved

    def reserve(self, input_tokens: int, output_tokens: int) -> Reservation:
        """Set tokens aside for a call; the output is cut to what is left.

        Raises:
            BudgetExceeded: not even one token of output is left after the input.
        """
        left = self.left
        if left is not None:
            output_tokens = min(output_tokens, left - input_tokens)
            if output_tokens < 1:
                raise BudgetExceeded(
                    f"the session's token budget of {self.limit} is used up: "
                    f"{left} left, the next call needs more than {input_tokens}"
                )
        self.reserved += input_tokens + output_tokens
        return Reservation(self, input_tokens, output_tokens)

    def __repr__(self) -> str:
        return f"<Budget {self.spent} spent, {self.reserved} reserved of {self.limit}>"


class Reservation:
    """Tokens set aside; settle it exactly once, a second time does nothing."""

    __slots__ = ("_budget", "_open", "input_tokens", "output_tokens")

    def __init__(self, budget: Budget, input_tokens: int, output_tokens: int) -> None:
        self._budget = budget
        self._open = True
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        """What the call may write at the most."""

    def settle(self, used_tokens: int) -> None:
        """Give back what was not used; `used_tokens` counts input and output."""
        if self._open:
            self._open = False
            self._budget.reserved -= self.input_tokens + self.output_tokens
            self._budget.spent += used_tokens
