"""Voices: how different characters talk about the same thing.

A voice is a stock of sentences (in `voices.toml`) with places for the topic and for key phrases.
A persona gets the voice whose words are most in its id and instructions; without a persona the
plain voice speaks. All sentences take noun phrases, so that any of the user's words fit. Pure.
"""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

import msgspec


class Voice(msgspec.Struct, frozen=True, kw_only=True):
    """One way to talk."""

    name: str
    words: str
    """What its personas are called and told, as a regular expression."""
    openings: tuple[str, ...]
    points: tuple[str, ...]
    closings: tuple[str, ...]


def _load() -> tuple[Voice, ...]:
    with files(__package__).joinpath("voices.toml").open("rb") as file:
        return tuple(msgspec.convert(tomllib.load(file)["voice"], list[Voice]))


PLAIN, *VOICES = _load()
"""The voice that speaks without a persona, and the others."""


def voice_for(persona: str, instructions: str) -> Voice:
    """Choose the voice of a persona, by its id first and its instructions second."""
    name = re.sub(r"[_-]", " ", persona.lower())
    head = instructions[:2_000].lower()
    best, most = PLAIN, 0.0
    for voice in VOICES:
        in_name = len(re.findall(rf"\b(?:{voice.words})", name))
        first = len(re.findall(rf"\b(?:{voice.words})", head[:160]))
        anywhere = len(re.findall(rf"\b(?:{voice.words})", head))
        score = 8 * in_name + 3 * first + anywhere
        if score > most and (in_name or first or anywhere >= 2):
            best, most = voice, score
    return best


_ROLE = re.compile(
    r"\byou(?:'re| are)\s+(?:\w+,\s+)?((?:an?|the)\s+[^.,;:\n(]{3,60}?)"
    r"(?=[.,;:\n(]|\s+(?:who|that|with|and|working|specialising|specializing|at)\b|$)",
    re.IGNORECASE,
)


def role_in(instructions: str) -> str:
    """Read the role: "a night nurse" out of "You are a night nurse who…"; "" where none is told."""
    found = _ROLE.search(instructions[:2_000])
    if not found or re.search(r"\b(assistant|model|ai)\b", found[1], re.IGNORECASE):
        return ""
    return (
        " ".join(found[1].split()).replace("The ", "the ").replace("A ", "a ").replace("An ", "an ")
    )
