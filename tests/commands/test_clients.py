"""CLIENT: who is connected, how a client is called, and what it wants to hear."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from harness import FIRST_PORT
from parties import Party, request


@pytest.fixture
def party() -> Iterator[Party]:
    party = Party()
    yield party
    assert party.house.remains() == {}


def fields(line: str) -> dict[str, str]:
    """The fields of a client's line."""
    return dict(field.split("=", 1) for field in line.split())


def listed(party: Party, name: str, options: str = "") -> list[dict[str, str]]:
    (text,) = party.says(name, f"CLIENT LIST {options}")
    return [fields(line) for line in json.loads(text).splitlines()]


class TestInfo:
    def test_tells_what_redis_tells_in_its_order(self, party: Party) -> None:
        assert party.says("a", "CLIENT INFO") == [
            json.dumps(
                f"id=1 addr=127.0.0.1:{FIRST_PORT} laddr=127.0.0.1:65432 fd=-1 name= age=0 idle=0 "
                "flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 "
                "multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd=client|info "
                "user=default redir=-1 resp=2 auth=1 failures=0 tls=0\n"
            )
        ]

    def test_is_verbatim_text_in_resp3(self, party: Party) -> None:
        party.says("a", "HELLO 3")
        (told,) = party.says("a", "CLIENT INFO")
        assert told.startswith("=id=1 addr=")
        assert " resp=3 " in told

    def test_is_an_object_in_the_text_dialect(self, party: Party) -> None:
        told = json.loads(party.house.connect().asks(b"client info\n"))["result"]
        assert (told["id"], told["cmd"], told["resp"]) == (1, "client|info", 0)

    def test_knows_the_age_of_the_connection_and_of_its_last_request(self, party: Party) -> None:
        party.says("a", "PING")
        party.house.passes(10)
        party.says("a", "GET k")
        party.house.passes(2.5)
        (a, b) = listed(party, "b")
        assert (a["age"], a["idle"], a["cmd"]) == ("12", "2", "get")
        assert (b["age"], b["idle"], b["cmd"]) == ("0", "0", "client|list")

    def test_knows_what_the_client_is_in(self, party: Party) -> None:
        for line in ("CLIENT SETNAME me", "SELECT 3", "MULTI", "SET k value"):
            party.says("a", line)
        for line in ("SUBSCRIBE c d", "PSUBSCRIBE p*", "SSUBSCRIBE s"):
            party.says("b", line)
        party.says("c", "BLPOP list 0")
        party.says("d", "CLIENT NO-EVICT ON")
        party.peer("e")
        by_number = {client["id"]: client for client in listed(party, "d")}
        a, b, c, d, e = (by_number[str(number)] for number in range(1, 6))
        assert (a["name"], a["db"], a["flags"], a["multi"], a["multi-mem"]) == (
            "me", "3", "x", "1", "9",
        )  # fmt: skip
        assert (b["sub"], b["psub"], b["ssub"], b["flags"]) == ("2", "1", "1", "P")
        assert (c["flags"], c["cmd"]) == ("b", "blpop")
        assert d["flags"] == "e"
        assert e["cmd"] == "NULL"

    def test_counts_all_that_waits_and_nothing_that_is_there_in_advance(self, party: Party) -> None:
        for line in ("MULTI", "SET k value"):
            party.says("a", line)
        party.says("b", "BLPOP list 0")
        party.sends("b", "PING")
        a, b, c = listed(party, "c")
        assert (a["qbuf"], a["multi-mem"], a["omem"], a["tot-mem"]) == ("0", "9", "0", "9")
        unread = str(len(request(b"PING")))
        assert (b["qbuf"], b["multi-mem"], b["omem"], b["tot-mem"]) == (unread, "0", "0", unread)
        constant = ("qbuf-free", "argv-mem", "rbs", "rbp", "obl")
        assert {each[name] for each in (a, b, c) for name in constant} == {"0"}


