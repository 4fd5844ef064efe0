"""Conversations: what was said, kept in the journal's documents, each its owner's alone.

A conversation is a list of exchanges: one thing that the user said, and what was answered to it. An
exchange is one document, named after the session that made it, so that two sessions of one
conversation never overwrite each other, and a session that is brought back after a crash writes the
same document again. The one rule: an answer is durable before a client is told that it is complete.
Must not import sessions.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
import trio

from engine.actors.unwrapping import single_error
from engine.errors import NotFound
from engine.events import JSON
from engine.journal.interface import Document, Journal

HEADERS: Final = "conversations"
RESPONSES: Final = "responses"
MAX_EXCHANGES: Final = 1_000
"""Exchanges of a conversation that are read, the newest: more fit into no model's window."""
TITLE_CHARS: Final = 80


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one voice answered."""

    persona_id: str | None = None
    name: str = ""
    """Of the persona, for the others."""
    text: str
    response_id: str
    index: int = 0
    round: int = 1
    is_cut: bool = False
    """It was cancelled: the text is as far as it was written."""
    provider: str = ""
    model: str = ""
    upstream_id: str | None = None
    """The provider's own id of the response, where it keeps conversations itself."""


class Exchange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a user said, and the answers to it."""

    key: str
    """The session's id."""
    kind: str
    """`openai_chat`, `chat` or `multi_chat`."""
    at: float
    """Unix time in seconds at which it was said."""
    message: str
    answers: tuple[Answer, ...] = ()


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation in a listing."""

    id: str
    owner: str
    title: str
    created_at: float
    updated_at: float


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A response's place: its conversation, and its exchange in it."""

    conversation_id: str
    exchange: str


