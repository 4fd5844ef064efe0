"""Is anything lost, doubled or out of order? A checker in the style of Jepsen, over real sockets.

Sessions run on a real server with its journal, behind a proxy that cuts connections at random. The
server is killed and drained and started again meanwhile. Several readers follow each session, by
WebSocket (replay and snapshot) and SSE, each at its own pace, and each resumes by itself. At the
end what each reader holds is compared with what the server says, and with the whole log:

- the offsets that a reader got cover its range once and in order;
- the fold of its messages is each part's final text;
- it got exactly one terminal message, as its last one, and the one that the server keeps;
- each milestone that it saw is in the log, at the same offset: it was durable when it was seen.

    python -m tests.system.jepsen --rounds 10 --sessions 20 --seed 7
"""

from __future__ import annotations

import argparse
import random
import struct
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal

import msgspec
import trio

from server.client import Client, Fold, Message, Refused, Unreachable, is_terminal
from tests.system.reading import open_sse, wait_ended
from tests.system.server_process import ServerProcess

Fault = Literal["drop", "double", "reorder", "garble"]
FAULTS: tuple[Fault, ...] = ("drop", "double", "reorder", "garble")

ROUND_S = 120.0
"""The longest that a round may take; a reader that hangs is a failure too."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is done."""

    rounds: int = 10
    sessions: int = 20
    """Sessions of a round."""
    readers: int = 3
    """Readers of a session besides the one that starts it."""
    seed: int = 1
    cuts: float = 0.5
    """How many of the connections are cut."""
    crashes: int = 2
    """Ends of the server in a round."""
    ends: tuple[Literal["kill", "drain"], ...] = ("kill", "drain")
    """How the server ends, by turns: kill -9 or SIGTERM."""
    fault: Fault | None = None
    """A fault to be planted into one reader's messages: the checker has to find it."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    sessions: int
    readers: int
    messages: int
    cuts: int
    crashes: int
    resumes: int
    attempts: int
    longest_drain_s: float
    states: dict[str, int]
    lost: list[str]
    doubled: list[str]
    disordered: list[str]
    wrong: list[str]

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.disordered or self.wrong)


# ---- the proxy -----------------------------------------------------------------------------------


class Cutter:
    """A TCP proxy that cuts connections in the middle of whatever they say.

    Args:
        port: gives where a server listens, for each connection.
        rng: when it cuts.
        share: how many of the connections it cuts.
    """

    def __init__(self, port: Callable[[], int], rng: random.Random, share: float) -> None:
        self.port = 0
        self.cuts = 0
        self._server_port = port
        self._rng = rng
        self._share = share

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, client: trio.SocketStream) -> None:
        budget = None
        if self._rng.random() < self._share:
            budget = self._rng.choice((0, 200, 2_000, 20_000)) + self._rng.randrange(2_000)
        try:
            server = await trio.open_tcp_stream("127.0.0.1", self._server_port())
        except OSError:
            _reset(client)
            return
        async with server, client, trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, client, server, None, nursery.cancel_scope)
            nursery.start_soon(self._pump, server, client, budget, nursery.cancel_scope)

    async def _pump(
        self,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        budget: int | None,
        scope: trio.CancelScope,
    ) -> None:
        try:
            async for data in source:
                if budget is not None:
                    if len(data) > budget:
                        await sink.send_all(data[:budget])
                        self.cuts += 1
                        _reset(sink)
                        break
                    budget -= len(data)
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()


def _reset(stream: trio.SocketStream) -> None:
    """Close as a crash of the network looks: by RST."""
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


# ---- the readers ---------------------------------------------------------------------------------


class Observer:
    """What one reader saw, and whether it could have been so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fold = Fold()
        self.messages = 0
        self.attempts = 0
        self.resumes = 0
        self.terminal: Message | None = None
        self.seen: dict[int, Message] = {}
        """The milestones, by offset."""
        self.lost: list[str] = []
        self.doubled: list[str] = []
        self.disordered: list[str] = []
        self.wrong: list[str] = []
        self._epochs: list[str] = []
        self._last = 0

    def take(self, message: Message) -> None:
        self.messages += 1
        kind = message["type"]
        if self.terminal is not None:
            self.disordered.append(f"{self.name}: {kind} after the terminal message")
        if kind == "gap":
            self.lost.append(f"{self.name}: {message}")
        elif kind == "snapshot":
            self._epochs, self._last = [message["epoch"]], message["seq"]
            self.terminal = message.get("terminal")
        else:
            self._place(message)
            if kind == "attempt":
                self.attempts += 1
            if kind != "chunk":
                self.seen[message["seq"]] = message
            if is_terminal(message):
                self.terminal = message
        self.fold.take(message)

    def _place(self, message: Message) -> None:
        first, last = message.get("first_seq", message["seq"]), message["seq"]
        where = f"{self.name}: {message['type']} {first}-{last} after {self._last}"
        if message["epoch"] not in self._epochs:
            self._epochs.append(message["epoch"])
            if first > self._last + 1:
                self.lost.append(f"{where}, in a new epoch")
        elif message["epoch"] != self._epochs[-1]:
            self.disordered.append(f"{where}, of an epoch that was over")
        elif first > self._last + 1:
            self.lost.append(where)
        elif first <= self._last:
            (self.doubled if last == self._last else self.disordered).append(where)
        self._last = last

    def compare(self, shown: Any, log: dict[int, Message]) -> None:
        """Compare with what the server shows of the ended session, and with its whole log."""
        texts = {part["target"]["prompt_id"]: part["text"] for part in shown["parts"]}
        mine = {key: text for key, text in self.fold.parts.items() if text or texts.get(key)}
        theirs = {key: text for key, text in texts.items() if text or mine.get(key)}
        if mine != theirs:
            parts = [key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key)]
            self.wrong.append(f"{self.name}: the text of {parts} is not the session's")
        if self.terminal is None:
            self.lost.append(f"{self.name}: no terminal message")
        elif _plain(self.terminal) != _plain(shown["terminal"]):
            self.wrong.append(f"{self.name}: another terminal message than the session's")
        for seq, message in self.seen.items():
            if seq not in log or _plain(log[seq]) != _plain(message):
                self.lost.append(f"{self.name}: {message['type']} {seq} was seen and is gone")


