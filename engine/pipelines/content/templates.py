"""The prompt templates: packaged ones, and those that an operator has put in their place.

The one rule: a template is whole or an error that names its file, never an empty prompt. It is
looked for in the operator's folder first and then among the packaged ones, and read afresh for
each session, so that a change needs no restart. The files are small and bounded, so reading them
in place blocks the event loop for less than a thread's hand-over would take.

Must not import sessions or providers.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from engine.errors import Conflict, InvalidRequest, TemplateBroken
from engine.limits import KIB
from engine.pipelines.content.validator import ContentType

Stage: TypeAlias = Literal["generator", "formatter"]

CONTENT_TYPES: tuple[ContentType, ...] = ("MCQ", "NMCQ", "SUMMARY")
STAGES: tuple[Stage, ...] = ("generator", "formatter")
TEXT = "TEXT_TO_ANALYZE"
PLACEHOLDERS = (TEXT, "NUM_QUESTIONS", "FOCUS_AREAS")
PACKAGED = Path(__file__).parent / "defaults"

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """One template, as it was read."""

    content_type: ContentType
    stage: Stage
    text: str
    hash: str
    """SHA-256 of the text, in hexadecimal digits."""
    is_default: bool

    def fill(self, values: Mapping[str, str]) -> str:
        """Put values in the places of the placeholders; what a value contains is left as it is."""
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), self.text)


class Templates:
    """Finds, replaces and resets the templates.

    Args:
        folder: the operator's folder; None: the packaged templates cannot be replaced.
        packaged: where the defaults are.
        max_bytes: the largest file that is read.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        packaged: Path = PACKAGED,
        max_bytes: int = 256 * KIB,
    ) -> None:
        self._folder = folder
        self._packaged = packaged
        self._max_bytes = max_bytes

    def load(self, content_type: ContentType, stage: Stage) -> Template:
        """Read a template: the operator's if there is one, else the packaged one.

        Raises:
            TemplateBroken: there is none, or it cannot be read, or it breaks the rules of `check`.
        """
        for folder in (self._folder, self._packaged):
            if folder is None:
                continue
            path = folder / _file_name(content_type, stage)
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise TemplateBroken(f"template {path} cannot be read: {error.strerror}") from error
            is_default = folder is self._packaged
            return self._read(path, data, content_type, stage, is_default)
        raise TemplateBroken(
            f"template {self._packaged / _file_name(content_type, stage)} is missing"
        )

    def _read(
        self, path: Path, data: bytes, content_type: ContentType, stage: Stage, is_default: bool
    ) -> Template:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TemplateBroken(f"template {path} is not UTF-8") from error
        faults = self.check(text)
        if faults:
            raise TemplateBroken(f"template {path} {faults[0]}")
        return Template(
            content_type=content_type,
            stage=stage,
            text=text,
            hash=hashlib.sha256(text.encode()).hexdigest(),
            is_default=is_default,
        )

    def check(self, text: str) -> tuple[str, ...]:
        """Say what makes a text unusable as a template; nothing: it is fine."""
        if not text.strip():
            return ("is empty",)
        if len(text.encode("utf-8", "replace")) > self._max_bytes:
            return (f"is larger than {self._max_bytes:,} bytes",)
        found = {match[1] for match in _PLACEHOLDER.finditer(text)}
        faults = [
            f"has the unknown placeholder {{{{{name[:40]}}}}}; known ones are "
            + ", ".join(f"{{{{{known}}}}}" for known in PLACEHOLDERS)
            for name in sorted(found - set(PLACEHOLDERS))
        ]
        if TEXT not in found:
            faults.append(f"does not contain {{{{{TEXT}}}}}")
        return tuple(faults)

    def listing(self) -> tuple[Template, ...]:
        """Give all templates as they are in use.

        Raises:
            TemplateBroken: one of them is.
        """
        return tuple(self.load(kind, stage) for kind in CONTENT_TYPES for stage in STAGES)

    def replace(self, content_type: ContentType, stage: Stage, text: str) -> Template:
        """Put an operator's template in the place of the present one; the next session has it.

        Raises:
            InvalidRequest: the text is unusable as a template.
            Conflict: there is no folder to keep it in.
        """
        faults = self.check(text)
        if faults:
            raise InvalidRequest(
                f"the template {faults[0]}", [("text", f"the template {fault}") for fault in faults]
            )
        path = self._own_path(content_type, stage)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)  # a reader meets the old file or the new one, never half of it
        return self.load(content_type, stage)

    def reset(self, content_type: ContentType, stage: Stage) -> Template:
        """Go back to the packaged template; fine if it is in use already.

        Raises:
            Conflict: there is no folder that could hold another one.
        """
        self._own_path(content_type, stage).unlink(missing_ok=True)
        return self.load(content_type, stage)

    def _own_path(self, content_type: ContentType, stage: Stage) -> Path:
        if self._folder is None:
            raise Conflict("templates cannot be changed: there is no data folder to keep them in")
        return self._folder / _file_name(content_type, stage)

    def __repr__(self) -> str:
        return f"<Templates in {self._folder or self._packaged}>"


def _file_name(content_type: ContentType, stage: Stage) -> str:
    return f"{content_type.lower()}_{stage}.md"
