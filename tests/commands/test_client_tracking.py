"""Client-side caching: who is told when of which keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from parties import Party, request

from memdbd.effects import NOTHING

KEY_CHANGED = '>["invalidate", ["k"]]'


@pytest.fixture
def party() -> Iterator[Party]:
    """Of ``a``, who speaks RESP3, and ``b``, who does not."""
    party = Party()
    party.says("a", "HELLO 3")
    party.says("b", "PING")
    yield party
    assert party.house.remains() == {}


class TestTheKeysThatAClientReads:
    def test_are_told_of_once_when_they_change(self, party: Party) -> None:
        party.talk("""
            a> CLIENT TRACKING ON
            a: +OK
            b> SET k 0
            b: +OK
            a> GET k
            a: "0"
            b> SET k 1
            b: +OK
            a: >["invalidate", ["k"]]
            b> SET k 2
            b: +OK
        """)

    @pytest.mark.parametrize(
        "change",
        ["DEL k", "EXPIRE k 10", "PEXPIRE k 0", "RENAME k l", "APPEND k x", "MOVE k 1", "EVICT"],
    )
    def test_are_told_of_whatever_changes_them(self, party: Party, change: str) -> None:
        for line in ("SET k v", "CLIENT TRACKING ON", "GET k"):
            party.says("a", line)
        if change == "EVICT":
            party.house.engine.changes.changed(0, "evict", b"k", NOTHING)
        else:
            party.sends("b", change)
        assert party.heard()["a"] == [KEY_CHANGED]

    def test_are_told_of_when_they_expire(self, party: Party) -> None:
        for line in ("SET k v PX 100", "CLIENT TRACKING ON", "GET k"):
            party.says("a", line)
        party.house.passes(1)
        party.says("b", "PING")
        party.sends("b", "GET k")
        assert party.heard() == {"b": ["nil2"], "a": [KEY_CHANGED]}

    def test_count_even_if_they_are_not_there_and_whatever_reads_them(self, party: Party) -> None:
        party.talk("""
            a> CLIENT TRACKING ON
            a: +OK
            a> EXISTS k
            a: :0
            a> MGET l m
            a: [nil, nil]
            b> MSET k 1 l 2 m 3
            b: +OK
            a: >["invalidate", ["k"]] >["invalidate", ["l"]] >["invalidate", ["m"]]
        """)

    def test_are_not_those_that_it_writes(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON")
        party.says("a", "SET k v")
        party.sends("b", "SET k w")
        assert party.heard() == {"b": ["+OK"]}

    def test_are_not_told_of_any_more_when_it_wants_to_hear_of_others(self, party: Party) -> None:
        for line in ("CLIENT TRACKING ON", "GET k", "CLIENT TRACKING OFF"):
            party.says("a", line)
        party.says("a", "CLIENT TRACKING ON BCAST PREFIX other")
        party.sends("b", "SET k v")
        assert party.heard() == {"b": ["+OK"]}

    def test_are_the_same_in_all_databases(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON")
        party.says("a", "GET k")
        party.says("b", "SELECT 1")
        party.sends("b", "SET k v")
        assert party.heard() == {"a": [KEY_CHANGED], "b": ["+OK"]}

    def test_that_the_client_itself_changes_are_told_of_behind_the_reply(
        self, party: Party
    ) -> None:
        party.says("a", "CLIENT TRACKING ON")
        party.says("a", "GET k")
        assert party.says("a", "SET k v") == ["+OK", KEY_CHANGED]

    def test_that_the_client_itself_changes_are_not_told_of_with_noloop(self, party: Party) -> None:
        party.talk("""
            a> CLIENT TRACKING ON NOLOOP
            a: +OK
            a> GET k
            a: nil
            a> SET k v
            a: +OK
            a> GET k
            a: "v"
            b> SET k w
            b: +OK
            a: >["invalidate", ["k"]]
        """)

    def test_count_inside_a_transaction_each_for_itself(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON")
        party.says("a", "GET k")
        for line in ("MULTI", "SET k 1", "GET k", "SET k 2", "GET k"):
            party.says("a", line)
        assert party.says("a", "EXEC") == [
            '[+OK, "1", +OK, "2"]',
            KEY_CHANGED,
            KEY_CHANGED,
        ]
        party.sends("b", "SET k 3")
        assert party.heard()["a"] == [KEY_CHANGED]

    def test_count_if_they_are_read_in_the_same_packet(self, party: Party) -> None:
        party.peer("a").sends(request(b"CLIENT", b"TRACKING", b"ON") + request(b"GET", b"k"))
        party.heard()
        party.sends("b", "SET k v")
        assert party.heard()["a"] == [KEY_CHANGED]

    def test_are_forgotten_with_the_connection(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON")
        party.says("a", "GET k")
        assert party.house.server.trackers.stats() == {
            "tracking_clients": 1,
            "tracking_total_keys": 1,
            "tracking_total_items": 1,
            "tracking_total_prefixes": 0,
        }
        party.peer("a").vanishes()
        assert not any(party.house.server.trackers.stats().values())
        assert party.house.dispatcher.attendants.members == ()
        assert party.house.engine.changes.listeners.members == ()

    def test_are_told_where_one_who_monitors_is_cut_in_the_same_moment(self, party: Party) -> None:
        party.house.factory.limits.subscriber_buffer = 1000
        party.says("m", "MONITOR")
        party.peer("m").reads = False
        party.says("a", "CLIENT TRACKING ON")
        party.says("b", f"SET k {'x' * 70_000}")  # more than the transport of "m" takes
        party.says("a", f"MGET k {'x' * 2000}")  # and this is too much for "m"
        assert party.peer("m").closed
        party.talk(f"""
            b> DEL k
            b: :1
            a: {KEY_CHANGED}
        """)

    def test_are_remembered_when_tracking_is_off_for_a_while(self, party: Party) -> None:
        for line in ("CLIENT TRACKING ON", "GET k", "CLIENT TRACKING OFF", "CLIENT TRACKING ON"):
            party.says("a", line)
        party.sends("b", "SET k v")
        assert party.heard()["a"] == [KEY_CHANGED]

    def test_are_not_told_of_when_tracking_is_off(self, party: Party) -> None:
        for line in ("CLIENT TRACKING ON", "GET k", "CLIENT TRACKING OFF"):
            party.says("a", line)
        party.sends("b", "SET k v")
        assert party.heard() == {"b": ["+OK"]}

    def test_are_bounded_by_telling_that_the_oldest_has_changed(
        self, party: Party, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("memdbd.tracking.MAX_KEYS", 2)
        for line in ("CLIENT TRACKING ON", "GET k", "GET l"):
            party.says("a", line)
        assert party.says("a", "GET m") == ["nil", KEY_CHANGED]

    def test_cannot_be_told_of_in_resp2(self, party: Party) -> None:
        party.says("b", "CLIENT TRACKING ON")
        party.says("b", "GET k")
        party.sends("a", "SET k v")
        assert party.heard() == {"a": ["+OK"]}

    def test_are_told_of_in_the_text_dialect(self, party: Party) -> None:
        peer = party.house.connect()
        peer.asks(b"client tracking on\nget k\n")
        party.says("b", "SET k v")
        assert peer.hears() == b'{"push": ["invalidate", ["k"]]}\n'


class TestAFlush:
    def test_is_told_to_all_who_track_once(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON")
        party.says("b", "MSET k 1 l 2")
        party.says("b", "MOVE l 1")
        party.talk("""
            b> FLUSHALL
            b: +OK
            a: >["invalidate", nil]
            b> FLUSHDB
            b: +OK
            a: >["invalidate", nil]
            a> FLUSHALL
            a: +OK >["invalidate", nil]
        """)

    def test_forgets_the_keys(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON")
        party.says("a", "GET k")
        party.says("b", "FLUSHALL")
        party.sends("b", "SET k v")
        assert party.heard() == {"b": ["+OK"]}

    def test_is_not_what_swapdb_does(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON")
        party.sends("b", "SWAPDB 0 1")
        assert party.heard() == {"b": ["+OK"]}


class TestOptInAndOptOut:
    def test_opting_in_counts_for_the_next_command(self, party: Party) -> None:
        party.talk("""
            a> CLIENT TRACKING ON OPTIN
            a: +OK
            a> GET k
            a: nil
            b> SET k 0
            b: +OK
            a> CLIENT CACHING YES
            a: +OK
            a> CLIENT ID
            a: :1
            a> GET k
            a: "0"
            a> GET l
            a: nil
            b> MSET k 1 l 2
            b: +OK
            a: >["invalidate", ["k"]]
            a> CLIENT CACHING YES
            a: +OK
            a> PING
            a: +PONG
            a> GET k
            a: "1"
            b> SET k 2
            b: +OK
        """)

    @pytest.mark.parametrize("line", ["GET", "NOSUCH"])
    def test_opting_in_counts_for_no_more_than_a_request_that_is_refused(
        self, party: Party, line: str
    ) -> None:
        for each in ("CLIENT TRACKING ON OPTIN", "CLIENT CACHING YES", line, "GET k"):
            party.says("a", each)
        party.sends("b", "SET k v")
        assert party.heard() == {"b": ["+OK"]}

    def test_opting_in_counts_for_a_whole_transaction(self, party: Party) -> None:
        for line in ("CLIENT TRACKING ON OPTIN", "CLIENT CACHING YES", "MULTI", "GET k", "GET l"):
            party.says("a", line)
        party.says("a", "EXEC")
        party.says("a", "GET m")
        party.sends("b", "MSET k 1 l 2 m 3")
        assert party.heard()["a"] == [KEY_CHANGED, '>["invalidate", ["l"]]']

    def test_opting_out_counts_for_the_next_command(self, party: Party) -> None:
        party.talk("""
            a> CLIENT TRACKING ON OPTOUT
            a: +OK
            a> CLIENT CACHING NO
            a: +OK
            a> GET k
            a: nil
            a> GET l
            a: nil
            b> MSET k 1 l 2
            b: +OK
            a: >["invalidate", ["l"]]
        """)

    @pytest.mark.parametrize(
        ("before", "answer", "error"),
        [
            (
                "PING",
                "YES",
                "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN "
                "or OPTOUT mode enabled",
            ),
            (
                "CLIENT TRACKING ON OPTOUT",
                "yes",
                "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ),
            (
                "CLIENT TRACKING ON",
                "no",
                "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ),
            ("CLIENT TRACKING ON OPTIN", "x", "syntax error"),
        ],
    )
    def test_is_said_where_it_means_something(
        self, party: Party, before: str, answer: str, error: str
    ) -> None:
        party.says("a", before)
        assert party.says("a", f"CLIENT CACHING {answer}") == [f"-ERR {error}"]


class TestBroadcasting:
    def test_tells_of_all_keys_with_a_prefix_read_or_not(self, party: Party) -> None:
        party.talk("""
            a> CLIENT TRACKING ON BCAST PREFIX k PREFIX j
            a: +OK
            b> SET k1 x
            b: +OK
            a: >["invalidate", ["k1"]]
            b> SET k1 x
            b: +OK
            a: >["invalidate", ["k1"]]
            b> SET x k
            b: +OK
            b> FLUSHALL
            b: +OK
            a: >["invalidate", nil]
        """)

    def test_tells_in_one_message_what_has_changed_in_a_turn(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON BCAST PREFIX k PREFIX j")
        party.sends("b", "MSET k2 x j2 x k1 x k2 y other z")
        assert party.heard() == {
            "a": ['>["invalidate", ["j2"]]', '>["invalidate", ["k1", "k2"]]'],
            "b": ["+OK"],
        }

    def test_tells_of_all_keys_without_a_prefix(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON BCAST")
        assert party.says("a", "MSET k x other y") == ["+OK", '>["invalidate", ["k", "other"]]']

    def test_spares_with_noloop_who_changed_it_last(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON BCAST NOLOOP")
        assert party.says("a", "SET k v") == ["+OK"]
        party.sends("a", "MSET k 1 l 2")
        party.sends("b", "SET k 3")
        assert party.heard()["a"] == ["+OK", KEY_CHANGED]

    def test_ends_with_tracking(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON BCAST")
        party.says("a", "CLIENT TRACKING OFF")
        party.sends("b", "SET k v")
        assert party.heard() == {"b": ["+OK"]}
        assert party.house.server.trackers.stats()["tracking_total_prefixes"] == 0


class TestRedirection:
    def test_tells_a_listener_of_resp2_in_place_of_the_client(self, party: Party) -> None:
        party.talk("""
            b> SUBSCRIBE __redis__:invalidate
            b: ["subscribe", "__redis__:invalidate", :1]
            a> CLIENT TRACKING ON REDIRECT 2
            a: +OK
            a> GET k
            a: nil
            c> SET k v
            c: +OK
            b: ["message", "__redis__:invalidate", ["k"]]
            c> FLUSHALL
            c: +OK
            b: ["message", "__redis__:invalidate", nil2]
            a> CLIENT GETREDIR
            a: :2
        """)

    def test_tells_a_client_of_resp3_as_itself(self, party: Party) -> None:
        party.says("b", "CLIENT TRACKING ON REDIRECT 1")
        party.says("b", "GET k")
        party.sends("c", "SET k v")
        assert party.heard() == {"a": [KEY_CHANGED], "c": ["+OK"]}

    def test_to_who_does_not_listen_is_in_vain(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON REDIRECT 2")
        party.says("a", "GET k")
        party.sends("c", "SET k v")
        assert party.heard() == {"c": ["+OK"]}

    def test_to_who_has_gone_is_told_to_the_client(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON REDIRECT 2")
        party.says("b", "QUIT")
        party.talk("""
            a> GET k
            a: nil
            c> SET k v
            c: +OK
            a: >["tracking-redir-broken", :2]
            a> CLIENT TRACKINGINFO
            a: {"flags": ~["on", "broken_redirect"], "redirect": :2, "prefixes": []}
        """)
        assert "flags=tR" in party.says("a", "CLIENT INFO")[0]


class TestTheOptions:
    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ("x", "syntax error"),
            ("ON x", "syntax error"),
            ("OFF x", "syntax error"),
            ("ON REDIRECT", "syntax error"),
            ("ON REDIRECT x", "value is not an integer or out of range"),
            ("ON REDIRECT 99", "The client ID you want redirect to does not exist"),
            ("x REDIRECT 99", "The client ID you want redirect to does not exist"),
            ("ON REDIRECT 1 REDIRECT 2", "A client can only redirect to a single other client"),
            ("ON PREFIX k", "PREFIX option requires BCAST mode to be enabled"),
            ("ON BCAST OPTIN", "OPTIN and OPTOUT are not compatible with BCAST"),
            ("ON OPTIN OPTOUT", "You can't specify both OPTIN mode and OPTOUT mode"),
            (
                "ON BCAST PREFIX ab PREFIX a",
                "Prefix 'ab' overlaps with another provided prefix 'a'. Prefixes for a single "
                "client must not overlap.",
            ),
        ],
    )
    def test_are_refused_where_they_do_not_go_together(
        self, party: Party, options: str, error: str
    ) -> None:
        assert party.says("a", f"CLIENT TRACKING {options}") == [f"-ERR {error}"]
        assert party.says("a", "CLIENT GETREDIR") == [":-1"]

    @pytest.mark.parametrize(
        ("first", "then", "error"),
        [
            (
                "ON",
                "ON BCAST",
                "You can't switch BCAST mode on/off before disabling tracking for this client, "
                "and then re-enabling it with a different mode.",
            ),
            (
                "ON OPTIN",
                "ON OPTOUT",
                "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, "
                "and then re-enabling it with a different mode.",
            ),
            (
                "ON BCAST PREFIX k",
                "ON BCAST PREFIX ka",
                "Prefix 'ka' overlaps with an existing prefix 'k'. Prefixes for a single client "
                "must not overlap.",
            ),
        ],
    )
    def test_are_refused_where_they_do_not_go_with_those_before(
        self, party: Party, first: str, then: str, error: str
    ) -> None:
        assert party.says("a", f"CLIENT TRACKING {first}") == ["+OK"]
        assert party.says("a", f"CLIENT TRACKING {then}") == [f"-ERR {error}"]
        party.says("a", "CLIENT TRACKING OFF")
        assert party.says("a", f"CLIENT TRACKING {then}") == ["+OK"]

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ("OFF", '{"flags": ~["off"], "redirect": :-1, "prefixes": []}'),
            ("ON NOLOOP", '{"flags": ~["on", "noloop"], "redirect": :0, "prefixes": []}'),
            ("ON OPTIN", '{"flags": ~["on", "optin"], "redirect": :0, "prefixes": []}'),
            (
                "ON BCAST PREFIX k PREFIX j REDIRECT 2",
                '{"flags": ~["on", "bcast"], "redirect": :2, "prefixes": ["j", "k"]}',
            ),
        ],
    )
    def test_are_told_by_trackinginfo(self, party: Party, options: str, told: str) -> None:
        party.says("a", f"CLIENT TRACKING {options}")
        assert party.says("a", "CLIENT TRACKINGINFO") == [told]

    def test_of_prefixes_are_added_up(self, party: Party) -> None:
        party.says("a", "CLIENT TRACKING ON BCAST PREFIX k")
        party.says("a", "CLIENT TRACKING ON BCAST PREFIX j")
        party.sends("b", "MSET k 1 j 2")
        assert party.heard()["a"] == ['>["invalidate", ["j"]]', KEY_CHANGED]

    @pytest.mark.parametrize(
        ("mode", "answer", "told"),
        [("OPTIN", "YES", "caching-yes"), ("OPTOUT", "NO", "caching-no")],
    )
    def test_of_caching_are_told_too(self, party: Party, mode: str, answer: str, told: str) -> None:
        party.says("a", f"CLIENT TRACKING ON {mode}")
        party.says("a", f"CLIENT CACHING {answer}")
        assert party.says("a", "CLIENT TRACKINGINFO") == [
            f'{{"flags": ~["on", "{mode.lower()}", "{told}"], "redirect": :0, "prefixes": []}}'
        ]
