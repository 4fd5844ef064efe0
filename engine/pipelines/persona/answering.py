"""Has one voice answer: its statuses, its text as it comes, and its place in the conversation.

    starting ─► processing ─► streaming, with the first token ─► text ─► kept ─► complete

The one rule: whatever happens to one voice happens to that voice alone. Each event is one message
of the wire: a status is a Progress of the part, and where several speak, the end of one's text is
an Item of its own, before the part is complete. Must not import a provider by name.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from engine.errors import ProviderBadOutput
from engine.events import JSON, Item, Part, PartCompleted, Progress
from engine.pipelines.persona.book import Book
from engine.pipelines.persona.smoothing import Smoothed
from engine.pipelines.persona.voices import Voice, response_id
from engine.pipelines.persona.wrapping import Announced
from engine.providers.interface import GenerationRequest, Provider
from engine.sessions.outcomes import Answer, PartCut, PartLost
from engine.sessions.run import Run

STATUSES: Final = {
    "starting": "Initializing...",
    "processing": "Sending request...",
    "streaming": "Streaming response...",
}
CHAIN_BROKEN: Final = ("provider_refused", "invalid_request", "not_found")
"""With what a provider declines an earlier response's id that it has forgotten."""


async def say_status(run: Run, part: Part, status: str) -> None:
    """Tell where a voice stands."""
    await run.emit(
        Progress(phase=part.phase, message=STATUSES[status], part=part, data={"status": status})
    )


class Speaker:
    """The voices of one session, at work.

    Args:
        run: the session.
        book: where their answers are kept.
        is_smooth: whether bursts are evened out.
        is_alone: whether there is one voice only: then its end is the session's.
    """

    def __init__(self, run: Run, book: Book, *, is_smooth: bool, is_alone: bool) -> None:
        self._run = run
        self._book = book
        self._is_smooth = is_smooth
        self._is_alone = is_alone

    async def speak(
        self,
        voice: Voice,
        part: Part,
        request: GenerationRequest,
        *,
        round_number: int = 1,
        otherwise: GenerationRequest | None = None,
    ) -> PartCompleted:
        """Have a voice answer; gives its completion, which is in the log then.

        Args:
            voice: who.
            part: its answer.
            request: what it is told.
            round_number: of a debate.
            otherwise: what it is told where the provider has forgotten the earlier response.

        Raises:
            PartLost: its last attempt failed; nothing of it is kept.
            PartCut: a client cancelled it alone; what it had said is kept.

        Cancellation: its provider's stream is closed; the pipeline keeps what it had said.
        """
        self._book.begin(voice, part, round_number)
        known = self._run.view.parts.get(part.id)  # there may have been a restart
        if known is not None and known.completed is not None:
            done = known.completed
            await self._book.keep(done.part, done.text, done.data.get("upstream_id"))
            return done
        if known is not None and known.state == "cancelled":
            await self._book.keep_cut(known.part)
            raise PartCut(known.part)
        try:
            answer = await self._generate(voice, part, request, otherwise)
        except PartCut as cut:
            await self._book.keep_cut(cut.part)
            raise
        return await self._complete(voice, answer)

    async def _generate(
        self,
        voice: Voice,
        part: Part,
        request: GenerationRequest,
        otherwise: GenerationRequest | None,
    ) -> Answer:
        provider: Provider = Smoothed(voice.provider) if self._is_smooth else voice.provider
        provider = Announced(provider, partial(say_status, self._run, part, "streaming"))
        if not self._run.is_cut(part):
            await say_status(self._run, part, "processing")
        try:
            answer = await self._run.generate(part, request, provider)
        except PartLost as lost:
            if otherwise is None or lost.code not in CHAIN_BROKEN:
                raise
            again = await self._run.new_attempt(lost.part, "provider", lost.code, str(lost))
            answer = await self._run.generate(again, otherwise, provider)
        if not answer.text.strip() and not answer.tools:
            raise PartLost(answer.part, ProviderBadOutput(f"{provider.name} wrote nothing"))
        return answer

    async def _complete(self, voice: Voice, answer: Answer) -> PartCompleted:
        run, part = self._run, answer.part
        if not self._is_alone:
            await run.emit(Item(phase=part.phase, kind="final", data={}, part=part))
        upstream_id = answer.response_id if voice.provider.profile.stateful else None
        await self._book.keep(part, answer.text, upstream_id)
        await run.complete_part(
            part, answer.text, usage=answer.usage, data=_data(run, part, answer, upstream_id)
        )
        done = run.completed(part.id)
        assert done is not None, "a completed part is in the view"
        return done


def _data(run: Run, part: Part, answer: Answer, upstream_id: str | None) -> JSON:
    first = answer.first_token_s
    data: JSON = {
        "response_id": response_id(run.session_id, part),
        "finish_reason": answer.finish,
        "latency": {
            "first_token": None if first is None else round(first, 4),
            "total": round(answer.total_s, 4),
        },
    }
    if answer.reasoning:
        data["reasoning_summary"] = answer.reasoning
    calls = [tool for tool in answer.tools if tool.get("status") == "completed"]
    if calls:
        data["tool_calls"] = calls
    if upstream_id is not None:
        data["upstream_id"] = upstream_id
    return data
