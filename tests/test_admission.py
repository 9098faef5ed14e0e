"""Who is let in and who has to go, with connections that are but a name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from memdbd.admission import ACCEPTS, STEP, Admission, network_of
from memdbd.limits import Alarms, Limits
from memdbd.pubsub import Registry
from memdbd.session import Session


class Guest:
    """A connection that goes when it is told to."""

    def __init__(self, hall: Hall, number: int, host: str) -> None:
        self.session = Session(number, Registry(), print, print)
        self.host = host
        self.active = hall.clock.seconds()
        self.may_idle = False
        self.sent_away = ""  # the limit
        self._hall = hall

    def turn_away(self, limit: str, why: str) -> None:
        self.sent_away = limit
        self._hall.admission.leaves(self)
        self._hall.connections.pop(self, None)


class Hall:
    """The admission on a clock, and its guests."""

    def __init__(self, limits: Limits) -> None:
        self.clock = Clock()
        self.limits = limits
        self.told: list[str] = []
        self.connections: dict[Guest, None] = {}
        alarms = Alarms(self.clock.seconds, self.told.append)
        self.admission = Admission(
            limits, alarms, self.connections, self.clock.seconds, self.clock.callLater
        )
        self._numbers = 0

    def arrives(self, host: str = "10.0.0.1", *, known: bool = False) -> Guest:
        assert self.admission.has_room(host)
        self._numbers += 1
        guest = Guest(self, self._numbers, host)
        self.connections[guest] = None
        if not known:
            self.admission.is_stranger(guest)
        return guest


@pytest.fixture
def hall() -> Hall:
    return Hall(Limits(max_unauthenticated=4))


def gone(guests: list[Guest]) -> list[int]:
    return [at for at, guest in enumerate(guests) if guest.sent_away]


class TestAStrangerTooMany:
    def test_drives_out_the_oldest(self, hall: Hall) -> None:
        guests = [hall.arrives() for _ in range(6)]
        assert gone(guests) == [0, 1]
        assert {guests[0].sent_away, guests[1].sent_away} == {"max_unauthenticated"}
        assert len(hall.admission) == 4

    def test_drives_out_one_from_where_most_are(self, hall: Hall) -> None:
        real = hall.arrives("10.0.0.9")
        silent = [hall.arrives("10.0.0.1") for _ in range(300)]
        assert not real.sent_away
        assert gone(silent) == list(range(297))

    def test_drives_out_the_oldest_of_all_where_all_are_alone(self, hall: Hall) -> None:
        guests = [hall.arrives(f"10.0.0.{number}") for number in range(6)]
        assert gone(guests) == [0, 1]

    def test_drives_out_one_whose_password_is_looked_at_last(self, hall: Hall) -> None:
        guests = [hall.arrives() for _ in range(4)]
        guests[0].session.logging_in = guests[1].session.logging_in = True
        guests += [hall.arrives()]
        assert gone(guests) == [2]
        for guest in guests:
            guest.session.logging_in = True
        guests += [hall.arrives()]
        assert gone(guests) == [0, 2]

    def test_drives_out_another_wherever_it_is_from(self, hall: Hall) -> None:
        guests = [hall.arrives(f"10.0.0.{number}") for number in range(4)]
        guests[0].session.logging_in = True
        guests += [hall.arrives("10.0.0.9")]
        assert gone(guests) == [1]

    def test_is_none_where_one_has_been_known_or_lost(self, hall: Hall) -> None:
        guests = [hall.arrives() for _ in range(4)]
        hall.admission.leaves(guests[2])
        hall.admission.leaves(guests[2])
        guests += [hall.arrives()]
        assert gone(guests) == []

    def test_is_counted_once_however_often_it_is_said(self, hall: Hall) -> None:
        guest = hall.arrives()
        hall.admission.is_stranger(guest)
        assert len(hall.admission) == 1

    @pytest.mark.parametrize(
        ("host", "network"),
        [
            ("10.0.0.1", "10.0.0.1"),
            ("this machine", "this machine"),
            ("2001:db8:1:2:3:4:5:6", "20010db800010002"),
            ("2001:db8:1:2:ffff::1", "20010db800010002"),
            ("fe80::1%eth0", "fe80000000000000"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::ffff:a00:1", "10.0.0.1"),
        ],
    )
    def test_is_looked_for_by_networks(self, host: str, network: str) -> None:
        assert network_of(host) == network

    def test_from_one_network_of_ipv6_drives_out_its_own(self, hall: Hall) -> None:
        real = hall.arrives("2001:db8::1")
        guests = [hall.arrives(f"2001:db8:1::{number:x}") for number in range(1, 9)]
        assert not real.sent_away
        assert gone(guests) == [0, 1, 2, 3, 4]


class TestAClientTooMany:
    def test_is_refused_where_all_are_known(self) -> None:
        hall = Hall(Limits(max_clients=2))
        hall.arrives(known=True)
        hall.arrives(known=True)
        assert not hall.admission.has_room("10.0.0.7")
        assert hall.admission.rejected == 1
        assert hall.told == ["a client at 10.0.0.7 is refused: there are 2 already"]

    def test_drives_out_a_stranger(self) -> None:
        hall = Hall(Limits(max_clients=2))
        known, stranger = hall.arrives(known=True), hall.arrives()
        hall.arrives()
        assert stranger.sent_away == "max_clients"
        assert not known.sent_away

    def test_is_one_more_than_there_are_files_for(self) -> None:
        hall = Hall(Limits())
        assert hall.admission.most == 10_000
        hall.admission.ceiling = 1
        hall.arrives(known=True)
        assert not hall.admission.has_room("")
        assert hall.admission.most == 1


class TestTheTimeOfAStranger:
    def test_ends_when_it_is_over(self, hall: Hall) -> None:
        first = hall.arrives()
        hall.clock.advance(2)
        second = hall.arrives()
        hall.clock.pump([0.5] * 5)
        assert gone([first, second]) == []
        hall.clock.advance(0.5)
        assert gone([first, second]) == [0]
        hall.clock.pump([0.5] * 3)
        assert gone([first, second]) == [0]
        hall.clock.advance(0.5)
        assert gone([first, second]) == [0, 1]
        assert {first.sent_away, second.sent_away} == {"login_timeout"}
        assert hall.clock.getDelayedCalls() == []

    def test_stands_still_while_it_waits_for_us(self, hall: Hall) -> None:
        guest, other = hall.arrives(), hall.arrives()
        hall.clock.advance(4)
        hall.admission.waits(guest)
        hall.clock.pump([1] * 10)
        assert gone([guest, other]) == [1]
        hall.admission.goes_on(guest)
        hall.clock.advance(0.9)
        assert not guest.sent_away
        hall.clock.advance(0.1)
        hall.clock.advance(STEP)
        assert guest.sent_away

    def test_is_nobody_elses(self, hall: Hall) -> None:
        guest = hall.arrives(known=True)
        hall.admission.waits(guest)
        hall.admission.goes_on(guest)
        hall.clock.pump([1] * 10)
        assert not guest.sent_away

    def test_costs_no_timer_when_the_last_has_gone(self, hall: Hall) -> None:
        guest = hall.arrives()
        assert len(hall.clock.getDelayedCalls()) == 1
        hall.admission.leaves(guest)
        assert hall.clock.getDelayedCalls() == []

    def test_costs_one_timer_for_all(self) -> None:
        hall = Hall(Limits())
        for _ in range(200):
            hall.arrives()
        assert len(hall.clock.getDelayedCalls()) == 1


class TestOneThatCannotBeSentAway:
    """That is a defect, and it is logged."""

    @pytest.fixture
    def broken(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        turn_away = Guest.turn_away

        def fails(guest: Guest, limit: str, why: str) -> None:
            if guest.session.number == 1:
                raise RuntimeError
            turn_away(guest, limit, why)

        monkeypatch.setattr(Guest, "turn_away", fails)
        with capturedLogs() as events:
            yield
        assert [event["log_level"] for event in events] == [LogLevel.critical]

    @pytest.mark.usefixtures("broken")
    def test_does_not_keep_the_others_who_are_late(self, hall: Hall) -> None:
        guests = [hall.arrives(), hall.arrives()]
        hall.clock.pump([1] * 3)
        guests.append(hall.arrives())
        hall.clock.pump([1] * 2)
        assert gone(guests) == [1]
        hall.clock.pump([1] * 3)
        assert gone(guests) == [1, 2]

    @pytest.mark.usefixtures("broken")
    def test_does_not_keep_the_others_who_are_idle(self) -> None:
        hall = Hall(Limits(idle_timeout=10))
        guests = [hall.arrives(known=True) for _ in range(3)]
        guests[2].active = 5
        hall.admission.watch_idle()
        hall.clock.advance(10)
        assert gone(guests) == [1]
        hall.connections.pop(guests[0])
        hall.clock.advance(5)
        assert gone(guests) == [1, 2]

    @pytest.mark.usefixtures("broken")
    def test_does_not_keep_out_the_one_it_should_make_room_for(self, hall: Hall) -> None:
        guests = [hall.arrives() for _ in range(5)]
        assert gone(guests) == []
        assert len(hall.admission) == 4


class TestIdleClients:
    def test_are_looked_at_when_the_first_may_be_due(self) -> None:
        hall = Hall(Limits(idle_timeout=100))
        guests = [hall.arrives(known=True) for _ in range(3)]
        hall.admission.watch_idle()
        hall.clock.advance(50)
        guests[1].active = 50
        guests[2].active = 20
        hall.clock.advance(49)
        (timer,) = hall.clock.getDelayedCalls()
        assert gone(guests) == []
        hall.clock.advance(2)
        assert gone(guests) == [0]
        (timer,) = hall.clock.getDelayedCalls()
        assert timer.getTime() == 120
        hall.clock.advance(20)
        assert gone(guests) == [0, 2]

    def test_may_be_idle_if_they_have_a_reason(self) -> None:
        hall = Hall(Limits(idle_timeout=5))
        guest = hall.arrives(known=True)
        guest.may_idle = True
        hall.admission.watch_idle()
        hall.clock.pump([1] * 100)
        assert not guest.sent_away

    def test_are_looked_at_no_more_if_that_is_not_wanted(self) -> None:
        hall = Hall(Limits(idle_timeout=5))
        guest = hall.arrives(known=True)
        hall.admission.watch_idle()
        assert hall.admission.is_watching_idle
        hall.limits.idle_timeout = 0
        hall.clock.pump([1] * 100)
        assert not guest.sent_away
        assert hall.clock.getDelayedCalls() == []

    def test_are_looked_at_by_nobody_where_there_are_none(self) -> None:
        hall = Hall(Limits(idle_timeout=5))
        hall.admission.watch_idle()
        assert not hall.admission.is_watching_idle


class Port:
    """One of Twisted's, as far as it matters here."""

    numberAccepts = 100


def test_a_port_accepts_no_more_at_once_than_is_good(hall: Hall) -> None:
    ports = Port(), Port()
    for _ in range(3):
        for port in ports:
            hall.admission.accepted_at(port)
            port.numberAccepts += 20
    assert len([call for call in hall.clock.getDelayedCalls() if call.getTime() == 0]) == 1
    hall.clock.advance(0)
    assert [port.numberAccepts for port in ports] == [ACCEPTS, ACCEPTS]
