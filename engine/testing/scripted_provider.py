"""A provider that does exactly what a test wrote down, and remembers what was done to it.

The one rule: nothing happens that is not in the script. Each call of `stream` takes the next
script; the last one is used again for all further calls. It keeps a provider's contract: an answer
that runs out without a finish reason raises ProviderBadOutput, and leaving the context closes it.
It stands in the place of a provider in everybody's tests. Must not import sessions, pipelines or a
sibling.

    provider = ScriptedProvider(
        [Delta(text="Hel"), Sleep(0.5), Fail(ProviderUnavailable("it dropped the stream"))],
        say("Hello ", "world"),
    )
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias, assert_never

import msgspec
import trio

from engine.errors import ProviderBadOutput
from engine.events import Usage
from engine.providers.interface import Delta, FinishReason, GenerationRequest, Profile, ProviderInfo


class Sleep(msgspec.Struct, frozen=True):
    """Be silent for a while."""

    seconds: float


class Hang(msgspec.Struct, frozen=True):
    """Be silent for ever: only a cancel ends it."""


class Fail(msgspec.Struct, frozen=True):
    """Raise, as the provider would."""

    error: Exception


class Opened(msgspec.Struct, frozen=True):
    """The call is open from here on: what stands before it happens while `stream` is entered.

    Without it a call is open at once, and failures come out of the iterator.
    """


Step: TypeAlias = Delta | Sleep | Hang | Fail | Opened
Script: TypeAlias = Sequence[Step]


def say(
    *texts: str, finish: FinishReason = "stop", usage: Usage | None = None, pace_s: float = 0.0
) -> list[Step]:
    """Write a script that answers with `texts`, one delta each, and then finishes.

    Args:
        texts: the pieces of the answer.
        finish: the finish reason, in a delta of its own.
        usage: what the last delta reports; None reports nothing.
        pace_s: seconds of silence before each piece.
    """
    steps: list[Step] = []
    for text in texts:
        if pace_s:
            steps.append(Sleep(pace_s))
        steps.append(Delta(text=text))
    steps.append(Delta(finish=finish, usage=usage))
    return steps


class Call(msgspec.Struct, kw_only=True):
    """One call of `stream`, as it went."""

    request: GenerationRequest
    opened_at: float
    """trio's clock, in seconds."""
    closed_at: float | None = None
    """None: it is still open."""
    given: int = 0
    """Deltas that were taken from it."""
    finished: bool = False
    """Whether its script ran to the end. A call that is closed and not finished was left early."""


class ScriptedProvider:
    """A test's provider.

    Args:
        scripts: the steps of the first call, of the second, and so on; the last one repeats.
        name: its name.
        profile: what it says that it can do.
        default_model: the model that it says it has.
        vectors: what `embed` gives for each text; None is "no embeddings".
        close_s: how long closing a call takes, under a shield, as with a slow socket.
    """

    def __init__(
        self,
        *scripts: Script,
        name: str = "scripted",
        profile: Profile | None = None,
        default_model: str = "script",
        vectors: Sequence[float] | None = None,
        close_s: float = 0.0,
    ) -> None:
        self._scripts = scripts or (say("Hello ", "world"),)
        self._name = name
        self._profile = profile or Profile(embeddings=vectors is not None)
        self._default_model = default_model
        self._vectors = vectors
        self._close_s = close_s
        self.calls: list[Call] = []
        self.closed = False

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def profile(self) -> Profile:
        """What it says that it can do."""
        return self._profile

    @property
    def default_model(self) -> str:
        """The model that it says it has."""
        return self._default_model

    @property
    def requests(self) -> list[GenerationRequest]:
        """What was asked, in the order of the calls."""
        return [call.request for call in self.calls]

    @property
    def open_calls(self) -> int:
        """Calls that are not closed: 0 after every test."""
        return sum(call.closed_at is None for call in self.calls)

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        """Play the next script.

        Cancellation: at any point; the call is then closed.
        """
        script = self._scripts[min(len(self.calls), len(self._scripts) - 1)]
        call = Call(request=request, opened_at=trio.current_time())
        self.calls.append(call)
        try:
            await trio.lowlevel.checkpoint()
            answer = _Answer(script, call)
            await answer.enter()
            yield answer
        finally:
            if self._close_s:
                with trio.move_on_after(self._close_s, shield=True):
                    await trio.sleep_forever()
            call.closed_at = trio.current_time()

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        """Give every text the same vector, or None."""
        await trio.lowlevel.checkpoint()
        return None if self._vectors is None else [list(self._vectors) for _ in texts]

    def info(self) -> ProviderInfo:
        """Describe it."""
        return ProviderInfo(
            name=self._name,
            models=(self._default_model,),
            default_model=self._default_model,
            configured=True,
            healthy=True,
        )

    async def aclose(self) -> None:
        """Remember that it was closed."""
        await trio.lowlevel.checkpoint()
        self.closed = True

    def __repr__(self) -> str:
        return f"<ScriptedProvider {self._name!r}: {len(self.calls)} calls, {self.open_calls} open>"


class _Answer:
    def __init__(self, script: Script, call: Call) -> None:
        self._steps = list(script)
        self._next = 0
        self._call = call

    async def enter(self) -> None:
        for place, step in enumerate(self._steps):
            if isinstance(step, Opened):
                while self._next < place:
                    if await self._play() is not None:
                        raise ValueError("a script cannot give a delta before it is Opened")
                return

    def __aiter__(self) -> _Answer:
        return self

    async def __anext__(self) -> Delta:
        await trio.lowlevel.checkpoint()
        while self._next < len(self._steps):
            delta = await self._play()
            if delta is not None:
                self._call.given += 1
                self._call.finished = self._call.finished or delta.finish is not None
                return delta
        if self._call.finished:
            raise StopAsyncIteration
        raise ProviderBadOutput("the answer ended without a finish reason")

    async def _play(self) -> Delta | None:
        step = self._steps[self._next]
        self._next += 1
        match step:
            case Delta():
                return step
            case Sleep(seconds):
                await trio.sleep(seconds)
            case Hang():
                await trio.sleep_forever()
            case Fail(error):
                raise error
            case Opened():
                pass
            case _:
                assert_never(step)
        return None
