"""Generates one part: attempts, deltas into the outlet, usage, and a cancel scope of its own.

A half-streamed answer cannot be continued, so every retry is a new attempt, and an event: readers
learn that the text so far is void before they wait for the next one (I9). Leaving this code, in
whatever way, has closed the provider's stream (I4) and settled the budget (I14).
"""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING

import msgspec
import trio

from engine.errors import AntiphonError, JournalFailed, ProviderBadOutput
from engine.events import JSON, Part, Reasoning, Usage
from engine.providers.interface import (
    Delta,
    FinishReason,
    GenerationRequest,
    Provider,
    count_tokens,
)
from engine.sessions.outcomes import Answer, PartLost, is_worth_another_attempt
from engine.sessions.outlet import Outlet
from engine.supervision.policy import Backoff
from engine.telemetry import CallEnded, CallStarted, Outcome

if TYPE_CHECKING:
    from engine.journal.interface import Commit
    from engine.sessions.session import Session

DEFAULT_MAX_TOKENS = 4096
"""What is reserved of a token budget for a call that names no bound of its own."""


async def generate(
    session: Session,
    part: Part,
    request: GenerationRequest,
    provider: Provider,
    *,
    on_text: Callable[[str], None] | None = None,
    is_quiet: bool = False,
    is_hidden: bool = False,
) -> Answer:
    """Have a part written, with as many attempts as it takes and the limits allow.

    Args:
        session: whose part it is.
        part: which part; its `attempt` is the one to begin with.
        request: what to ask for.
        provider: whom to ask.
        on_text: called with each piece of text as it comes; must not block.
        is_quiet: nothing is streamed to the log; the part is known to it by its attempts alone.
        is_hidden: not even those; no client knows of such a part.

    Raises:
        PartLost: the last attempt failed.
        JournalFailed: something could not be made durable.

    Cancellation: the upstream is closed, what came so far is in the log.
    """
    limits = session.limits
    backoff = Backoff(base_s=limits.backoff_s, max_s=limits.max_backoff_s)
    failures = 0
    while True:
        attempt = _Attempt(session, part, request, provider, on_text, is_quiet or is_hidden)
        try:
            return await attempt.run()
        except JournalFailed:
            raise  # no fault of the part's: the session cannot go on
        except AntiphonError as error:
            failures += 1
            wait_s = error.retry_after_s or 0.0
            if (
                not is_worth_another_attempt(error)
                or failures >= limits.max_attempts
                or wait_s > limits.max_retry_after_s
            ):
                raise PartLost(attempt.part, error) from error
            if is_hidden:
                part = msgspec.structs.replace(attempt.part, attempt=attempt.part.attempt + 1)
            else:
                part = await session.new_attempt(
                    attempt.part, "provider", code=error.code, message=error.message
                )
            await trio.sleep(max(wait_s, backoff.delay_s(failures, session.random.random())))


