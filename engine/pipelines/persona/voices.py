"""Who answers: a persona or nobody in particular, through which provider, under which part.

The one rule: the request's own words come first, then the persona's, then the defaults; what a
provider cannot do is refused before anything begins. Pure. Must not import sessions.
"""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

import msgspec

from engine.commands.persona import (
    SYNTHESIS,
    Admitted,
    OpenAIChat,
    OpenAIChatRequest,
    Persona,
    PersonaRequest,
)
from engine.errors import InvalidRequest, ProviderNotConfigured, ProviderNotFound
from engine.events import JSON, Part
from engine.providers.interface import Directory, Provider


class Voice(msgspec.Struct, frozen=True, kw_only=True):
    """One that answers."""

    persona: Persona | None
    """None: `openai_chat`, or the synthesis."""
    index: int
    """Its place in the request, from 0."""
    provider: Provider
    model: str
    temperature: float | None
    is_synthesis: bool = False

    @property
    def id(self) -> str | None:
        """By which clients know it; None: there is only this one."""
        if self.is_synthesis:
            return SYNTHESIS
        return self.persona.id if self.persona is not None else None

    @property
    def name(self) -> str:
        """Its name for people, and for the other voices."""
        if self.is_synthesis:
            return "Synthesis"
        return self.persona.name if self.persona is not None else ""

    def part(self, round_number: int = 1, *, rounds: int = 1) -> Part:
        """Give the part of its answer in a round: the same in every attempt and after a restart."""
        target: JSON = {"stage": "answer"} if self.id is None else {"persona_id": self.id}
        key, phase = self.id or "answer", SYNTHESIS if self.is_synthesis else "answer"
        if rounds > 1 and not self.is_synthesis:
            target["round"] = round_number
            phase = f"round-{round_number}"
            key = f"{key}#{round_number}"
        return Part(
            id=key,
            target=target,
            phase=phase,
            index=self.index,
            provider=self.provider.name,
            model=self.model,
        )


def response_id(session_id: str, part: Part) -> str:
    """Give the id of the response that a part is: ours, the same after every restart."""
    return f"resp_{uuid5(NAMESPACE_OID, f'{session_id}/{part.id}').hex}"


def cast(
    request: PersonaRequest, personas: tuple[Persona, ...], providers: Directory
) -> list[Voice]:
    """Give the voices that answer a request, in its order; the synthesis, if asked for, is last.

    Raises:
        ProviderNotFound, ProviderNotConfigured: there is nobody to speak for one of them.
        InvalidRequest: a provider cannot do what is asked for; the message names both.
    """
    asked = request.data
    voices = [
        _voice(request, persona, index, providers) for index, persona in enumerate(personas)
    ] or [_voice(request, None, 0, providers)]
    if isinstance(asked, OpenAIChat):
        _check_abilities(asked, voices[0].provider)
    if getattr(asked, "synthesis", False):
        merging = _voice(request, None, len(voices), providers)
        voices.append(msgspec.structs.replace(merging, is_synthesis=True))
    return voices


def cast_again(admitted: Admitted, providers: Directory) -> list[Voice]:
    """Give the voices of a request that was admitted; see `cast`."""
    return cast(admitted.request, admitted.personas, providers)


def _voice(
    request: PersonaRequest, persona: Persona | None, index: int, providers: Directory
) -> Voice:
    provider, model = _choose(request, persona, providers)
    temperature = request.data.temperature
    if temperature is None and persona is not None:
        temperature = persona.temperature
    return Voice(
        persona=persona, index=index, provider=provider, model=model, temperature=temperature
    )


def _choose(
    request: PersonaRequest, persona: Persona | None, providers: Directory
) -> tuple[Provider, str]:
    asked = request.data
    own = persona or None
    if asked.api is not None:
        provider = providers.get(asked.api)
        is_own = own is not None and (own.provider or "").lower() == asked.api.lower()
        return provider, asked.model or (own.model if own and is_own else None) or (
            provider.default_model
        )
    if own is not None and own.provider is not None:
        provider = providers.get(own.provider)
        return provider, asked.model or own.model or provider.default_model
    model = asked.model or (own.model if own is not None else None) or ""
    if isinstance(request, OpenAIChatRequest):
        return _choose_for_openai(model, providers)
    try:
        return providers.resolve(model)
    except ProviderNotFound:
        return providers.get(providers.default_name), model


def _choose_for_openai(model: str, providers: Directory) -> tuple[Provider, str]:
    """Take the provider `openai` where there is one, or whoever lists the model; else the default.

    A client that was written for OpenAI names its models; on another provider the same request
    works, by that name.
    """
    if model:
        try:
            return providers.resolve(model)
        except (ProviderNotFound, ProviderNotConfigured):
            pass
    try:
        provider = providers.get("openai")
    except (ProviderNotFound, ProviderNotConfigured):
        provider, default = providers.resolve("")
        return provider, model or default
    return provider, model or provider.default_model


def _check_abilities(asked: OpenAIChat, provider: Provider) -> None:
    faults = []
    if asked.include_reasoning and not provider.profile.reasoning:
        faults.append(("data.include_reasoning", f"{provider.name} shows no reasoning"))
    if asked.tools and not provider.profile.tools:
        faults.append(("data.tools", f"{provider.name} takes no tools"))
    if faults:
        raise InvalidRequest("; ".join(f"{path}: {text}" for path, text in faults), faults)
