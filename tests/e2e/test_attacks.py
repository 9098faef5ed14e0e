"""What a stranger can do, and what it costs: each row of the table in docs/security.md.

Each test attacks a daemon of its own, on real sockets, asserts what is promised, and prints the
figures that it saw (``-s``): how long the loop was held at the longest, what memory it took at the
most, in how many seconds a connection was ended.

Here: huge lengths and endless lines, what a connection costs, and patterns that explode. Beside it:
``test_attacks_crowds.py`` (floods, silence, guessing), ``test_attacks_waiting.py`` (those who take
their time, or never read), ``test_attacks_words.py`` (HTTP, TLS, line breaks).
"""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import hiredis
import pytest
from e2e.attacking import (
    EACH,
    GIVEN_BACK,
    HOLD,
    KIB,
    MIB,
    Make,
    Rows,
    Seen,
    Watched,
    request,
    show,
    watching,
)
from e2e.strangers import close, ends, hello, ready, rest, send, send_what_it_takes
from harness import PATIENCE
from pki import Keys

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


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
            assert set(ends(theirs)) == set(theirs)
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
                    send_what_it_takes(sock, data[: 80 * KIB])
            close(theirs)
        show("the same from 250 at once", rows)
        assert rows.longest.hold <= HOLD
        assert rows.largest.each(250) <= EACH


_REFUSED = re.compile(rb'(?:-ERR .*\r|\{"error": .*\})\n\Z')


def is_refused(replies: bytes) -> bool:
    """Whether the last reply is an error."""
    return _REFUSED.search(replies) is not None


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
    "63 KiB of a request of 10 words": b"*10\r\n"
    + (b"$%d\r\n%b\r\n" % (len(WORD), WORD) * 10)[:HALF],
    "63 KiB of a count": b"*1\r\n$" + b"1" * HALF,
    "63 KiB of a line": b"x" * HALF,
    "1 MiB of a line": b"x" * MIB,
    "10 words of 16 KiB less a byte": request(*[WORD] * 10),
    "errors that are not read": request(b"GET", b"x") * 64,
    "half a request behind errors": request(b"GET", b"x") * 60
    + b"*2\r\n$16383\r\n"
    + WORD
    + b"$16383\r\n",
    "log-ins, and 256 KiB behind each": LOGIN + request(b"GET", WORD) * 16,
    "telnet options": b"\xff\xfb\x01" * 21 * KIB,
    "errors with what it sent": request(b"HELLO", b"3", b"x" * 16 * KIB) * 16,
    "errors with what it sent, of lines": (b"hello 3 " + b"\x01" * 16 * KIB + b"\n") * 16,
    "names": (b"hello 3 setname " + b"x" * 16 * KIB + b" " + b"\x01" * 16 * KIB + b"\n") * 16,
}


# A message that says it has 127 KiB, of which OpenSSL would take all, in records.
_MESSAGE = b"\x01\x01\xfc\x00\x03\x03" + bytes(127 * KIB - 6)
LONG_HELLO = b"".join(
    b"\x16\x03\x01\x40\x00" + _MESSAGE[at : at + 16 * KIB]
    for at in range(0, len(_MESSAGE) - 16 * KIB, 16 * KIB)
)

# What is sent in place of a whole handshake, when the first message of one is this.
HALF_HANDSHAKES: dict[str, Callable[[bytes], bytes]] = {
    "a byte of a handshake": lambda hello: hello[:1],
    "half a handshake": lambda hello: hello,
    "a handshake of 31 KiB": lambda hello: LONG_HELLO[: 31 * KIB],
    "a handshake of 127 KiB": lambda hello: LONG_HELLO,
    "half a handshake, and 1 MiB": lambda hello: hello + bytes(MIB),
    "half a handshake, and 1 MiB of it": lambda hello: (
        hello + (b"\x16\x03\x03\x40\x00" + bytes(16 * KIB)) * 64
    ),
}  # fmt: skip
BEHIND_A_HANDSHAKE = {
    "silence": b"",
    "63 KiB of a request of 10 words": NASTY["63 KiB of a request of 10 words"],
    "31 KiB of a line": b"x" * 31 * KIB,
    "1 MiB of a line": NASTY["1 MiB of a line"],
    "errors that are not read": NASTY["errors with what it sent"],
    "log-ins, and 256 KiB behind each": NASTY["log-ins, and 256 KiB behind each"],
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
        "PSUBSCRIBE": [
            request(b"PSUBSCRIBE", pattern),
            request(b"PUBLISH", LONG, b"x"),
            request(b"PUNSUBSCRIBE"),
        ],
        "PUBSUB CHANNELS": [request(b"PUBSUB", b"CHANNELS", pattern)],
        "CONFIG GET": [request(b"CONFIG", b"GET", pattern)],
        "COMMAND LIST": [request(b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN", pattern)],
        "ACL, keys": [
            request(b"ACL", b"SETUSER", b"u", b"reset", b"on", b"nopass", b"+@all", b"~" + pattern),
            request(b"ACL", b"DRYRUN", b"u", b"GET", LONG),
        ],
        "ACL, channels": [
            request(b"ACL", b"SETUSER", b"v", b"reset", b"on", b"nopass", b"+@all", b"&" + pattern),
            request(b"ACL", b"DRYRUN", b"v", b"PUBLISH", LONG, b"x"),
        ],
        "ACL, both": [
            request(
                b"ACL", b"SETUSER", b"w", b"reset", b"on", b"nopass", b"+@all", b"%RW~" + pattern
            ),
            request(b"ACL", b"DRYRUN", b"w", b"SET", LONG, b"x"),
        ],
    }


class TestPatternsThatExplode:
    def test_take_no_longer_than_pattern_times_text(self, make: Make) -> None:
        daemon = make(open=True)
        with self._filled(daemon) as sock:
            for name, pattern in PATTERNS.items():
                assert len(pattern) <= KIB
                rows = Rows()
                for use, requests in uses(pattern).items():
                    with watching(daemon, use, rows):
                        for each in requests:
                            send(sock, each)
                            daemon.turns()
                        errors = [it for it in replies_of(sock) if isinstance(it, Exception)]
                        assert not errors, use
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
    while data := ready(sock):
        reader.feed(data)
    found = []
    while (reply := reader.gets()) is not False:
        found.append(reply)
    return found