class TestList:
    def test_has_all_clients_in_the_order_in_which_they_came(self, party: Party) -> None:
        for name in "abc":
            party.peer(name)
        assert [client["id"] for client in listed(party, "b")] == ["1", "2", "3"]

    def test_has_nobody_who_is_gone(self, party: Party) -> None:
        party.says("a", "PING")
        party.says("b", "QUIT")
        party.peer("c").vanishes()
        assert [client["id"] for client in listed(party, "a")] == ["1"]

    def test_can_be_of_a_type(self, party: Party) -> None:
        party.says("a", "PSUBSCRIBE c*")
        assert [client["id"] for client in listed(party, "b", "TYPE pubsub")] == ["1"]
        assert [client["id"] for client in listed(party, "b", "type normal")] == ["2"]
        assert listed(party, "b", "TYPE master") == listed(party, "b", "TYPE replica") == []

    def test_can_be_of_some_in_the_order_in_which_they_are_named(self, party: Party) -> None:
        for name in "abc":
            party.peer(name)
        assert [client["id"] for client in listed(party, "a", "ID 3 77 0 1")] == ["3", "1"]

    def test_is_a_list_of_objects_in_the_text_dialect(self, party: Party) -> None:
        told = json.loads(party.house.connect().asks(b"client list\n"))["result"]
        assert [client["cmd"] for client in told] == ["client|list"]

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ("x", "syntax error"),
            ("TYPE", "syntax error"),
            ("TYPE normal x", "syntax error"),
            ("ID", "syntax error"),
            ("TYPE other", "Unknown client type 'other'"),
            ("ID 1 x", "Invalid client ID"),
        ],
    )
    def test_refuses_other_options(self, party: Party, options: str, error: str) -> None:
        assert party.says("a", f"CLIENT LIST {options}") == [f"-ERR {error}"]


class TestWhatAClientSaysOfItself:
    def test_is_its_name(self, party: Party) -> None:
        party.talk("""
            a> CLIENT GETNAME
            a: nil2
            a> CLIENT SETNAME me
            a: +OK
            a> CLIENT GETNAME
            a: "me"
            a> CLIENT SETNAME "a b"
            a: -ERR Client names cannot contain spaces, newlines or special characters.
            a> CLIENT SETNAME ""
            a: +OK
            a> CLIENT GETNAME
            a: nil2
        """)

    def test_is_its_library(self, party: Party) -> None:
        party.talk("""
            a> CLIENT SETINFO LIB-NAME redis-py
            a: +OK
            a> CLIENT SETINFO lib-ver 5.0
            a: +OK
            a> CLIENT SETINFO LIB-VER "5 0"
            a: -ERR lib-ver cannot contain spaces, newlines or special characters.
            a> CLIENT SETINFO LIB x
            a: -ERR Unrecognized option 'LIB'
        """)
        (told,) = listed(party, "a")
        assert (told["lib-name"], told["lib-ver"]) == ("redis-py", "5.0")

    @pytest.mark.parametrize("subcommand", ["NO-EVICT", "NO-TOUCH"])
    def test_is_a_switch(self, party: Party, subcommand: str) -> None:
        assert party.says("a", f"CLIENT {subcommand} on") == ["+OK"]
        assert party.says("a", f"CLIENT {subcommand} off") == ["+OK"]
        assert party.says("a", f"CLIENT {subcommand} x") == ["-ERR syntax error"]

    def test_is_what_newer_clients_say_and_7_0_does_not_know(self, party: Party) -> None:
        assert party.says("a", "CLIENT MAINT_NOTIFICATIONS ON") == [
            "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP."
        ]


