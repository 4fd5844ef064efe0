"""What processes of a cluster say to each other, and its form: msgpack, several at a time.

A message helps and decides nothing: what is true stands in the journal and on the board. Pure; must
not import sessions, the journal, pipelines or providers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec

from engine import errors
from engine.cluster.interface import MAX_MESSAGE_BYTES
from engine.errors import AntiphonError, Internal, InvalidRequest
from engine.events import JSON, CancelReason


class _Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    pass


# ---- reading what another process runs -----------------------------------------------------------


class Follow(_Message, frozen=True, kw_only=True):
    """A reader's process to the owner's, again and again: I have readers of this session."""

    session_id: str
    position: int
    """How far the fastest of them is."""
    is_over: bool = False
    """The last of them has gone."""


class News(_Message, frozen=True, kw_only=True):
    """The owner's process to a reader's: so far this session's log is durable."""

    session_id: str
    epoch: str
    seq: int


class Elsewhere(_Message, frozen=True, kw_only=True):
    """The answer to a `Follow` or an `Ask` for a session that this process does not run."""

    session_id: str
    ask_id: str = ""


class Taken(_Message, frozen=True, kw_only=True):
    """To all: these sessions run here from now on, each under a new epoch."""

    session_ids: tuple[str, ...]


class Offered(_Message, frozen=True, kw_only=True):
    """To all: there are sessions on the board that anyone may take."""


# ---- asking the owner ----------------------------------------------------------------------------


class Cancel(_Message, frozen=True, kw_only=True):
    """Cancel the session, or with a target a part of it."""

    reason: CancelReason
    message: str = ""
    target: JSON | None = None


class Select(_Message, frozen=True, kw_only=True):
    """Choose among the candidates of a phase."""

    phase: str
    indices: list[int]


Request: TypeAlias = Cancel | Select


class Ask(_Message, frozen=True, kw_only=True):
    """A question to the owner's process. Repeated under its id until it is answered."""

    ask_id: str
    session_id: str
    request: Request


class Answer(_Message, frozen=True, kw_only=True):
    """The answer: nothing was wrong, or an error of ours."""

    ask_id: str
    error: str = ""
    """The error's class; "" where there was none."""
    text: str = ""
    details: tuple[tuple[str, str], ...] = ()
    retry_after_s: float | None = None


Message: TypeAlias = Follow | News | Elsewhere | Taken | Offered | Ask | Answer


# ---- their form ----------------------------------------------------------------------------------


class _Envelope(msgspec.Struct, frozen=True, array_like=True):
    sender: str
    messages: list[Message]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Envelope).decode


def pack(sender: str, messages: Sequence[Message]) -> Iterator[bytes]:
    """Give the bytes of messages, in order, in as few pieces as their bound allows."""
    data = _encode(_Envelope(sender, list(messages)))
    if len(data) <= MAX_MESSAGE_BYTES or len(messages) == 1:
        yield data
        return
    middle = len(messages) // 2
    yield from pack(sender, messages[:middle])
    yield from pack(sender, messages[middle:])


def unpack(data: bytes) -> tuple[str, list[Message]]:
    """Give the sender and the messages of what `pack` gave.

    Raises:
        ValueError: it is not of this form.
    """
    envelope = _decode(data)
    return envelope.sender, envelope.messages


def failure(ask_id: str, error: AntiphonError) -> Answer:
    """Give the answer that carries an error."""
    return Answer(
        ask_id=ask_id,
        error=type(error).__name__,
        text=error.message,
        details=error.details if isinstance(error, InvalidRequest) else (),
        retry_after_s=error.retry_after_s,
    )


def error_of(answer: Answer) -> AntiphonError:
    """Give the error that an answer carries."""
    kind = getattr(errors, answer.error, Internal)
    if kind is InvalidRequest:
        return InvalidRequest(answer.text, answer.details)
    if not (isinstance(kind, type) and issubclass(kind, AntiphonError)) or kind in _OTHER_FORMS:
        kind = Internal
    return kind(answer.text, retry_after_s=answer.retry_after_s)


_OTHER_FORMS = (errors.SourceFailed, errors.Escalated)
"""Errors that are made of something else than a sentence; none of them answers a question."""
