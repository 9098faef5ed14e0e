"""The command line, and what is said about one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.testing import MemoryReactor
from twisted.python.usage import UsageError

from memdbd.client.options import MANUAL, Options, client_endpoint


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--timeuot", "3"], "there is no option --timeuot; did you mean --timeout?"),
        (["--conect=tcp:a:1"], "there is no option --conect; did you mean --connect?"),
        (["--verbose"], "there is no option --verbose"),
        (["-x"], "there is no option -x"),
        (["-t", "abc"], "--timeout must be a number of seconds, not 'abc'; 0 is no limit"),
        (["-t", "-1"], "--timeout must be a number of seconds, not '-1'; 0 is no limit"),
        (["-t", "inf"], "--timeout must be a number of seconds, not 'inf'; 0 is no limit"),
        (["-t"], "option -t requires argument"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        Options().parseOptions(words)
    assert str(raised.value) == complaint


def test_what_follows_the_options_are_the_words_of_a_command() -> None:
    options = Options()
    options.parseOptions(["-t", "0.5", "set", "k", "-1", "\udcff"])
    assert (options["timeout"], options.words) == (0.5, [b"set", b"k", b"-1", b"\xff"])


@pytest.mark.parametrize("text", ["tcp:127.0.0.1:6543", "127.0.0.1:6543"])
def test_a_host_and_a_port_are_tcp(text: str) -> None:
    reactor = MemoryReactor()
    endpoint = client_endpoint(reactor, text)
    assert isinstance(endpoint, TCP4ClientEndpoint)
    assert (endpoint._host, endpoint._port) == ("127.0.0.1", 6543)


@pytest.mark.parametrize(
    "text", ["tcp:localhost", "tcp:65432", "tcp", "tcp:a:b", ":1", "localhost", "unxi:/run/s", ""]
)
def test_no_endpoint_is_told_one_that_is(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        client_endpoint(MemoryReactor(), text)
    assert str(raised.value) == (
        "--connect must be an endpoint, such as tcp:127.0.0.1:65432 or unix:/run/memdbd.sock,"
        f" not {text!r}"
    )


def test_certificates_that_cannot_be_read_are_told_what_they_must_be(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    for roots in tmp_path / "none", tmp_path, tmp_path / "bad.pem":
        with pytest.raises(UsageError, match=r"trustRoots must be a directory with only \.pem"):
            client_endpoint(MemoryReactor(), f"tls:localhost:1:trustRoots={roots}")


def test_the_manual_fits_a_screen() -> None:
    assert max(map(len, MANUAL.split("\n"))) < 80