def _plain(message: Message) -> Message:
    """Leave out what a new life of the server may change: the epoch under which it is told."""
    return {key: value for key, value in message.items() if key != "epoch"}


async def planted(messages: AsyncIterator[Message], fault: Fault | None) -> AsyncIterator[Message]:
    """Give the messages on, with a fault at the third piece of text."""
    count = 0
    held: Message | None = None
    async for message in messages:
        count += message["type"] == "chunk"
        if fault is None or message["type"] != "chunk" or count not in (3, 4):
            pass
        elif count == 4:
            if held is not None:
                yield message
                message, held = held, None
        elif fault == "drop":
            continue
        elif fault == "double":
            yield message
        elif fault == "reorder":
            held = message
            continue
        else:
            message = {**message, "content": message["content"] + "?"}
        yield message


class Reader:
    """One reader: how it reads, how fast, and what it saw."""

    def __init__(self, client: Client, port: int, rng: random.Random, how: str, name: str) -> None:
        self.observer = Observer(name)
        self.fault: Fault | None = None
        self._client = client
        self._port = port
        self._rng = rng
        self._how = how
        self._pace_s = rng.choice((0.0, 0.0, 0.002, 0.01, 0.03))

    async def read(self, session_id: str) -> None:
        await trio.sleep(self._rng.random() * 2)
        if self._how == "sse":
            await self.take_all(self._events(session_id))
            return
        async with self._client.follow(
            "/stream", session_id, snapshot=self._how == "snapshot"
        ) as stream:
            await self.take_all(aiter(stream))
            self.note(stream)

    async def take_all(self, messages: AsyncIterator[Message]) -> None:
        """Take messages at this reader's pace."""
        async for message in planted(messages, self.fault):
            self.observer.take(message)
            if self._pace_s:
                await trio.sleep(self._rng.random() * 2 * self._pace_s)

    def note(self, stream: Any) -> None:
        """Count what the client put right by itself: it should not have had to."""
        self.observer.resumes += stream.reconnects
        self.observer.doubled += [f"{self.observer.name}: sent again"] * stream.repeats
        self.observer.lost += [f"{self.observer.name}: a hole"] * stream.holes

    async def _events(self, session_id: str) -> AsyncIterator[Message]:
        """Read as an EventSource does: from the last id that was heard."""
        last = ""
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            try:
                path = f"/api/sessions/{session_id}/events"
                async with open_sse(self._port, path, headers=headers) as response:
                    if response.status == 204:
                        return
                    if response.status == 503:
                        raise trio.BrokenResourceError  # it may be asked again
                    if response.status != 200:
                        raise AssertionError(f"SSE answered {response.status}")
                    async with aclosing(response.events()) as events:
                        async for event in events:
                            last = event.id or last
                            if event.data is not None and event.data["type"] != "draining":
                                yield event.data
                                if is_terminal(event.data):
                                    return
            except (OSError, trio.BrokenResourceError):
                pass
            self.observer.resumes += 1
            await trio.sleep(self._rng.uniform(0.02, 0.3))


# ---- the rounds ----------------------------------------------------------------------------------


