"""The simulated provider: the embedded default, which answers in context and never calls anybody.

Its one rule: the same seed and the same request give the same text, whatever was asked before and
however late it is. It honours personas, JSON schemas, lengths and phases with a writer of templates
(`engine.providers.simulation`), at a settable pace and with faults on purpose, and says that it is
simulated in the name of the model that answers. Tools are not called either: a request with tools
gets the event of a completed call whose data says `"simulated": true`.

Further notes: any model's name is accepted and labelled, so that a client written for a real model
works; `default`, `fast`, `slow` and `instant` are paces of its own. Output tokens are exact, by
its tokeniser; input tokens are estimated, and reasoning is not counted. It keeps no conversations.
Must not import sessions, pipelines or a sibling.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from hashlib import blake2b

import msgspec
import trio

from engine.errors import InvalidRequest
from engine.providers.interface import (
    Delta,
    GenerationRequest,
    Profile,
    ProviderInfo,
    count_tokens,
)
from engine.providers.simulation.answer import Answer
from engine.providers.simulation.embedding import embed_text
from engine.providers.simulation.faults import (
    MODIFIERS,
    SLOWDOWN,
    Call,
    Fault,
    parse_faults,
    strikes,
)
from engine.providers.simulation.pacing import Pacer, Wheel
from engine.providers.simulation.playing import Play, Script
from engine.providers.simulation.settings import MODELS, SimSettings
from engine.providers.simulation.writer import write

SIMULATED = "simulated"
"""Its own name, under which it also answers for those that it plays."""
REMEMBERED_ANSWERS = 64
"""Answers that are kept for the next call of the same request: some 10 KB each."""
REMEMBERED_CALLS = 4096
"""Requests whose attempts are counted, where faults are set and the caller gives no number."""


class SimulatedProvider:
    """A provider that writes by itself.

    Args:
        settings: pace, length, faults and seed.
        name: the name by which requests choose it.
        plays: the provider in whose place it stands (demo mode), for the text of `info()`.
        models: the models of the one that it plays, the default first; else its own.
        wheel: a shared timer for its pauses.

    Raises:
        ValueError: the settings' faults break their grammar.
    """

    def __init__(
        self,
        settings: SimSettings,
        *,
        name: str = SIMULATED,
        plays: str | None = None,
        models: tuple[str, ...] = MODELS,
        wheel: Wheel | None = None,
    ) -> None:
        self._settings = settings
        self._name = name
        self._plays = plays
        self._models = models
        self._wheel = wheel
        self._faults = parse_faults(settings.faults)
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()
        self._calls: OrderedDict[bytes, int] = OrderedDict()
        self._streams = 0

    def __repr__(self) -> str:
        return f"<SimulatedProvider {self._name!r} streams={self._streams}>"

    @property
    def name(self) -> str:
        """The name by which requests choose it."""
        return self._name

    @property
    def profile(self) -> Profile:
        """All but conversations of its own."""
        return Profile(api="simulated", reasoning=True, embeddings=True)

    @property
    def default_model(self) -> str:
        """The first of its models."""
        return self._models[0]

    @property
    def open_streams(self) -> int:
        """Streams that are open now; 0 after each has been left."""
        return self._streams

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        """Answer a request, as `engine.providers.interface.Provider.stream` says.

        Raises:
            InvalidRequest: it names a previous response; this provider keeps none.
            ProviderError: a fault of the settings strikes.
        """
        if request.previous_response_id is not None:
            raise InvalidRequest(
                f"{self._name} keeps no conversations: send the earlier messages instead of "
                "previous_response_id",
                [("previous_response_id", "not supported by this provider")],
            )
        await trio.lowlevel.checkpoint()
        play = self._play(request)
        self._streams += 1
        try:
            yield play
        finally:
            self._streams -= 1
            play.close()

    def _play(self, request: GenerationRequest) -> Play:
        """Begin an answer: from here on its clock runs."""
        key = self._key(request)
        model = request.model or self.default_model
        struck = {fault.kind: fault for fault in self._struck(request, key, model)}
        pace = self._settings.pace(model)
        return Play(
            name=self._name,
            write=partial(self._script, request, key, model, struck),
            pacer=Pacer(pace.slowed(SLOWDOWN) if "slow" in struck else pace, key, self._wheel),
            struck=struck,
            read_timeout_s=self._settings.read_timeout_s,
        )

    def _script(
        self, request: GenerationRequest, key: bytes, model: str, struck: dict[str, Fault]
    ) -> Script:
        answer = self._answer(request, key, frozenset(struck))
        total, finish = answer.length(
            output_tokens=self._settings.output_tokens, max_tokens=request.max_tokens
        )
        breaking = {"drop", "hang"} if answer.has_form else {"drop", "hang", "bad_output"}
        breaks = next((fault for kind, fault in struck.items() if kind in breaking), None)
        stop = total if breaks is None else _break_at(breaks, key, total)
        who = Delta(
            model=f"{model} (simulated)",
            provider=None if self._plays is None else SIMULATED,
            response_id=f"sim_{key.hex()[:24]}",
        )
        return Script(
            preface=(who, *answer.preface),
            pieces=answer.pieces(stop),
            tokens=stop,
            breaks=breaks is not None,
            finish=finish,
            input_tokens=_input_tokens(request),
        )

    def _key(self, request: GenerationRequest) -> bytes:
        content = msgspec.json.encode((self._settings.seed, request))
        return blake2b(content, digest_size=16).digest()

    def _struck(self, request: GenerationRequest, key: bytes, model: str) -> tuple[Fault, ...]:
        if not self._faults:
            return ()
        given = request.metadata.get("attempt", "")
        if given.isascii() and given.isdecimal():
            attempt = int(given)
        else:
            attempt = self._calls.pop(key, 0) + 1
            self._calls[key] = attempt
            if len(self._calls) > REMEMBERED_CALLS:
                self._calls.popitem(last=False)
        call = Call(
            key=key,
            attempt=attempt,
            model=model,
            persona=request.metadata.get("persona", ""),
            purpose=request.metadata.get("purpose", ""),
        )
        return strikes(self._faults, call)

    def _answer(self, request: GenerationRequest, key: bytes, struck: frozenset[str]) -> Answer:
        modifiers = struck & MODIFIERS
        if modifiers:
            return write(request, key, modifiers)
        answer = self._answers.pop(key, None) or write(request, key)
        self._answers[key] = answer
        if len(self._answers) > REMEMBERED_ANSWERS:
            self._answers.popitem(last=False)
        return answer

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Give each text a vector of word counts; similar texts are near, each has length 1."""
        vectors = []
        for text in texts:
            await trio.lowlevel.checkpoint()
            vectors.append(embed_text(text))
        return vectors

    def info(self) -> ProviderInfo:
        """Describe it for people, as simulated."""
        reason = f"the simulated provider plays {self._plays}" if self._plays else ""
        return ProviderInfo(
            name=self._name,
            models=self._models,
            default_model=self.default_model,
            configured=True,
            healthy=True,
            simulated=True,
            reason=reason,
        )

    async def aclose(self) -> None:
        """There is nothing to close."""
        self._answers.clear()
        await trio.lowlevel.checkpoint()


def _break_at(fault: Fault, key: bytes, total: int) -> int:
    """Say after how many tokens a stream breaks: where the fault says, else in its middle half."""
    if fault.token is not None:
        return min(fault.token, total)
    return int(total * (0.25 + random.Random(key + b"break").random() / 2))


def _input_tokens(request: GenerationRequest) -> int:
    return count_tokens(request.instructions) + sum(
        count_tokens(message.content) for message in request.messages
    )
