"""Texts for simple regular expressions: what structured output needs of `pattern`.

Knows literals, escapes, classes, groups, alternatives, repeats and anchors at the ends; anything
else (look-around, back references) is refused, never guessed. Pure.
"""

from __future__ import annotations

import random
import re
import string

MAX_REPEAT = 8
"""How often something without an upper bound is repeated beyond its lower one, at most."""

MAX_WRITTEN = 10_000
"""Characters written for a pattern, before it is given up."""

_DIGITS = string.digits
_WORD = string.ascii_lowercase + string.digits + "_"
_ANY = string.ascii_lowercase + " "
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": " ", "D": string.ascii_lowercase, "W": "-", "S": _WORD}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_PRINTABLE = [chr(code) for code in range(32, 127)]


class UnknownPattern(ValueError):
    """The pattern uses what this module does not know."""


def text_for(pattern: str, rng: random.Random, *, least: int = 0, most: int | None = None) -> str:
    """Make a text in which the pattern is found.

    Args:
        pattern: a regular expression, as `re` and JSON schemas both read it.
        rng: where choices come from.
        least, most: the text's length in characters.

    Raises:
        UnknownPattern: the pattern is not simple, or nothing of that length was found.
    """
    for tries in range(64):
        maker = _Maker(pattern, rng, generous=tries % 4)
        text = maker.alternatives()
        if maker.at < len(pattern):
            raise UnknownPattern(f"unexpected {pattern[maker.at]!r} in pattern {pattern!r}")
        if len(text) < least and not pattern.endswith("$"):
            text += "".join(rng.choice(string.ascii_lowercase) for _ in range(least - len(text)))
        if len(text) >= least and (most is None or len(text) <= most) and re.search(pattern, text):
            return text
    raise UnknownPattern(f"no text of the wanted length for pattern {pattern!r}")


class _Maker:
    """Reads a pattern and writes a text for it in one pass."""

    def __init__(self, pattern: str, rng: random.Random, generous: int) -> None:
        self.pattern = pattern
        self.at = 0
        self.rng = rng
        self.written = 0
        self.generous = generous
        """0: repeats are as few as allowed; more: up to `MAX_REPEAT` times 4 to the power of it."""

    def alternatives(self) -> str:
        made = [self._sequence()]
        while self._take("|"):
            made.append(self._sequence())
        return self.rng.choice(made)

    def _take(self, char: str) -> bool:
        if self.pattern.startswith(char, self.at):
            self.at += len(char)
            return True
        return False

    def _next(self) -> str:
        if self.at >= len(self.pattern):
            raise UnknownPattern(f"pattern {self.pattern!r} ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def _sequence(self) -> str:
        made = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            start = self.at
            texts = [self._atom()]
            times = self._repeats()
            after = self.at
            for _ in range(times - 1):
                self.at = start
                texts.append(self._atom())
            self.at = after
            made += texts[:times]
            self.written += sum(map(len, texts))
            if self.written > MAX_WRITTEN:
                raise UnknownPattern(f"pattern {self.pattern!r} wants too long a text")
        return "".join(made)

    def _repeats(self) -> int:
        least, most = 1, 1
        if self._take("?"):
            least, most = 0, 1
        elif self._take("*"):
            least, most = 0, -1
        elif self._take("+"):
            least, most = 1, -1
        elif bounds := re.compile(r"\{(\d+)(,?)(\d*)\}").match(self.pattern, self.at):
            self.at = bounds.end()
            least = int(bounds[1])
            most = least if not bounds[2] else int(bounds[3]) if bounds[3] else -1
        self._take("?")
        if most < 0:
            most = least + (MAX_REPEAT * 4**self.generous if self.generous else 0)
        elif not self.generous:
            most = least
        return min(self.rng.randint(least, max(least, most)), MAX_WRITTEN)

    def _atom(self) -> str:
        char = self._next()
        if char in "^$":
            return ""
        if char == ".":
            return self.rng.choice(_ANY)
        if char == "(":
            self._take("?:")
            if self._take("?"):
                raise UnknownPattern(f"pattern {self.pattern!r} uses more than plain groups")
            made = self.alternatives()
            if not self._take(")"):
                raise UnknownPattern(f"pattern {self.pattern!r} leaves a group open")
            return made
        if char == "[":
            return self.rng.choice(self._class())
        if char == "\\":
            return self._escape()
        if char in "*+?{":
            raise UnknownPattern(f"pattern {self.pattern!r} repeats nothing")
        return char

    def _escape(self) -> str:
        char = self._next()
        if char in _CLASSES:
            return self.rng.choice(_CLASSES[char])
        if char in "bB":
            return ""
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isalnum():
            raise UnknownPattern(f"pattern {self.pattern!r} uses \\{char}")
        return char

    def _class(self) -> list[str]:
        negated = self._take("^")
        chars: list[str] = []
        while (char := self._next()) != "]" or not chars:
            if char == "\\":
                kind = self._next()
                if kind in _CLASSES:
                    chars += _CLASSES[kind]
                    continue
                char = _CONTROLS.get(kind, kind)
            if (
                self.pattern.startswith("-", self.at)
                and self.pattern[self.at + 1 : self.at + 2] != "]"
            ):
                self.at += 1
                last = self._next()
                chars += [
                    chr(code) for code in range(ord(char), min(ord(last), ord(char) + 127) + 1)
                ]
            else:
                chars.append(char)
        if negated:
            chars = [char for char in _PRINTABLE if char not in chars]
        if not chars:
            raise UnknownPattern(f"pattern {self.pattern!r} has an empty class")
        return chars
