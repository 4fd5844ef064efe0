"""The one session that all requests of the target `subscribers` read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
import trio

from benchmarks.load.adapters.antiphon import generate
from benchmarks.load.adapters.interface import Sent
from benchmarks.load.crew import Headers
from benchmarks.load.limits import CONNECT_S
from benchmarks.load.plan import Plan
from benchmarks.load.target import parse_target
from benchmarks.load.wires.http import ask
from benchmarks.load.wires.interface import Lost
from benchmarks.load.wires.websocket import open_websocket


@asynccontextmanager
async def open_producer(plan: Plan, headers: Headers) -> AsyncIterator[Plan]:
    """Start a session for the subscribers around the block, and cancel it afterwards.

    Gives the plan with the session's id; a plan for another target, or with an id of its own, as it
    is.

    Raises:
        ValueError: the server starts none.
    """
    if plan.target != "subscribers" or "session_id" in plan.options:
        yield plan
        return
    options = dict(plan.options)
    session_id = await _start(plan, headers, options.pop("request", None))
    try:
        yield msgspec.structs.replace(plan, options={**options, "session_id": session_id})
    finally:
        sent = Sent(path=f"/api/sessions/{session_id}/cancel", body=b"{}")
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CONNECT_S):
            with suppress(Lost):
                await ask(parse_target(plan.url), headers, sent)


async def _start(plan: Plan, headers: Headers, request: dict[str, object] | None) -> str:
    conversation = generate(request=request).conversation(0)
    opening = conversation.opening()
    assert opening is not None
    body = json.dumps({**json.loads(opening.body), "detached": True}).encode()
    heard = trio.Event()
    refused: list[str] = []

    def take(message: bytes, event: str) -> None:
        reading = conversation.read(message, event)
        if reading is not None and reading.kind == "error":
            refused.append(reading.code)
        if refused or conversation.session_id:
            heard.set()

    try:
        with trio.fail_after(CONNECT_S):
            path = str(plan.options.get("path", "/stream"))
            async with open_websocket(parse_target(plan.url), path, headers, take) as socket:
                await socket.send(Sent(body=body))
                await heard.wait()
    except (Lost, trio.TooSlowError) as error:
        raise ValueError(f"{plan.url} starts no session to subscribe to: {error}") from None
    if refused:
        raise ValueError(f"{plan.url} starts no session to subscribe to: {refused[0]}")
    return conversation.session_id
