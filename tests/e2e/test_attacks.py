"""What a stranger can do, and what it costs: each row of the table in docs/security.md.

Each test attacks a daemon of its own, on real sockets, asserts what is promised, and prints the
figures that it saw (``-s``): how long the loop was held at the longest, what memory it took at the
most, in how many seconds a connection was ended.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import hiredis
import pytest
from e2e.attacking import (
    EACH,
    GIVEN_BACK,
    HOLD,
    KIB,
    MIB,
    PASSWORD,
    Rows,
    Seen,
    Watched,
    close,
    ends,
    guessing,
    hello,
    is_gone,
    request,
    rest,
    send,
    send_what_it_takes,
    silence,
    watching,
)
from harness import PATIENCE, Caller
from pki import Authority, Keys

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

Make = Callable[..., Watched]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes daemons, by their flags."""
    numbers = itertools.count()
    with contextlib.ExitStack() as stack:

        def made(*flags: str, **more: Any) -> Watched:
            return stack.enter_context(Watched(tmp_path / f"{next(numbers)}", *flags, **more))

        yield made


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """What takes half a minute, which begins before all else."""
    directory = tmp_path_factory.mktemp("patient")
    with Watched(directory, "--output-limit=1mb", keys=Keys(directory)) as daemon:
        yield Patient(daemon)


class Patient:
    """Connections that are ended after a time that is no setting, or by its default."""

    def __init__(self, daemon: Watched) -> None:
        self.daemon = daemon
        daemon.observer.asks(b'["set", "big", "%b"]' % bytes(b"x" * 1_000_000))
        for _ in range(3):
            assert daemon.tells(b'["append", "big", "%b"]' % bytes(b"x" * 1_000_000))
        names = ["silent", "over output_limit", "QUIT", "BROKEN", "half closed"]
        theirs = dict(zip(names, daemon.strangers(len(names), small=True), strict=True))
        (theirs["TLS, silent"],) = daemon.strangers(1, tls=True)
        # A message to itself that waits for it when the request behind it ends the connection.
        login = request(b"HELLO", b"3", b"AUTH", b"default", PASSWORD.encode())
        to_itself = login + request(b"SUBSCRIBE", b"me") + request(b"PUBLISH", b"me", bytes(8 * MIB))
        send(theirs["over output_limit"], login + request(b"GET", b"big"))
        send(theirs["QUIT"], to_itself + request(b"QUIT"))
        send(theirs["BROKEN"], to_itself + b"*x\r\n")
        send(theirs["half closed"], to_itself)
        theirs["half closed"].shutdown(socket.SHUT_WR)
        self._seconds: dict[str, float] = {}
        self._waiting = threading.Thread(target=lambda: self._seconds.update(ends(theirs)))
        self._waiting.start()

    def seconds(self) -> dict[str, float]:
        """Until each was ended; waits for that."""
        self._waiting.join(PATIENCE)
        return self._seconds


def show(row: str, *figures: object) -> None:
    print(f"\n    {row}: {', '.join(map(str, figures))}", end="")


# Huge lengths, and endless lines

