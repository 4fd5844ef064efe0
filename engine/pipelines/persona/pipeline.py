"""The persona chat: one voice, one persona, or several at once, in a conversation that is kept.

    admitted ─► history ─┬─► one voice ─────────────┐
                         └─► a panel, in rounds ────┴─► the conversation ─► response

Nothing that a restart needs is held here: answers that the log has as complete are not made again.
Services that it uses where the engine has them: "personas" (a `Personas`) and "conversations" (a
`Conversations`); else the built-in personas, and the engine's own journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.commands.persona import (
    Admitted,
    MultiChat,
    OpenAIChat,
    PersonaRequest,
    parse_persona,
)
from engine.events import JSON, Completed, Failed, PartCompleted
from engine.journal.interface import Journal
from engine.pipelines.persona.admission import admit
from engine.pipelines.persona.answering import Speaker, say_status
from engine.pipelines.persona.book import Book
from engine.pipelines.persona.conversations import Conversations, Exchange
from engine.pipelines.persona.history import Heard, budget, hear
from engine.pipelines.persona.panel import Panel
from engine.pipelines.persona.prompts import instructions_for
from engine.pipelines.persona.registry import Personas
from engine.pipelines.persona.voices import Voice, cast_again
from engine.providers.interface import GenerationRequest, Message
from engine.sessions.admission import Admission
from engine.sessions.run import Run


class PersonaPipeline:
    """Answers in one voice or in many; see the module."""

    name = "persona"
    is_detached = False

    def __init__(self) -> None:
        self._own: Conversations | None = None

    def parse(self, data: JSON) -> tuple[PersonaRequest | Admitted, tuple[str, ...]]:
        """Turn an envelope into a request; see `parse_persona`."""
        return parse_persona(data)

    async def admit(self, command: PersonaRequest, admission: Admission) -> Admitted:
        """Look up what a request names; see `admission.admit`."""
        personas: Personas | None = admission.services.get("personas")
        return await admit(
            command,
            admission,
            personas=personas or Personas(admission.journal),
            conversations=self._conversations(admission.services, admission.journal),
        )

    async def run(self, run: Run, command: Admitted) -> Completed | Failed:
        """Have the voices answer, and keep what was said.

        Raises:
            PartLost: the only voice failed. PartCut: the only voice was cancelled alone.
            JournalFailed: something could not be made durable.

        Cancellation: every provider's stream is closed, and what was written is kept as cut.
        Backpressure: an attached session waits for its fastest reader.
        """
        conversations = self._conversations(run.services, run.journal)
        asked = command.request.data
        voices = cast_again(command, run.providers)
        exchanges = await self._earlier(run, command, conversations)
        book = Book(run, command, conversations)
        speaker = Speaker(
            run, book, is_smooth=asked.smooth, is_alone=not isinstance(asked, MultiChat)
        )
        try:
            if isinstance(asked, MultiChat):
                panel = Panel(run, asked, voices, exchanges, speaker)
                return await panel.run(command.conversation_id)
            return await _answer_alone(run, command, voices[0], exchanges, speaker)
        finally:
            if run.is_stopped:
                await book.keep_all_cut()

    async def _earlier(
        self, run: Run, command: Admitted, conversations: Conversations
    ) -> tuple[Exchange, ...]:
        """Give what was said before; after a restart this session's own exchange is there too."""
        exchanges = await conversations.exchanges(
            command.conversation_id, run.owner, after=command.after
        )
        return tuple(each for each in exchanges if each.key != run.session_id)

    def _conversations(self, services: Mapping[str, Any], journal: Journal) -> Conversations:
        """Give the engine's; there is one, because it settles who may have a new id."""
        given: Conversations | None = services.get("conversations")
        if given is not None:
            return given
        if self._own is None or self._own.journal is not journal:
            self._own = Conversations(journal)
        return self._own

    def __repr__(self) -> str:
        return "<PersonaPipeline>"


# ---- one voice ----------------------------------------------------------------------------------


async def _answer_alone(
    run: Run,
    command: Admitted,
    voice: Voice,
    exchanges: tuple[Exchange, ...],
    speaker: Speaker,
) -> Completed:
    part = voice.part()
    run.declare([part.target])
    if part.id not in run.view.parts:
        await say_status(run, part, "starting")
    request, otherwise = _requests(command, voice, exchanges)
    done = await speaker.speak(voice, part, request, otherwise=otherwise)
    return Completed(data=_result(run, command, voice, done))


def _requests(
    command: Admitted, voice: Voice, exchanges: tuple[Exchange, ...]
) -> tuple[GenerationRequest, GenerationRequest | None]:
    """Give what a voice is told, and what instead where its provider has forgotten what it kept."""
    asked = command.request.data
    now = Message(role="user", content=asked.message)
    tools: tuple[JSON, ...] = ()
    is_reasoning = False
    if isinstance(asked, OpenAIChat):
        instructions = asked.instructions or ""
        tools, is_reasoning = asked.tools, asked.include_reasoning
    else:
        assert voice.persona is not None
        instructions = instructions_for(voice.persona)
    heard = hear(
        exchanges,
        persona_id=voice.id,
        budget_tokens=budget(
            voice.provider.profile.context_tokens,
            instructions=instructions,
            messages=[now],
            max_tokens=asked.max_tokens,
        ),
    )

    def told(messages: tuple[Message, ...], previous: str | None) -> GenerationRequest:
        return GenerationRequest(
            instructions=instructions,
            messages=messages,
            model=voice.model,
            temperature=voice.temperature,
            max_tokens=asked.max_tokens,
            tools=tools,
            previous_response_id=previous,
            reasoning=is_reasoning,
            metadata={"purpose": "chat", "persona": voice.id or ""},
        )

    everything = told((*heard.messages, now), None)
    if command.upstream_id is not None:
        return told((now,), command.upstream_id), None
    previous = _kept_upstream(asked, voice, heard)
    if previous is not None:
        return told((now,), previous), everything
    return everything, None


def _kept_upstream(asked: object, voice: Voice, heard: Heard) -> str | None:
    """Give the provider's own id of the last response, where it holds this very conversation.

    A conversation that had to be trimmed is sent by us: the provider would be sent all of it.
    """
    if not (isinstance(asked, OpenAIChat) and voice.provider.profile.stateful):
        return None
    if not heard.exchanges or heard.left_out:
        return None
    last = heard.exchanges[-1]
    if last.kind != "openai_chat" or len(last.answers) != 1:
        return None
    answer = last.answers[0]
    if answer.is_cut or answer.provider != voice.provider.name:
        return None
    return answer.upstream_id


def _result(run: Run, command: Admitted, voice: Voice, done: PartCompleted) -> JSON:
    data = done.data
    return {
        "response": done.text,
        "output_text": done.text,
        "provider": done.part.provider,
        "model": done.part.model,
        "response_id": data["response_id"],
        "conversation_id": command.conversation_id,
        "persona_id": voice.id,
        "reasoning_summary": data.get("reasoning_summary"),
        "tool_calls": data.get("tool_calls", []),
        "finish_reason": data["finish_reason"],
        "latency": data["latency"],
        "usage": run.usage(),
    }
