"""Many at once, as strangers: a flood, silence that keeps others out, and guessing.

See ``test_attacks.py``.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import pytest
from e2e.attacking import EACH, HOLD, KIB, PASSWORD, Make, request, show, watching
from e2e.strangers import (
    ends,
    guessing,
    hello,
    ready,
    rest,
    send,
    send_what_it_takes,
    silence,
    vanish,
)
from pki import Keys

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


# Floods

WELCOME = b'{"result": "OK"}\n'
LOGIN_LINE = b"auth " + PASSWORD.encode()


BOTH = pytest.mark.parametrize("tls", [False, True], ids=["TCP", "TLS"])


class TestAFlood:
    COUNT = 2000

    @BOTH
    def test_leaves_256_of_them_and_those_who_are_in(
        self, make: Make, keys: Keys, *, tls: bool
    ) -> None:
        """2,000 connections, of which each sends something, come as fast as one process can."""
        daemon = make(keys=keys)
        something = hello(keys) if tls else b"ping\n"
        begun = time.monotonic()
        with watching(daemon) as seen:
            for _ in range(self.COUNT):
                send(daemon.strangers(1, tls=tls)[0], something)
        seconds = time.monotonic() - begun
        count, growth = daemon.clients() - 1, seen.growth // 256
        show(
            f"a flood of {self.COUNT} over {'TLS' if tls else 'TCP'}",
            f"{count} are left after {seconds:.1f} s",
            f"{growth / KIB:.0f} KiB for each of them",
            seen,
        )
        assert count == 256
        assert daemon.fired("max_unauthenticated") == self.COUNT - 256
        assert growth <= EACH
        assert seen.hold <= HOLD
        with daemon.connect() as late:
            assert late.asks(LOGIN_LINE) == WELCOME

    @BOTH
    def test_that_comes_at_once_is_taken_in_turns(
        self, make: Make, keys: Keys, *, tls: bool
    ) -> None:
        """As many as the system lets wait for a daemon that is busy, with 16 KiB of each."""
        daemon = make(keys=keys)
        something = hello(keys) if tls else b"x\n" * 8 * KIB
        with watching(daemon) as seen, daemon.stopped():
            for sock in daemon.strangers(1000, tls=tls):
                send_what_it_takes(sock, something)
        show(f"1,000 that come at once, {'TLS' if tls else 'TCP'}", seen)
        assert seen.hold <= HOLD
        assert seen.growth // 256 <= EACH

    @pytest.mark.parametrize("who", ["TCP", "TLS, half a handshake", "TLS"])
    def test_that_goes_at_once_is_no_trouble(self, make: Make, keys: Keys, who: str) -> None:
        """250 that are cut at the same moment, and 250 that vanish at the same moment."""
        daemon = make("--login-timeout=2", keys=keys)
        theirs = []
        for _ in range(2):
            theirs = daemon.strangers(250, tls="TLS" in who)
            if who == "TLS":
                theirs = daemon.behind_tls(theirs)
            elif "TLS" in who:
                for sock in theirs:
                    send(sock, hello(keys))
            daemon.settle()
            if not daemon.fired("login_timeout"):
                with watching(daemon) as cut:
                    assert len(ends(dict(enumerate(theirs)))) == 250
        with watching(daemon) as gone, daemon.stopped():
            for sock in theirs:
                vanish(sock)
        daemon.until(lambda: daemon.clients() == 1, "they are gone")
        show(f"250 that go at once, {who}", f"cut: {cut}", f"vanished: {gone}")
        assert daemon.fired("login_timeout") == 250
        assert max(cut.hold, gone.hold) <= HOLD

    def test_is_refused_beyond_max_clients(self, make: Make) -> None:
        daemon = make("--max-clients=101", open=True)
        daemon.strangers(100)
        daemon.turns()
        late = daemon.strangers(100)
        assert {rest(sock) for sock in late} == {b"-ERR max number of clients reached\r\n"}
        assert daemon.clients() == 101
        assert daemon.fired("max_clients") == 100
        assert len([line for line in daemon.log if "101 already" in line]) == 1

    def test_does_not_use_up_the_files(self, make: Make) -> None:
        """With a limit of 200 of them, all who come beyond are told so, and what the daemon needs
        for itself is there."""
        daemon = make(open=True, files=200)
        for sock in daemon.strangers(250):
            send_what_it_takes(sock, b"ping\n")
        daemon.settle()
        assert 100 <= daemon.clients() < 200
        assert daemon.tells(b"save") == "OK"
        show("a flood with a limit of 200 files", f"{daemon.clients()} clients, and a snapshot")
        assert not [line for line in daemon.log if "Traceback" in line or "Too many" in line]


class TestSilentConnectionsKeepNobodyOut:
    @pytest.mark.parametrize("many", [False, True], ids=["one address", "256 addresses"])
    def test_where_there_are_256_of_them(self, make: Make, *, many: bool) -> None:
        daemon = make("--login-timeout=60")
        for number in range(256):
            daemon.strangers(1, host=f"127.0.1.{number}" if many else "")
        daemon.until(lambda: daemon.clients() == 257, "all are there")
        with watching(daemon) as seen:
            begun = time.monotonic()
            with daemon.connect() as user:
                assert user.asks(LOGIN_LINE) == WELCOME
                seconds = time.monotonic() - begun
        show("256 silent ones, and one who logs in", f"in after {seconds * 1000:.0f} ms", seen)
        assert daemon.clients() == 256
        assert daemon.fired("max_unauthenticated") == 1

    @pytest.mark.parametrize("many", [False, True], ids=["one address", "many addresses"])
    def test_where_they_come_back_as_fast_as_they_can(self, make: Make, *, many: bool) -> None:
        daemon = make("--login-timeout=60")
        with silence(daemon.port, 300, many=many):
            daemon.until(lambda: daemon.fired("max_unauthenticated") > 300, "they come back")
            times = []
            with watching(daemon, ends=False) as seen:
                for _ in range(5):
                    begun = time.monotonic()
                    with daemon.connect() as user:
                        assert user.asks(LOGIN_LINE) == WELCOME
                        times.append(time.monotonic() - begun)
            driven_out = daemon.fired("max_unauthenticated")
        show(
            f"300 silent ones that come back, {'many addresses' if many else 'one address'}",
            f"5 log-ins, each within {max(times) * 1000:.0f} ms",
            f"{driven_out} were driven out",
            seen,
        )
        assert seen.hold <= HOLD


# Guessing

WRONG = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"


class TestGuessing:
    def test_ends_the_connection_after_three_failures(self, make: Make) -> None:
        daemon = make()
        guesses = request(b"AUTH", b"guess") * 100
        (sock,) = daemon.strangers(1)
        begun = time.monotonic()
        send(sock, guesses)
        assert rest(sock) == WRONG * 3
        show("100 guesses at once", f"cut after 3, in {time.monotonic() - begun:.1f} s")
        assert daemon.fired("login_attempts") == 1

    def test_gets_nowhere_and_keeps_nobody_out(self, make: Make) -> None:
        """10 clients guess as fast as they can, from another host; somebody with the right password
        comes again and again, and one who is in asks on."""
        daemon = make()
        begun = time.monotonic()
        with guessing(daemon, 10, "127.0.0.2") as replies:
            daemon.until(lambda: len(replies) >= 5, "they guess")
            logins, asks = [], []
            with watching(daemon, ends=False) as seen:
                for _ in range(5):
                    start = time.monotonic()
                    with daemon.connect() as user:
                        assert user.asks(LOGIN_LINE) == WELCOME
                        logins.append(time.monotonic() - start)
                for _ in range(1000):
                    start = time.monotonic()
                    daemon.turns(1)
                    asks.append(time.monotonic() - start)
        seconds = time.monotonic() - begun
        show(
            "10 who guess",
            f"{replies.count(WRONG) / seconds:.1f} guesses a second, none got in",
            f"a log-in took {median(logins) * 1000:.0f} ms, {max(logins) * 1000:.0f} at most",
            f"a request of another {median(asks) * 1000:.2f} ms",
            seen,
        )
        assert {reply.split()[0] for reply in replies} <= {b"-WRONGPASS", b"-TRYAGAIN"}
        assert seen.hold <= HOLD
        assert replies.count(WRONG) / seconds <= 12

    def test_beyond_the_queue_is_told_so(self, make: Make) -> None:
        daemon = make()
        theirs = daemon.strangers(60)
        with watching(daemon) as seen, daemon.stopped():
            for number, sock in enumerate(theirs):
                send(sock, request(b"AUTH", b"guess%d" % number))
        told = [ready(sock) for sock in theirs]
        refused = [reply for reply in told if reply.startswith(b"-TRYAGAIN too many log-ins")]
        show("60 log-ins at once", f"{len(refused)} are told to try again", seen)
        assert len(refused) == 60 - 17  # one is looked at, and 16 wait
        assert set(told) <= {b"", WRONG, refused[0]}
        assert daemon.fired("login_queue") == len(refused)
        assert seen.hold <= HOLD
