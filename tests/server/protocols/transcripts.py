"""Transcripts: what a session says on the wire, compared with a file that people have read.

Whatever is different in each run is replaced: ids by a name, hashes by dots, times by nothing. With
ANTIPHON_WRITE_TRANSCRIPTS set the files are written anew, to be read before they are committed.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from engine.callers import Options
from engine.engine import Engine
from engine.events import JSON, Entry
from engine.pipelines.interface import AnyPipeline
from engine.providers.interface import Provider
from server.protocols.encoding import Encoder, tell
from server.protocols.interface import Codec
from server.transports.sse import entry_event
from tests.pipelines.rig import open_rig

FOLDER = Path(__file__).parent / "transcripts"

_PLAIN: list[tuple[str, str]] = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "SESSION"),
    (r'"(generator|formatter)":"[0-9a-f]{64}"', r'"\1":"HASH"'),
    (r'"(input_tokens|total_tokens|tokens)":\d+', r'"\1":0'),  # templates may be improved
]


async def transcript_of(
    pipeline: AnyPipeline, codec: Codec, data: JSON, *providers: Provider, **options: Any
) -> str:
    """Run a session and give its events as they leave over SSE."""
    async with open_rig(pipeline, *providers) as engine:
        session = await engine.start(pipeline.name, data, options=Options(**options))
        encoder = Encoder(codec, tell(session.record))
        text = (await _events(engine, session.session_id, encoder)).decode()
    text = text.replace(encoder.epoch, "EPOCH")
    for pattern, name in _PLAIN:
        text = re.sub(pattern, name, text)
    return text


async def _events(engine: Engine, session_id: str, encoder: Encoder) -> bytes:
    events = b""
    with await engine.subscribe(session_id) as subscription:
        while batch := await subscription.receive():
            for entry in batch:
                assert isinstance(entry, Entry)
                events += entry_event(encoder, entry)
    return events


def check(name: str, transcript: str) -> None:
    """Compare a transcript with its file."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get("ANTIPHON_WRITE_TRANSCRIPTS"):
        path.write_text(transcript, encoding="utf-8")
    assert transcript == path.read_text(encoding="utf-8")


def messages(transcript: str) -> list[JSON]:
    """Give a transcript's messages."""
    return [
        json.loads(line.removeprefix("data: "))
        for line in transcript.splitlines()
        if line.startswith("data: ")
    ]
