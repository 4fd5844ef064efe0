"""How many sessions may run: in the process, and for one owner.

The one rule: who takes a slot gives it back exactly once, whatever happens in between (I14).
Nothing here waits: what does not fit is refused. Must not import pipelines or providers.
"""

from __future__ import annotations

from engine.errors import Overloaded, RateLimited

RETRY_AFTER_S = 1.0
"""Sessions end all the time; nobody knows which one will be next."""


class Slots:
    """Counts the sessions that run or are about to.

    Args:
        total: for the process.
        per_owner: for one owner; 0 is no limit, and whoever has no name has none either.
    """

    def __init__(self, total: int, per_owner: int = 0) -> None:
        self._total = total
        self._per_owner = per_owner
        self._taken = 0
        self._by_owner: dict[str, int] = {}

    @property
    def taken(self) -> int:
        """Slots that are taken."""
        return self._taken

    @property
    def is_full(self) -> bool:
        """Whether the process refuses further sessions."""
        return self._taken >= self._total

    def taken_by(self, owner: str) -> int:
        """Slots that one owner has."""
        return self._by_owner.get(owner, 0)

    def check(self, owner: str) -> None:
        """Refuse where there is no slot left here.

        Raises:
            Overloaded: the process has as many sessions as it may have.
            RateLimited: the owner has.
        """
        if self.is_full:
            raise Overloaded(
                f"{self._total} sessions are running, which is the most allowed",
                retry_after_s=RETRY_AFTER_S,
            )
        if self._per_owner and owner and self.taken_by(owner) >= self._per_owner:
            raise RateLimited(
                f"{self._per_owner} sessions of yours are running, which is the most for a user",
                retry_after_s=RETRY_AFTER_S,
            )

    def take(self, owner: str) -> None:
        """Take a slot; a session that comes back after a crash takes one above the limit too."""
        self._taken += 1
        self._by_owner[owner] = self.taken_by(owner) + 1

    def give_back(self, owner: str) -> None:
        """Give a slot back."""
        self._taken -= 1
        left = self._by_owner.pop(owner) - 1
        if left:
            self._by_owner[owner] = left

    def __repr__(self) -> str:
        return f"<Slots {self._taken} of {self._total}, {len(self._by_owner)} owners>"
