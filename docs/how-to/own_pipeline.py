"""A pipeline of one's own in one's own trio program: two haiku at once, then the shorter one."""

from functools import partial

import trio
from pydantic import BaseModel, Field

from engine import (
    JSON,
    Completed,
    Delta,
    InvalidRequest,
    Part,
    Providers,
    Run,
    SimSettings,
    open_engine,
)
from engine.providers.interface import GenerationRequest, Message


class HaikuCommand(BaseModel):
    """What a caller may ask for."""

    subject: str = Field(min_length=1, max_length=200)


class HaikuPipeline:
    """Writes two haiku side by side, and gives the shorter one."""

    name = "haiku"
    is_detached = False

    def parse(self, data: JSON) -> tuple[HaikuCommand, tuple[str, ...]]:
        """Take a request, or what a command was kept as in the journal."""
        subject = data.get("subject")
        if not isinstance(subject, str) or not 1 <= len(subject) <= 200:
            why = "must be a text of 1 to 200 characters"
            raise InvalidRequest(f"subject {why}", [("subject", why)])
        return HaikuCommand(subject=subject), ()

    async def run(self, run: Run, command: HaikuCommand) -> Completed:
        """After a crash this is called again: what is complete already is taken from the log."""
        await run.start_phase("writing", "Two poets write", 10)
        async with trio.open_nursery() as nursery:
            for index in range(2):
                nursery.start_soon(partial(self._write, run, command, index))
        await run.complete_phase("writing", "Both are done", 100)
        done = [run.completed(f"haiku-{index}") for index in range(2)]
        shortest = min((each.text for each in done if each is not None), key=len)
        return Completed(data={"haiku": shortest})

    async def _write(self, run: Run, command: HaikuCommand, index: int) -> None:
        part_id = f"haiku-{index}"
        if run.completed(part_id) is not None:
            return
        provider, model = run.providers.resolve("")
        part = Part(
            id=part_id,
            target={"prompt_id": part_id},
            phase="writing",
            index=index,
            provider=provider.name,
            model=model,
        )
        asked = Message(role="user", content=f"A haiku about {command.subject}")
        request = GenerationRequest(messages=(asked,), model=model, max_tokens=60)
        answer = await run.generate(part, request, provider)  # retried, cancelled and counted here
        await run.complete_part(answer.part, answer.text, usage=answer.usage)


async def main() -> None:
    providers = Providers(sim=SimSettings(tokens_per_s=0))
    async with open_engine(providers=providers, pipelines=[HaikuPipeline()]) as engine:
        session = await engine.start("haiku", {"subject": "tides"})
        with await engine.subscribe(session.session_id) as subscription:
            while batch := await subscription.receive():
                for entry in batch:
                    if isinstance(entry.event, Delta):
                        print(entry.event.part.id, repr(entry.event.text))
                    elif isinstance(entry.event, Completed):
                        print("the shorter one:", entry.event.data["haiku"])


if __name__ == "__main__":
    trio.run(main)