class TestReply:
    def test_off_is_silence_until_on(self, party: Party) -> None:
        party.talk("""
            a> CLIENT REPLY OFF
            a> SET k v
            a> NOSUCH
            a> GET
            a> CLIENT REPLY SKIP
            a> PING
            a> CLIENT REPLY ON
            a: +OK
            a> GET k
            a: "v"
        """)

    def test_skip_is_silence_for_the_next_reply(self, party: Party) -> None:
        party.talk("""
            a> CLIENT REPLY SKIP
            a> SET k v
            a> GET k
            a: "v"
            a> CLIENT REPLY SKIP
            a> NOSUCH
            a> CLIENT REPLY SKIP
            a> CLIENT REPLY SKIP
            a> PING
            a> PING
            a: +PONG
            a> CLIENT REPLY SKIP
            a> CLIENT REPLY ON
            a: +OK
        """)

    def test_off_does_not_silence_messages(self, party: Party) -> None:
        party.talk("""
            a> CLIENT REPLY OFF
            a> SUBSCRIBE ch
            a: ["subscribe", "ch", :1]
            b> PUBLISH ch hello
            b: :1
            a: ["message", "ch", "hello"]
        """)

    def test_off_silences_what_is_waited_for(self, party: Party) -> None:
        party.talk("""
            a> CLIENT REPLY OFF
            a> BLPOP list 0
            a> RPUSH other x
            b> LLEN other
            b: :0
            b> RPUSH list x y
            b: :2
            b> LLEN list
            b: :1
            b> LLEN other
            b: :1
        """)

    def test_is_refused_in_a_transaction(self, party: Party) -> None:
        party.says("a", "MULTI")
        assert party.says("a", "CLIENT REPLY OFF") == [
            "-ERR Command not allowed inside a transaction"
        ]

    def test_is_one_of_three(self, party: Party) -> None:
        assert party.says("a", "CLIENT REPLY NONE") == ["-ERR syntax error"]


class TestUnblock:
    def test_ends_a_wait_as_its_time_would(self, party: Party) -> None:
        party.says("a", "BLPOP list 0")
        party.talk("""
            b> CLIENT UNBLOCK 1
            a: nil2[]
            b: :1
            b> CLIENT UNBLOCK 1 TIMEOUT
            b: :0
        """)

    def test_ends_it_with_an_error(self, party: Party) -> None:
        party.says("a", "BLPOP list 0")
        party.talk("""
            b> CLIENT UNBLOCK 1 error
            a: -UNBLOCKED client unblocked via CLIENT UNBLOCK
            b: :1
        """)

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ("x", "value is not an integer or out of range"),
            ("1 other", "CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
            (
                "1 ERROR x",
                "unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.",
            ),
        ],
    )
    def test_refuses_what_is_wrong(self, party: Party, arguments: str, error: str) -> None:
        assert party.says("a", f"CLIENT UNBLOCK {arguments}") == [f"-ERR {error}"]