class Checker:
    """Runs the plan against one server.

    Args:
        plan: what is done.
        server: started already.
    """

    def __init__(self, plan: Plan, server: ServerProcess) -> None:
        self.plan = plan
        self.server = server
        self.rng = random.Random(plan.seed)
        self.readers: list[Reader] = []
        self.states: Counter[str] = Counter()
        self.crashes = 0
        self.drains_s: list[float] = []
        self._cutter = Cutter(self.front, random.Random(plan.seed), plan.cuts)
        self._client: Client
        self._followed: dict[str, list[Reader]] = {}

    def front(self) -> int:
        """Say where the next connection goes."""
        return self.server.port

    async def run(self) -> Report:
        """Do all rounds."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._run_cutter)
            self._client = Client(
                f"http://127.0.0.1:{self._cutter.port}", patience_s=45, jitter=self.rng
            )
            for number in range(self.plan.rounds):
                with trio.fail_after(ROUND_S):
                    await self._round(number)
            nursery.cancel_scope.cancel()
        return self._report()

    async def _run_cutter(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self._cutter.run(task_status=task_status)

    async def _round(self, number: int) -> None:
        self._followed = {}
        async with trio.open_nursery() as nursery:
            for index in range(self.plan.sessions):
                nursery.start_soon(self._session, f"round {number} session {index}", nursery)
            nursery.start_soon(self.crash)
        for session_id, readers in self._followed.items():
            shown = await wait_ended(self.server.port, session_id)
            self.states[shown["state"]] += 1
            log = await self._log(session_id)
            for reader in readers:
                reader.observer.compare(shown, log)

    async def _session(self, name: str, nursery: trio.Nursery) -> None:
        """Start a session and read it, with readers beside; started again if it was lost first."""
        rng = random.Random(self.rng.random())
        request = {
            "request": {"input": f"{name}: a plan for a week", "count": rng.choice((1, 2))},
            "useParallel": rng.random() < 0.5,
            "detached": rng.random() < 0.5,
        }
        reader = self._reader(rng, "replay", f"{name} starter")
        if self.plan.fault is not None and len(self.readers) == 1:
            reader.fault = self.plan.fault
        while True:
            await trio.sleep(rng.random())
            try:
                async with self._client.start("/stream", request) as stream:
                    first = await stream.__anext__()
                    self._followed[first["session_id"]] = mine = [reader]
                    for index in range(self.plan.readers):
                        how = rng.choice(("replay", "snapshot", "sse", "sse"))
                        other = self._reader(rng, how, f"{name} {how} {index}")
                        mine.append(other)
                        nursery.start_soon(other.read, first["session_id"])
                    reader.observer.take(first)
                    await reader.take_all(aiter(stream))
                    reader.note(stream)
                    return
            except (Unreachable, Refused) as error:  # overloaded: while the journal is away
                is_final = isinstance(error, Refused) and error.message["code"] != "overloaded"
                if reader.observer.messages or is_final:
                    raise

    def _reader(self, rng: random.Random, how: str, name: str) -> Reader:
        reader = Reader(self._client, self._cutter.port, rng, how, name)
        self.readers.append(reader)
        return reader

    async def crash(self) -> None:
        """End the server in the middle of it all, and start it again."""
        for _ in range(self.plan.crashes):
            await trio.sleep(self.rng.uniform(0.3, 2.5))
            how = self.plan.ends[self.crashes % len(self.plan.ends)]
            self.crashes += 1
            began = trio.current_time()
            if how == "kill":
                await self.server.kill()
            else:
                self.server.terminate()
                code = await self.server.wait()
                self.drains_s.append(trio.current_time() - began)
                assert code == 0, f"the drain ended with {code}"
            await self.server.start()

    async def _log(self, session_id: str) -> dict[int, Message]:
        """Read the whole log, past the proxy, undisturbed."""
        found: dict[int, Message] = {}
        path = f"/api/sessions/{session_id}/events"
        async with open_sse(self.server.port, path) as response:
            async for event in response.events():
                if event.data is not None:
                    found[event.data["seq"]] = event.data
        return found

    def _report(self) -> Report:
        observers = [reader.observer for reader in self.readers]
        return Report(
            sessions=sum(self.states.values()),
            readers=len(observers),
            messages=sum(each.messages for each in observers),
            cuts=self._cutter.cuts,
            crashes=self.crashes,
            resumes=sum(each.resumes for each in observers),
            attempts=sum(each.attempts for each in observers),
            longest_drain_s=max(self.drains_s, default=0.0),
            states=dict(self.states),
            lost=[text for each in observers for text in each.lost],
            doubled=[text for each in observers for text in each.doubled],
            disordered=[text for each in observers for text in each.disordered],
            wrong=[text for each in observers for text in each.wrong],
        )


SETTINGS: dict[str, object] = {
    "sim_ttft_ms": 30,
    "sim_tokens_per_s": 90,
    "sim_output_tokens": 40,
    "drain_s": 0.5,
    "grace_s": 6,
}
"""A session takes 1 to 4 s, so that crashes and cuts meet it in its middle."""


async def check(plan: Plan, data: Path, **settings: object) -> Report:
    """Run a plan on a server of its own, which keeps its journal in `data` unless it is told."""
    server = ServerProcess(data, **(SETTINGS | settings))  # type: ignore[arg-type]
    await server.start()
    try:
        return await Checker(plan, server).run()
    finally:
        with trio.CancelScope(shield=True):
            if server.returncode is None:
                await server.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("rounds", "sessions", "readers", "crashes", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Plan(), name))
    parser.add_argument("--fault", choices=FAULTS)
    plan = Plan(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory() as folder:
        report = trio.run(check, plan, Path(folder) / "data")
    print(msgspec.json.format(msgspec.json.encode(report)).decode())
    raise SystemExit(0 if report.is_clean else 1)


if __name__ == "__main__":
    main()
