"""From a command line to a server: who logs in, and how it is spoken with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pki import Authority
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.testing import MemoryReactor, MemoryReactorClock
from twisted.python.usage import UsageError

from memdbd.client import access, asking
from memdbd.client.login import Login
from memdbd.client.options import Options
from memdbd.client.tls import TLS, TLSEndpoint, _Creator

# As Twisted reads them: in any case, the kind behind what is named, and a letter that ſ is the
# small one of.
UNVERIFIED = [
    "ssl:127.0.0.1:1",
    "SSL:127.0.0.1:1",
    "ssl:1",
    "ssl:host=a:port=1:caCertsDir=/none",
    "timeout=1:ssl:127.0.0.1:1",
    r"s\sl:127.0.0.1:1",
    "\u017f\u017fl:127.0.0.1:1",
]


def parsed(*words: str) -> Options:
    options = Options()
    options.parseOptions(words)
    return options


class Logins:
    """What comes of options, with a person at the terminal who types this."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.types: bytes | None = b"typed"
        self.is_terminal = True
        monkeypatch.setattr(access, "ask", self._ask)

    def __call__(self, *words: str, **environment: str) -> Login | None:
        return access.login_of(
            parsed(*words), environment, lambda: self.is_terminal, self.complaints.append
        )

    def refused(self, *words: str, **environment: str) -> str:
        with pytest.raises(UsageError) as raised:
            self(*words, **environment)
        return str(raised.value)

    def _ask(self, prompt: str) -> bytes:
        self.asked.append(prompt)
        if self.types is None:
            raise asking.NoTerminal
        return self.types


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> Logins:
    return Logins(monkeypatch)


@pytest.fixture
def secret(tmp_path: Path) -> Callable[..., str]:
    """A file with this in it; gives its path."""

    def secret(said: str = "filed\n", mode: int = 0o600) -> str:
        file = tmp_path / "password"
        file.write_text(said)
        file.chmod(mode)
        return str(file)

    return secret


class TestLogins:
    def test_without_a_word_about_it_nobody_logs_in(self, login: Logins) -> None:
        assert login() is None
        assert login(MEMDB_PASSWORD="", REDISCLI_AUTH="") is None
        assert login.asked == []

    def test_the_file_goes_before_the_environment(
        self, login: Logins, secret: Callable[..., str]
    ) -> None:
        words = ("--user", "ann", "--password-file", secret())
        assert login(*words, MEMDB_PASSWORD="other") == Login("ann", b"filed")

    def test_our_variable_goes_before_that_of_redis(self, login: Logins) -> None:
        assert login(REDISCLI_AUTH="b") == Login(None, b"b")
        assert login("-u", "ann", MEMDB_PASSWORD="a", REDISCLI_AUTH="b") == Login("ann", b"a")
        assert login.asked == []

    def test_a_user_alone_is_asked_at_a_terminal(self, login: Logins) -> None:
        assert login("--user", "ann") == Login("ann", b"typed")
        assert login.asked == ["Password of ann: "]

    def test_and_told_where_else_to_say_it_without_one(self, login: Logins) -> None:
        login.is_terminal = False
        said = login.refused("--user", "ann")
        for word in ("--user ann", "--password-file", "MEMDB_PASSWORD", "--ask"):
            assert word in said

    def test_who_wants_to_be_asked_is_whatever_the_environment_says(self, login: Logins) -> None:
        login.is_terminal = False  # standard input is not: there may be one all the same
        assert login("--ask", MEMDB_PASSWORD="other") == Login(None, b"typed")
        assert login.asked == ["Password of default: "]

    def test_nobody_to_ask_and_no_answer_are_mistakes(self, login: Logins) -> None:
        login.types = None
        assert login.refused("--ask") == "there is no terminal to ask for the password"
        login.types = b""
        assert login.refused("--ask") == "no password was given"

    def test_two_answers_to_one_question_are_a_mistake(
        self, login: Logins, secret: Callable[..., str]
    ) -> None:
        assert "two answers" in login.refused("--ask", "--password-file", secret())

    def test_a_file_that_gives_no_password_is_named(
        self, login: Logins, secret: Callable[..., str], tmp_path: Path
    ) -> None:
        path = secret("\nsecond line\n")
        assert login.refused("--password-file", path) == (
            f"{path} has no password in its first line"
        )
        none = f"{tmp_path}/none"
        assert login.refused("--password-file", none) == (
            f"cannot read {none}: No such file or directory"
        )

    def test_a_file_that_all_can_read_is_used_with_a_warning(
        self, login: Logins, secret: Callable[..., str]
    ) -> None:
        path = secret(mode=0o644)
        assert login("--password-file", path) == Login(None, b"filed")
        assert login.complaints == [
            f"memdb: all users of this machine can read {path}; chmod 600 changes that"
        ]


