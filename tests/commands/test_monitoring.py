"""MONITOR: what all clients ask for, as it is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import FIRST_PORT
from parties import Party

CLIENT = f"127.0.0.1:{FIRST_PORT + 1}"


class Watched:
    """A client ``m`` who watches, and one ``a`` who is watched."""

    def __init__(self) -> None:
        self.party = Party()
        assert self.party.says("m", "MONITOR") == ["+OK"]

    def sees(self, line: str) -> list[str]:
        """What is shown of a line that ``a`` sends, without when and who."""
        self.party.sends("a", line)
        return [shown.partition("] ")[2] for shown in self.party.heard().get("m", [])]


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.party.says("m", "RESET")
    assert watched.party.house.dispatcher.attendants.members == ()
    assert watched.party.house.remains() == {}


def test_a_line_has_the_time_the_database_the_client_and_the_words(watched: Watched) -> None:
    watched.party.talk(f"""
        a> set k v
        a: +OK
        m: +1700000000.000000 [0 {CLIENT}] "set" "k" "v"
        a> SELECT 3
        a: +OK
        m: +1700000000.000000 [3 {CLIENT}] "SELECT" "3"
    """)


def test_bytes_are_escaped_as_redis_does(watched: Watched) -> None:
    assert watched.sees("'ECHO' '\\\"\n\r\t\a\b\x00\x7f\xff é'") == [
        r'"ECHO" "\\\"\n\r\t\a\b\x00\x7f\xff \xe9"'
    ]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("GET", []),  # was not run
        ("NOSUCH", []),
        ("INCRBY k x", ['"INCRBY" "k" "x"']),  # was, though in vain
        ("BLPOP k 0", ['"BLPOP" "k" "0"']),
        ("CLIENT SETNAME x", ['"CLIENT" "SETNAME" "x"']),
        ("CLIENT LIST", []),  # manages the server
        ("SAVE", []),
        ("AUTH secret", ['"AUTH" "(redacted)"']),
        ("auth user secret", ['"auth" "(redacted)" "(redacted)"']),
        ("HELLO 3", ['"HELLO" "3"']),
        (
            "HELLO 3 SETNAME me AUTH user secret",
            ['"HELLO" "3" "SETNAME" "me" "AUTH" "(redacted)" "(redacted)"'],
        ),
    ],
)
def test_a_request_is_shown(watched: Watched, line: str, shown: list[str]) -> None:
    assert watched.sees(line) == shown


def test_a_transaction_is_shown_when_it_is_run_and_before_exec(watched: Watched) -> None:
    assert watched.sees("MULTI") == ['"MULTI"']
    assert watched.sees("SET k v") == []
    assert watched.sees("AUTH x") == []
    assert watched.sees("EXEC") == ['"SET" "k" "v"', '"AUTH" "(redacted)"', '"EXEC"']
    watched.sees("MULTI")
    assert watched.sees("GET") == []
    assert watched.sees("EXEC") == ['"EXEC"']


def test_what_is_held_by_a_pause_is_shown_when_it_is_run(watched: Watched) -> None:
    watched.party.says("b", "CLIENT PAUSE 1000")
    assert watched.sees("SET k v") == []
    watched.party.house.passes(1)
    assert watched.sees("GET k") == ['"SET" "k" "v"', '"GET" "k"']


def test_who_watches_sees_himself_behind_the_reply(watched: Watched) -> None:
    assert watched.party.says("m", "PING") == [
        "+PONG",
        f'+1700000000.000000 [0 127.0.0.1:{FIRST_PORT}] "PING"',
    ]


def test_who_watches_has_no_business_with_keys(watched: Watched) -> None:
    refusal = ["-ERR Replica can't interact with the keyspace"]
    assert watched.party.says("m", "GET k") == refusal
    assert watched.party.says("m", "SET k v") == refusal


def test_a_second_monitor_is_answered_with_silence(watched: Watched) -> None:
    assert watched.party.says("m", "MONITOR") == []
    watched.party.talk(f"""
        a> PING
        a: +PONG
        m: +1700000000.000000 [0 {CLIENT}] "PING"
    """)


def test_it_cannot_be_part_of_a_transaction(watched: Watched) -> None:
    watched.party.says("a", "MULTI")
    watched.party.says("a", "MONITOR")
    assert watched.party.says("a", "EXEC") == [
        "[-ERR MONITOR isn't allowed for DENY BLOCKING client]"
    ]


def test_reset_and_the_end_of_the_connection_end_it() -> None:
    party = Party()
    party.says("m", "MONITOR")
    party.says("n", "MONITOR")
    assert party.says("m", "RESET") == ["+RESET"]
    party.peer("n").vanishes()
    party.heard()
    party.talk("""
        a> PING
        a: +PONG
    """)
    assert party.house.dispatcher.attendants.members == ()


def test_the_text_dialect_has_it_as_pushed_lines() -> None:
    party = Party()
    watcher = party.house.connect()
    assert watcher.asks(b"monitor\n") == b'{"result": "OK"}\n'
    party.says("a", "GET k")
    assert watcher.hears() == (
        f'{{"push": "1700000000.000000 [0 {CLIENT}] \\"GET\\" \\"k\\""}}\n'.encode()
    )
