"""The limits as one object, how often each was met, and that each is read when it applies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from harness import House, Peer
from parties import request
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.logger import capturedLogs

from memdbd.config import Config
from memdbd.limits import Alarms, Limits
from memdbd.sending import FAREWELL

OK = b'{"result": "OK"}\n'


class TestLimits:
    def test_each_is_a_setting_with_the_same_default(self) -> None:
        assert Config().limits == Limits()
        names = {field.name for field in fields(Limits)}
        assert names <= {field.name for field in fields(Config)}

    def test_follow_others(self) -> None:
        limits = Limits()
        limits.follow(Limits(max_clients=7, subscriber_seconds=0.5))
        assert limits == Limits(max_clients=7, subscriber_seconds=0.5)


class TestAlarms:
    @pytest.fixture
    def told(self) -> list[str]:
        return []

    @pytest.fixture
    def now(self) -> list[float]:
        return [0.0]

    @pytest.fixture
    def alarms(self, told: list[str], now: list[float]) -> Alarms:
        return Alarms(lambda: now[0], told.append)

    def test_are_counted_by_the_name_of_the_limit(self, alarms: Alarms) -> None:
        for name in ("max_value", "http", "max_value"):
            alarms.fire(name, "")
        assert alarms.counts == {"max_value": 2, "http": 1}

    def test_are_told_once_a_minute_and_limit_with_how_many_there_were(
        self, alarms: Alarms, told: list[str], now: list[float]
    ) -> None:
        alarms.fire("http", "one")
        alarms.fire("max_value", "another")
        now[0] = 59.9
        alarms.fire("http", "two")
        alarms.fire("http", "three")
        now[0] = 60.0
        alarms.fire("http", "four")
        now[0] = 120.0
        alarms.fire("http", "five")
        assert told == ["one", "another", "four (2 more of these since the last line)", "five"]

    def test_that_may_happen_any_time_are_counted_only(
        self, alarms: Alarms, told: list[str]
    ) -> None:
        assert [alarms.count("pause_output"), alarms.count("pause_output")] == [1, 2]
        assert told == []

    def test_have_a_figure_each_those_too_that_never_were(self, alarms: Alarms) -> None:
        alarms.fire("http", "")
        figures = alarms.figures()
        assert {field.name for field in fields(Limits)} < set(figures)
        assert [figures[name] for name in ("http", "handshake", "max_clients")] == [1, 0, 0]


class Told:
    """A house, and what its log was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.house = House(password="secret")
        self.house.factory.alarms._tell = self.lines.append
        self.limits = self.house.factory.limits

    def met(self, name: str) -> int:
        return self.house.factory.alarms.counts.get(name, 0)


@pytest.fixture(scope="module")
def open_house() -> House:
    return House()


@pytest.fixture
def told() -> Told:
    return Told()


def known(house: House, first: bytes = b"auth secret\n") -> Peer:
    """A client that has logged in."""
    peer = house.connect()
    assert b"OK" in peer.asks(first)
    return peer


def cut_at(name: str, value: float, line: bytes) -> object:
    return pytest.param(name, value, line, id=f"{name}-{line[:12]!r}")


ARRAY = request(b"ECHO", b"x" * 60)