class Conversations:
    """All conversations of a journal.

    Args:
        journal: where they are kept.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._claiming = trio.Lock()

    # ---- reading ---------------------------------------------------------------------------------

    async def list(self, owner: str, *, limit: int = 100) -> tuple[Header, ...]:
        """Give an owner's conversations, the one that was spoken in last first."""
        documents = await self.journal.documents(HEADERS, owner=owner, limit=limit)
        return tuple(_header(document) for document in documents)

    async def header(self, conversation_id: str, owner: str) -> Header:
        """Give a conversation.

        Raises:
            NotFound: there is none, or it is another owner's.
        """
        document = await self.journal.get(HEADERS, conversation_id)
        if document is None or document.owner != owner:
            raise _unknown(conversation_id)
        return _header(document)

    async def exchanges(
        self, conversation_id: str, owner: str, *, after: str | None = None
    ) -> tuple[Exchange, ...]:
        """Give what was said, the oldest first; nothing where there is no such conversation.

        Args:
            conversation_id: which one.
            owner: whose exchanges; nobody else's are given, whatever the conversation's id is.
            after: the exchange that is to be the last one; None: all.
        """
        documents = await self.journal.documents(
            _collection(conversation_id), owner=owner, limit=MAX_EXCHANGES
        )
        found = [msgspec.convert(document.value, Exchange) for document in documents]
        found.sort(key=lambda exchange: (exchange.at, exchange.key))
        if after is not None:
            places = [place for place, each in enumerate(found) if each.key == after]
            found = found[: places[0] + 1] if places else found
        return tuple(found)

    async def find_response(self, response_id: str, owner: str) -> Place | None:
        """Give the place of a response, or None where this server has given none of this id.

        Raises:
            NotFound: it was another owner's, or its conversation was deleted.
        """
        document = await self.journal.get(RESPONSES, response_id)
        if document is None:
            return None
        place = msgspec.convert(document.value, Place)
        header = await self.journal.get(HEADERS, place.conversation_id)
        if document.owner != owner or header is None or header.owner != owner:
            raise NotFound(f"no response has the id {response_id}")
        return place

    # ---- writing ---------------------------------------------------------------------------------

    async def claim(self, conversation_id: str, owner: str, *, title: str, at: float) -> None:
        """Have the conversation of this id, and begin it if there is none.

        Raises:
            NotFound: it is another owner's.
        """
        async with self._claiming:
            document = await self.journal.get(HEADERS, conversation_id)
            if document is None:
                await self.journal.put(_new_header(conversation_id, owner, title, at, at))
            elif document.owner != owner:
                raise _unknown(conversation_id)

    async def keep(
        self,
        conversation_id: str,
        owner: str,
        exchange: Exchange,
        *,
        fresh: Collection[Answer] | None = None,
    ) -> None:
        """Make an exchange durable, with its place among the owner's conversations.

        Keeping the same exchange again replaces it.

        Args:
            conversation_id: where it belongs.
            owner: whose it is.
            exchange: all of it.
            fresh: the answers that were not kept before; None: all of them.

        Raises:
            NotFound: meanwhile the conversation's id became another owner's.
            JournalFailed: it could not be written.

        Cancellation: some of it may be written; keep it again.
        """
        known = await self.journal.get(HEADERS, conversation_id)
        if known is not None and known.owner != owner:
            raise _unknown(conversation_id)
        title, begun_at = exchange.message, exchange.at
        if known is not None:
            title, begun_at = known.value["title"], known.value["created_at"]
        documents = [
            Document(
                collection=_collection(conversation_id),
                key=exchange.key,
                owner=owner,
                value=msgspec.to_builtins(exchange),
                updated_at=exchange.at,
            ),
        ]
        if known is None or known.updated_at < exchange.at:
            documents.append(_new_header(conversation_id, owner, title, begun_at, exchange.at))
        documents += [
            Document(
                collection=RESPONSES,
                key=answer.response_id,
                owner=owner,
                value={"conversation_id": conversation_id, "exchange": exchange.key},
                updated_at=exchange.at,
            )
            for answer in (exchange.answers if fresh is None else fresh)
        ]
        with single_error():
            async with trio.open_nursery() as nursery:
                for document in documents:  # at once: a journal on disk commits them as one group
                    nursery.start_soon(self.journal.put, document)

    async def delete(self, conversation_id: str, owner: str) -> None:
        """Forget a conversation and all that was said in it.

        Raises:
            NotFound: there is none, or it is another owner's.
        """
        await self.header(conversation_id, owner)
        while exchanges := await self.exchanges(conversation_id, owner):
            for exchange in exchanges:
                for answer in exchange.answers:
                    await self.journal.remove(RESPONSES, answer.response_id)
                await self.journal.remove(_collection(conversation_id), exchange.key)
        await self.journal.remove(HEADERS, conversation_id)

    def __repr__(self) -> str:
        return f"<Conversations in {self.journal!r}>"


def exchange_turns(exchange: Exchange) -> list[JSON]:
    """Give an exchange as turns, for people: the user's, then each answer."""
    turns: list[JSON] = [{"role": "user", "content": exchange.message, "at": exchange.at}]
    for answer in exchange.answers:
        turn: JSON = {
            "role": "assistant",
            "content": answer.text,
            "persona_id": answer.persona_id,
            "response_id": answer.response_id,
            "provider": answer.provider,
            "model": answer.model,
            "cut": answer.is_cut,
        }
        if answer.round > 1:
            turn["round"] = answer.round
        turns.append(turn)
    return turns


def _collection(conversation_id: str) -> str:
    return f"conversation/{conversation_id}"


def _new_header(
    conversation_id: str, owner: str, title: str, begun_at: float, spoken_at: float
) -> Document:
    line = " ".join(title.split())
    line = line if len(line) <= TITLE_CHARS else f"{line[: TITLE_CHARS - 1]}…"
    return Document(
        collection=HEADERS,
        key=conversation_id,
        owner=owner,
        value={"title": line, "created_at": begun_at},
        updated_at=spoken_at,
    )


def _header(document: Document) -> Header:
    return Header(
        id=document.key,
        owner=document.owner,
        title=document.value["title"],
        created_at=document.value["created_at"],
        updated_at=document.updated_at,
    )


def _unknown(conversation_id: str) -> NotFound:
    return NotFound(f"no conversation has the id {conversation_id}")


__all__ = ["Answer", "Conversations", "Exchange", "Header", "Place", "exchange_turns"]