RESP = {
    "a count of 4294967295": b"*4294967295\r\n",
    "a count of 100000000": b"*100000000\r\n",
    "11 words": request(*[b"x"] * 11),
    "a length of 99999999999": b"*1\r\n$99999999999\r\n",
    "a word of 16 KiB and a byte": request(bytes(16 * KIB + 1)),
    "80 KiB of words": request(*[bytes(16 * KIB)] * 5),
    "arrays in arrays": b"*1\r\n" * 16_384,
    "a count without an end": b"*" + b"1" * 128 * KIB,
    "a length without an end": b"*1\r\n$" + b"1" * 128 * KIB,
    "10,000 requests": request(b"x") * 10_000,
    "10,000 log-ins without a password": request(b"AUTH") * 10_000,
    "10,000 greetings": request(b"HELLO") * 10_000,
    "10,000 resets": request(b"RESET") * 10_000,
    "10,000 empty requests": b"*0\r\n" * 10_000,
    "10,000 null requests": b"*-1\r\n" * 10_000,
    "64 KiB of inline commands": request(b"x") + b"x\n" * 32 * KIB,
    "an inline command without an end": request(b"x") + b"x" * 128 * KIB,
    "quotes in an inline command": request(b"x") + b'""' * 60 * KIB + b"\n",
}
TEXT = {
    "a line without an end": b"x" * 128 * KIB,
    "blanks without an end": b" " * 128 * KIB,
    "64 KiB of `x`": b"x\n" * 32 * KIB,
    "64 KiB of empty lines": b"\n" * 64 * KIB,
    "64 KiB of NUL": bytes(80 * KIB),
    "lines of 60 KiB of blanks": (b" " * 60 * KIB + b"\n") * 100,
    "30,000 words": b"x " * 30_000 + b"\n",
    "30,000 quoted words": b'"" ' * 20_000 + b"\n",
    "a quote without an end": b'"' + b"\\n" * 64 * KIB,
    "lines of 60 KiB with an open quote": (b'"' + b"\\n" * 30 * KIB + b"\n") * 100,
    "a word of 15,000 escapes": b'"' + b"\\x41" * 15_000 + b'"\n',
    "a JSON line of 20,000 strings": b"[" + b'"",' * 19_999 + b'""]\n',
    "lines of JSON in JSON": (b"[" * 60 * KIB + b"\n") * 100,
    "a JSON line without an end": b'["' + b"x" * 128 * KIB,
    "telnet options": b"\xff\xfb\x01" * 40 * KIB,
    "a telnet option in each line": b"\xff\xfb\x01\n" * 1000,
    "noise": random.Random(5).randbytes(256 * KIB).replace(b"\n", b""),
}
STRANGE = RESP | TEXT
PIECES = {"whole": 0, "in pieces of 1 KiB": KIB}


class TestHugeLengthsAndEndlessLines:
    """Before a log-in: 10 words of 16 KiB, 64 KiB of a request, 64 requests."""

    @pytest.mark.parametrize("way", PIECES)
    def test_end_the_connection_of_a_stranger(self, make: Make, way: str) -> None:
        daemon = make()
        rows = Rows()
        for name, data in STRANGE.items():
            with watching(daemon, name, rows):
                (sock,) = daemon.strangers(1)
                with sock:
                    send(sock, data, PIECES[way])
                    assert is_refused(rest(sock)), name
        assert daemon.fired("login_timeout") == 0
        show(f"huge lengths, endless lines, {way}", rows)
        assert rows.longest.hold <= HOLD
        assert rows.largest.growth <= MIB

    def test_end_it_when_they_come_byte_by_byte(self, make: Make) -> None:
        """All of them at once, a byte of each in turn where it matters: at the beginning, and where
        the limits are."""
        daemon = make("--login-timeout=60")
        steps = [*range(KIB), *range(KIB, 63 * KIB, KIB), *range(63 * KIB, 66 * KIB)]
        steps += range(66 * KIB, 256 * KIB, KIB)
        with watching(daemon) as seen:
            theirs = dict(zip(STRANGE, daemon.strangers(len(STRANGE)), strict=True))
            for at, end in itertools.pairwise(steps):
                for name, sock in tuple(theirs.items()):
                    if not send(sock, STRANGE[name][at:end]):
                        theirs.pop(name).close()
            for name, sock in theirs.items():
                send(sock, STRANGE[name][256 * KIB :])
            ends(theirs)
            close(theirs.values())
        show("the same byte by byte", seen)
        assert seen.hold <= HOLD
        assert seen.each(len(STRANGE)) <= EACH
        assert daemon.fired("login_timeout") == 0

    def test_do_not_hold_the_loop_when_250_come_at_once(self, make: Make) -> None:
        daemon = make()
        rows = Rows()
        for name, data in STRANGE.items():
            theirs = daemon.strangers(250)
            with watching(daemon, name, rows), daemon.stopped():
                for sock in theirs:
                    send_what_it_takes(sock, data[: 128 * KIB])
            close(theirs)
        show("the same from 250 at once", rows)
        assert rows.longest.hold <= HOLD
        assert rows.largest.each(250) <= EACH


_REFUSED = re.compile(rb'(?:-ERR .*\r|\{"error": .*\})\n\Z')


def is_refused(replies: bytes) -> bool:
    """Whether the last reply is an error. All may be lost with the connection."""
    return not replies or _REFUSED.search(replies) is not None


