"""What a voice is told of the conversation so far, within what its model can hold.

The one rule: a persona hears what the user said and what it answered itself; among several it also
hears what those beside it answered where they answered together, each by name, and nothing that was
said to another in private. What does not fit is left out from the oldest on, by whole exchanges;
the system prompt and what the user says now never are. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from engine.pipelines.persona.conversations import Answer, Exchange
from engine.providers.interface import Message, count_tokens

MESSAGE_TOKENS: Final = 8
"""What a message costs besides its text: its role and its frame. OpenAI's count is 4 to 7."""
OUTPUT_TOKENS: Final = 4_096
"""What is left for an answer that names no bound of its own."""
SHARE_PERCENT: Final = 90
"""Of the window: tokens are estimated here, and an estimate can be short by a tenth."""
CUT: Final = " … [interrupted by the user here]"


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A voice's history, ready to be sent."""

    messages: tuple[Message, ...]
    """What was said before, the oldest first; what the user says now is not among it."""
    exchanges: tuple[Exchange, ...]
    """The exchanges that it is made of."""
    left_out: int
    """How many older exchanges did not fit."""


def hear(
    exchanges: Sequence[Exchange],
    *,
    persona_id: str | None,
    beside: Collection[str] = (),
    budget_tokens: int,
) -> Heard:
    """Give what a voice knows of a conversation.

    Args:
        exchanges: all of them, the oldest first.
        persona_id: whose history; None: the voice without a persona.
        beside: the personas that are asked together with it now.
        budget_tokens: what its messages may count for, see `budget`.
    """
    told: list[tuple[Exchange, list[Message]]] = []
    left = budget_tokens
    for exchange in reversed(exchanges):
        if not exchange.answers:
            continue
        messages = _messages(exchange, persona_id, beside)
        left -= tokens_of(messages)
        if left < 0:
            break
        told.append((exchange, messages))
    told.reverse()
    answered = sum(1 for exchange in exchanges if exchange.answers)
    return Heard(
        messages=tuple(message for _, messages in told for message in messages),
        exchanges=tuple(exchange for exchange, _ in told),
        left_out=answered - len(told),
    )


def budget(
    context_tokens: int, *, instructions: str, messages: Iterable[Message], max_tokens: int | None
) -> int:
    """Give the tokens that a model has for history, beside all that has to be sent.

    Args:
        context_tokens: its window.
        instructions: the system prompt.
        messages: what the user says now.
        max_tokens: the bound on the answer; None: `OUTPUT_TOKENS` are kept for it.
    """
    usable = context_tokens * SHARE_PERCENT // 100
    fixed = count_tokens(instructions) + MESSAGE_TOKENS + tokens_of(messages)
    return usable - fixed - (max_tokens or min(OUTPUT_TOKENS, context_tokens // 4))


def tokens_of(messages: Iterable[Message]) -> int:
    """Estimate what messages count for."""
    return sum(count_tokens(message.content) + MESSAGE_TOKENS for message in messages)


def spoken_by(answer: Answer) -> Message:
    """Give another voice's answer as it is told: by name, as something said to the user."""
    name = answer.name or answer.persona_id or "the assistant"
    return Message(role="user", content=f"{name} said: {_text(answer)}", name=answer.persona_id)


def _messages(exchange: Exchange, persona_id: str | None, beside: Collection[str]) -> list[Message]:
    messages = [Message(role="user", content=exchange.message)]
    for answer in exchange.answers:
        if not answer.text.strip():
            continue
        if answer.persona_id == persona_id:
            messages.append(Message(role="assistant", content=_text(answer)))
        elif exchange.kind == "multi_chat" and answer.persona_id in beside:
            messages.append(spoken_by(answer))
    return messages


def _text(answer: Answer) -> str:
    return f"{answer.text}{CUT}" if answer.is_cut else answer.text
