"""DEBUG, as far as it harms nobody."""

from __future__ import annotations

import pytest
from harness import House, Peer
from helpers_pure import World, refusal
from twisted.internet.address import IPv4Address, UNIXAddress


@pytest.fixture
def house() -> House:
    return House(enable_debug_command=True)


def from_address(house: House, host: str) -> Peer:
    peer = house.connect()
    peer.wire.peerAddr = IPv4Address("TCP", host, 7)
    return peer


def test_it_is_refused_unless_a_setting_allows_it() -> None:
    assert refusal(World(), b"debug", b"sleep", b"0").startswith("ERR DEBUG command not allowed.")
    assert b"not allowed" in House().connect().asks(b"debug sleep 0\n")


def test_it_is_refused_from_elsewhere(house: House) -> None:
    assert b"not allowed" in from_address(house, "192.0.2.1").asks(b"debug sleep 0\n")
    assert b"OK" in from_address(house, "127.3.4.5").asks(b"debug sleep 0\n")


def test_it_is_allowed_on_a_unix_socket(house: House) -> None:
    peer = house.connect()
    peer.wire.hostAddr, peer.wire.peerAddr = UNIXAddress("/run/x"), UNIXAddress("")
    assert b"OK" in peer.asks(b"debug sleep 0\n")


def test_sleep_lets_its_own_connection_wait_and_no_other(house: House) -> None:
    sleeper, other = house.connect(), house.connect()
    assert sleeper.asks(b"debug sleep 1.5\nget k\n") == b""
    assert other.asks(b"get k\n") != b""
    house.passes(1.4)
    assert sleeper.hears() == b""
    house.passes(0.2)
    assert sleeper.hears().count(b"\n") == 2


def test_who_leaves_while_he_sleeps_is_not_waited_for(house: House) -> None:
    sleeper = house.connect()
    sleeper.asks(b"debug sleep 60\n")
    before = len(house.clock.getDelayedCalls())
    sleeper.vanishes()
    assert len(house.clock.getDelayedCalls()) < before


@pytest.mark.parametrize("seconds", [b"x", b"-1", b"nan"])
def test_what_is_no_time_is_none(house: House, seconds: bytes) -> None:
    peer = house.connect()
    peer.sends(b"debug sleep %b\n" % seconds)
    house.passes(0.001)
    assert b"OK" in peer.hears()


def test_nothing_else_is_known(house: House) -> None:
    assert b"unknown subcommand or wrong number of arguments for 'jmap'. Try DEBUG HELP." in (
        house.connect().asks(b"debug jmap\n")
    )
