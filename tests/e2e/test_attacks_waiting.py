"""Those who take their time, or never read: as strangers and as users.

See ``test_attacks.py``.
"""

from __future__ import annotations

import itertools
import socket
import sys
import time
from collections.abc import Callable

import pytest
from e2e.attacking import (
    HOLD,
    KIB,
    MIB,
    PASSWORD,
    Make,
    Seen,
    Watched,
    request,
    show,
    watching,
)
from e2e.strangers import Patient, close, ends, hello, is_gone, send, send_what_it_takes
from harness import PATIENCE
from pki import Keys

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


# Sending, and never reading

KEY, VALUE = b"k" * 1000, b"v" * 1000
TOLD = b'{"result": "%b", "ttl_remaining": null}\n' % VALUE
ASKING = {
    "text": (b"get %b\n" % KEY, TOLD),
    "text, short": (b"get k\n", TOLD),
    "RESP": (request(b"GET", KEY), b"$1000\r\n%b\r\n" % VALUE),
    "RESP, short": (request(b"GET", b"k"), b"$1000\r\n%b\r\n" % VALUE),
}


class TestWhoSendsAndNeverReads:
    COUNT = 20

    @pytest.mark.parametrize("dialect", ASKING)
    def test_is_not_read_any_more_and_gets_it_all_when_it_does(
        self, make: Make, dialect: str
    ) -> None:
        daemon = make(open=True)
        for key in KEY, b"k":
            daemon.observer.asks(b"set %b %b" % (key, VALUE))
        ask, reply = ASKING[dialect]
        asking = ask * (8 * MIB // len(ask))
        theirs = daemon.strangers(self.COUNT, small=True)
        sent = dict.fromkeys(theirs, 0)
        with watching(daemon) as seen:
            for sock in theirs:
                more = -1
                while more:  # until it takes no more
                    more = send_what_it_takes(sock, asking[sent[sock] % len(ask) :])
                    sent[sock] += more
                    daemon.turns()
        each = sum(sent.values()) / self.COUNT
        show(
            f"sends and never reads, {dialect}",
            f"{seen.each(self.COUNT) / KIB:.0f} KiB each, of {each / KIB:.0f} KiB sent, most of "
            "them in the system's buffers",
            seen,
        )
        assert daemon.fired("pause_output") >= self.COUNT
        assert seen.each(self.COUNT) <= MIB
        assert seen.hold <= HOLD
        assert daemon.clients() == self.COUNT + 1
        # Nothing is lost, as far as is looked.
        sock, size = next(iter(sent.items()))
        replies = min(size // len(ask), 8 * KIB)
        sock.settimeout(PATIENCE)
        with sock.makefile("rb") as heard:
            assert heard.read(replies * len(reply)) == reply * replies
        close(theirs)

    def test_is_cut_with_32_mib_of_messages(self, make: Make) -> None:
        daemon = make(open=True)
        published, seen = self._subscribe(daemon, b"subscribe news\n", MIB // 2)
        show("a subscriber that never reads", f"cut with {published / MIB:.0f} MiB", seen)
        assert 32 * MIB <= published <= 40 * MIB
        assert seen.growth <= 40 * MIB
        assert daemon.fired("subscriber_buffer") == 1

    @pytest.mark.parametrize(
        "listen",
        [
            b"subscribe news\n",
            request(b"SUBSCRIBE", b"news"),
            request(b"HELLO", b"3") + request(b"PSUBSCRIBE", b"*"),
            request(b"MONITOR"),
            request(b"HELLO", b"3") + request(b"CLIENT", b"TRACKING", b"ON", b"BCAST"),
        ],
    )
    def test_is_cut_with_more_messages_than_a_setting_allows(
        self, make: Make, listen: bytes
    ) -> None:
        daemon = make("--subscriber-buffer=1mb", open=True)
        published, seen = self._subscribe(daemon, listen, 10 * KIB)
        show(f"the same with 1 MiB, {listen[:14]!r}", f"cut with {published / MIB:.1f} MiB", seen)
        # The system has buffers too, of up to 36 MiB; and on a busy machine the publisher is ahead.
        assert published <= 64 * MIB
        assert seen.growth <= 4 * MIB
        assert daemon.fired("subscriber_buffer") == 1

    def test_is_cut_with_fewer_of_them_after_a_while(self, make: Make) -> None:
        soft = ["--subscriber-soft=256kb", "--subscriber-seconds=1"]
        daemon = make(*soft, open=True)
        (sock,) = daemon.strangers(1, small=True)
        with sock:
            send(sock, b"subscribe news\n")
            daemon.until(lambda: daemon.tells(b"list_subscribers news") == 1, "listens")
            published = 0
            while not daemon.owes(256 * KIB):
                published += daemon.publish(10 * KIB)
            seconds = ends({"subscriber": sock})["subscriber"]
        show("a subscriber over subscriber_soft", f"cut after {seconds:.1f} s of 1 s")
        assert seconds >= 0.9
        assert daemon.fired("subscriber_soft") == 1

    def _subscribe(self, daemon: Watched, listen: bytes, size: int) -> tuple[int, Seen]:
        """Have somebody listen who never reads; gives the bytes that were published by the time
        that he was cut."""
        (sock,) = daemon.strangers(1, small=True)
        with sock:
            send(sock, listen)
            daemon.turns()
            published = 0
            with watching(daemon) as seen:
                while not is_gone(sock) and published < 64 * MIB:
                    published += daemon.publish(size)
        return published, seen


# Those who take their time

TRICKLES: dict[str, Callable[[int], bytes]] = {
    "silent": lambda at: b"",
    "bytes of a line": lambda at: b"x",
    "bytes of a request": lambda at: request(b"AUTH", b"x" * 1000)[at : at + 1],
    "bytes of a password": lambda at: b"auth default "[at : at + 1] or b"x",
    "refused requests": lambda at: b"ping\n",
    "empty lines": lambda at: b"\n",
    "failing log-ins": lambda at: b"auth wrong\n" if at % 4 == 0 else b"",
    "telnet options": lambda at: b"\xff\xfb\x01",
}


class TestWhoTakesTheirTime:
    def test_is_cut_after_login_timeout_however_they_trickle(self, make: Make, keys: Keys) -> None:
        """login_timeout=1; a piece ten times a second, over TCP and behind TLS."""
        daemon = make("--login-timeout=1", keys=keys)
        first = hello(keys)
        theirs: dict[str, socket.socket] = {}
        sends: dict[str, Callable[[int], bytes]] = {}
        for name, trickle in TRICKLES.items():
            (theirs[name],) = daemon.strangers(1)
            (theirs[f"TLS, {name}"],) = daemon.behind_tls(daemon.strangers(1, tls=True))
            sends[name] = sends[f"TLS, {name}"] = trickle
        for name in "TLS, no handshake", "TLS, bytes of a handshake", "TLS, half a handshake":
            (theirs[name],) = daemon.strangers(1, tls=True)
        sends["TLS, no handshake"] = lambda at: b""
        sends["TLS, bytes of a handshake"] = lambda at: first[at : at + 1]
        sends["TLS, half a handshake"] = lambda at: first if at == 0 else b""
        numbers = itertools.count()

        def trickle_on() -> None:
            at = next(numbers)
            for name, sock in theirs.items():
                send(sock, sends[name](at))

        seconds = ends(theirs, trickle_on)
        assert set(seconds) == set(theirs)
        late = max(seconds, key=lambda name: seconds[name])
        show(
            "slowloris, login_timeout=1",
            f"{len(theirs)} kinds ended after {min(seconds.values()):.1f} to "
            f"{seconds[late]:.1f} s ({late})",
        )
        close(theirs.values())
        assert daemon.fired("login_attempts") == 2
        assert daemon.fired("login_timeout") == len(theirs) - 2
        assert daemon.clients() == 1

    def test_is_not_who_has_logged_in(self, make: Make) -> None:
        daemon = make("--login-timeout=1")
        with daemon.connect() as user:
            assert user.asks(b"auth " + PASSWORD.encode()) == b'{"result": "OK"}\n'
            (sock,) = daemon.strangers(1)  # comes later, and is cut
            assert ends({"stranger": sock})
            assert user.asks(b"ping") == b'{"result": "PONG"}\n'


# Being closed on, and not reading


class TestWhoNeverReadsTheLastReply:
    def test_is_cut_all_the_same(self, patient: Patient) -> None:
        """By limits that are no settings, and once by the default of one."""
        seconds = patient.seconds()
        for name, promised in {
            "silent": 5,
            "TLS, silent": 5,
            "BROKEN": 5,
            "QUIT": 30,
            "over output_limit": 30,
        }.items():
            show(f"{name}, and never reads", f"cut after {seconds[name]:.1f} s of {promised}")
            assert promised - 1 < seconds[name] < promised + 10
        assert patient.daemon.fired("output_limit") == 1
        assert patient.daemon.fired("login_timeout") == 2
        assert patient.daemon.clients() == 1

    def test_does_not_keep_the_daemon_from_stopping(self, make: Make) -> None:
        daemon = make(open=True)
        daemon.observer.asks(b"set key " + VALUE)
        theirs = daemon.strangers(10, small=True)
        for sock in theirs:
            send_what_it_takes(sock, b"get key\n" * 100_000)
        daemon.settle()
        begun = time.monotonic()
        daemon.terminate()
        show("a stop with 10 who never read", f"took {time.monotonic() - begun:.1f} s")
        assert daemon.errors() == ""