class TestOfARequest:
    """Set while the client is there, they are those of its next request."""

    @pytest.mark.parametrize(
        ("name", "value", "line"),
        [
            cut_at("max_line", 50, b"echo " + b"x" * 60 + b"\n"),
            cut_at("max_line", 50, b"echo " + b"x" * 60),
            cut_at("max_json_line", 50, b'["echo", "' + b"x" * 60 + b'"]\n'),
            cut_at("max_request", 50, b"echo " + b"x" * 60 + b"\n"),
            cut_at("max_value", 50, b"echo " + b"x" * 60 + b"\n"),
            cut_at("max_value", 50, b'["echo", "' + b"x" * 60 + b'"]\n'),
        ],
    )
    def test_in_the_text_dialect(self, told: Told, name: str, value: int, line: bytes) -> None:
        peer = known(told.house)
        fits = line if line.endswith(b"\n") else line + b"\n"
        assert peer.asks(fits) == b'{"result": "' + b"x" * 60 + b'"}\n'
        setattr(told.limits, name, value)
        said = peer.asks(b"ping\n" + line + b"ping\n")
        assert said.startswith(b'{"result": "PONG"}\n{"error": "')
        assert said.endswith(b'is too long: at most 50 bytes are allowed"}\n')
        assert peer.closed
        assert told.met(name) == 1
        (sentence,) = told.lines
        assert sentence == (f"client 1 at 127.0.0.1:50000 is cut: it sends more than {name} allows")

    @pytest.mark.parametrize(
        ("name", "value", "sent", "error"),
        [
            ("max_value", 50, ARRAY, b"invalid bulk length"),
            ("max_value", 50, ARRAY[:-50], b"invalid bulk length"),
            ("max_request", 80, ARRAY, b"request is too long"),
            ("max_request", 80, ARRAY[:-50], b"request is too long"),
            ("max_line", 50, b"ECHO " + b"x" * 60 + b"\r\n", b"too big inline request"),
            ("max_line", 50, b"ECHO " + b"x" * 60, b"too big inline request"),
        ],
    )
    def test_in_resp(self, told: Told, name: str, value: int, sent: bytes, error: bytes) -> None:
        peer = known(told.house, request(b"AUTH", b"secret"))
        assert peer.asks(ARRAY) == b"$60\r\n" + b"x" * 60 + b"\r\n"
        setattr(told.limits, name, value)
        said = peer.asks(request(b"PING") + sent)
        assert said == b"+PONG\r\n-ERR Protocol error: %b\r\n" % error
        assert peer.closed
        assert told.met(name) == 1

    def test_whose_pattern_is_too_long_is_refused_and_that_is_all(self, told: Told) -> None:
        peer = known(told.house)
        told.limits.max_pattern = 3
        assert peer.asks(b"keys abc*\nping\n") == (
            b'{"error": "pattern is too long, at most 3 bytes are allowed"}\n{"result": "PONG"}\n'
        )
        assert told.lines == [
            "a request of client 1 at 127.0.0.1:50000 is refused: pattern is too long, at most 3 "
            "bytes are allowed"
        ]


