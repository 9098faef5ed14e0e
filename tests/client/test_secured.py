"""``memdb`` against daemons that want a login and TLS: real ones, memdbd and redis-server."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from harness import PATIENCE, Daemon, environment, outcome, tool
from pki import Authority
from twisted.internet.task import Clock

from memdbd.client.login import Login, LoginRefused
from memdbd.client.resp import RespClient, connect

from .test_cli import read_terminal

PASSWORD = "correct horse battery"


def memdb(*words: object, given: bytes = b"", **env: Any) -> tuple[int, bytes, str]:
    """Run it; gives exit status, standard output and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "memdbd.client.cli", *map(str, words)],
        input=given, capture_output=True, env=environment(**env), timeout=PATIENCE, check=False,
        start_new_session=True,  # no terminal, whoever runs the tests
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.decode()


class House(NamedTuple):
    """A daemon with users, that speaks TLS at its second port, and what it knows."""

    plain: str
    tls: str
    directory: Path

    def tls_words(self, *more: str) -> list[str]:
        return ["-c", self.tls, "--tls", "--cacert", f"{self.directory}/ca.pem", *more]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("secured")
    ca = Authority("the CA")
    ca.write_ca(directory)
    Authority("another").write_ca(directory, "other")
    server = ca.issue("it", hosts=["localhost"]).write(directory, "server")
    ca.issue("ann", hosts=[]).write(directory, "ann")
    ca.issue("ann", hosts=[], begins=-9, ends=-2).write(directory, "expired")
    (directory / "users").write_text("user default off\nuser bob on nopass ~* +get\n")
    for words in ["ann", "--rules", "~* &* +@all"], ["bob"]:
        changed = memdb("passwd", "--file", directory / "users", *words, given=PASSWORD.encode())
        assert changed[0::2] == (0, "")
    flags = [
        f"--auth=users:{directory}/users", "--tls-listen=tcp:0:interface=127.0.0.1",
        f"--tls-cert={server.certificate}", f"--tls-key={server.key}",
        f"--tls-ca={directory}/ca.pem", "--tls-clients=optional",
    ]  # fmt: skip
    with Daemon(directory / "data", *flags, listeners=2) as daemon:
        plain, tls = (int(where.rpartition(":")[2]) for where in daemon.where)
        yield House(f"127.0.0.1:{plain}", f"localhost:{tls}", directory)


