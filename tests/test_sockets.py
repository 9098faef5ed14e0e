"""What is set of a connection's socket."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from harness import Wire
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from memdbd.sockets import below, prepare


class Options:
    """A socket that remembers what was set of it."""

    def __init__(self, *, is_lost: bool = False) -> None:
        self.set: dict[int, int] = {}
        self._is_lost = is_lost

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert level == socket.IPPROTO_TCP
        if self._is_lost:
            raise OSError
        self.set[option] = value


class Transport(Wire):
    """A transport of such a socket."""

    def __init__(self, handle: Options) -> None:
        super().__init__(Clock(), 50_000)
        self._handle = handle

    def getHandle(self) -> Options:
        return self._handle


def prepared(transport: Any, keepalive: int) -> Any:
    prepare(transport, keepalive)
    return transport


def test_a_silent_peer_is_asked_three_times() -> None:
    options = Options()
    transport = prepared(Transport(options), 60)
    assert (transport.no_delay, transport.keep_alive) == (True, True)
    assert options.set == {
        socket.TCP_KEEPIDLE: 60,
        socket.TCP_KEEPINTVL: 20,
        socket.TCP_KEEPCNT: 3,
    }


def test_the_times_between_are_a_second_at_least() -> None:
    options = Options()
    prepare(Transport(options), 1)
    assert options.set[socket.TCP_KEEPINTVL] == 1


def test_or_never() -> None:
    options = Options()
    transport = prepared(Transport(options), 0)
    assert (transport.no_delay, transport.keep_alive) == (True, False)
    assert options.set == {}


def test_one_that_is_lost_already_is_no_matter() -> None:
    prepare(Transport(Options(is_lost=True)), 60)


def test_below_tls_too() -> None:
    options = Options()
    prepare(SimpleNamespace(transport=Transport(options)), 60)
    assert options.set


@pytest.mark.parametrize("transport", [StringTransport(), SimpleNamespace(transport=object())])
def test_of_another_kind_nothing_is_set(transport: Any) -> None:
    prepare(transport, 60)


def test_what_is_below_is_what_has_the_socket() -> None:
    plain = StringTransport()
    behind_tls = SimpleNamespace(transport=plain)
    behind_both = SimpleNamespace(transport=behind_tls)  # a proxy's word and TLS
    assert below(plain) is below(behind_tls) is below(behind_both) is plain
