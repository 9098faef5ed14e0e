"""Clients that wait for keys: who is served, when and with what, and what becomes of the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from harness import House, Peer
from twisted.logger import capturedLogs

from memdbd.errors import CommandError, WrongType
from memdbd.pubsub import Registry
from memdbd.replies import Pending
from memdbd.session import Session
from memdbd.waiting import Place, Waiting


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    assert house.remains() == {}


@pytest.fixture
def pusher(house: House) -> Peer:
    return house.connect()


def waits(house: House, request: str) -> Peer:
    """A new client, whom this request keeps waiting."""
    peer = house.connect()
    assert says(peer, request) == []
    return peer


def says(peer: Peer, *requests: str) -> list[Any]:
    """The results or errors that come back at once, to these requests or to earlier ones."""
    return answers(peer.asks("".join(f"{request}\n" for request in requests).encode()))


def hears(peer: Peer) -> list[Any]:
    """The results or errors that have come since."""
    return answers(peer.hears())


def answers(lines: bytes) -> list[Any]:
    replies = map(json.loads, lines.splitlines())
    return [reply["result"] if "result" in reply else reply["error"] for reply in replies]


def in_transaction(peer: Peer, *requests: str) -> list[Any]:
    """The results of requests that are run as one."""
    (*_, results) = says(peer, "multi", *requests, "exec")
    return [each["result"] for each in results]


class TestOrder:
    def test_who_came_first_is_served_first_and_each_once(self, house: House, pusher: Peer) -> None:
        first, second, third = (waits(house, "blpop k 0") for _ in range(3))
        says(pusher, "rpush k a b")
        assert [hears(first), hears(second), hears(third)] == [[["k", "a"]], [["k", "b"]], []]
        says(pusher, "rpush k c")
        assert [hears(first), hears(second), hears(third)] == [[], [], [["k", "c"]]]
        assert says(pusher, "llen k") == [0]

    def test_they_are_served_when_all_of_a_push_is_there(self, house: House, pusher: Peer) -> None:
        waiter = waits(house, "blpop k 0")
        assert says(pusher, "lpush k a b c") == [3]
        assert hears(waiter) == [["k", "c"]]
        assert says(pusher, "lrange k 0 -1") == [["b", "a"]]

    def test_who_waits_again_is_the_last(self, house: House, pusher: Peer) -> None:
        first, second = (waits(house, "blpop k 0") for _ in range(2))
        says(pusher, "rpush k a")
        assert says(first, "blpop k 0") == [["k", "a"]]
        says(pusher, "rpush k b")
        assert [hears(first), hears(second)] == [[], [["k", "b"]]]

    def test_it_does_not_matter_from_which_end_one_takes(self, house: House, pusher: Peer) -> None:
        first, second = waits(house, "brpop k 0"), waits(house, "blpop k 0")
        says(pusher, "rpush k a b c")
        assert [hears(first), hears(second)] == [[["k", "c"]], [["k", "a"]]]

    def test_nobody_waits_for_what_is_there(self, house: House, pusher: Peer) -> None:
        says(pusher, "rpush k2 a", "rpush k3 b")
        assert says(pusher, "blpop k1 k2 k3 0") == [["k2", "a"]]
        assert len(house.engine.waiting) == 0


class TestSeveralKeys:
    def test_whichever_comes_first_serves(self, house: House, pusher: Peer) -> None:
        waiter = waits(house, "blpop k1 k2 0")
        says(pusher, "rpush k2 a")
        assert hears(waiter) == [["k2", "a"]]

    def test_who_has_been_served_waits_for_none_of_them(self, house: House, pusher: Peer) -> None:
        waiter, other = waits(house, "blpop k1 k2 0"), waits(house, "blpop k2 0")
        says(pusher, "rpush k1 a", "rpush k2 b")
        assert [hears(waiter), hears(other)] == [[["k1", "a"]], [["k2", "b"]]]

    def test_the_same_key_twice_is_one_place_in_its_queue(self, house: House, pusher: Peer) -> None:
        waiter = waits(house, "blpop k k 0")
        says(pusher, "rpush k a b")
        assert hears(waiter) == [["k", "a"]]
        assert says(pusher, "llen k") == [1]

    def test_a_transaction_serves_from_the_key_that_it_made_first(
        self, house: House, pusher: Peer
    ) -> None:
        waiter = waits(house, "blpop k1 k2 0")
        in_transaction(pusher, "rpush k2 b", "rpush k1 a")
        assert hears(waiter) == [["k2", "b"]]

    @pytest.mark.parametrize("gone", ["flushall", "del k1", "rename k1 elsewhere"])
    def test_and_what_it_made_and_took_away_again_was_not_first(
        self, house: House, pusher: Peer, gone: str
    ) -> None:
        waiter = waits(house, "blpop k1 k2 0")
        says(pusher, "set k1 text")
        in_transaction(pusher, gone, "rpush k2 b", "rpush k1 a")
        assert hears(waiter) == [["k2", "b"]]

    def test_each_database_has_its_own(self, house: House, pusher: Peer) -> None:
        waiter = house.connect()
        assert says(waiter, "select 1", "blpop k 0") == ["OK"]
        says(pusher, "rpush k a")
        assert hears(waiter) == []
        says(pusher, "select 1", "rpush k b")
        assert hears(waiter) == [["k", "b"]]


class TestTransactions:
    def test_are_over_before_anybody_is_served(self, house: House, pusher: Peer) -> None:
        waiter = waits(house, "blpop k 0")
        assert in_transaction(pusher, "rpush k a b", "llen k", "lpop k") == [2, 2, "a"]
        assert hears(waiter) == [["k", "b"]]

    @pytest.mark.parametrize("undone", ["lpop k", "del k", "rename k j", "ltrim k 1 0", "flushall"])
    def test_what_they_take_away_again_serves_nobody(
        self, house: House, pusher: Peer, undone: str
    ) -> None:
        waiter = waits(house, "blpop k 0")
        in_transaction(pusher, "rpush k a", undone)
        assert hears(waiter) == []
        says(pusher, "rpush k b")
        assert hears(waiter) == [["k", "b"]]

    def test_those_who_wait_are_served_what_is_there_in_the_end(
        self, house: House, pusher: Peer
    ) -> None:
        waiter = waits(house, "blpop k 0")
        in_transaction(pusher, "rpush k a", "lpop k", "rpush k b c")
        assert hears(waiter) == [["k", "b"]]
        assert says(pusher, "lrange k 0 -1") == [["c"]]

    def test_never_wait_themselves(self, pusher: Peer) -> None:
        waiting = ["blpop k 0", "blmove k j left right 0", "blmpop 0 1 k left"]
        assert in_transaction(pusher, *waiting, "ping") == [None, None, None, "PONG"]


class TestChains:
    def test_what_one_moves_serves_the_next(self, house: House, pusher: Peer) -> None:
        last = waits(house, "blpop c 0")
        middle = waits(house, "blmove b c left right 0")
        first = waits(house, "blmove a b left right 0")
        says(pusher, "rpush a element")
        assert [hears(first), hears(middle), hears(last)] == [
            ["element"],
            ["element"],
            [["c", "element"]],
        ]
        assert says(pusher, "exists a b c") == [0]

    def test_a_circle_of_moves_comes_to_an_end(self, house: House, pusher: Peer) -> None:
        one = waits(house, "blmove a b left right 0")
        other = waits(house, "blmove b a left right 0")
        says(pusher, "rpush a element")
        assert [hears(one), hears(other)] == [["element"], ["element"]]
        assert says(pusher, "lrange a 0 -1") == [["element"]]

    def test_all_who_turn_a_list_around_are_served(self, house: House, pusher: Peer) -> None:
        turning = [waits(house, "blmove k k left right 0") for _ in range(3)]
        says(pusher, "rpush k a b")
        assert [hears(each) for each in turning] == [["a"], ["b"], ["a"]]
        assert says(pusher, "lrange k 0 -1") == [["b", "a"]]

    def test_what_was_pushed_comes_before_what_was_moved_behind_it(
        self, house: House, pusher: Peer
    ) -> None:
        older = waits(house, "blpop b 0")
        mover = waits(house, "blmove a b left right 0")
        newer = waits(house, "blpop b 0")
        in_transaction(pusher, "rpush a moved", "rpush b pushed")
        assert hears(mover) == ["moved"]
        assert [hears(older), hears(newer)] == [[["b", "pushed"]], [["b", "moved"]]]


class TestTypes:
    def test_another_type_is_waited_over(self, house: House, pusher: Peer) -> None:
        waiter = waits(house, "blpop k 0")
        says(pusher, "set k text", "append k more", "del k", "sadd k member", "del k")
        assert hears(waiter) == []
        says(pusher, "rpush k a")
        assert hears(waiter) == [["k", "a"]]

    def test_who_waits_for_another_type_keeps_nobody_from_his(
        self, house: House, pusher: Peer
    ) -> None:
        scored, listed = waits(house, "bzpopmin k 0"), waits(house, "blpop k 0")
        says(pusher, "rpush k a")
        assert [hears(scored), hears(listed)] == [[], [["k", "a"]]]
        listed = waits(house, "blpop k 0")
        says(pusher, "zadd k 1 m")
        assert [len(hears(scored)), hears(listed)] == [1, []]

    def test_a_destination_of_another_type_is_an_error_and_moves_nothing(
        self, house: House, pusher: Peer
    ) -> None:
        mover, popper = waits(house, "blmove k text left right 0"), waits(house, "blpop k 0")
        says(pusher, "set text t", "rpush k a")
        assert hears(mover) == [f"WRONGTYPE {WrongType()}"]
        assert hears(popper) == [["k", "a"]]


class TestWhatMakesAKeyReady:
    @pytest.mark.parametrize(
        ("before", "request_"),
        [
            ("", "lpush k a"),
            ("", "rpush k a"),
            ("rpush j a", "rename j k"),
            ("rpush j a", "renamenx j k"),
            ("rpush j a", "copy j k"),
            ("rpush j a", "lmove j k left left"),
            ("rpush j a", "rpoplpush j k"),
            ("sadd j a", "sort j alpha store k"),
            ("set k text\nrpush j a", "sort j alpha store k"),
            ("set k text\nrpush j a", "copy j k replace"),
            ("select 1\nrpush k a", "move k 0"),
            ("select 1\nrpush k a", "swapdb 1 0"),
            ("select 1\nrpush k a", "copy k k db 0"),
        ],
    )
    def test_it_serves(self, house: House, pusher: Peer, before: str, request_: str) -> None:
        waiter = waits(house, "blpop k 0")
        says(pusher, before)
        assert hears(waiter) == []
        says(pusher, request_)
        assert hears(waiter) == [["k", "a"]]

    def test_a_restored_list_serves(self, house: House, pusher: Peer) -> None:
        says(pusher, "rpush j a")
        program = house.connect()
        dump = program.asks(b"*2\r\n$4\r\nDUMP\r\n$1\r\nj\r\n")
        waiter = waits(house, "blpop k 0")
        program.asks(b"*4\r\n$7\r\nRESTORE\r\n$1\r\nk\r\n$1\r\n0\r\n", dump)
        assert hears(waiter) == [["k", "a"]]


class TestTimeouts:
    def test_nothing_is_answered_when_the_time_is_over(self, house: House) -> None:
        waiter = waits(house, "blpop k 1.5")
        house.passes(1.499)
        assert hears(waiter) == []
        house.passes(0.001)
        assert hears(waiter) == [None]
        assert says(waiter, "ping") == ["PONG"]

    def test_and_the_element_that_comes_then_stays(self, house: House, pusher: Peer) -> None:
        waiter = waits(house, "blpop k 1")
        house.passes(1)
        says(pusher, "rpush k a")
        assert hears(waiter) == [None]
        assert says(pusher, "llen k") == [1]

    @pytest.mark.parametrize("forever", ["0", "0.0", "-0", "-0.0001"])
    def test_no_time_is_all_time(self, house: House, pusher: Peer, forever: str) -> None:
        waiter = waits(house, f"blpop k {forever}")
        house.passes(1_000_000)
        assert hears(waiter) == []
        says(pusher, "rpush k a")
        assert hears(waiter) == [["k", "a"]]

    @pytest.mark.parametrize("end", ["rpush k a", "unblock"])
    def test_nothing_is_left_to_come_when_the_waiting_is_over(
        self, house: House, pusher: Peer, end: str
    ) -> None:
        before = len(house.clock.calls)
        waiter = waits(house, "blpop k 10")
        assert len(house.clock.calls) == before + 1
        if end == "unblock":
            house.engine.waiting.unblock(waiter.protocol.session, None)
        else:
            says(pusher, end)
        house.settle()
        assert len(house.clock.calls) == before


class TestClientsThatGoAway:
    @pytest.mark.parametrize("go", [Peer.vanishes, Peer.ends])
    def test_lose_no_element(self, house: House, pusher: Peer, go: Any) -> None:
        gone, other = waits(house, "blpop k 10"), waits(house, "blpop k 0")
        go(gone)
        house.settle()
        assert gone.closed
        says(pusher, "rpush k a")
        assert hears(other) == [["k", "a"]]
        assert len(house.engine.waiting) == 0

    def test_whoever_has_hung_up_before_he_waits_does_not_wait(self, house: House) -> None:
        gone = house.connect()
        gone.sends(b"rpush j a\nblpop k 0\n")
        gone.ends()
        assert hears(gone) == [1]
        assert gone.closed
        assert len(house.engine.waiting) == 0

    def test_even_if_nobody_has_come_to_tell_so(self, house: House, pusher: Peer) -> None:
        gone, other = waits(house, "blpop k 10"), waits(house, "blpop k 0")
        pending = gone.protocol._pending
        assert pending is not None
        pending.is_deserted = lambda: True
        says(pusher, "rpush k a")
        assert [hears(gone), hears(other)] == [[], [["k", "a"]]]
        gone.vanishes()
        assert len(house.engine.waiting) == 0

    def test_all_who_wait_are_closed_when_the_daemon_stops(self, house: House) -> None:
        waiter = waits(house, "blpop k 10")
        house.factory.close_all()
        house.settle()
        assert waiter.closed
        assert hears(waiter) == []
        assert len(house.engine.waiting) == 0


class TestUnblocking:
    def test_is_as_if_the_time_were_over(self, house: House) -> None:
        waiter = waits(house, "blpop k 0")
        assert house.engine.waiting.unblock(waiter.protocol.session, None)
        assert hears(waiter) == [None]

    def test_or_an_error(self, house: House) -> None:
        waiter = waits(house, "blpop k 0")
        error = CommandError("client unblocked via CLIENT UNBLOCK", code="UNBLOCKED")
        assert house.engine.waiting.unblock(waiter.protocol.session, error)
        assert hears(waiter) == ["UNBLOCKED client unblocked via CLIENT UNBLOCK"]

    def test_does_nothing_for_who_does_not_wait(self, house: House, pusher: Peer) -> None:
        assert not house.engine.waiting.unblock(pusher.protocol.session, None)


class TestTheRest:
    def test_requests_behind_it_wait_as_well(self, house: House, pusher: Peer) -> None:
        waiter = house.connect()
        assert says(waiter, "ping", "blpop k 0", "echo behind", "blpop k 0") == ["PONG"]
        says(pusher, "rpush k a")
        assert hears(waiter) == [["k", "a"], "behind"]
        says(pusher, "rpush k b")
        assert hears(waiter) == [["k", "b"]]

    def test_those_who_wait_are_counted(self, house: House, pusher: Peer) -> None:
        waits(house, "blpop k 0")
        waits(house, "brpop k j 0")
        assert says(pusher, "stats")[0]["clients_waiting"] == 2

    def test_what_is_done_for_a_client_is_done_in_his_name(
        self, house: House, pusher: Peer
    ) -> None:
        waiter = waits(house, "blpop k 0")
        changes, authors = house.engine.changes, list[Session | None]()
        changes.listeners.join(lambda *_: authors.append(changes.author))
        says(pusher, "rpush k a")
        ours, his = pusher.protocol.session, waiter.protocol.session
        assert authors == [ours, his, his]  # the push; the pop, and that the list is gone


class TestADefect:
    INTERNAL = "internal error, the server's log has the details"

    def test_is_the_answer_to_who_waits_and_not_to_who_pushed(
        self, house: House, pusher: Peer
    ) -> None:
        waiter = waits(house, "blpop k 0")
        house.engine.waiting._waiters[waiter.protocol.session].attempt = lambda key: 1 / 0
        behind = waits(house, "blpop k 0")
        with capturedLogs() as events:
            assert says(pusher, "rpush k a") == [1]
        assert hears(waiter) == [self.INTERNAL]
        assert hears(behind) == [["k", "a"]]
        assert len(events) == house.dispatcher.failures == 1

    def test_in_the_encoding_of_the_reply_keeps_nobody_waiting(
        self, house: House, pusher: Peer
    ) -> None:
        waiter = waits(house, "save")
        with capturedLogs() as events:
            house.saves[0].resolve(object())
        assert hears(waiter) == [self.INTERNAL]
        assert says(waiter, "ping") == ["PONG"]
        assert len(events) == house.dispatcher.failures == 1


def never(seconds: float, function: Callable[[], object]) -> NoReturn:
    raise AssertionError("nobody has set a time")


def test_a_thousand_who_cannot_be_served_hold_nobody_up() -> None:
    present: set[Place] = set()
    waiting = Waiting(present.__contains__, lambda session: None)

    def attempt(number: int) -> list[int] | None:
        if number < 1000:
            raise WrongType
        present.clear()
        return [number]

    def wait(number: int) -> Pending:
        session = Session(number, Registry(), lambda message: None, lambda push: None)
        return waiting.wait(session, 0, [b"k"], lambda key: attempt(number), 0, None, never)

    pendings = [wait(number) for number in range(1001)]
    present.add((0, b"k"))
    waiting.changed(0, b"k")
    waiting.serve()
    assert [pending.is_resolved for pending in pendings] == [False] * 1000 + [True]
    assert not waiting.is_ready