class TestPause:
    def test_holds_all_until_its_time(self, party: Party) -> None:
        party.says("a", "CLIENT PAUSE 1000")
        assert party.says("b", "SET k v") == []
        assert party.says("a", "GET k") == []
        party.house.passes(0.9)
        assert party.heard() == {}
        party.house.passes(0.1)
        assert party.heard() == {"a": ['"v"'], "b": ["+OK"]}

    def test_of_writes_holds_what_writes(self, party: Party) -> None:
        for line in ("CLIENT PAUSE 1000 WRITE", "GET k", "MULTI", "GET k", "EXEC"):
            assert party.says("a", line)
        for name, line in (("b", "SET k v"), ("c", "PUBLISH ch x"), ("d", "PFCOUNT k")):
            assert party.says(name, line) == []
        party.talk("""
            e> CLIENT UNPAUSE
            e: +OK
            b: +OK
            c: :0
            d: -WRONGTYPE Key is not a valid HyperLogLog string value.
            b> GET k
            b: "v"
        """)

    def test_holds_a_transaction_that_writes(self, party: Party) -> None:
        party.says("a", "MULTI")
        party.says("a", "SET k v")
        party.says("b", "CLIENT PAUSE 1000 WRITE")
        assert party.says("a", "EXEC") == []
        assert party.says("b", "CLIENT UNPAUSE") == ["+OK"]
        assert party.house.engine.databases[0].values == {b"k": b"v"}

    def test_lets_go_in_the_order_of_arrival(self, party: Party) -> None:
        party.says("a", "CLIENT PAUSE 1000")
        for name in "cba":
            party.says(name, f"RPUSH list {name}")
        party.house.passes(1)
        party.heard()
        assert party.says("a", "LRANGE list 0 -1") == ['["c", "b", "a"]']

    def test_is_not_shortened_nor_weakened_by_another(self, party: Party) -> None:
        party.sends("a", "CLIENT PAUSE 1000 WRITE")
        party.sends("b", "CLIENT PAUSE 10 ALL")
        party.heard()
        assert party.says("c", "GET k") == []
        party.house.passes(0.5)
        assert party.heard() == {}
        party.house.passes(0.5)
        assert party.heard() == {"c": ["nil2"]}

    def test_of_all_stays_one_of_all(self, party: Party) -> None:
        party.says("a", "CLIENT PAUSE 1000 ALL")
        party.house.server.pause.begin(2000, only_writes=True)
        assert party.says("b", "GET k") == []
        party.house.passes(1.9)
        assert party.heard() == {}
        party.house.passes(0.1)
        assert party.heard() == {"b": ["nil2"]}

    def test_that_is_over_leaves_nothing_to_the_next(self, party: Party) -> None:
        party.says("a", "CLIENT PAUSE 1000 ALL")
        party.house.passes(1)
        party.says("a", "CLIENT PAUSE 10 WRITE")
        assert party.says("b", "GET k") == ["nil2"]
        party.house.passes(0.01)
        assert party.says("b", "SET k v") == ["+OK"]

    def test_forgets_what_a_client_asked_that_goes(self, party: Party) -> None:
        party.says("a", "CLIENT PAUSE 1000")
        party.says("b", "SET k v")
        party.peer("b").vanishes()
        party.house.passes(1)
        assert party.says("a", "GET k") == ["nil2"]

    def test_that_ends_in_a_transaction_does_not_interrupt_it(self, party: Party) -> None:
        for line in ("MULTI", "GET k", "CLIENT UNPAUSE", "GET k"):
            party.says("a", line)
        party.says("b", "CLIENT PAUSE 1000 WRITE")
        party.says("c", "SET k v")
        party.talk("""
            a> EXEC
            a: [nil2, +OK, nil2]
            c: +OK
        """)

    def test_that_is_ended_by_one_whom_a_held_request_kills_ends_that_one_alone(
        self, party: Party
    ) -> None:
        a, number = party.peer("a"), party.number("a")
        for line in ("MULTI", "SET k v", f"CLIENT KILL ID {number}"):
            party.says("b", line)
        party.says("c", "CLIENT PAUSE 1000 WRITE")
        party.says("b", "EXEC")
        a.sends(request(b"CLIENT", b"UNPAUSE") + request(b"CLIENT", b"TRACKING", b"ON"))
        assert party.heard() == {"a": ["+OK", "+OK", "closed"], "b": ["[+OK, :1]"]}

    def test_lets_quit_through(self, party: Party) -> None:
        party.says("a", "CLIENT PAUSE 1000")
        assert party.says("b", "QUIT") == ["+OK", "closed"]

    def test_before_a_wait_is_answered_when_that_is_over(self, party: Party) -> None:
        party.says("a", "CLIENT PAUSE 1000")
        party.says("b", "BLPOP list 0")
        party.house.passes(1)
        party.talk("""
            a> RPUSH list x
            a: :1
            b: ["list", "x"]
        """)

    def test_holds_what_was_sent_behind(self, party: Party) -> None:
        a = party.peer("a")
        a.sends(request(b"CLIENT", b"PAUSE", b"1000") + request(b"INCR", b"n") * 2)
        assert party.heard() == {"a": ["+OK"]}
        party.house.passes(1)
        assert party.heard() == {"a": [":1", ":2"]}

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ("x", "timeout is not an integer or out of range"),
            ("-1", "timeout is negative"),
            ("x SOME", "CLIENT PAUSE mode must be WRITE or ALL"),
            (
                "1 ALL x",
                "unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.",
            ),
        ],
    )
    def test_refuses_what_is_wrong(self, party: Party, arguments: str, error: str) -> None:
        assert party.says("a", f"CLIENT PAUSE {arguments}") == [f"-ERR {error}"]
