"""The checker of one machine, on three servers that share a Redis.

Each connection goes to a server at random, so a client reads a session wherever it comes out. The
servers are killed, drained and frozen by turns: one that is frozen for longer than its lease wakes
up as a stale owner. Redis itself can be killed and started again with its data.

    python -m tests.system.cluster_jepsen --rounds 5 --sessions 12 --seed 7
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import msgspec
import trio

from tests.system.jepsen import Checker, Plan, Report
from tests.system.redis_server import RedisServer, redis_server
from tests.system.server_process import ServerProcess, serving

Trouble = Literal["kill", "drain", "freeze", "redis"]

SERVERS = 3
LEASE_S = 2.0
FROZEN_S = 2 * LEASE_S

SETTINGS: dict[str, object] = {
    "lease_s": LEASE_S,
    "sim_ttft_ms": 30,
    "sim_tokens_per_s": 60,
    "sim_output_tokens": 120,
    "drain_s": 0.5,
    "grace_s": 8,
}
"""A session takes 2 to 4 s, so that troubles meet it in its middle."""


class ClusterChecker(Checker):
    """Runs a plan against several servers.

    Args:
        plan: what is done; of its crashes only the number counts.
        servers: started already.
        redis: what they share.
        troubles: what befalls them, by turns.
    """

    def __init__(
        self,
        plan: Plan,
        servers: list[ServerProcess],
        redis: RedisServer,
        troubles: tuple[Trouble, ...],
    ) -> None:
        super().__init__(plan, servers[0])
        self._servers = servers
        self._redis = redis
        self._troubles = troubles
        self._away: set[ServerProcess] = set()
        self._front = random.Random(plan.seed + 1)
        self.done: Counter[str] = Counter()

    def front(self) -> int:
        """See `Checker.front`: any server, a frozen or dead one as well, as a balancer would."""
        return self._front.choice(self._servers).port

    async def crash(self) -> None:
        """See `Checker.crash`."""
        for _ in range(self.plan.crashes):
            await trio.sleep(self.rng.uniform(0.3, 2.0))
            trouble = self._troubles[self.crashes % len(self._troubles)]
            self.crashes += 1
            self.done[trouble] += 1
            server = self._front.choice(self._servers)
            match trouble:
                case "kill":
                    await server.kill()
                    await server.start()
                case "drain":
                    server.terminate()
                    code = await server.wait()
                    assert code == 0, f"the drain ended with {code}: {server.stderr[-2000:]}"
                    await server.start()
                case "freeze":
                    server.signal(signal.SIGSTOP)
                    await trio.sleep(FROZEN_S)
                    server.signal(signal.SIGCONT)
                case "redis":
                    self._redis.kill()
                    await trio.sleep(0.5)
                    await trio.to_thread.run_sync(self._redis.start)


async def check(plan: Plan, folder: Path, *troubles: Trouble) -> Report:
    """Run a plan on three servers of its own."""
    redis_folder = folder / "redis"
    redis_folder.mkdir()
    with redis_server(redis_folder) as redis:
        async with AsyncExitStack() as stack:
            servers = [
                await stack.enter_async_context(
                    serving(folder / f"data{number}", redis_url=redis.url, **SETTINGS)  # type: ignore[arg-type]
                )
                for number in range(SERVERS)
            ]
            return await ClusterChecker(plan, servers, redis, troubles or ("kill",)).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("rounds", "sessions", "readers", "crashes", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Plan(), name))
    parser.add_argument("--troubles", default="kill,freeze,drain")
    options = vars(parser.parse_args())
    troubles = options.pop("troubles").split(",")
    with tempfile.TemporaryDirectory() as folder:
        report = trio.run(check, Plan(**options), Path(folder), *troubles)
    print(msgspec.json.format(msgspec.json.encode(report)).decode())
    raise SystemExit(0 if report.is_clean else 1)


if __name__ == "__main__":
    main()
