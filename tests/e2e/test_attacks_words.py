"""What is no dialect of ours, and words that would be more than a word.

See ``test_attacks.py``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import socket
import ssl
import sys

import hiredis
import pytest
from e2e.attacking import MIB, Make, Watched, request, show, watching
from e2e.strangers import ends, hello, rest, send
from harness import PATIENCE
from pki import Authority, Keys

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


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
            assert len(seconds) == 20
        show("a TLS hello to a port without", f"cut after {max(seconds.values()):.1f} s", seen)
        assert len([line for line in daemon.log if "tls_listen" in line]) == 1


# Line breaks in names

EVIL = (
    b"a\r\n+OK\r\n$4\r\nevil\r\n*1\r\n\0b\x1b[2J\n"
    b'{"result": 1}\n2026-01-01T00:00:00+0000 [-] evil\r\n\xff'
)
EVIL_TEXT = EVIL[:-1].decode()  # what JSON can say
MARK = b"the-mark"
NOT_SENT = {
    # They end the connection or the daemon, or wait, or are answered by pushes.
    *("quit", "exit", "shutdown", "monitor", "reset", "sync", "psync", "multi", "exec", "discard"),
    *("subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe"),
}


def words_to_try(daemon: Watched) -> list[list[bytes]]:
    """All commands, with more and more words that are evil, and some in which a name is."""
    names = [name.encode().split(b"|") for name in daemon.tells(b"command list")]
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
        send(
            sender,
            request(b"PUBLISH", EVIL_TEXT.encode(), EVIL) * 10
            + request(b"CLIENT", b"SETNAME", EVIL),
        )
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
        assert len(shown) == 1  # the certificate's; names of users that there are not are not shown
        for line in daemon.log:
            assert line.endswith("\n")
            assert line[:-1].isprintable(), line
            if form == "json":
                assert set(json.loads(line)) == {"time", "level", "logger", "message"}
            else:
                assert re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+0000 \[[\w.#-]+\] ", line), line
                assert not line.startswith("2026-01-01T00:00:00")