class TestTLS:
    def test_there_is_none_unless_it_is_said(self) -> None:
        assert access.tls_of(parsed()) is None
        assert access.tls_of(parsed("--tls")) == TLS()

    def test_what_it_needs_are_options(self) -> None:
        words = ("--cacert", "ca", "--cert", "c", "--key", "k", "--sni", "db.example")
        assert access.tls_of(parsed("--tls", *words)) == TLS("ca", "c", "k", "db.example")

    @pytest.mark.parametrize("name", ["--cacert", "--cert", "--key", "--sni"])
    def test_they_are_nothing_without_it(self, name: str) -> None:
        with pytest.raises(UsageError) as raised:
            access.tls_of(parsed(name, "x"))
        assert str(raised.value) == f"{name} is nothing without --tls"

    @pytest.mark.parametrize("name", ["--cert", "--key"])
    def test_a_certificate_and_its_key_go_together(self, name: str) -> None:
        with pytest.raises(UsageError, match="--cert and --key go together"):
            access.tls_of(parsed("--tls", name, "x"))

    def test_there_is_no_way_to_trust_just_anybody(self) -> None:
        for name in ("--insecure", "-k", "--no-verify", "--tls=no"):
            with pytest.raises(UsageError):
                parsed("--tls", name)


class TestEndpoints:
    def endpoint(self, where: str, tls: TLS | None = None) -> Any:
        return access.client_endpoint(MemoryReactorClock(), where, tls)

    def test_with_tls_it_is_another(self, tmp_path: Path) -> None:
        ca = str(Authority("x").write_ca(tmp_path))
        for where, tls, name in [
            ("db.example:1", TLS(ca), "db.example"),
            ("tcp:127.0.0.1:1", TLS(ca), "127.0.0.1"),
            ("tcp:127.0.0.1:1", TLS(ca, name="db.example"), "db.example"),
            ("unix:/run/memdbd.sock", TLS(ca, name="db.example"), "db.example"),
        ]:
            endpoint = self.endpoint(where, tls)
            assert isinstance(endpoint, TLSEndpoint)
            assert endpoint._name == name

    @pytest.mark.parametrize(
        ("where", "tls", "said"),
        [
            ("unix:/run/s", TLS(), "names no host: --sni NAME says whose certificate is expected"),
            ("tls:db.example:1", TLS(), "speaks TLS by itself: with --tls, say tcp:HOST:PORT"),
            ("TLS:db.example:1", TLS(), "speaks TLS by itself"),
            ("my_db:1", TLS(), "'my_db' can be in no certificate"),
            ("a.example:1", TLS(name="a..b"), "'a..b' can be in no certificate"),
            ("a.example:1", TLS(name="[::1]"), "'[::1]' can be in no certificate"),
            ("a.example:1", TLS(name="a" * 64), "can be in no certificate"),
            ("ä_b:1", TLS(name="db.example"), "'ä_b' can be in no certificate"),
            ("tcp:a:1", TLS(ca="/none"), "cannot read /none: No such file or directory"),
        ],
    )
    def test_what_does_not_go_with_it_is_told(self, where: str, tls: TLS, said: str) -> None:
        with pytest.raises(UsageError) as raised:
            self.endpoint(where, tls)
        assert said in str(raised.value)

    @pytest.mark.parametrize("tls", [None, TLS()])
    @pytest.mark.parametrize("where", UNVERIFIED)
    def test_one_that_would_trust_any_server_is_refused(
        self, where: str, tls: TLS | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(access, "clientFromString", None)  # not even that
        with pytest.raises(UsageError) as raised:
            self.endpoint(where, tls)
        assert str(raised.value) == (
            "ssl: endpoints do not verify the server; say --tls with tcp:HOST:PORT"
        )

    @pytest.mark.parametrize(
        ("where", "host"),
        [
            ("faß.example:1", "xn--fa-hia.example"),
            ("tcp:bücher.example:1", "xn--bcher-kva.example"),
            ("tcp:host=bücher.example:port=1:timeout=3", "xn--bcher-kva.example"),
            ("tcp:1:host=bücher.example", "xn--bcher-kva.example"),
            ("tcp:port=1:bücher.example", "xn--bcher-kva.example"),
            ("tcp:bücher.example:1:host=other", "xn--bcher-kva.example"),
            ("tcp:other:1:host=bücher.example", "other"),
            (r"tcp:\:\:1:1", "::1"),
        ],
    )
    def test_with_tls_the_host_that_is_looked_up_is_the_one_that_is_verified(
        self, where: str, host: str
    ) -> None:
        endpoint = self.endpoint(where, TLS())
        plain = endpoint._plain
        assert isinstance(plain, TCP4ClientEndpoint)
        assert (plain._host, plain._port) == (host, 1)
        found: Any = _Creator(TLS(), endpoint._name)._options
        assert found._hostnameBytes == host.encode()

    @pytest.mark.parametrize("text", ["tcp:127.0.0.1:6543", "127.0.0.1:6543"])
    def test_a_host_and_a_port_are_tcp(self, text: str) -> None:
        endpoint = access.client_endpoint(MemoryReactor(), text)
        assert isinstance(endpoint, TCP4ClientEndpoint)
        assert (endpoint._host, endpoint._port) == ("127.0.0.1", 6543)

    @pytest.mark.parametrize(
        "text",
        [
            "tcp:localhost",
            "tcp:65432",
            "tcp",
            "tcp:a:b",
            ":1",
            "65432",
            "unxi:/run/s",
            "",
            "tcp:a:1\\",
        ],
    )
    def test_no_endpoint_is_told_one_that_is(self, text: str) -> None:
        with pytest.raises(UsageError) as raised:
            self.endpoint(text)
        assert str(raised.value) == (
            "--connect must be an endpoint, such as tcp:127.0.0.1:65432 or"
            f" unix:/run/memdbd.sock, not {text!r}"
        )

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("localhost", "--connect localhost has no port; say --connect localhost:PORT"),
            ("10.0.0.1", "--connect 10.0.0.1 has no port; say --connect 10.0.0.1:PORT"),
            ("redis://db:6379", "--connect takes no URL; say --connect db:6379"),
            ("rediss://db:6379/0", "--connect takes no URL; say --connect db:6379 --tls"),
            ("REDISS://db", "--connect takes no URL; say --connect db:PORT --tls"),
            ("redis://db:x", "--connect takes no URL; say --connect HOST:PORT"),
            ("/run/s", "--connect /run/s is a path; say --connect unix:/run/s"),
        ],
    )
    def test_what_other_programs_would_take_is_told_how_it_is_said_here(
        self, text: str, said: str
    ) -> None:
        for tls in None, TLS():
            with pytest.raises(UsageError) as raised:
                self.endpoint(text, tls)
            assert str(raised.value) == said

    @pytest.mark.parametrize("who", ["ann:hunter2", ":hunter2", "ann:hunter2:x"])
    def test_a_password_in_a_url_is_not_shown_once_more(self, who: str) -> None:
        with pytest.raises(UsageError) as raised:
            self.endpoint(f"rediss://{who}@db:1")
        assert str(raised.value) == (
            "--connect takes no URL; say --connect db:1 --tls; the user with --user, the password"
            " with --ask or --password-file"
        )

    def test_certificates_that_cannot_be_read_are_told_what_they_must_be(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "bad.pem").write_text("no certificate")
        for roots in tmp_path / "none", tmp_path, tmp_path / "bad.pem":
            with pytest.raises(UsageError, match=r"trustRoots must be a directory with only \.pem"):
                self.endpoint(f"tls:localhost:1:trustRoots={roots}")


def test_a_password_is_asked_for_when_all_else_is_right(login: Logins) -> None:
    for words in ["--tls", "--cacert", "/none"], ["-c", "tcp"], ["--cert", "x"]:
        with pytest.raises(UsageError):
            access.access(
                MemoryReactorClock(), parsed("--ask", *words), {}, lambda: True, lambda _: None
            )
    assert login.asked == []
