from __future__ import annotations

import gc

import trio

from engine.actors import Mailbox, Roster, use_roster
from engine.actors.mailbox import MailboxStatistics
from engine.supervision import (
    ChildSpec,
    GroupStatistics,
    Member,
    SupervisorStatistics,
    fan_out,
    open_supervisor,
)


async def rest(_: int) -> None:
    await trio.sleep_forever()


async def within(roster: Roster, fn: object) -> None:
    """Run a function in a task that uses a roster."""

    async def task() -> None:
        use_roster(roster)
        await fn()  # type: ignore[operator]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)


async def test_what_is_opened_in_a_task_is_in_its_roster() -> None:
    """Supervisors, groups and mailboxes enter themselves in the order in which they come."""
    roster = Roster()

    async def work() -> None:
        mailbox = Mailbox[int]("inbox", 3)
        mailbox.send_nowait(1)
        async with open_supervisor("boss") as supervisor:
            await supervisor.start(ChildSpec("worker", rest))
            seen = {type(each): each for each in roster.statistics()}
            assert seen[SupervisorStatistics].name == "boss"
            assert [child.id for child in seen[SupervisorStatistics].children] == ["worker"]
            inbox = next(each for each in roster.statistics() if each.name == "inbox")
            assert isinstance(inbox, MailboxStatistics)
            assert (inbox.depth, inbox.size) == (1, 3)
        mailbox.close()

    await within(roster, work)
    gc.collect()
    assert roster.statistics() == ()


async def test_supervisor_inside_a_child_stands_below_it() -> None:
    """The tree: what a child opens is inside that child, in every incarnation."""
    roster = Roster()
    seen: list[SupervisorStatistics] = []

    async def child(_: int) -> None:
        async with open_supervisor("inner") as inner:
            await inner.start(ChildSpec("leaf", rest))
            seen.extend(s for s in roster.statistics() if isinstance(s, SupervisorStatistics))
            await inner.stop("leaf")

    async def work() -> None:
        async with open_supervisor("outer") as outer:
            await outer.start(ChildSpec("branch", child, restart="temporary"))

    await within(roster, work)
    [outer] = seen
    assert outer.name == "outer"
    inside = [each for each in outer.children[0].inside if isinstance(each, SupervisorStatistics)]
    assert [(each.name, each.children[0].id) for each in inside] == [("inner", "leaf")]


async def test_group_shows_where_each_member_stands(autojump_clock: object) -> None:
    """A fan-out's members: waiting, running, done or lost, and in which attempt."""
    roster = Roster()
    seen: list[GroupStatistics] = []

    async def quick(_: int) -> str:
        return "done"

    async def stubborn(attempt: int) -> str:
        if attempt == 1:
            raise ValueError("once")
        await trio.sleep(1)
        return "at last"

    async def look() -> None:
        await trio.sleep(0.9)
        seen.extend(roster.statistics())

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            members = [Member("a", quick), Member("b", stubborn), Member("c", quick)]
            await fan_out(members, lanes=2, restarts=1)

    await within(roster, work)
    [group] = seen
    states = {member.id: (member.state, member.attempt) for member in group.members}
    assert states == {"a": ("done", 1), "b": ("running", 2), "c": ("done", 1)}
    assert roster.statistics() == ()


async def test_without_a_roster_nobody_is_entered() -> None:
    """Where nobody looks, nothing is kept."""
    async with open_supervisor("alone") as supervisor:
        assert supervisor.statistics().name == "alone"
    mailbox = Mailbox[int]("alone")
    mailbox.close()
