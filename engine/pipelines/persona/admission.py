"""Looks up what a request names, before anything begins: personas, providers, its conversation.

The one rule: what is not there is refused by name, and nothing has begun; what is there is written
down, so that a session that is brought back after a crash has the same voices and the same history.
Must not import sessions but for what admission is.
"""

from __future__ import annotations

from engine.commands.persona import (
    Admitted,
    Chat,
    ChatRequest,
    MultiChat,
    MultiChatRequest,
    OpenAIChatRequest,
    PersonaRequest,
)
from engine.errors import InvalidRequest, NotFound
from engine.pipelines.persona.conversations import Conversations
from engine.pipelines.persona.registry import Personas
from engine.pipelines.persona.voices import Voice, cast
from engine.sessions.admission import Admission


async def admit(
    request: PersonaRequest,
    admission: Admission,
    *,
    personas: Personas,
    conversations: Conversations,
) -> Admitted:
    """Give a request with all that it names.

    Raises:
        NotFound: a persona, the conversation or the earlier response is not there for this caller.
        ProviderNotFound, ProviderNotConfigured: there is nobody to answer.
        InvalidRequest: a provider cannot do what is asked for, or the ids contradict each other.
    """
    chosen = await personas.choose(_persona_ids(request))
    voices = cast(request, chosen, admission.providers)
    conversation_id, after, upstream_id = await _place(request, admission, conversations, voices)
    return Admitted(
        request=request,
        conversation_id=conversation_id,
        after=after,
        upstream_id=upstream_id,
        personas=chosen,
    )


def _persona_ids(request: PersonaRequest) -> tuple[str, ...]:
    match request:
        case ChatRequest(data=Chat(persona_id=persona_id)):
            return (persona_id,)
        case MultiChatRequest(data=MultiChat(persona_ids=persona_ids)):
            return persona_ids
    return ()


async def _place(
    request: PersonaRequest,
    admission: Admission,
    conversations: Conversations,
    voices: list[Voice],
) -> tuple[str, str | None, str | None]:
    """Give the conversation's id, the exchange after which it goes on, and a foreign response."""
    asked, owner = request.data, admission.owner
    after = upstream_id = None
    conversation_id = asked.conversation_id
    if asked.previous_response_id is not None:
        place = await conversations.find_response(asked.previous_response_id, owner)
        if place is None:
            upstream_id = _foreign(request, asked.previous_response_id, voices[0])
        elif conversation_id is not None and conversation_id != place.conversation_id:
            raise InvalidRequest(
                "previous_response_id is of another conversation than conversation_id",
                [("data.previous_response_id", f"is of conversation {place.conversation_id}")],
            )
        else:
            conversation_id, after = place.conversation_id, place.exchange
    if asked.conversation_id is not None:
        await conversations.claim(
            asked.conversation_id, owner, title=asked.message, at=admission.now()
        )
    return conversation_id or f"conv_{admission.new_id()}", after, upstream_id


def _foreign(request: PersonaRequest, response_id: str, voice: Voice) -> str:
    """Hand an id on that this server has not given, where the provider may know it.

    Ids of a provider's own are never shown here, so nobody can have come by another owner's.
    """
    if isinstance(request, OpenAIChatRequest) and voice.provider.profile.stateful:
        return response_id
    raise NotFound(f"no response has the id {response_id}")
