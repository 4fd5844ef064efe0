"""What the Python peers say: messages with the fields that ours have, so that bytes compare."""

from __future__ import annotations

import gc
import json
import time
import uuid

GC_THRESHOLDS = (10_000, 500, 100)
"""Those of our server: a difference in it would be a difference of settings, not of designs."""


def settle_memory() -> None:
    """Do what our server does after its start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


class Messages:
    """The messages of one session."""

    def __init__(self) -> None:
        self.session_id = str(uuid.uuid4())
        self._prompt_id = str(uuid.uuid4())

    def started(self) -> str:
        return json.dumps({"type": "phase_start", "session_id": self.session_id})

    def chunk(self, number: int, text: str) -> str:
        return json.dumps(
            {
                "type": "chunk",
                "phase": "prima-materia",
                "prompt_id": self._prompt_id,
                "model": "default (simulated)",
                "provider": "simulated",
                "content": text,
                "tokens": number,
                "timestamp": int(time.time()),
                "session_id": self.session_id,
                "epoch": "0123456789",
                "seq": number,
            }
        )


RESULT = json.dumps({"type": "result", "content": "{}"})
CANCELLED = json.dumps({"type": "cancelled"})