class TestOfAStranger:
    """They are those of its request, however much those of a client are."""

    @pytest.mark.parametrize(
        ("name", "value", "sent", "error"),
        [
            ("arguments", 3, b"a b c d\n", "a request has at most 3 words"),
            ("arguments", 3, b'["a", "b", "c", "d"]\n', "a request has at most 3 words"),
            ("argument", 9, b"auth 0123456789\n", "a word has at most 9 bytes"),
            ("argument", 9, b'auth "012345678\\x39"\n', "a word has at most 9 bytes"),
            ("argument", 9, b'["auth", "0123456789"]\n', "a word has at most 9 bytes"),
            ("buffer", 20, b"auth 0123456789012345\n", "a line has at most 20 bytes"),
            ("buffer", 20, b"auth 0123456789012345", "a line has at most 20 bytes"),
            ("requests", 2, b"ping\n\nping\n", "2 requests are enough"),
        ],
    )
    def test_in_the_text_dialect(
        self, told: Told, name: str, value: int, sent: bytes, error: str
    ) -> None:
        limit = name = f"unauthenticated_{name}"
        setattr(told.limits, limit, value)
        peer = told.house.connect()
        said = peer.asks(sent)
        assert said.splitlines()[-1] == b'{"error": "before a log-in, %b"}' % error.encode()
        assert peer.closed
        assert told.met(name) == 1
        assert told.lines == [
            f"client 1 at 127.0.0.1:50000 is cut: it sends more than {name} allows"
        ]

    @pytest.mark.parametrize(
        ("name", "value", "sent", "error"),
        [
            ("arguments", 2, b"*3\r\n", b"unauthenticated multibulk length"),
            ("arguments", 2, b"*0\r\nAUTH a b\r\n", b"unauthenticated multibulk length"),
            ("argument", 9, b"*2\r\n$4\r\nAUTH\r\n$10\r\n", b"unauthenticated bulk length"),
            ("argument", 9, b"*0\r\nAUTH 0123456789\r\n", b"unauthenticated bulk length"),
            ("argument", 9, b'*0\r\nAUTH "012345678\\x39"\r\n', b"unauthenticated bulk length"),
            ("buffer", 20, b"*2\r\n$4\r\nAUTH\r\n$9\r\n", b"unauthenticated request is too long"),
            ("buffer", 20, b"*0\r\nAUTH 0123456789012345", b"unauthenticated request is too long"),
            ("requests", 2, b"*0\r\n*0\r\n*0\r\n", b"unauthenticated requests"),
        ],
    )
    def test_in_resp(self, told: Told, name: str, value: int, sent: bytes, error: bytes) -> None:
        setattr(told.limits, f"unauthenticated_{name}", value)
        peer = told.house.connect()
        assert peer.asks(sent) == b"-ERR Protocol error: %b\r\n" % error
        assert peer.closed
        assert told.met(f"unauthenticated_{name}") == 1

    def test_are_not_those_of_one_who_has_logged_in(self, told: Told) -> None:
        many = b"set k " + b"x" * 30_000 + b"\n"
        peer = known(told.house)
        assert peer.asks(many, many * 100) == OK * 101
        peer = known(told.house, request(b"AUTH", b"secret"))
        words = request(b"MSET", *[b"k", b"x" * 20_000] * 10)
        assert peer.asks(words, words * 100) == b"+OK\r\n" * 101
        assert told.lines == []

    @pytest.mark.parametrize(
        ("log_in", "behind"),
        [
            (b"auth secret\n", b"mset " + b" ".join([b"k %d" % n for n in range(20)]) + b"\n"),
            (request(b"AUTH", b"secret"), request(b"MSET", *[b"k", b"v"] * 20)),
            (request(b"AUTH", b"secret"), b"MSET " + b"k v " * 20 + b"\r\n"),
            (b"auth secret\n", b"ping\n" * 100),
        ],
    )
    def test_behind_whose_log_in_there_is_more_is_read_as_whoever_it_is_then(
        self, told: Told, log_in: bytes, behind: bytes
    ) -> None:
        peer = told.house.connect()
        assert b"rror" not in peer.asks(log_in + behind)
        assert not peer.closed
        assert peer.asks(b"ping\n")

    def test_are_those_of_what_it_began_before_it_was_one(self, told: Told) -> None:
        peer = told.house.connect()
        head = b"*9\r\n$1000000\r\n"
        peer.asks(request(b"AUTH", b"secret") + request(b"RESET") + head)
        said = peer.asks(*[b"x" * 4096] * 20)
        assert said == b"-ERR Protocol error: unauthenticated request is too long\r\n"
        assert peer.closed
        assert told.met("unauthenticated_buffer") == 1

    def test_are_those_again_of_one_who_is_a_stranger_again(self, told: Told) -> None:
        peer = known(told.house)
        peer.asks(b"reset\n")
        assert peer.asks(b"a b c d e f g h i j k\n").startswith(b'{"error": "before a log-in')
        assert peer.closed

    def test_whatever_it_sends_it_is_told_what_the_bound_says(self, told: Told) -> None:
        """So its replies cost little, read or not."""
        for sent in (b"ping\n", b"*1\r\n$4\r\nPING\r\n", b"*0\r\n", b"\n", b"\xff\xfd\x06\n"):
            peer = told.house.connect()
            assert len(peer.asks(sent * 10_000)) <= 6000
            assert peer.closed

    def test_telnet_is_answered_at_once(self, told: Told) -> None:
        peer = told.house.connect()
        assert peer.asks(b"\xff\xf4\xff\xfd\x06") == b"\xff\xfc\x06"
        assert peer.asks(b"auth secret\r\n") == OK

    def test_is_read_by_little_and_a_client_by_much(self, told: Told) -> None:
        peer = told.house.connect()
        assert peer.wire.bufferSize == 4096
        peer.asks(b"auth secret\n")
        assert peer.wire.bufferSize == 65_536

    def test_whose_password_is_looked_at_is_not_read_meanwhile(self) -> None:
        thread = SlowThread()
        peer = thread.house.connect()
        peer.asks(b"auth secret\nping\n", b"echo x\n")
        assert peer.wire.producerState == "paused"
        thread.works()
        assert peer.hears() == OK + b'{"result": "PONG"}\n{"result": "x"}\n'
        assert peer.wire.producerState == "producing"


