"""CLIENT KILL: which connections are meant, and their end."""

from __future__ import annotations

import pytest
from harness import FIRST_PORT
from parties import Party, request


@pytest.fixture
def party() -> Party:
    """Of three: the second of them listens."""
    party = Party()
    for name in "abc":
        party.peer(name)
    party.says("b", "SUBSCRIBE ch")
    return party


def address(at: int) -> str:
    return f"127.0.0.1:{FIRST_PORT + at}"


class TestByAddressAlone:
    def test_kills_the_one_and_answers_ok(self, party: Party) -> None:
        party.talk(f"""
            a> CLIENT KILL {address(1)}
            a: +OK
            b: closed
            c> CLIENT KILL {address(1)}
            c: -ERR No such client
        """)

    def test_may_be_oneself(self, party: Party) -> None:
        party.talk(f"""
            a> CLIENT KILL {address(0)}
            a: +OK closed
        """)


class TestByFilters:
    @pytest.mark.parametrize(
        ("filters", "killed"),
        [
            ("ID 2", "b"),
            ("ID 99", ""),
            ("TYPE pubsub", "b"),
            ("TYPE normal", "c"),
            ("TYPE replica", ""),
            (f"ADDR {address(2)}", "c"),
            ("ADDR 1.2.3.4:5", ""),
            ("LADDR 127.0.0.1:65432", "bc"),
            ("LADDR 1.2.3.4:5", ""),
            ("USER default", "bc"),
            ("USER default TYPE normal", "c"),
            ("TYPE normal ID 2", ""),
            ("SKIPME yes", "bc"),
            ("ID 1", ""),
            ("ID 2 ID 3", "c"),  # the last of a kind counts
        ],
    )
    def test_kills_others_that_pass_all(self, party: Party, filters: str, killed: str) -> None:
        party.sends("a", f"CLIENT KILL {filters}")
        gone = {name: ["closed"] for name in killed}
        assert party.heard() == {"a": [f":{len(killed)}"], **gone}

    def test_kills_oneself_last_where_that_is_said(self, party: Party) -> None:
        party.talk("""
            a> CLIENT KILL TYPE normal SKIPME no
            a: :2 closed
            c: closed
        """)

    def test_runs_nothing_of_what_was_sent_behind(self, party: Party) -> None:
        kill = request(b"CLIENT", b"KILL", b"ID", b"1", b"SKIPME", b"NO")
        party.peer("a").sends(kill + request(b"SET", b"k", b"v"))
        assert party.heard() == {"a": [":1", "closed"]}
        assert party.says("c", "GET k") == ["nil2"]

    def test_kills_oneself_behind_the_reply_of_a_transaction(self, party: Party) -> None:
        for line in ("MULTI", "CLIENT KILL ID 1 SKIPME NO", "SET k v"):
            party.says("a", line)
        assert party.says("a", "EXEC") == ["[:1, +OK]", "closed"]

    def test_kills_who_waits_and_loses_nothing(self, party: Party) -> None:
        party.says("c", "BLPOP list 0")
        party.talk("""
            a> CLIENT KILL ID 3
            a: :1
            c: closed
            a> RPUSH list x
            a: :1
            a> LRANGE list 0 -1
            a: ["x"]
        """)

    def test_kills_who_does_not_read(self, party: Party) -> None:
        party.peer("a").sends(request(b"SET", b"k", bytes(1_000_000)))
        party.peer("c").reads = False
        party.sends("c", "GET k")
        party.heard()
        assert party.says("a", "CLIENT KILL ID 3") == [":1"]
        assert party.peer("c").closed

    @pytest.mark.parametrize(
        ("filters", "error"),
        [
            ("ID x", "client-id should be greater than 0"),
            ("ID 0", "client-id should be greater than 0"),
            ("TYPE other", "Unknown client type 'other'"),
            ("USER nobody", "No such user 'nobody'"),
            ("SKIPME perhaps", "syntax error"),
            (f"ADDR {address(1)} NONSENSE", "syntax error"),
            ("NONSENSE x", "syntax error"),
            ("", "wrong number of arguments for 'client|kill' command"),
        ],
    )
    def test_refused_kills_nobody(self, party: Party, filters: str, error: str) -> None:
        party.sends("a", f"CLIENT KILL {filters}")
        assert party.heard() == {"a": [f"-ERR {error}"]}