# Of a user: what it sends, and what is behind the last reply: an error, or nothing at all.
OF_USER = {
    "a count of 4294967295": (b"*4294967295\r\n", 1),
    "a count of 100000000": (b"*100000000\r\n$3\r\nGET\r\n", 0),
    "a length of 99999999999": (b"*1\r\n$99999999999\r\n", 1),
    "a word of 64 MiB and a byte": (b"*1\r\n$67108865\r\n", 1),
    "arrays in arrays": (b"*1\r\n" * 16_384, 1),
    "a count without an end": (b"*" + b"1" * 128 * KIB, 1),
    "an inline command without an end": (request(b"PING") + b"x" * 128 * KIB, 2),
    "a line without an end": (b"x" * 128 * KIB, 1),
    "a JSON line without an end": (b'["' + b"x" * MIB, 1),
    "10,000 requests": (request(b"PING") * 10_000, 10_000),
    "10,000 unknown commands": (request(b"x") * 10_000, 10_000),
    "64 KiB of `x`": (b"x\n" * 32 * KIB, 32 * KIB),
    "64 KiB of `[]`": (b"[]\n" * 21 * KIB, 21 * KIB),
    "lines of 60 KiB with an open quote": ((b'"' + b"\\n" * 30_000 + b"\n") * 100, 100),
    "a JSON line of 200,000 strings": (b"[" + b'"",' * 199_999 + b'""]\n', 1),
}


class TestHugeLengthsOfAUser:
    """64 MiB a value, 128 MiB a request, 64 KiB a line, 1 MiB a line of JSON."""

    @pytest.mark.parametrize("way", PIECES)
    def test_are_refused_or_answered(self, make: Make, way: str) -> None:
        daemon = make(open=True)
        rows = Rows()
        for name, (data, replies) in OF_USER.items():
            (sock,) = daemon.strangers(1)
            with sock, watching(daemon, name, rows):
                sending = threading.Thread(target=send, args=(sock, data, PIECES[way]))
                sending.start()
                assert len(lines(sock, replies)) == replies, name
                sending.join(PATIENCE)
        show(f"the same of a user, {way}", rows)
        assert rows.longest.hold <= HOLD
        assert rows.largest.growth <= 8 * MIB

    def test_are_so_too_where_they_are_the_sum_of_many(self, make: Make) -> None:
        """Words that are each allowed, and that together are not; in RESP, what is complete of a
        request counts."""
        daemon = make("--max-value=1mb", "--max-request=4mb", open=True)
        words = b"*100\r\n" + b"$1000000\r\n%b\r\n" % bytes(1_000_000) * 10
        (sock,) = daemon.strangers(1)
        with sock, watching(daemon, "10 words of 1 MB") as seen:
            send(sock, words)
            assert is_refused(rest(sock))
        show("a request over max_request = 4 MiB", seen)
        assert seen.growth <= 12 * MIB
        assert daemon.fired("max_request") == 1


def lines(sock: socket.socket, count: int) -> list[bytes]:
    """So many lines, or those that come until the end."""
    with sock.makefile("rb") as found:
        return [line for _ in range(count) if (line := found.readline())]


# What a connection costs

WORD = bytes(16 * KIB - 1)
HALF = 63 * KIB  # of a request
LOGIN = request(b"AUTH", b"default", b"wrong" + WORD[5:])

NASTY = {
    "a silent one": b"",
    "63 KiB of a request": b"*2\r\n$4\r\nAUTH\r\n$%d\r\n" % len(WORD) + WORD,
    "63 KiB of a request of 10 words": b"*10\r\n"
    + (b"$%d\r\n%b\r\n" % (len(WORD), WORD) * 10)[:HALF],
    "63 KiB of a count": b"*1\r\n$" + b"1" * HALF,
    "63 KiB of a line": b"x" * HALF,
    "63 KiB of a line of JSON": b'["' + b"x" * HALF,
    "10 words of 16 KiB less a byte": request(*[WORD] * 10),
    "errors that are not read": request(b"GET", b"x") * 64,
    "errors that are not read, of lines": b"get x\n" * 64,
    "half a request behind errors": request(b"GET", b"x") * 60
    + b"*2\r\n$16383\r\n"
    + WORD
    + b"$16383\r\n",
    "log-ins, and 1 MiB behind each": LOGIN + request(b"GET", WORD) * 64,
    "telnet options": b"\xff\xfb\x01" * 21 * KIB,
    "errors with what it sent": request(b"HELLO", b"3", b"x" * 16 * KIB) * 64,
    "errors with what it sent, of lines": (b"hello 3 " + b"\x01" * 16 * KIB + b"\n") * 64,
    "names": (b"hello 3 setname " + b"x" * 16 * KIB + b" " + b"\x01" * 16 * KIB + b"\n") * 64,
}


