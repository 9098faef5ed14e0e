"""The lanes of both twins, on real sockets: what is gathered, what is left to the connection, and
what leaves."""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memdbd.core.lanes import AMOUNT, MOST_GROUPS, MOST_OF_ALL, MOST_OF_LINES, MOST_OF_ONE

GET, SET = b"*2\r\n$3\r\nget\r\n$1\r\nk\r\n", b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1\r\nv\r\n"
ODD, PING = b"*2\r\n$3\r\nget\r\n$3\r\n+*=\r\n", b"*1\r\n$4\r\nping\r\n"
ASKED = [b"get", b"k"]
MOST = 32 * 1024
NOW = 7.5


class Road:
    """A lane, to a socket whose other end is ``peer``."""

    def __init__(
        self, lanes: ModuleType, groups: dict[bytes, Any], *, is_tcp: bool = False
    ) -> None:
        if is_tcp:
            with socket.create_server(("127.0.0.1", 0)) as port:
                self.peer = socket.create_connection(port.getsockname())
                self.socket, _ = port.accept()
        else:
            self.peer, self.socket = socket.socketpair()
        self.socket.setblocking(False)
        self.session = SimpleNamespace(last=None)
        self.lane = lanes.Lane(self, self.session)
        self.lane.attach(self.socket)
        self.lane.groups = groups
        self.lane.idle = self.lane.is_clear = True

    @property
    def number(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.peer.close()
        self.socket.close()


class Town:
    """Roads with the same groups."""

    def __init__(self, lanes: ModuleType) -> None:
        self.lanes = lanes
        self.groups: dict[bytes, Any] = {
            name: lanes.Group(name.decode(), size, size)
            for name, size in [(b"get", 2), (b"set", 3)]
        }
        self.begun: list[Any] = []
        self.roads: list[Road] = []

    def opens(self, **how: Any) -> Road:
        self.roads.append(Road(self.lanes, self.groups, **how))
        return self.roads[-1]

    def place(self, lane: Any) -> int:
        """Whose lane it is."""
        return [road.lane for road in self.roads].index(lane)

    def takes(self, road: Road, data: bytes, most: int = MOST) -> Any:
        return self.lanes.take(road.lane, data, most, self.begun)

    def takes_in(self, *roads: Road, most: int = MOST) -> tuple[int, list[Any]]:
        """What is given for those that have been told to be ready."""
        ready = [(road.number, select.POLLIN) for road in roads]
        by_number = {road.number: road.lane for road in self.roads}
        given: tuple[int, list[Any]] = self.lanes.take_in(ready, by_number, NOW, most, self.begun)
        return given


@pytest.fixture
def town(lanes: ModuleType) -> Iterator[Town]:
    town = Town(lanes)
    yield town
    for road in town.roads:
        road.close()


class TestWhatIsTaken:
    def test_waits_in_the_group_of_its_command(self, town: Town) -> None:
        one, other = town.opens(), town.opens()
        assert town.takes(one, GET) is True
        assert town.takes(other, GET) is True
        group = town.groups[b"get"]
        assert group.run == [ASKED, ASKED]
        assert group.lanes == [one.lane, other.lane]
        assert not group.spoiled
        assert group.counts == [1, 1]
        assert one.lane.group is group
        assert not one.lane.idle
        assert town.begun == [group]
        assert town.takes(town.opens(), SET) is True
        assert town.begun == [group, town.groups[b"set"]]

    def test_may_be_several_requests(self, town: Town) -> None:
        one, other = town.opens(), town.opens()
        assert town.takes(one, GET * 3) is True
        assert town.takes(other, GET) is True
        assert town.groups[b"get"].run == [ASKED] * 4
        assert town.groups[b"get"].lanes == [one.lane, other.lane]
        assert town.groups[b"get"].counts == [3, 1]

    @pytest.mark.parametrize(
        ("data", "left"),
        [
            (GET[:-1], None),
            (GET + GET[:5], None),
            (b"get k\r\n", None),
            (b"", []),
            (b"*0\r\n", []),
            (b"*1\r\n$4\r\nping\r\n", [[b"ping"]]),
            (b"*1\r\n$3\r\nget\r\n", [[b"get"]]),
            (b"*3\r\n$3\r\nget\r\n$1\r\nk\r\n$1\r\nk\r\n", [[b"get", b"k", b"k"]]),
            (GET + SET, [ASKED, [b"set", b"k", b"v"]]),
            (GET * (MOST_OF_ONE + 1), [ASKED] * (MOST_OF_ONE + 1)),
        ],
        ids=str,
    )
    def test_is_not_what_is_not_whole_or_not_usual(
        self, town: Town, data: bytes, left: Any
    ) -> None:
        road = town.opens()
        assert town.takes(road, data, MOST) == left
        assert road.lane.group is None
        assert town.begun == []
        assert town.groups[b"get"].run == []

    def test_is_not_what_is_longer_than_asked_for(self, town: Town) -> None:
        road = town.opens()
        assert town.takes(road, GET, len(GET) - 1) is None
        assert town.takes(road, GET, len(GET)) is True

    def test_has_as_many_words_as_its_group_takes(self, town: Town) -> None:
        town.groups[b"del"] = town.lanes.Group("del", 2, 4)
        for words in range(1, 7):
            data = b"*%d\r\n$3\r\ndel\r\n" % words + b"$1\r\nk\r\n" * (words - 1)
            assert (town.takes(town.opens(), data) is True) == (2 <= words <= 4)
        assert [len(words) for words in town.groups[b"del"].run] == [2, 3, 4]

    def test_is_bounded_for_all_but_those_who_ask_for_one_thing(self, town: Town) -> None:
        for _ in range(MOST_OF_ALL // MOST_OF_ONE):
            assert town.takes(town.opens(), GET * MOST_OF_ONE) is True
        road = town.opens()
        assert town.takes(road, GET * 2) == [ASKED] * 2
        assert road.lane.group is None
        assert town.takes(road, GET) is True
        assert len(town.groups[b"get"].run) == MOST_OF_ALL + 1

    def test_is_in_a_bounded_number_of_groups(self, town: Town) -> None:
        names = [b"%d" % number for number in range(MOST_GROUPS + 1)]
        town.groups |= {name: town.lanes.Group(name, 1, 1) for name in names}
        asked = [town.takes(town.opens(), b"*1\r\n$1\r\n%b\r\n" % name) for name in names]
        assert asked == [True] * MOST_GROUPS + [[[names[-1]]]]
        assert len(town.begun) == MOST_GROUPS

    def test_may_be_lines(self, town: Town) -> None:
        roads = [town.opens() for _ in range(4)]
        for road in roads:
            road.lane.usual = {b"get": 2, b"ping": 1}
        assert town.takes(roads[0], b"get k\nget k\r\n") is True
        assert town.groups[b"get"].run == [ASKED] * 2
        assert town.takes(roads[1], b"ping\n") == [[b"ping"]]
        assert town.takes(roads[2], b"get 'k'\n") is None
        assert town.takes(roads[3], b"get k\nge") is None
        assert town.takes(roads[3], b"\n") == []
        assert town.takes(roads[3], b"get k\n" * (MOST_OF_ONE + 1)) is None

    def test_is_longer_where_no_line_has_a_limit(self, town: Town) -> None:
        told, lines = town.opens(), town.opens()
        long = b"*2\r\n$3\r\nget\r\n$40000\r\n%b\r\n" % (b"x" * 40_000)
        assert len(long) > MOST_OF_LINES
        assert town.takes(told, long, len(long)) is True
        lines.lane.usual = {b"get": 2}
        assert town.takes(lines, b"get %b\n" % (b"x" * (MOST_OF_LINES - 5)), len(long)) is True
        lines.lane.idle, lines.lane.group = True, None
        assert town.takes(lines, b"get %b\n" % (b"x" * (MOST_OF_LINES - 4)), len(long)) is None


class TestASocketThatIsReady:
    def test_is_read_and_what_came_waits(self, town: Town) -> None:
        roads = [town.opens(), town.opens()]
        for road in roads:
            road.peer.send(GET)
        assert town.takes_in(*roads) == (2 * len(GET), [])
        assert town.groups[b"get"].lanes == [road.lane for road in roads]
        assert [road.lane.active for road in roads] == [NOW, NOW]

    def test_is_left_with_what_came_where_that_is_not_usual(self, town: Town) -> None:
        one, other = town.opens(), town.opens()
        one.peer.send(b"*1\r\n$4\r\nping\r\n")
        other.peer.send(b"*1\r\n$4\r\npi")
        size, rest = town.takes_in(one, other)
        assert size == 24
        assert rest == [
            (one.number, one.lane, b"*1\r\n$4\r\nping\r\n", [[b"ping"]]),
            (other.number, other.lane, b"*1\r\n$4\r\npi", None),
        ]
        assert one.lane.active == NOW

    def test_is_not_read_where_its_lane_is_closed_or_busy_or_there_is_none(
        self, town: Town
    ) -> None:
        closed, busy, apart = town.opens(), town.opens(), town.opens()
        closed.lane.close()
        busy.lane.idle = False
        town.roads.remove(apart)
        for road in (closed, busy, apart):
            road.peer.send(GET)
        assert town.takes_in(closed, busy, apart) == (
            0,
            [(road.number, None, None, None) for road in (closed, busy, apart)],
        )
        for road in (closed, busy, apart):
            assert road.socket.recv(100) == GET
            road.close()

    def test_is_read_at_once_with_a_value_of_64_kib(self, town: Town) -> None:
        road = town.opens()
        value = b"x" * 65_536
        data = b"*3\r\n$3\r\nset\r\n$16\r\n%016d\r\n$65536\r\n%b\r\n" % (7, value)
        road.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(data))
        road.peer.sendall(data)
        assert town.takes_in(road, most=AMOUNT) == (len(data), [])
        assert town.groups[b"set"].run == [[b"set", b"%016d" % 7, value]]

    def test_tells_that_its_peer_has_closed(self, town: Town) -> None:
        road = town.opens()
        road.peer.close()
        assert town.takes_in(road) == (0, [(road.number, road.lane, b"", [])])

    def test_tells_that_it_has_nothing_and_of_an_error(self, town: Town) -> None:
        empty, reset = town.opens(), town.opens(is_tcp=True)
        linger = struct.pack("ii", 1, 0)
        reset.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        reset.peer.close()
        size, rest = town.takes_in(empty, reset)
        assert size == 0
        assert [each[:2] for each in rest] == [
            (empty.number, empty.lane),
            (reset.number, reset.lane),
        ]
        assert isinstance(rest[0][2], BlockingIOError)
        assert isinstance(rest[1][2], ConnectionResetError)
        assert rest[1][2].errno == errno.ECONNRESET

    def test_takes_nothing_from_the_others_where_to_read_one_fails(self, town: Town) -> None:
        bad, good = town.opens(), town.opens()

        bad.lane.usual = 1  # which has nothing to look up in
        bad.peer.send(b"get k\n")
        good.peer.send(GET)
        size = len(b"get k\n") + len(GET)
        assert town.takes_in(bad, good) == (size, [(bad.number, bad.lane, b"get k\n", None)])
        assert good.lane.group is town.groups[b"get"]
        assert good.lane.group.run == [ASKED]

    def test_is_read_by_a_bounded_amount(self, town: Town) -> None:
        road = town.opens(is_tcp=True)
        road.peer.sendall(b"x" * 100_000)
        assert select.select([road.socket], [], [], 5)[0]
        _, [(_, _, data, _)] = town.takes_in(road)
        assert 0 < len(data) <= AMOUNT < 100_000

    @given(st.lists(st.sampled_from([GET, SET, GET * 3, GET + SET, b"nonsense\r\n", GET[:9]])))
    @settings(max_examples=50)
    def test_has_what_came_wait_or_be_left_in_order(
        self, lanes: ModuleType, sent: list[bytes]
    ) -> None:
        town = Town(lanes)
        try:
            for data in sent:
                town.opens().peer.send(data)
            size, rest = town.takes_in(*town.roads)
            assert size == sum(map(len, sent))
            for road, data in zip(town.roads, sent, strict=True):
                left = [entry for entry in rest if entry[0] == road.number]
                if data in {GET, SET, GET * 3}:
                    assert left == []
                    assert road.lane.group is not None
                else:
                    assert [entry[2] for entry in left] == [data]
                    assert road.lane.group is None
            assert [entry[1] for entry in rest] == [
                road.lane for road in town.roads if road.lane.group is None
            ]
            for group in town.groups.values():
                assert len(group.lanes) == len(group.counts)
                assert len(group.run) == sum(group.counts)
        finally:
            for road in town.roads:
                road.close()

    @given(sent=st.lists(st.sampled_from([GET] * 9 + [ODD, SET, PING, GET * 2]), max_size=8))
    @example(sent=[GET] * 3)
    @example(sent=[GET, SET, GET])
    @example(sent=[ODD, GET, PING])
    @settings(max_examples=50)
    def test_has_the_same_wait_as_if_it_were_the_only_one(
        self, lanes: ModuleType, sent: list[bytes]
    ) -> None:
        together, alone = Town(lanes), Town(lanes)
        try:
            for town in (together, alone):
                for data in sent:
                    town.opens().peer.send(data)
            _, rest = together.takes_in(*together.roads)
            rests = [alone.takes_in(road)[1] for road in alone.roads]
            assert [each[2:] for each in rest] == [each[2:] for some in rests for each in some]
            for name, group in together.groups.items():
                other = alone.groups[name]
                assert (group.run, group.counts) == (other.run, other.counts)
                assert [together.place(lane) for lane in group.lanes] == [
                    alone.place(lane) for lane in other.lanes
                ]
            waiting = [road.lane.group and road.lane.group.command for road in together.roads]
            assert waiting == [road.lane.group and road.lane.group.command for road in alone.roads]
            assert [group.command for group in together.begun] == [
                group.command for group in alone.begun
            ]
        finally:
            for road in together.roads + alone.roads:
                road.close()

    def test_has_requests_wait_in_the_groups_of_its_own(self, town: Town) -> None:
        roads = [town.opens() for _ in range(4)]
        others = {b"get": town.lanes.Group("another", 2, 2)}
        roads[2].lane.groups = others
        for road in roads:
            road.peer.send(GET)
        assert town.takes_in(*roads) == (4 * len(GET), [])
        assert town.groups[b"get"].lanes == [roads[n].lane for n in (0, 1, 3)]
        assert others[b"get"].lanes == [roads[2].lane]

    def test_has_as_few_bytes_read_together_as_asked_for(self, town: Town) -> None:
        roads = [town.opens() for _ in range(4)]
        for road in roads:
            road.peer.send(GET)
        by_number = {road.number: road.lane for road in roads}
        ready = [(road.number, 1) for road in roads]
        _, rest = town.lanes.take_in(ready, by_number, NOW, len(GET) - 1, town.begun)
        assert [each[3] for each in rest] == [None] * 4

    def test_has_too_many_groups_left(self, town: Town) -> None:
        town.begun += [object()] * MOST_GROUPS
        roads = [town.opens() for _ in range(4)]
        for road in roads:
            road.peer.send(GET)
        _, rest = town.takes_in(*roads)
        assert [each[3] for each in rest] == [[ASKED]] * 4
        assert all(road.lane.idle for road in roads)


class TestALaneThatIsClosed:
    def test_spoils_the_group_in_which_its_requests_wait(self, town: Town) -> None:
        one, other = town.opens(), town.opens()
        town.takes(one, GET)
        town.takes(other, GET)
        one.lane.close()
        group = town.groups[b"get"]
        assert group.spoiled
        assert one.lane.groups is None
        assert not one.lane.is_clear
        group.clear()
        assert (group.lanes, group.counts, group.run, group.spoiled) == ([], [], [], False)

    def test_spoils_none_where_nothing_waits(self, town: Town) -> None:
        road = town.opens()
        town.takes(road, GET)
        town.lanes.answered([road.lane], "the command")
        road.lane.close()
        assert not town.groups[b"get"].spoiled

    def test_sends_nothing(self, town: Town) -> None:
        road = town.opens()
        road.lane.close()
        assert town.lanes.send_each([road.lane], [b"line"]) == [(road.lane, b"line")]
        road.peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            road.peer.recv(10)


def test_what_was_answered_waits_no_more_and_is_known_as_the_last(town: Town) -> None:
    road = town.opens()
    town.takes(road, GET)
    town.lanes.answered([road.lane], "the command")
    assert road.lane.group is None
    assert road.lane.idle
    assert road.session.last == "the command"


class TestLines:
    def test_leave_each_by_its_lane(self, town: Town) -> None:
        one, other = town.opens(), town.opens()
        assert town.lanes.send_each([one.lane, other.lane], [b"1", b"22"]) == []
        assert (one.peer.recv(10), other.peer.recv(10)) == (b"1", b"22")

    def test_leave_for_all(self, town: Town) -> None:
        one, other = town.opens(), town.opens()
        assert town.lanes.send_all([one.lane, other.lane], b"line") == []
        assert (one.peer.recv(10), other.peer.recv(10)) == (b"line", b"line")

    def test_are_left_as_far_as_there_is_no_room(self, town: Town) -> None:
        full, free = town.opens(is_tcp=True), town.opens()
        line = b"x" * 10_000_000
        [(lane, rest)] = town.lanes.send_each([full.lane, free.lane], [line, b"line"])
        assert lane is full.lane
        assert 0 < len(rest) < len(line)
        assert town.lanes.send_all([full.lane, free.lane], b"more") == [(full.lane, b"more")]
        assert free.peer.recv(10) == b"linemore"

    def test_are_left_where_the_socket_is_broken(self, town: Town) -> None:
        broken, whole = town.opens(), town.opens()
        broken.peer.close()
        sent = town.lanes.send_each([broken.lane, whole.lane], [b"1", b"2"])
        assert sent == [(broken.lane, b"1")]
        assert whole.peer.recv(10) == b"2"

    def test_are_as_many_as_lanes(self, town: Town) -> None:
        with pytest.raises(ValueError, match=r"lines|argument"):
            town.lanes.send_each([town.opens().lane], [])


class Wire:
    """No socket of the system's."""

    def __init__(self, *come: bytes) -> None:
        self.come = [*come]
        self.room = 2
        self.sent: list[bytes] = []

    def recv(self, most: int) -> bytes:
        if not self.come:
            raise BlockingIOError
        return self.come.pop(0)

    def send(self, line: bytes) -> int:
        if not self.room:
            raise BlockingIOError
        self.sent.append(line[: self.room])
        return min(self.room, len(line))


class TestWhatIsNoSocketOfTheSystems:
    def test_is_read_by_its_methods(self, lanes: ModuleType) -> None:
        begun: list[Any] = []
        lane, group = lanes.Lane(None, SimpleNamespace()), lanes.Group("the command", 2, 2)
        lane.attach(Wire(GET))
        lane.groups, lane.idle = {b"get": group}, True
        assert lanes.take_in([(7, 1)], {7: lane}, NOW, MOST, begun) == (len(GET), [])
        assert group.run == [ASKED]
        lanes.answered([lane], "the command")
        size, [(number, of, error, requests)] = lanes.take_in([(7, 1)], {7: lane}, NOW, MOST, begun)
        assert (size, number, of, requests) == (0, 7, lane, None)
        assert isinstance(error, BlockingIOError)

    def test_is_written_by_its_methods(self, lanes: ModuleType) -> None:
        wire, lane = Wire(), lanes.Lane(None, None)
        lane.attach(wire)
        assert lanes.send_each([lane], [b"line"]) == [(lane, b"line")]
        lane.is_clear = True
        assert lanes.send_each([lane], [b"line"]) == [(lane, b"ne")]
        wire.room = 0
        assert lanes.send_all([lane], b"line") == [(lane, b"line")]
        assert wire.sent == [b"li"]