class SlowThread:
    """A house in which what is done in a thread is done when a test says so."""

    def __init__(self) -> None:
        self.held: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.house = House(None, self._in_thread, password="secret")

    def works(self) -> None:
        """Let all be done that waits."""
        while self.held:
            work, done = self.held.pop(0)
            maybeDeferred(work).chainDeferred(done)
            self.house.settle()

    def _in_thread(self, work: Callable[[], Any], /) -> Deferred[Any]:
        self.held.append((work, Deferred()))
        return self.held[-1][1]


class TestTheEndOfAStranger:
    @pytest.mark.parametrize("guess", [b"auth guess\n", request(b"AUTH", b"guess")])
    def test_that_guesses_is_the_end_of_all_behind_it(self, told: Told, guess: bytes) -> None:
        peer = told.house.connect()
        peer.asks(guess * 100)
        for _ in range(4):
            told.house.passes(0.5)  # behind a failure, there is a rest
        assert bytes(peer.wire.taken).count(b"WRONGPASS") == 3
        assert bytes(peer.wire.taken).count(b"\n") == 3
        assert peer.closed
        assert told.met("login_attempts") == 1

    def test_that_does_not_read_its_last_reply_is_that_of_its_time(self, told: Told) -> None:
        peer = told.house.connect()
        peer.reads = False
        peer.asks(b"x" * 70_000)
        told.house.passes(4.9)
        assert not peer.closed
        told.house.passes(0.2)
        assert peer.wire.closed is ConnectionAborted
        assert told.met("login_timeout") == 0  # it was cut for something else

    def test_that_sends_tls_to_a_port_without_is_at_once(self, told: Told) -> None:
        peer = told.house.connect()
        assert peer.asks(b"\x16\x03\x01\x02\x00\x01") == b""
        assert peer.wire.closed is ConnectionAborted
        assert told.met("handshake") == 1
        assert "tls_listen" in told.lines[0]

    def test_that_sends_http_is_told_so(self, told: Told) -> None:
        peer = told.house.connect()
        said = peer.asks(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nset k v\r\n")
        assert said == b'{"error": "this is not an HTTP server: the connection is closed"}\n'
        assert peer.closed
        assert told.met("http") == 1
        assert told.lines[0].startswith("client 1 at 127.0.0.1:50000 is cut: it sends HTTP")


class TestOfClients:
    def test_one_too_many_is_told_so(self) -> None:
        house = House(max_clients=2)
        peers = [house.connect() for _ in range(2)]
        with capturedLogs():
            refused = house.connect()
        assert refused.hears() == b"-ERR max number of clients reached\r\n"
        assert refused.wire.closed is ConnectionDone
        assert house.factory.alarms.counts == {"max_clients": 1}
        assert len(house.factory.connections) == 2
        peers[0].vanishes()
        assert house.connect().asks(b"ping\n") == b'{"result": "PONG"}\n'

    def test_a_stranger_makes_room(self, told: Told) -> None:
        told.limits.max_clients = 2
        first, second, third = (told.house.connect() for _ in range(3))
        told.house.settle()
        assert [peer.closed for peer in (first, second, third)] == [True, False, False]
        assert third.asks(b"auth secret\n") == OK
        assert told.met("max_clients") == 1
        assert "and one more has come" in told.lines[0]

    def test_a_stranger_too_many_is_the_oldest(self, told: Told) -> None:
        told.limits.max_unauthenticated = 2
        client = known(told.house)
        strangers = [told.house.connect() for _ in range(3)]
        told.house.settle()
        assert [peer.closed for peer in strangers] == [True, False, False]
        assert not client.closed
        assert told.met("max_unauthenticated") == 1
        assert told.house.factory.stats()["clients_unauthenticated"] == 2

    def test_a_stranger_has_so_long_to_log_in(self, told: Told) -> None:
        peer, client = told.house.connect(), known(told.house)
        told.house.passes(4.9)
        late = told.house.connect()
        assert not peer.closed
        told.house.passes(0.1)
        assert peer.hears() == (
            b'{"error": "NOAUTH Authentication required; nobody has done so within 5 s"}\n'
        )
        assert peer.wire.closed is ConnectionDone
        assert told.lines == ["client 1 at 127.0.0.1:50000 is cut: it has not logged in within 5 s"]
        told.house.passes(4.8)
        assert not late.closed
        told.house.passes(0.1)
        assert late.closed
        assert not client.closed
        assert told.house.clock.getDelayedCalls() == []

    def test_and_a_moment_to_take_the_line_that_says_so(self, told: Told) -> None:
        peer = told.house.connect()
        peer.reads = False
        told.house.passes(5)
        assert peer.wire.disconnecting
        told.house.passes(FAREWELL - 0.1)
        assert not peer.closed
        told.house.passes(0.2)
        assert peer.wire.closed is ConnectionAborted

    def test_and_none_to_be_told_so_if_it_does_not_read(self, told: Told) -> None:
        told.limits.pause_output = 300
        peer = told.house.connect()
        peer.reads = False
        peer.asks(b"ping\n" * 10)
        told.house.passes(5)
        assert peer.wire.closed is ConnectionAborted

    def test_whatever_it_says_meanwhile(self, told: Told) -> None:
        peer = told.house.connect()
        for _ in range(5):
            peer.asks(b"ping\n")
            told.house.passes(1)
        assert peer.closed

    def test_a_shorter_time_is_that_of_those_too_who_are_there(self, told: Told) -> None:
        told.limits.login_timeout = 1000
        peer = told.house.connect()
        told.house.passes(500)
        told.limits.login_timeout = 100
        told.house.passes(1)
        assert peer.closed

    def test_the_time_that_a_password_is_looked_at_does_not_count(self) -> None:
        thread = SlowThread()
        house, peer = thread.house, thread.house.connect()
        house.passes(3)
        peer.asks(b"auth wrong\n")
        house.passes(100)
        assert not peer.closed
        thread.works()
        house.passes(1.9)
        assert b"WRONGPASS" in peer.hears()
        assert not peer.closed
        with capturedLogs():
            house.passes(0.1)
        assert peer.closed

    def test_idle_clients_are_cut_if_that_is_wanted(self) -> None:
        house = House(idle_timeout=10)
        idle, busy = house.connect(), house.connect()
        listens, waits, monitors = (house.connect() for _ in range(3))
        listens.asks(b"subscribe ch\n")
        waits.asks(b"blpop k 0\n")
        monitors.asks(b"monitor\n")
        for _ in range(5):
            house.passes(3)
            busy.asks(b"ping\n")
        with capturedLogs():
            house.passes(3)
        assert [peer.closed for peer in (idle, busy, listens, waits, monitors)] == [
            True, False, False, False, False,
        ]  # fmt: skip
        assert house.factory.alarms.counts == {"idle_timeout": 1}

    def test_by_default_nobody_looks_at_who_is_idle(self, open_house: House) -> None:
        open_house.connect()
        assert open_house.clock.getDelayedCalls() == []

    def test_idle_is_who_was_before_it_was_wanted(self) -> None:
        house = House()
        idle = house.connect()
        house.passes(100)
        house.server.parameters.set([("timeout", "10")])
        with capturedLogs():
            house.passes(1)
        assert idle.closed
        assert house.clock.getDelayedCalls() == []

    @pytest.mark.parametrize("seconds", [0, 7])
    def test_keepalive_is_asked_for_if_that_is_wanted(self, seconds: int) -> None:
        house = House(tcp_keepalive=seconds)
        assert house.connect().wire.getTcpKeepAlive() == bool(seconds)
