"""``memdb`` as a process: its words, its pipes and its exit statuses, against a real daemon."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from memdbd import __version__

from .conftest import ENVIRONMENT

Run = Callable[..., tuple[int, bytes, bytes]]
NOBODY = "tcp:127.0.0.1:1"


@contextmanager
def started(command: list[Any], **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **how,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def read_terminal(fd: int, until: bytes) -> bytes:
    said = b""
    while until not in said:
        assert select.select([fd], [], [], 20)[0], said
        said += os.read(fd, 1024)
    return said


class TestOneCommand:
    def test_words_are_sent_exactly_and_replies_are_json(self, daemon: str, run: Run) -> None:
        assert run(daemon, "set", "exact", 'a  "b" \\n') == (0, b'{"result": "OK"}\n', b"")
        status, out, _ = run(daemon, "get", "exact")
        assert (status, json.loads(out)["result"]) == (0, 'a  "b" \\n')

    def test_words_may_look_like_options(self, daemon: str, run: Run) -> None:
        assert run(daemon, "set", "negative", "-1")[0] == 0
        assert run(daemon, "incr", "negative") == (0, b'{"result": 0}\n', b"")

    def test_words_may_be_any_bytes(self, daemon: str, run: Run) -> None:
        assert run(daemon, "set", b"bin\xff", b"\xfe\n")[0] == 0
        status, out, _ = run(daemon, "get", b"bin\xff")
        assert (status, json.loads(out)["encoding"]) == (0, "base64")

    def test_an_error_reply_is_status_1(self, daemon: str, run: Run) -> None:
        status, out, err = run(daemon, "gte", "a")
        assert (status, err) == (1, b"")
        assert "did you mean 'get'" in json.loads(out)["error"]

    def test_on_a_terminal_the_reply_is_a_python_dict(
        self, daemon: str, memdb: Callable[..., list[str]]
    ) -> None:
        ours, theirs = pty.openpty()
        subprocess.run(
            memdb(daemon, "get", "no such key"), env=ENVIRONMENT, stdout=theirs, check=True
        )
        assert os.read(ours, 200) == b"{'result': None, 'ttl_remaining': None}\r\n"
        os.close(ours)
        os.close(theirs)

    def test_subscribing_prints_messages_until_ctrl_c(
        self, daemon: str, memdb: Callable[..., list[str]], run: Run
    ) -> None:
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            memdb(daemon, "subscribe", "news", "more"), env=ENVIRONMENT, stdout=theirs
        ) as process:
            read_terminal(ours, b"Subscribed to channel: more\r\n")
            run(daemon, "publish", "news", "Hello  \x1b World")
            said = read_terminal(ours, b"World\r\n")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0
        assert said == b"Message from 'news': Hello  \\x1b World\r\n"
        os.close(ours)
        os.close(theirs)

    @pytest.mark.parametrize(
        ("words", "others", "said"),
        [
            (["psubscribe", "n*"], ["publish", "news", "hi"], b'{"pattern": "n*", "channel": '),
            (["ssubscribe", "s"], ["spublish", "s", "hi"], b'{"channel": "s", "message": "hi"}'),
            (["monitor"], ["echo", "watched"], b'{"push": "'),
        ],
    )
    def test_whoever_listens_stays(
        self,
        daemon: str,
        memdb: Callable[..., list[str]],
        run: Run,
        words: list[str],
        others: list[str],
        said: bytes,
    ) -> None:
        with started(memdb(daemon, *words)) as process:
            assert process.stdout is not None
            assert b"OK" in process.stdout.readline()
            run(daemon, *others)
            assert process.stdout.readline().startswith(said)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0

    def test_one_that_waits_may_wait_longer_than_the_timeout(
        self, daemon: str, memdb: Callable[..., list[str]], run: Run
    ) -> None:
        words = "--timeout", "0.2", "blpop", "slow", "0.5"
        with started([*memdb(daemon), *words]) as process:
            out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, b'{"result": null}\n', b"")


class TestTrouble:
    def test_no_connection_is_status_2_and_a_sentence(self, run: Run) -> None:
        for words, given in (["get", "a"], b""), ([], b"get a\n"):
            status, out, err = run(NOBODY, *words, given=given)
            assert (status, out) == (2, b"")
            assert err.startswith(b"Connecting to tcp:127.0.0.1:1 failed: Connection was refused")

    @pytest.mark.parametrize(
        ("said", "complaint"),
        [
            (b"", b"closed by the server"),
            (b"HTTP/1.1 400 Bad Request\r\n", b"not JSON"),
            (b"-ERR Protocol error: unbalanced quotes\r\n", b"this port speaks RESP only"),
            (b'{"result": "never end', b"closed by the server"),
        ],
    )
    def test_a_server_that_gives_no_reply_is_status_2(
        self, run: Run, peer: Any, said: bytes, complaint: bytes
    ) -> None:
        def script(connection: socket.socket) -> None:
            connection.recv(1024)
            connection.sendall(said)

        status, out, err = run(peer(script), "get", "a")
        assert (status, out) == (2, b"")
        assert complaint in err

    def test_a_silent_server_is_waited_for_as_long_as_told(
        self, memdb: Callable[..., list[str]], peer: Any
    ) -> None:
        def script(connection: socket.socket) -> None:
            while connection.recv(1024):
                pass

        command = memdb(peer(script), "--timeout", "0.2", "get", "a")
        with started(command) as process:
            out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (2, b"")
        assert b"no answer in time" in err

    @pytest.mark.parametrize(
        ("words", "complaint"),
        [
            (["--connect", "tcp:host", "ping"], b"such as tcp:127.0.0.1:65432"),
            (["--timeout", "soon", "ping"], b"not 'soon'"),
            (["--timeout", "nan", "ping"], b"number of seconds"),
            (["--verbose"], b"verbose"),
        ],
    )
    def test_a_wrong_command_line_is_status_64_and_says_what_is_right(
        self, run: Run, words: list[str], complaint: bytes
    ) -> None:
        status, out, err = run(NOBODY, *words)
        assert (status, out) == (64, b"")
        assert complaint in err
        assert b"Traceback" not in err

    def test_output_that_cannot_be_written_is_status_74(
        self, daemon: str, memdb: Callable[..., list[str]]
    ) -> None:
        for words in ["ping"], []:
            with open("/dev/full", "wb") as full:
                done = subprocess.run(
                    memdb(daemon, *words), input=b"ping\n", env=ENVIRONMENT, stdout=full,
                    stderr=subprocess.PIPE, check=False, timeout=20,
                )  # fmt: skip
            assert (done.returncode, done.stderr) == (74, b"")

    def test_closed_standard_streams_confuse_nobody(
        self, daemon: str, memdb: Callable[..., list[str]]
    ) -> None:
        command = " ".join(memdb(daemon))
        for shell, status in (f"{command} <&-", 0), (f"echo ping | {command} >&-", 74):
            done = subprocess.run(
                ["sh", "-c", shell], env=ENVIRONMENT, check=False, capture_output=True, timeout=20
            )
            assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"")

    def test_a_signal_is_its_number_and_128(
        self, daemon: str, memdb: Callable[..., list[str]]
    ) -> None:
        with started(memdb(daemon)) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"ping\n")
            process.stdin.flush()
            process.stdout.readline()
            process.terminate()
            assert process.wait(timeout=20) == 143

    @pytest.mark.parametrize(
        ("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
    )
    def test_ending_a_subscription_is_not_worth_a_word(
        self, daemon: str, memdb: Callable[..., list[str]], number: int, status: int
    ) -> None:
        with started(memdb(daemon, "subscribe", "quiet")) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (status, b"", b"")

    @pytest.mark.parametrize("words", [["get", "a"], []])
    def test_nor_is_giving_up_on_a_server_that_is_silent(
        self, memdb: Callable[..., list[str]], peer: Any, words: list[str]
    ) -> None:
        asked = threading.Event()

        def script(connection: socket.socket) -> None:
            while connection.recv(1024):
                asked.set()

        with started(memdb(peer(script), *words)) as process:
            assert process.stdin is not None
            process.stdin.write(b"get a\n")
            process.stdin.flush()
            assert asked.wait(20)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (130, b"", b"")

    def test_a_certificate_that_is_not_trusted_is_a_sentence_with_what_helps(
        self, run: Run, peer: Any, tmp_path: Path
    ) -> None:
        key, certificate, roots = tmp_path / "key.pem", tmp_path / "cert.pem", tmp_path / "roots"
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("openssl is not installed")
        subprocess.run(
            [
                *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        def script(connection: socket.socket) -> None:
            with suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(1024)
                tls.sendall(b'{"result": "PONG"}\n')

        def endpoint() -> str:
            return str(peer(script)).replace("tcp:127.0.0.1", "tls:localhost")

        for words, given in (["ping"], b""), ([], b"ping\n"):
            status, out, err = run(endpoint(), *words, given=given)
            assert (status, out) == (2, b"")
            assert b"certificate is not trusted; to trust it, add :trustRoots=DIR" in err
            assert b"SSL routines" not in err
        roots.mkdir()
        certificate.rename(roots / "cert.pem")
        assert run(f"{endpoint()}:trustRoots={roots}", "ping")[:2] == (0, b'{"result": "PONG"}\n')


class TestTerminals:
    @pytest.mark.parametrize("ours", ["stdin", "stdout", "both"])
    def test_a_terminal_stays_blocking_for_those_who_share_it(
        self, daemon: str, memdb: Callable[..., list[str]], ours: str
    ) -> None:
        # The slave's description is ours and the child's; a non-blocking one is so for both.
        master, slave = pty.openpty()
        stdin, stdout = (
            slave if ours in (name, "both") else subprocess.PIPE for name in ("stdin", "stdout")
        )
        with subprocess.Popen(
            memdb(daemon), env={**ENVIRONMENT, "TERM": "xterm"}, stdin=stdin, stdout=stdout,
            stderr=slave,
        ) as process:  # fmt: skip
            try:
                if process.stdin is not None:
                    process.stdin.write(b"echo shared\n")
                    process.stdin.flush()
                else:
                    os.write(master, b"echo shared\r" if ours == "both" else b"echo shared\n")
                if process.stdout is not None:
                    assert b"shared" in process.stdout.readline()
                else:
                    read_terminal(master, b"'shared'}" if ours == "both" else b'"shared"}')
                assert os.get_blocking(slave)
            finally:
                process.kill()
        os.close(master)
        os.close(slave)


class TestPipes:
    def test_each_line_has_its_reply_in_order(self, daemon: str, run: Run) -> None:
        given = b'set piped two  words\n\nget piped\ngte\n["set", "piped", "a\\nb"]\nget piped'
        status, out, err = run(daemon, given=given)
        assert (status, err) == (1, b"")
        assert [json.loads(line).get("result") for line in out.splitlines()] == [
            "OK", "two  words", None, "OK", "a\nb",
        ]  # fmt: skip

    def test_nothing_is_lost_of_a_large_input(self, daemon: str, run: Run) -> None:
        numbers = range(20_000)
        given = "".join(f"echo {number} {'x' * (number % 100)}\n" for number in numbers).encode()
        status, out, err = run(daemon, given=given)
        assert (status, err) == (0, b"")
        replies = [json.loads(line)["result"] for line in out.splitlines()]
        assert replies == [f"{number} {'x' * (number % 100)}".strip() for number in numbers]

    def test_a_reader_that_leaves_ends_it_quietly(
        self, daemon: str, memdb: Callable[..., list[str]]
    ) -> None:
        command = " ".join(memdb(daemon))
        shell = f"set -o pipefail; seq 100000 | sed s/^/echo\\ / | {command} | head -1"
        done = subprocess.run(
            ["bash", "-c", shell], env=ENVIRONMENT, capture_output=True, check=False, timeout=30
        )
        assert (done.returncode, done.stdout, done.stderr) == (74, b'{"result": "1"}\n', b"")

    def test_standard_input_may_be_a_file(
        self, daemon: str, memdb: Callable[..., list[str]], tmp_path: Any
    ) -> None:
        (tmp_path / "in").write_bytes(b"echo a\necho b")
        with (tmp_path / "in").open("rb") as given, (tmp_path / "out").open("wb") as taken:
            subprocess.run(
                memdb(daemon), env=ENVIRONMENT, stdin=given, stdout=taken, check=True, timeout=20
            )
        assert (tmp_path / "out").read_bytes() == b'{"result": "a"}\n{"result": "b"}\n'


class TestDocumentation:
    def test_help_names_every_exit_status(self, run: Run) -> None:
        status, out, _ = run(NOBODY, "--help")
        assert status == 0
        assert run(NOBODY, "-h") == (0, out, b"")
        for word in (b"--connect", b"--timeout", b"subscribe", b"\n   64", b"\n   74", b"128+"):
            assert word in out

    def test_the_version_is_ours(self, run: Run) -> None:
        assert run(NOBODY, "--version") == (0, f"memdb {__version__}\n".encode(), b"")