class _Attempt:
    """One call of a provider for one part."""

    def __init__(
        self,
        session: Session,
        part: Part,
        request: GenerationRequest,
        provider: Provider,
        on_text: Callable[[str], None] | None,
        is_quiet: bool,
    ) -> None:
        self.part = part
        self._session = session
        self._request = request
        self._provider = provider
        self._on_text = on_text
        self._is_quiet = is_quiet
        self._max_bytes = session.limits.max_part_bytes
        self._outlet: Outlet | None = None
        self._text = StringIO()  # a list of so many pieces would weigh ten times as much
        self._size = 0
        self._tokens = 0
        self._reasoning: list[str] = []
        self._tools: list[JSON] = []
        self._usage: Usage | None = None
        self._finish: FinishReason | None = None
        self._response_id: str | None = None
        self._first_at: float | None = None

    async def run(self) -> Answer:
        session, request = self._session, self._request
        input_tokens = count_tokens(request.instructions) + sum(
            count_tokens(message.content) for message in request.messages
        )
        reservation = session.budget.reserve(input_tokens, request.max_tokens or DEFAULT_MAX_TOKENS)
        if session.budget.limit is not None:
            request = msgspec.structs.replace(request, max_tokens=reservation.output_tokens)
        started_at = trio.current_time()
        call = self._tell_started(request) if session.telemetry.is_on else 0
        self._outcome: Outcome = "interrupted"
        self._code: str | None = None
        try:
            opened = session.note_opened(self.part)
            await trio.lowlevel.checkpoint_if_cancelled()  # no call is made after a cancel
            session.upstream_opening(self.part)
            try:
                async with self._provider.stream(request) as deltas:
                    async for delta in deltas:
                        if delta.text:
                            if self._first_at is None:
                                await self._begin(delta, opened)
                            self._write(delta.text, delta.tokens)
                            if session.log.is_full and self._outlet is not None:
                                await session.log.wait_room()
                        if delta.finish or self._first_at is None or _has_more(delta):
                            await self._take_other(delta)
            finally:
                session.upstream_closed(self.part)
            if self._finish is None:
                raise ProviderBadOutput(f"{self._provider.name} ended without a finish reason")
            if self._outlet is not None:
                self._outlet.flush()
            self._outcome = "completed"
        except AntiphonError as error:
            self._outcome, self._code = "failed", error.code
            raise
        finally:
            usage = self._usage or Usage(
                input_tokens=input_tokens, output_tokens=self._tokens, estimated=True
            )
            reservation.settle(usage.total_tokens)
            session.usage.add(self.part.id, self.part.target, usage)
            if self._outlet is not None:
                session.close_outlet(self._outlet)
            if session.telemetry.is_on:
                self._tell_ended(call, usage, started_at)
        now = trio.current_time()
        return Answer(
            part=self.part,
            text=self._text.getvalue(),
            usage=usage,
            finish=self._finish,
            response_id=self._response_id,
            reasoning="".join(self._reasoning),
            tools=tuple(self._tools),
            first_token_s=None if self._first_at is None else self._first_at - started_at,
            total_s=now - started_at,
        )

    def _tell_started(self, request: GenerationRequest) -> int:
        telemetry = self._session.telemetry
        call = telemetry.new_call()
        telemetry.tell(
            CallStarted(
                call=call,
                session_id=self._session.session_id,
                part_id=self.part.id,
                attempt=self.part.attempt,
                provider=self._provider.name,
                model=request.model,
                max_tokens=request.max_tokens,
                temperature=request.temperature,
                at=self._session.log.now(),
            )
        )
        return call

    def _tell_ended(self, call: int, usage: Usage, started_at: float) -> None:
        now = trio.current_time()
        stopped = self._session.stop is not None or self._is_part_stopped
        outcome = "cancelled" if self._outcome == "interrupted" and stopped else self._outcome
        self._session.telemetry.tell(
            CallEnded(
                call=call,
                session_id=self._session.session_id,
                part_id=self.part.id,
                provider=self.part.provider or self._provider.name,
                model=self.part.model or self._request.model,
                outcome=outcome,
                code=self._code,
                finish=self._finish,
                usage=usage,
                first_token_s=None if self._first_at is None else self._first_at - started_at,
                duration_s=now - started_at,
                at=self._session.log.now(),
            )
        )

    @property
    def _is_part_stopped(self) -> bool:
        running = self._session.parts.get(self.part.id)
        return running is not None and running.stop is not None

    def _write(self, text: str, tokens: int | None) -> None:
        """Take text; by far the most of what comes, so nothing is awaited for it."""
        if tokens is None:
            tokens = count_tokens(text)
        self._tokens += tokens
        self._size += len(text)
        self._text.write(text)
        if self._size > self._max_bytes:
            raise _too_long(self._provider.name, self._max_bytes)
        if self._on_text is not None:
            self._on_text(text)
        if self._outlet is not None:
            self._outlet.write_nowait(text, tokens)

    async def _take_other(self, delta: Delta) -> None:
        """Take all that is not text."""
        if self._first_at is None:
            self._note_writer(delta)
        if delta.finish is not None:
            self._finish = delta.finish
        if delta.usage is not None:
            self._usage = delta.usage
        if delta.response_id is not None:
            self._response_id = delta.response_id
        if delta.tool is not None:
            self._tools.append(delta.tool)
            if not self._is_quiet:
                await self._session.emit_tool(self.part, delta.tool)
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
            if not self._is_quiet:
                await self._session.emit(Reasoning(part=self.part, text=delta.reasoning))

    def _note_writer(self, delta: Delta) -> None:
        """Name in the part who really answers: providers say so before their first text."""
        model, provider = delta.model or self.part.model, delta.provider or self.part.provider
        if (model, provider) != (self.part.model, self.part.provider):
            self.part = msgspec.structs.replace(self.part, model=model, provider=provider)

    async def _begin(self, delta: Delta, opened: Commit | None) -> None:
        """Await the first text: nobody sees it before the journal knows that the part has begun."""
        self._note_writer(delta)
        self._first_at = trio.current_time()
        if opened is not None:
            await self._session.log.wait_noted(opened)
        if not self._is_quiet:
            self._outlet = self._session.open_outlet(self.part)


def _has_more(delta: Delta) -> bool:
    return (
        delta.usage is not None
        or delta.tool is not None
        or delta.response_id is not None
        or bool(delta.reasoning)
    )


def _too_long(name: str, bound: int) -> AntiphonError:
    error = ProviderBadOutput(f"{name} wrote more than {bound} characters for one part")
    error.retryable = False  # type: ignore[misc]  # it would write as much again
    return error