class TestLogins:
    def test_a_stranger_is_told_how_to_log_in(self, house: House) -> None:
        status, out, said = memdb("-c", house.plain, "get", "a")
        assert status == 1
        assert "NOAUTH Authentication required; log in first" in json.loads(out)["error"]
        assert said == (
            "memdb logs in with --user NAME, and --ask, --password-file FILE or the variable"
            " MEMDB_PASSWORD\n"
        )

    @pytest.mark.parametrize("name", ["MEMDB_PASSWORD", "REDISCLI_AUTH"])
    def test_one_command_is_run_as_the_user(self, house: House, name: str) -> None:
        found = memdb(
            "-c", house.plain, "-u", "ann", "acl", "whoami", **dict[str, Any]({name: PASSWORD})
        )
        assert found == (0, b'{"result": "ann"}\n', "")

    def test_a_password_may_be_in_a_file(self, house: House, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text(f"{PASSWORD}\n")
        file.chmod(0o600)
        words = ("-c", house.plain, "-u", "ann", "--password-file", file)
        assert memdb(*words, given=b"set a 1\nget a\n")[0::2] == (0, "")

    @pytest.mark.parametrize(
        ("words", "given"), [(["get", "a"], b""), ([], b"set a 2\n"), (["export"], b"")]
    )
    def test_a_wrong_one_is_status_1_and_nothing_is_run(
        self, house: House, words: list[str], given: bytes
    ) -> None:
        where = ("-c", house.plain, "-u", "ann")
        status, out, said = memdb(*where, *words, given=given, MEMDB_PASSWORD="wrong")
        assert (status, out) == (1, b"")
        assert said == (
            f"Connecting to {house.plain} failed: the server refuses the login as 'ann':"
            " WRONGPASS invalid username-password pair or user is disabled\n"
        )

    def test_lines_may_log_in_by_themselves(self, house: House) -> None:
        given = f'get a\nauth ann "{PASSWORD}"\nping\n'.encode()
        status, out, _ = memdb("-c", house.plain, given=given)
        replies = [json.loads(line).get("result") for line in out.splitlines()]
        assert (status, replies) == (1, [None, "OK", "PONG"])

    def test_what_a_user_may_not_do_is_an_error_and_no_reason_to_log_in(self, house: House) -> None:
        words = ("-c", house.plain, "-u", "bob", "set", "a", "1")
        status, out, said = memdb(*words, MEMDB_PASSWORD=PASSWORD)
        assert (status, said) == (1, "")
        assert "NOPERM" in json.loads(out)["error"]

    def test_without_a_terminal_nobody_is_asked(self, house: House) -> None:
        status, _, said = memdb("-c", house.plain, "-u", "ann", "ping")
        assert (status, said.count("\n")) == (64, 2)
        assert "--user ann needs a password" in said
        status, _, said = memdb("-c", house.plain, "--ask", "ping")
        assert (status, "there is no terminal" in said) == (64, True)


class TestTerminals:
    """A terminal that memdb belongs to, so that it can ask there."""

    @pytest.fixture
    def ours(self) -> Iterator[Any]:
        ours, theirs = pty.openpty()
        yield ours, theirs
        os.close(ours)
        os.close(theirs)

    @contextlib.contextmanager
    def started(self, theirs: int, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        take = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
        run = "os.execv(sys.executable, [sys.executable, '-m', 'memdbd.client.cli', *sys.argv[1:]])"
        with subprocess.Popen(
            [sys.executable, "-c", f"{take}; {run}", *words],
            stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    def test_a_password_is_asked_for_and_not_shown(self, house: House, ours: Any) -> None:
        with self.started(ours[1], "-c", house.plain, "-u", "ann", "acl", "whoami") as process:
            shown = read_terminal(ours[0], b"Password of ann: ")
            os.write(ours[0], f"{PASSWORD}\n".encode())
            assert process.communicate(timeout=PATIENCE) == (b'{"result": "ann"}\n', b"")
        assert process.returncode == 0
        assert shown + os.read(ours[0], 1024) == b"Password of ann: \r\n"

    @pytest.mark.parametrize(
        ("end", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
    )
    @pytest.mark.parametrize("words", [["ping"], ["export"], ["passwd"]])
    def test_a_signal_meanwhile_leaves_the_terminal_as_it_was(
        self, house: House, ours: Any, words: list[str], end: signal.Signals, status: int
    ) -> None:
        import termios

        where = [] if words == ["passwd"] else ["-c", house.plain, "--ask"]
        before = termios.tcgetattr(ours[1])
        with self.started(ours[1], *where, *words) as process:
            read_terminal(ours[0], b"assword")
            process.send_signal(end)
            assert process.communicate(timeout=PATIENCE) == (b"", b"")
        assert process.returncode == status
        assert termios.tcgetattr(ours[1]) == before


class TestTLS:
    def test_everything_goes_over_it(self, house: House) -> None:
        words = house.tls_words("-u", "ann")
        found = memdb(*words, "acl", "whoami", MEMDB_PASSWORD=PASSWORD)
        assert found == (0, b'{"result": "ann"}\n', "")
        assert memdb(*words, given=b"set tls 1\n", MEMDB_PASSWORD=PASSWORD)[0] == 0
        status, out, _ = memdb(*words, "export", MEMDB_PASSWORD=PASSWORD)
        assert (status, b'{"key":"tls","value":"1"}' in out) == (0, True)

    def test_a_certificate_of_ours_is_shown(self, house: House) -> None:
        files = [f"--cert={house.directory}/ann.pem", f"--key={house.directory}/ann-key.pem"]
        words = house.tls_words(*files, "-u", "ann", "ping")
        assert memdb(*words, MEMDB_PASSWORD=PASSWORD)[0] == 0

    @pytest.mark.parametrize("given", [b"", b"ping\n"])
    def test_one_that_is_refused_is_told_of(self, house: House, given: bytes) -> None:
        files = [
            f"--cert={house.directory}/expired.pem",
            f"--key={house.directory}/expired-key.pem",
        ]
        words = house.tls_words(*files, *([] if given else ["ping"]))
        status, out, said = memdb(*words, given=given)
        assert (status, out) == (2, b"")
        assert "the server refused our certificate: it has expired\n" in said

    @pytest.mark.parametrize("words", [["ping"], ["export"]])
    @pytest.mark.parametrize(
        ("how", "said"),
        [
            (["--tls"], "is not from a CA that this system trusts: --cacert FILE says which"),
            (["--tls", "--cacert", "{}/other.pem"], "is not from a CA in "),
            (
                ["--tls", "--cacert", "{}/ca.pem", "--sni", "db.example"],
                "is for localhost, not for db.example: --sni NAME says",
            ),
            ([], "the server speaks TLS at this port: use --tls"),
        ],
    )
    def test_a_server_that_is_not_trusted_hears_nothing(
        self, house: House, words: list[str], how: list[str], said: str
    ) -> None:
        options = [word.format(house.directory) for word in how]
        status, out, complaint = memdb("-c", house.tls, *options, *words)
        assert (status, out) == (2, b"")
        assert said in complaint
        assert "SSL routines" not in complaint

    def test_a_port_without_it_is_told_of(self, house: House) -> None:
        status, _, said = memdb("-c", house.plain, "--tls", "--sni", "localhost", "ping")
        assert (status, said) == (
            2,
            f"Connecting to {house.plain} failed: the server closed the connection during the TLS"
            " handshake: is it TLS that it speaks at this port?\n",
        )

    @pytest.mark.parametrize("words", [["ping"], ["export"]])
    def test_an_endpoint_that_would_trust_any_server_is_refused(
        self, house: House, words: list[str]
    ) -> None:
        where = f"ssl:{house.tls}"
        found = memdb("-c", where, "-u", "ann", *words, MEMDB_PASSWORD=PASSWORD)
        assert found[:2] == (64, b"")
        assert "ssl: endpoints do not verify the server" in found[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@contextlib.contextmanager
def redis_tls(directory: Path, *settings: str) -> Iterator[str]:
    """A redis-server that speaks nothing but TLS, and wants certificates; gives its endpoint."""
    port = free_port()
    with subprocess.Popen(
        [
            tool("redis-server"), "--port", "0", "--tls-port", str(port), "--save", "",
            *("--bind", "127.0.0.1", "--dir", str(directory)),
            *("--tls-cert-file", f"{directory}/server.pem"),
            *("--tls-key-file", f"{directory}/server-key.pem"),
            *("--tls-ca-cert-file", f"{directory}/ca.pem", *settings),
        ],
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        log = ""
        for line in process.stdout:
            log += line
            if "Ready to accept connections" in line:
                break
        else:
            pytest.fail(f"redis-server did not start:\n{log}")
        draining = threading.Thread(target=process.stdout.read, daemon=True)
        draining.start()
        try:
            yield f"localhost:{port}"
        finally:
            process.terminate()
            process.wait(PATIENCE)
            draining.join(PATIENCE)


def test_a_redis_server_with_tls_certificates_and_users_is_exported_and_imported(
    house: House, tmp_path: Path
) -> None:
    directory = house.directory
    users = "--user ann on >hunter-2 ~* &* +@all --user default off"
    with redis_tls(directory, *users.split()) as where:
        tls = ("-c", where, "--tls", "--cacert", f"{directory}/ca.pem")
        mine = ("--cert", f"{directory}/ann.pem", "--key", f"{directory}/ann-key.pem")
        password: dict[str, Any] = {"REDISCLI_AUTH": "hunter-2"}
        lines = b'{"key":"a","value":"1"}\n{"end":true,"count":1}\n'
        done = memdb(*tls, *mine, "-u", "ann", "import", given=lines, **password)
        assert done == (0, b"", "1 key imported\n")
        found = memdb("export", *tls, *mine, "-u", "ann", **password)
        assert found == (0, lines, "1 key exported\n")
        # Without them: not let in, and told why, however late.
        for login in ["-u", "ann"], []:
            status, _, said = memdb("export", *tls, *login, **(password if login else {}))
            assert status == 2
            assert "the server wants a certificate: give --cert and --key" in said
        status, _, said = memdb("export", *tls, *mine, "-u", "bob", **password)
        assert (status, "refuses the login as 'bob': WRONGPASS" in said) == (1, True)
        status, _, said = memdb("export", *tls, *mine, "-u", "ann", MEMDB_PASSWORD="wrong")
        assert (status, "refuses the login as 'ann'" in said) == (1, True)


class TestRespLogins:
    """``resp.connect``, with a server of the test's own."""

    def logged_in(self, endpoint: Any, login: Login, said: bytes) -> tuple[bytes, Any]:
        from twisted.internet.defer import ensureDeferred

        connecting = ensureDeferred(connect(Clock(), endpoint, login=login))
        endpoint.accept()
        sent = endpoint.sent()
        endpoint.protocol.dataReceived(said)
        return sent, outcome(connecting)

    def test_a_user_has_a_name_and_the_default_one_none(self, endpoint: Any) -> None:
        for login, sent in [
            (Login("ann", b"x y"), b"*3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$3\r\nx y\r\n"),
            (Login(None, b"x"), b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n"),
        ]:
            asked, client = self.logged_in(endpoint, login, b"+OK\r\n")
            assert asked == sent
            assert isinstance(client, RespClient)

    def test_a_server_that_asks_for_no_password_takes_any(self, endpoint: Any) -> None:
        said = (
            b"-ERR AUTH <password> called without any password configured for the default user."
            b" Are you sure your configuration is correct?\r\n"
        )
        assert isinstance(self.logged_in(endpoint, Login(None, b"x"), said)[1], RespClient)
        assert isinstance(self.logged_in(endpoint, Login("ann", b"x"), said)[1], LoginRefused)

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            (b"-WRONGPASS invalid username-password pair\r\n", "WRONGPASS invalid"),
            (b"-ERR wrong number of arguments for 'auth' command\r\n", "it has no users"),
        ],
    )
    def test_a_refusal_ends_the_connection(self, endpoint: Any, said: bytes, reason: str) -> None:
        _, error = self.logged_in(endpoint, Login("ann", b"x"), said)
        assert isinstance(error, LoginRefused)
        assert reason in str(error)
        assert endpoint.transport.disconnecting
