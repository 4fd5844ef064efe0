"""Where does the work for one delta lie? Opcodes of Python, by function, the same in every run.

The difference between sessions of 30 and of 10 tokens, so what a session costs once is not in it.
What C does (the kernel, JSON, SQLite) is not counted, nor that memory is slow: it is a map for
whoever wants to make a delta cheaper, and a count to compare two versions by, on any machine.

    python -m benchmarks.opcodes
"""

from __future__ import annotations

import sys
from collections import Counter
from types import CodeType, FrameType
from typing import Any

from benchmarks.null_socket_rig import run_sessions
from benchmarks.results import write_result

SESSIONS, SHORT, LONG = 250, 10, 30
SHOWN = 40


def count(tokens: int) -> Counter[CodeType]:
    """Run sessions of so many tokens, and count each function's opcodes."""
    counts: Counter[CodeType] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        code = frame.f_code

        def local(frame: FrameType, event: str, _: Any) -> Any:
            if event == "opcode":
                counts[code] += 1
            return local

        return local

    sys.settrace(trace)
    try:
        run_sessions(SESSIONS, tokens, rate=20, ramp_s=0.05, on_cpu_clock=False)
    finally:
        sys.settrace(None)
    return counts


def main() -> None:
    count(3)  # imports and caches
    short, long = count(SHORT), count(LONG)
    deltas = (LONG - SHORT) * SESSIONS
    found = {
        _name(code): round((number - short[code]) / deltas, 1)
        for code, number in long.most_common()
        if number - short[code] >= deltas
    }
    total = round((sum(long.values()) - sum(short.values())) / deltas)
    top = sorted(found.items(), key=lambda item: -item[1])[:SHOWN]
    print(f"{total} opcodes a delta")
    for name, number in top:
        print(f"{number:8.1f}  {name}")
    print(
        write_result(
            "opcodes",
            {
                "question": "Where does the work for one delta lie?",
                "unit": "opcodes of Python for each delta",
                "sessions": SESSIONS,
                "total": total,
                "top": dict(top),
            },
        )
    )


def _name(code: CodeType) -> str:
    return f"{'/'.join(code.co_filename.split('/')[-2:])} {code.co_qualname}"


if __name__ == "__main__":
    main()
