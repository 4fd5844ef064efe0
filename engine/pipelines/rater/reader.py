"""The text of a part as it comes, for somebody who looks at it now and then.

The one rule: it is the text of the last attempt only; what an earlier one wrote is void. Must not
import providers.
"""

from __future__ import annotations

import trio

from engine.events import Part
from engine.sessions.run import Run


class Reader:
    """Takes pieces of text without waiting, and wakes the one who reads them.

    Args:
        run: the session, which knows the part's present attempt.
        part: whose text it is.
    """

    def __init__(self, run: Run, part: Part) -> None:
        self.finished = trio.Event()
        self.has_begun = False
        self._run = run
        self._part_id = part.id
        self._attempt = 0
        self._pieces: list[str] = []
        self._has_unseen = False
        self._more = trio.Event()

    @property
    def text(self) -> str:
        """The text so far."""
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def take(self, piece: str) -> None:
        """Take a piece of text; the first one of a new attempt makes the earlier ones void."""
        view = self._run.view.parts.get(self._part_id)
        attempt = 1 if view is None else view.part.attempt
        if attempt != self._attempt:
            self._attempt = attempt
            self._pieces = []
        self.has_begun = True
        self._pieces.append(piece)
        self._has_unseen = True
        self._more.set()

    def finish(self) -> None:
        """No more text will come."""
        self.finished.set()
        self._more.set()

    async def wait(self) -> bool:
        """Wait for more text than at the last call; False: the text is finished and was seen.

        Cancellation: nothing is lost.
        """
        while not self._has_unseen:
            if self.finished.is_set():
                return False
            self._more = trio.Event()
            await self._more.wait()
        self._has_unseen = False
        return True
