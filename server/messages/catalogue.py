"""Which messages there are on which connection: the one place to look them up."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from server.messages import connection, content, exhibition, generate, persona, rater
from server.messages.interface import Message, shared

Side: TypeAlias = Literal["client", "server"]

PROTOCOLS: Final = ("generate", "content", "rater", "persona", "exhibition")

_REQUESTS = {
    "generate": (
        Message(
            name="generate",
            type="",
            summary="Start a session: a GenerateOptions object, with or without a `type`.",
            body=shared("GenerateRequest"),
        ),
    ),
    "persona": (
        Message(
            name="openai_chat",
            summary="Ask one voice without a persona.",
            body=shared("OpenAIChatRequest"),
        ),
        Message(name="chat", summary="Ask one persona.", body=shared("ChatRequest")),
        Message(
            name="multi_chat",
            summary="Ask several personas at once.",
            body=shared("MultiChatRequest"),
        ),
    ),
    "exhibition": (connection.SELECT,),
}
"""What a client may say on the protocol's WebSocket, beside `commons("client")`."""

_EVENTS = {
    "generate": generate.SERVER,
    "content": content.SERVER,
    "rater": rater.SERVER,
    "persona": persona.SERVER,
    "exhibition": (exhibition.CONNECTED, *exhibition.SERVER),
}


def messages_of(protocol: str, side: Side) -> tuple[Message, ...]:
    """Give what one side may say in a protocol, without what all have in common."""
    return _REQUESTS.get(protocol, ()) if side == "client" else _EVENTS[protocol]


def commons(side: Side) -> tuple[Message, ...]:
    """Give what one side may say on every WebSocket."""
    return connection.CLIENT if side == "client" else connection.SERVER


def sse_messages(protocol: str) -> tuple[Message, ...]:
    """Give what an SSE answer of a protocol may hold: no refusal, for that is an HTTP status."""
    own = (each for each in messages_of(protocol, "server") if each.name != "refused")
    return (*own, *(each for each in connection.SERVER if each.name in ("gap", "draining")))
