"""What the parts of the journals' contract suite share: how a test opens a journal."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.journal.interface import Journal
from engine.testing.journals.samples import record


class JournalTests:
    """Opens the journal under test."""

    pytestmark = pytest.mark.trio

    @abstractmethod
    def open_journal(self, folder: Path) -> AbstractAsyncContextManager[Journal]:
        """Open the journal that is kept in a folder, new or not, for as long as the block lasts."""

    @asynccontextmanager
    async def open_with_session(self, folder: Path, **fields: Any) -> AsyncGenerator[Journal, None]:
        """Open a journal with the session s1 in it."""
        async with self.open_journal(folder) as journal:
            await journal.create(record(**fields))
            yield journal