# What is sent in place of a whole handshake, when the first message of one is this.
HALF_HANDSHAKES: dict[str, Callable[[bytes], bytes]] = {
    "a byte of a handshake": lambda hello: hello[:1],
    "half a handshake": lambda hello: hello,
    "a handshake of 31 KiB": lambda hello: (
        # Records of a message that says it has 127 KiB.
        b"\x16\x03\x01\x3f\xfc\x01\x01\xfc\x00\x03\x03" + bytes(16_374)
        + b"\x16\x03\x01\x3f\xfc" + bytes(15_300)
    ),
    "half a handshake, and 1 MiB": lambda hello: hello + bytes(MIB),
    "half a handshake, and 1 MiB of it": lambda hello: (
        hello + (b"\x16\x03\x03\x40\x00" + bytes(16 * KIB)) * 64
    ),
}  # fmt: skip
BEHIND_A_HANDSHAKE = {
    "silence": b"",
    "63 KiB of a request of 10 words": NASTY["63 KiB of a request of 10 words"],
    "63 KiB of a line": NASTY["63 KiB of a line"],
    "errors that are not read": NASTY["errors with what it sent"],
    "log-ins, and 1 MiB behind each": NASTY["log-ins, and 1 MiB behind each"],
}


class TestAStrangerCosts:
    """128 KiB at most, whatever he does."""

    @pytest.mark.parametrize("name", NASTY)
    def test_no_more_than_that(self, make: Make, name: str) -> None:
        daemon, count = self._daemon(make, name)
        with watching(daemon) as seen:
            theirs = daemon.strangers(count, small=True)
            for sock in theirs:
                send_what_it_takes(sock, NASTY[name])
        close(theirs)
        self._look_at(name, seen, count)

    @pytest.mark.parametrize("name", HALF_HANDSHAKES)
    def test_no_more_before_a_handshake_is_done(self, make: Make, keys: Keys, name: str) -> None:
        daemon, count = self._daemon(make, name, keys)
        data = HALF_HANDSHAKES[name](hello(keys))
        with watching(daemon) as seen:
            theirs = daemon.strangers(count, small=True, tls=True)
            with daemon.stopped():
                for sock in theirs:
                    send_what_it_takes(sock, data)
        close(theirs)
        self._look_at(f"TLS, {name}", seen, count)

    @pytest.mark.parametrize("name", BEHIND_A_HANDSHAKE)
    def test_no_more_behind_it(self, make: Make, keys: Keys, name: str) -> None:
        daemon, count = self._daemon(make, name, keys)
        with watching(daemon) as seen:
            theirs = daemon.behind_tls(daemon.strangers(count, small=True, tls=True))
            for sock in theirs:
                send_what_it_takes(sock, BEHIND_A_HANDSHAKE[name])
        close(theirs)
        self._look_at(f"TLS, a handshake and {name}", seen, count)

    def _daemon(self, make: Make, name: str, keys: Keys | None = None) -> tuple[Watched, int]:
        """One, and how many are to connect to it."""
        flags = ["--login-timeout=60"]
        if "log-ins" not in name:
            return make(*flags, keys=keys), 250
        # A hash takes 16 MiB, one at a time: for so many that it is no more than a part.
        flags.append("--max-unauthenticated=501")
        return make(*flags, keys=keys, env=GIVEN_BACK), 500

    def _look_at(self, name: str, seen: Seen, count: int) -> None:
        show(name, f"{seen.each(count) / KIB:.0f} KiB each", seen)
        assert seen.each(count) <= EACH
        assert seen.hold <= HOLD


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
        assert published <= 8 * MIB  # the system has buffers too
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
                while not is_gone(sock):
                    published += daemon.publish(size)
        return published, seen


# Patterns that explode

