"""What every board of a cluster has to do, as tests: run it against your own.

    class TestMyBoard(BoardSuite):
        lease_s = 0.5

        @asynccontextmanager
        async def open_room(self) -> AsyncGenerator[Room]:
            ...  # an empty board; gives a function from a process's name to its `Board`

The tests need pytest and pytest-trio and run in real or virtual time; in real time they sleep for
some `lease_s`. Must not import a board.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar

import pytest
import trio

from engine.cluster.interface import MAX_MESSAGE_BYTES, Board, Holding
from engine.errors import Conflict, Overloaded, RateLimited

Room = Callable[[str], Board]
"""Makes a process's board, not yet running, of its name."""


MANY = 1000
"""A capacity that no test uses up."""


class BoardSuite:
    """The contract suite. Derive from it and implement `open_room`."""

    pytestmark = pytest.mark.trio

    lease_s: ClassVar[float] = 0.5
    """The lease of the boards under test. Long enough for a few calls, however slow."""

    @abstractmethod
    def open_room(self) -> AbstractAsyncContextManager[Room]:
        """Open an empty board for as long as the block lasts."""

    @asynccontextmanager
    async def open_boards(self, *names: str) -> AsyncGenerator[tuple[Board, ...], None]:
        """Open a board for each of these processes, running and with a lease."""
        async with self.open_room() as room, trio.open_nursery() as nursery:
            boards = tuple(map(room, names))
            for board in boards:
                await nursery.start(board.run, lambda _: None)
                await board.beat(capacity=MANY)
            yield boards
            nursery.cancel_scope.cancel()

    async def keep_alive(self, board: Board) -> None:
        """Renew a process's lease until cancelled."""
        while True:
            await board.beat(capacity=MANY)
            await trio.sleep(self.lease_s / 5)

    # ---- holding ---------------------------------------------------------------------------------

    async def test_owned_session_is_held_by_its_owner(self) -> None:
        """Everybody sees who holds a session, and what nobody put there is not there."""
        async with self.open_boards("a", "b") as (a, b):
            await a.own("s1")
            for board in (a, b):
                found = await board.holdings(["s1", "s2"])
                assert found == {"s1": Holding(process="a", is_alive=True)}
            assert await a.owned() == {"s1"}
            assert await b.owned() == frozenset()
            assert await b.holdings([]) == {}

    async def test_session_is_put_on_the_board_once(self) -> None:
        """Of two that start the same session, one is refused, whoever it is."""
        async with self.open_boards("a", "b") as (a, b):
            await a.own("s1")
            for board in (a, b):
                with pytest.raises(Conflict):
                    await board.own("s1")
            await a.offer("s1")
            with pytest.raises(Conflict):
                await b.own("s1")
            assert await b.owned() == frozenset()

    async def test_released_session_is_gone(self) -> None:
        """What has ended is off the board, and its id is free. Releasing twice is fine."""
        async with self.open_boards("a", "b") as (a, b):
            await a.own("s1")
            await a.release("s1")
            await a.release("s1")
            await a.release("never there")
            assert await b.holdings(["s1"]) == {}
            await b.own("s1")
            assert await b.owned() == {"s1"}

    async def test_only_the_holder_can_release_or_offer(self) -> None:
        """A stale owner changes nothing about a session that another has."""
        async with self.open_boards("a", "b") as (a, b):
            await a.own("s1")
            await b.release("s1")
            await b.offer("s1")
            assert (await b.holdings(["s1"]))["s1"].process == "a"
            assert await b.take(10) == ()

    # ---- changing hands --------------------------------------------------------------------------

    async def test_offered_session_goes_to_one_taker(self) -> None:
        """An offered session is nobody's until it is taken, and then the taker's."""
        async with self.open_boards("a", "b", "c") as (a, b, c):
            await a.own("s1")
            await a.offer("s1")
            await a.offer("s1")
            assert (await b.holdings(["s1"]))["s1"] == Holding(process="", is_alive=False)
            assert await a.owned() == frozenset()
            assert await b.take(10) == ("s1",)
            assert await c.take(10) == ()
            assert (await c.holdings(["s1"]))["s1"] == Holding(process="b", is_alive=True)
            await a.release("s1")
            assert await b.owned() == {"s1"}

    async def test_takers_share_without_doubling(self) -> None:
        """Many takers at once: each session goes to exactly one, and none is left."""
        async with self.open_boards("a", "b", "c", "d") as boards:
            ids = [f"s{number}" for number in range(60)]
            for session_id in ids:
                await boards[0].own(session_id)
                await boards[0].offer(session_id)
            taken: list[str] = []

            async def take_all(board: Board) -> None:
                while some := await board.take(4):
                    assert len(some) <= 4
                    taken.extend(some)

            async with trio.open_nursery() as nursery:
                for board in boards[1:]:
                    nursery.start_soon(take_all, board)
            assert Counter(taken) == Counter(ids)
            owned = [await board.owned() for board in boards]
            assert sum(map(len, owned)) == 60
            assert frozenset().union(*owned) == set(ids)

    async def test_take_gives_the_oldest_offers_first(self) -> None:
        """Nobody waits behind those that came later, and the limit counts."""
        async with self.open_boards("a", "b") as (a, b):
            for session_id in ("s3", "s1", "s2"):
                await a.own(session_id)
                await a.offer(session_id)
            assert await b.take(2) == ("s3", "s1")
            assert await b.take(0) == ()
            assert await b.take(2) == ("s2",)

    # ---- leases ----------------------------------------------------------------------------------

    async def test_living_process_keeps_its_sessions(self) -> None:
        """Whoever beats in time is alive, for longer than a lease, and nothing can be taken."""
        async with self.open_boards("a", "b") as (a, b), trio.open_nursery() as nursery:
            await a.own("s1")
            nursery.start_soon(self.keep_alive, a)
            await trio.sleep(self.lease_s * 2)
            assert await b.take(10, from_dead=True) == ()
            assert (await b.holdings(["s1"]))["s1"].is_alive
            assert "a" in await b.members()
            nursery.cancel_scope.cancel()

    async def test_sessions_of_a_dead_process_can_be_taken(self) -> None:
        """After its lease, what a silent process held is taken by whoever asks for the dead's."""
        async with self.open_boards("a", "b") as (a, b):
            await a.own("s1")
            await a.own("s2")
            await trio.sleep(self.lease_s * 1.5)
            await b.beat(capacity=MANY)
            assert await b.members() == ("b",)
            assert (await b.holdings(["s1"]))["s1"] == Holding(process="a", is_alive=False)
            assert await b.take(10) == ()
            assert set(await b.take(10, from_dead=True)) == {"s1", "s2"}
            assert await b.take(10, from_dead=True) == ()
            assert await b.owned() == {"s1", "s2"}

    async def test_process_that_wakes_after_its_lease_is_told(self) -> None:
        """A beat after the lease says so; what was taken is gone, and the rest is still there."""
        async with self.open_boards("a", "b") as (a, b):
            await a.own("s1")
            await a.own("s2")
            assert await a.beat(capacity=MANY) is True
            await trio.sleep(self.lease_s * 1.5)
            await b.beat(capacity=MANY)
            (taken,) = await b.take(1, from_dead=True)
            assert await a.beat(capacity=MANY) is False
            assert await a.beat(capacity=MANY) is True
            assert await a.owned() == {"s1", "s2"} - {taken}
            assert await b.take(10, from_dead=True) == ()

    async def test_first_beat_says_that_there_was_no_lease(self) -> None:
        """A process that is new has nothing to lose."""
        async with self.open_room() as room, trio.open_nursery() as nursery:
            board = room("a")
            await nursery.start(board.run, lambda _: None)
            assert await board.beat(capacity=MANY) is False
            assert await board.beat(capacity=MANY) is True
            assert await board.owned() == frozenset()
            nursery.cancel_scope.cancel()

    async def test_process_that_leaves_is_dead_at_once(self) -> None:
        """Nobody has to wait for the lease of a process that said goodbye."""
        async with self.open_boards("a", "b") as (a, b):
            await a.own("s1")
            await a.leave()
            await a.leave()
            assert await b.members() == ("b",)
            assert not (await b.holdings(["s1"]))["s1"].is_alive
            assert await b.take(10, from_dead=True) == ("s1",)

    async def test_members_are_named_in_order(self) -> None:
        """All living processes, by name."""
        async with self.open_boards("c", "a", "b") as (c, _, _):
            assert await c.members() == ("a", "b", "c")

    # ---- users -----------------------------------------------------------------------------------

    async def test_user_limit_holds_across_processes(self) -> None:
        """A user's sessions count wherever they run; other users and nobody do not."""
        async with self.open_boards("a", "b") as (a, b):
            await a.own("s1", user="ann", limit=2)
            await b.own("s2", user="ann", limit=2)
            for board in (a, b):
                with pytest.raises(RateLimited):
                    await board.own("s3", user="ann", limit=2)
            await b.own("s3", user="bob", limit=2)
            await b.own("s4", user="ann", limit=0)
            for number in range(5):
                await a.own(f"n{number}", user="", limit=2)
            assert "s3" in await b.owned()

    async def test_refused_session_is_not_on_the_board(self) -> None:
        """Whoever was refused holds nothing."""
        async with self.open_boards("a") as (a,):
            await a.own("s1", user="ann", limit=1)
            with pytest.raises(RateLimited):
                await a.own("s2", user="ann", limit=1)
            assert await a.owned() == {"s1"}
            assert await a.holdings(["s2"]) == {}

    async def test_slot_lasts_through_takeovers_and_no_longer(self) -> None:
        """I14: a slot moves with its session, through offers and deaths, and ends with it."""
        async with self.open_boards("a", "b") as (a, b):
            await a.own("s1", user="ann", limit=2)
            await a.own("s2", user="ann", limit=2)
            await a.offer("s1")
            with pytest.raises(RateLimited):
                await b.own("s3", user="ann", limit=2)
            await trio.sleep(self.lease_s * 1.5)
            await b.beat(capacity=MANY)
            assert set(await b.take(10, from_dead=True)) == {"s1", "s2"}
            with pytest.raises(RateLimited):
                await b.own("s3", user="ann", limit=2)
            await b.release("s1")
            await b.release("s1")
            await a.release("s2")
            await b.own("s3", user="ann", limit=2)
            with pytest.raises(RateLimited):
                await b.own("s4", user="ann", limit=2)

    async def test_limit_holds_when_many_start_at_once(self) -> None:
        """Look and leap: of many at the same moment, exactly as many as allowed get through."""
        async with self.open_boards("a", "b") as boards:
            refused: list[str] = []

            async def start(board: Board, session_id: str) -> None:
                try:
                    await board.own(session_id, user="ann", limit=5)
                except RateLimited:
                    refused.append(session_id)

            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(start, boards[number % 2], f"s{number}")
            assert len(refused) == 15
            assert sum([len(await board.owned()) for board in boards]) == 5

    # ---- room ------------------------------------------------------------------------------------

    async def test_new_session_needs_a_place_somewhere(self) -> None:
        """What all may run together counts: what is held, and what is on its way to a place."""
        async with self.open_boards("a", "b") as (a, b):
            await a.beat(capacity=1)
            await b.beat(capacity=2)
            await a.own("a1")
            await a.own("s1")
            await a.offer("s1")
            await b.own("b1")
            for board in (a, b):
                with pytest.raises(Overloaded):
                    await board.own("s2")
            assert await b.take(2) == ("s1",)
            with pytest.raises(Overloaded):
                await a.own("s2")
            assert await a.holdings(["s2"]) == {}
            await b.release("s1")
            await a.own("s2")

    async def test_session_that_goes_on_needs_no_place(self) -> None:
        """It was given one when it began."""
        async with self.open_boards("a") as (a,):
            await a.beat(capacity=0)
            with pytest.raises(Overloaded):
                await a.own("s1")
            await a.own("s1", is_new=False)
            assert await a.owned() == {"s1"}

    async def test_capacity_is_that_of_the_last_beat(self) -> None:
        """A process that takes no more says so, and is believed at once."""
        async with self.open_boards("a", "b") as (a, b):
            await a.beat(capacity=0)
            await b.beat(capacity=5)
            await a.own("s1")
            await b.beat(capacity=0)
            with pytest.raises(Overloaded):
                await a.own("s2")

    async def test_dead_process_has_no_room(self) -> None:
        """What it held waits for a place with the living, and so does what comes."""
        async with self.open_boards("a", "b", "c") as (a, b, c):
            await a.beat(capacity=0)
            for board in (b, c):
                await board.beat(capacity=2)
            await b.own("b1")
            await c.leave()
            await a.own("s1")
            with pytest.raises(Overloaded):
                await a.own("s2")
            await trio.sleep(self.lease_s * 1.5)
            await a.beat(capacity=2)
            with pytest.raises(Overloaded):
                await a.own("s2")
            await a.release("s1")
            await a.own("s2")

    async def test_user_limit_comes_before_the_room(self) -> None:
        """A refused user takes no place, and a refused session no slot of its user."""
        async with self.open_boards("a") as (a,):
            await a.beat(capacity=1)
            await a.own("s1", user="ann", limit=1)
            with pytest.raises(RateLimited):
                await a.own("s2", user="ann", limit=1)
            with pytest.raises(Overloaded):
                await a.own("s2", user="bob", limit=1)
            await a.release("s1")
            await a.own("s2", user="bob", limit=1)

    async def test_room_holds_when_many_start_at_once(self) -> None:
        """Look and leap: of many at the same moment, exactly as many as fit get through."""
        async with self.open_boards("a", "b") as boards:
            for board in boards:
                await board.beat(capacity=3)
            refused: list[str] = []

            async def start(board: Board, session_id: str) -> None:
                try:
                    await board.own(session_id)
                except Overloaded:
                    refused.append(session_id)

            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(start, boards[number % 2], f"s{number}")
            assert len(refused) == 14

    # ---- counting --------------------------------------------------------------------------------

    async def test_places_are_counted_across_processes(self) -> None:
        """So many in any window, wherever they were taken; then it is said when one is free."""
        window_s = self.lease_s * 4
        async with self.open_boards("a", "b") as (a, b):
            assert (await a.take_place("k", "1", limit=2, window_s=window_s)).others == 0
            again = await b.take_place("k", "1", limit=2, window_s=window_s)
            assert (again.is_taken, again.others) == (True, 0)
            assert (await b.take_place("k", "2", limit=2, window_s=window_s)).others == 1
            for board in (a, b):
                full = await board.take_place("k", "3", limit=2, window_s=window_s)
                assert (full.is_taken, full.others) == (False, 2)
                assert 0 < full.free_in_s <= window_s
            other = await a.take_place("another", "3", limit=2, window_s=window_s)
            assert (other.is_taken, other.others) == (True, 0)
            await trio.sleep(full.free_in_s + 0.01)
            assert (await a.take_place("k", "3", limit=2, window_s=window_s)).is_taken

    async def test_place_that_is_given_back_is_free(self) -> None:
        """By any process, one or all of them; giving back twice is fine."""
        async with self.open_boards("a", "b") as (a, b):
            for place in ("1", "2"):
                await a.take_place("k", place, limit=2, window_s=60)
            await b.give_place_back("k", "1")
            await b.give_place_back("k", "1")
            assert (await b.take_place("k", "3", limit=2, window_s=60)).is_taken
            assert not (await a.take_place("k", "4", limit=2, window_s=60)).is_taken
            await a.give_place_back("k")
            await a.give_place_back("k")
            assert (await b.take_place("k", "5", limit=2, window_s=60)).others == 0

    async def test_places_hold_when_many_are_taken_at_once(self) -> None:
        """Look and leap: of many at the same moment, exactly as many as allowed get one."""
        async with self.open_boards("a", "b") as boards:
            taken: list[bool] = []

            async def take(board: Board, place: str) -> None:
                found = await board.take_place("k", place, limit=5, window_s=60)
                taken.append(found.is_taken)

            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(take, boards[number % 2], str(number))
            assert (taken.count(True), taken.count(False)) == (5, 15)

    async def test_turns_are_one_an_interval_across_processes(self) -> None:
        """A burst is free, then each waits an interval longer; what is too far away is refused."""
        async with self.open_boards("a", "b") as boards:
            spans = {"interval_s": 10.0, "ahead_s": 20.0, "longest_s": 25.0}
            waits = [await boards[each % 2].take_turn("k", **spans) for each in range(7)]
            expected = [0, 0, 0, 10, 20, 30, 30]
            assert all(abs(wait - due) < 2 for wait, due in zip(waits, expected, strict=True))
            assert await boards[0].take_turn("another", **spans) == 0

    # ---- messages --------------------------------------------------------------------------------

    async def test_messages_of_a_sender_come_in_order(self) -> None:
        """What one process posts to another is heard as it is, in order, and by no third."""
        async with self.open_room() as room, trio.open_nursery() as nursery:
            heard: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
            boards = {name: room(name) for name in heard}
            for name, board in boards.items():
                await nursery.start(board.run, heard[name].append)
            sent = [b"%d" % number for number in range(50)] + [bytes(range(256)), b""]
            for message in sent:
                await boards["a"].post("b", message)
            await boards["c"].post("c", b"to myself")
            await self.until(lambda: len(heard["b"]) == len(sent) and len(heard["c"]) == 1)
            assert heard == {"a": [], "b": sent, "c": [b"to myself"]}
            nursery.cancel_scope.cancel()

    async def test_large_message_is_heard_whole(self) -> None:
        """The bound is one that works."""
        async with self.open_room() as room, trio.open_nursery() as nursery:
            heard: list[bytes] = []
            board = room("a")
            await nursery.start(board.run, heard.append)
            message = bytes(MAX_MESSAGE_BYTES)
            await board.post("a", message)
            await self.until(lambda: bool(heard))
            assert heard == [message]
            nursery.cancel_scope.cancel()

    async def test_message_to_nobody_is_lost(self) -> None:
        """Posting to a process that is gone, or never was, is no error."""
        async with self.open_boards("a") as (a,):
            await a.post("nobody", b"hello")
            assert await a.members() == ("a",)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for a few leases at most until something is so."""
        for _ in range(500):
            if is_so():
                return
            await trio.sleep(self.lease_s / 50)
        raise AssertionError("what was waited for did not come")
