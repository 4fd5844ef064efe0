"""A provider of one's own: a program that writes lines, such as a model that runs beside us."""

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from engine import ProviderInfo, ProviderUnavailable
from engine.providers.interface import Delta, GenerationRequest, Profile, Provider, ProviderHealth

MODEL = """
import sys, time
for word in sys.argv[1].split():
    print(word, flush=True)
    time.sleep(float(sys.argv[2]))
"""


class ProgramProvider:
    """Gives what a program prints; leaving a stream ends its program."""

    name = "program"
    default_model = "echo"
    profile = Profile(json_schema=False, tools=False)

    def __init__(self, *, pause_s: float = 0.05, program: str = MODEL) -> None:
        self._pause_s = pause_s
        self._program = program
        self.open_calls = 0

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        said = request.messages[-1].content
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", self._program, said, str(self._pause_s)],
            stdout=subprocess.PIPE,
        )
        self.open_calls += 1
        try:
            yield self._read(process)
        finally:  # however it is left: the upstream is closed here, and nowhere else
            process.kill()
            with trio.move_on_after(5, shield=True):
                await process.wait()
            assert process.stdout is not None
            with trio.move_on_after(5, shield=True):
                await process.stdout.aclose()
            self.open_calls -= 1

    async def _read(self, process: trio.Process) -> AsyncIterator[Delta]:
        assert process.stdout is not None
        rest = b""
        async for data in process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield Delta(text=line.decode() + " ")
        if await process.wait() != 0:
            raise ProviderUnavailable("the program ended with an error")
        yield Delta(finish="stop")  # an answer without a reason to end is a broken one

    async def embed(self, texts: Sequence[str]) -> list[list[float]] | None:
        return None

    def info(self) -> ProviderInfo:
        return ProviderInfo(
            name=self.name,
            models=(self.default_model,),
            default_model=self.default_model,
            configured=True,
            healthy=True,
        )

    async def aclose(self) -> None:
        """Nothing is kept between calls."""


class Only:
    """A directory of one provider, for `open_engine(providers=Only(provider), …)`."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.default_name = provider.name

    def get(self, name: str) -> Provider:
        return self._provider

    def resolve(self, text: str) -> tuple[Provider, str]:
        return self._provider, self._provider.default_model

    def infos(self) -> tuple[ProviderInfo, ...]:
        return (self._provider.info(),)

    def health(self) -> tuple[ProviderHealth, ...]:
        return ()