LONG = b"a" * 60_000
STARS = b"*a" * 511 + b"*b"  # what took fnmatch 55 s, on this text
PATTERNS = {
    "many stars": STARS,
    "a star and a long end": b"*" + b"a" * 1022 + b"b",
    "a star and many sets": b"*" + b"[ab]" * 255 + b"c",
    "a set of a thousand": b"*[" + bytes(range(98, 123)) * 40 + b"]b",
    "questions and stars": b"*?" * 511 + b"b",
}


def uses(pattern: bytes) -> dict[str, list[bytes]]:
    """Requests that match a pattern, by what they are."""
    return {
        "KEYS": [request(b"KEYS", pattern)],
        "SCAN": [request(b"SCAN", b"0", b"MATCH", pattern, b"COUNT", b"10")],
        "HSCAN": [request(b"HSCAN", b"hash", b"0", b"MATCH", pattern)],
        "SSCAN": [request(b"SSCAN", b"set", b"0", b"MATCH", pattern)],
        "ZSCAN": [request(b"ZSCAN", b"zset", b"0", b"MATCH", pattern)],
        "PSUBSCRIBE": [request(b"PSUBSCRIBE", pattern), request(b"PUBLISH", LONG, b"x")],
        "PUBSUB CHANNELS": [request(b"PUBSUB", b"CHANNELS", pattern)],
        "CONFIG GET": [request(b"CONFIG", b"GET", pattern)],
        "COMMAND LIST": [request(b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN", pattern)],
        "ACL, keys": [
            request(b"ACL", b"SETUSER", b"u", b"on", b"nopass", b"+@all", b"~" + pattern),
            request(b"ACL", b"DRYRUN", b"u", b"GET", LONG),
        ],
        "ACL, channels": [
            request(b"ACL", b"SETUSER", b"v", b"on", b"nopass", b"+@all", b"&" + pattern),
            request(b"ACL", b"DRYRUN", b"v", b"PUBLISH", LONG, b"x"),
        ],
        "ACL, both": [
            request(b"ACL", b"SETUSER", b"w", b"on", b"nopass", b"+@all", b"%RW~" + pattern),
            request(b"ACL", b"DRYRUN", b"w", b"SET", LONG, b"x"),
        ],
    }


class TestPatternsThatExplode:
    @pytest.mark.parametrize("name", PATTERNS)
    def test_take_no_longer_than_pattern_times_text(self, make: Make, name: str) -> None:
        daemon = make(open=True)
        assert len(PATTERNS[name]) <= KIB
        rows = Rows()
        with self._filled(daemon) as sock:
            for use, requests in uses(PATTERNS[name]).items():
                with watching(daemon, use, rows):
                    for each in requests:
                        send(sock, each)
                        daemon.turns()
                    assert not [it for it in replies_of(sock) if isinstance(it, Exception)], use
        show(f"patterns that explode: {name}", rows)
        assert rows.longest.hold <= 10 * HOLD

    def test_are_refused_from_1_kib_on(self, make: Make) -> None:
        daemon = make(open=True)
        with self._filled(daemon) as sock, watching(daemon) as seen:
            for use, requests in uses(b"*a" * 513).items():
                send(sock, requests[0])
                daemon.turns()
                assert "too long" in str(replies_of(sock)), use
        show("patterns of over 1 KiB", seen)
        assert seen.hold <= HOLD
        assert daemon.fired("max_pattern") == len([use for use in uses(b"") if "ACL" not in use])

    @contextlib.contextmanager
    def _filled(self, daemon: Watched) -> Iterator[socket.socket]:
        """A connection to a daemon that has something long of each kind."""
        listener, sock = daemon.strangers(2)
        with listener, sock:
            send(listener, request(b"SUBSCRIBE", LONG))
            for words in (
                (b"HELLO", b"3"),
                (b"SET", LONG, b"1"),
                (b"HSET", b"hash", LONG, b"1"),
                (b"SADD", b"set", LONG),
                (b"ZADD", b"zset", b"1", LONG),
            ):
                send(sock, request(*words))
            daemon.settle()
            assert len(replies_of(sock)) == 5
            yield sock


def replies_of(sock: socket.socket) -> list[Any]:
    """What has come, in RESP."""
    reader = hiredis.Reader()
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while data := sock.recv(MIB):
            reader.feed(data)
    sock.settimeout(PATIENCE)
    found = []
    while (reply := reader.gets()) is not False:
        found.append(reply)
    return found


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
        (sock,) = daemon.strangers(1)
        daemon.turns()
        with sock, daemon.connect() as user:
            assert user.asks(b"auth " + PASSWORD.encode()) == b'{"result": "OK"}\n'
            ends({"stranger": sock})
            assert user.asks(b"ping") == b'{"result": "PONG"}\n'


# Floods

PONG = b'{"result": "PONG"}\n'
WELCOME = b'{"result": "OK"}\n'
LOGIN_LINE = b"auth " + PASSWORD.encode()


class TestAFlood:
    COUNT = 2000

    @pytest.mark.parametrize("tls", [False, True], ids=["TCP", "TLS"])
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

    def test_that_comes_at_once_is_taken_in_turns(self, make: Make) -> None:
        """As many as the system lets wait for a daemon that is busy, with 16 KiB of each."""
        daemon = make()
        with watching(daemon) as seen, daemon.stopped():
            for sock in daemon.strangers(1000):
                send_what_it_takes(sock, b"x\n" * 8 * KIB)
        show("1,000 that come at once", seen)
        assert seen.hold <= HOLD
        assert seen.growth // 256 <= EACH

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
                for _ in range(10):
                    begun = time.monotonic()
                    with daemon.connect() as user:
                        assert user.asks(LOGIN_LINE) == WELCOME
                        times.append(time.monotonic() - begun)
            driven_out = daemon.fired("max_unauthenticated")
        show(
            f"300 silent ones that come back, {'many addresses' if many else 'one address'}",
            f"10 log-ins, each within {max(times) * 1000:.0f} ms",
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
        told = [sock.recv(100) for sock in theirs]
        refused = [reply for reply in told if reply.startswith(b"-TRYAGAIN too many log-ins")]
        show("60 log-ins at once", f"{len(refused)} are told to try again", seen)
        assert len(refused) == 60 - 17  # one is looked at, and 16 wait
        assert set(told) == {WRONG, refused[0]}
        assert daemon.fired("login_queue") == len(refused)
        assert seen.hold <= HOLD


# What is no dialect of ours

BODY = (
    b"set hacked text\r\n" + request(b"SET", b"hacked", b"RESP") + b'["set", "hacked", "JSON"]\r\n'
)
HEADERS = b"Host: 127.0.0.1:65432\r\nOrigin: http://evil.example\r\nContent-Type: text/plain\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)
HTTP = {
    "GET": b"GET / HTTP/1.1\r\n" + HEADERS + b"\r\n",
    "GET of a command": b"GET /set HTTP/1.1\r\n" + HEADERS + b"\r\n",
    "POST": b"POST / HTTP/1.1\r\n" + HEADERS + LENGTH + BODY,
    "POST without a host": b"POST / HTTP/1.0\r\n" + LENGTH + BODY,
    "GET with a body": b"GET / HTTP/1.1\r\n" + HEADERS + LENGTH + BODY,
    "HEAD": b"HEAD / HTTP/1.1\r\n" + HEADERS + LENGTH + BODY,
    "PUT": b"PUT / HTTP/1.1\r\n" + HEADERS + LENGTH + BODY,
    "OPTIONS": b"OPTIONS / HTTP/1.1\r\n" + HEADERS + LENGTH + BODY,
    "a websocket": b"GET / HTTP/1.1\r\n" + HEADERS + b"Upgrade: websocket\r\n\r\n" + BODY,
    "a form": b"POST / HTTP/1.1\r\nhost: x\r\n" + LENGTH + b"\r\n\r\n" + BODY,
}


class TestHTTP:
    @pytest.mark.parametrize("open", [True, False], ids=["nobody has to log in", "log-ins"])
    def test_is_not_run_and_ends_the_connection(self, make: Make, *, open: bool) -> None:
        """Every request 20 times, whole and byte by byte, also on a port for RESP alone."""
        daemon = make("--resp=tcp:0:interface=127.0.0.1", open=open, listeners=2)
        ports = [int(where.rpartition(":")[2]) for where in daemon.where]
        with watching(daemon) as seen:
            for data in HTTP.values():
                for port, size in itertools.product(ports, (0, 1)):
                    for _ in range(5):
                        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
                            send(sock, data, size)
                            assert rest(sock).count(b"not an HTTP server") == 1
        show("HTTP", f"none of {20 * len(HTTP)} requests is run", seen)
        assert daemon.tells(b"exists hacked") == 0
        assert daemon.tells(b"dbsize") == 0
        assert daemon.fired("http") == 20 * len(HTTP)
        assert len([line for line in daemon.log if "HTTP" in line]) == 1

    def test_to_the_port_with_tls_is_not_either(self, make: Make, keys: Keys) -> None:
        daemon = make(keys=keys, open=True)
        for data in HTTP.values():
            (sock,) = daemon.strangers(1, tls=True)
            send(sock, data)
            assert rest(sock) in (b"", b"\x15\x03\x03\x00\x02\x02F")  # an alert
        assert daemon.tells(b"dbsize") == 0
        assert len([line for line in daemon.log if "HTTP" in line]) == 1


class TestTLSToAPortWithout:
    @pytest.mark.parametrize("open", [True, False], ids=["nobody has to log in", "log-ins"])
    def test_ends_the_connection_with_one_line_in_the_log(
        self, make: Make, keys: Keys, *, open: bool
    ) -> None:
        daemon = make(open=open)
        first = hello(keys)
        theirs = daemon.strangers(20)
        with watching(daemon) as seen:
            for sock in theirs:
                send(sock, first)
            seconds = ends(dict(enumerate(theirs)))
        show("a TLS hello to a port without", f"cut after {max(seconds.values()):.1f} s", seen)
        assert len([line for line in daemon.log if "tls_listen" in line]) == 1


# Line breaks in names

EVIL = b'a\r\n+OK\r\n$4\r\nevil\r\n*1\r\n\0b\x1b[2J\n{"result": 1}\n2026-01-01T00:00:00+0000 [-] evil\r\n\xff'
EVIL_TEXT = EVIL[:-1].decode()  # what JSON can say
MARK = b"the-mark"
NOT_SENT = {
    # They end the connection or the daemon, or wait, or are answered by pushes.
    *("quit", "exit", "shutdown", "monitor", "reset", "sync", "psync", "multi", "exec", "discard"),
    *("subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe"),
}


def words_to_try(daemon: Watched) -> list[list[bytes]]:
    """All commands, with more and more words that are evil, and some in which a name is."""
    names: list[list[bytes]] = []
    for name in daemon.tells(b"command list"):
        names.append([part.encode() for part in name.split("|")])
    found = [[EVIL], [EVIL, EVIL], [b"x" + EVIL] * 200, [EVIL * 100], [b"GET" + EVIL, EVIL]]
    for words in names:
        if words[0].decode() not in NOT_SENT:
            found += [words + [EVIL] * count for count in range(6)]
            found += [[*words, b"key", *[EVIL] * count] for count in range(1, 5)]
            found.append([words[0], EVIL])
    return found


class TestLineBreaksInNames:
    def test_make_no_replies_in_resp(self, make: Make) -> None:
        daemon = make(open=True)
        (sock,) = daemon.strangers(1)
        errors = 0
        with sock.makefile("rb") as heard:
            tried = words_to_try(daemon)
            for words in tried:
                send(sock, request(*words) + request(b"ECHO", MARK))
                reply = b""
                while not reply.endswith(b"$%d\r\n%b\r\n" % (len(MARK), MARK)):
                    line = heard.readline()
                    assert line, (words, reply)
                    reply += line
                reply = reply.removesuffix(b"$%d\r\n%b\r\n" % (len(MARK), MARK))
                reader = hiredis.Reader()
                reader.feed(reply)
                reader.gets()
                assert reader.gets() is False, (words, reply)  # exactly one
                if reply.startswith((b"-", b"+")):
                    errors += 1
                    assert reply.count(b"\n") == reply.count(b"\r") == 1, (words, reply)
                    assert b"\0" not in reply, (words, reply)
        show(f"line breaks, in {len(tried)} requests of RESP", f"{errors} replies of one line each")
        assert errors > len(tried) / 2

    def test_make_no_lines_in_text(self, make: Make) -> None:
        daemon = make(open=True)
        (sock,) = daemon.strangers(1)
        with sock.makefile("rb") as heard:
            tried = words_to_try(daemon)
            for words in tried:
                line = json.dumps([word.replace(b"\xff", b"").decode() for word in words])
                send(sock, line.encode() + b"\necho " + MARK + b"\n")
                reply = json.loads(heard.readline())
                assert {"result", "error"} & set(reply), words
                assert json.loads(heard.readline()) == {"result": MARK.decode()}, (words, reply)
        show("line breaks, in lines of text", f"{len(tried)} replies of one line each")

    def test_make_no_messages(self, make: Make) -> None:
        """Channels, patterns and messages, to who listens in each dialect, and who monitors."""
        daemon = make(open=True)
        kinds: dict[str, bytes] = {
            "text": json.dumps(["psubscribe", EVIL_TEXT[:3] + "*"]).encode() + b"\n",
            "RESP2": request(b"PSUBSCRIBE", EVIL[:3] + b"*"),
            "RESP3": request(b"HELLO", b"3") + request(b"PSUBSCRIBE", EVIL[:3] + b"*"),
            "monitor": request(b"MONITOR"),
        }
        listeners = dict(zip(kinds, daemon.strangers(len(kinds)), strict=True))
        for name, words in kinds.items():
            send(listeners[name], words)
        daemon.until(lambda: daemon.tells(b"stats")["patterns"] == 1, "they listen")
        daemon.turns()
        for sock in listeners.values():
            sock.recv(MIB)
        (sender,) = daemon.strangers(1)
        send(sender, request(b"PUBLISH", EVIL_TEXT.encode(), EVIL) * 10 + request(b"CLIENT", b"SETNAME", EVIL))
        daemon.settle()
        text = listeners["text"].recv(MIB)
        assert [json.loads(line)["channel"] for line in text.splitlines()] == [EVIL_TEXT] * 10
        for name in "RESP2", "RESP3":
            reader = hiredis.Reader()
            reader.feed(listeners[name].recv(MIB))
            assert [list(reader.gets())[-2:] for _ in range(10)] == [[EVIL[:-1], EVIL]] * 10
            assert reader.gets() is False
        lines = listeners["monitor"].recv(MIB).splitlines(keepends=True)
        assert len([line for line in lines if b"PUBLISH" in line]) == 10
        assert all(re.fullmatch(rb"\+[0-9.]+ \[0 \S+\] \"[ -~]+\"\r\n", line) for line in lines)

    @pytest.mark.parametrize("form", ["text", "json"])
    def test_make_no_lines_of_the_log(self, make: Make, keys: Keys, form: str) -> None:
        """Names of users, of commands and of certificates, from those who are refused."""
        flags = ["--log-level=debug", f"--log-format={form}"]
        daemon = make(*flags, keys=keys, clients="optional")
        for words in (
            *[[b"AUTH", EVIL, EVIL], [b"HELLO", b"3", b"AUTH", EVIL, EVIL, b"SETNAME", EVIL]],
            *[[b"HELLO", EVIL], [b"AUTH", EVIL], [EVIL, EVIL], [b"POST" + EVIL], [b"POST", EVIL]],
        ):
            (sock,) = daemon.strangers(1)
            send(sock, request(*words) * 70)
            rest(sock)
        own = keys.client(EVIL_TEXT[:32], ca=Authority("CA " + EVIL_TEXT[:32]))
        context = ssl.create_default_context(cafile=str(keys.ca_path))
        context.load_cert_chain(own.certificate, own.key)
        (sock,) = daemon.strangers(1, tls=True)
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(sock, server_hostname="localhost") as wrapped,
        ):
            wrapped.recv(100)
        daemon.until(lambda: daemon.fired("handshake") == 1, "the certificate is refused")
        shown = [line for line in daemon.log if "evil" in line]
        show(
            f"line breaks, in a log of {form}", f"{len(shown)} lines of {len(daemon.log)} show them"
        )
        assert len(shown) >= 2
        for line in daemon.log:
            assert line.endswith("\n")
            assert line[:-1].isprintable(), line
            if form == "json":
                assert set(json.loads(line)) == {"time", "level", "logger", "message"}
            else:
                assert re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+0000 \[[\w.#-]+\] ", line), line
                assert not line.startswith("2026-01-01T00:00:00")


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
            "half closed": 30,
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
