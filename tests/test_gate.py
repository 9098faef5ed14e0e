"""Who is let in and as whom, as clients see it: whole conversations with a daemon in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from harness import House
from parties import Party
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import capturedLogs, formatEvent

from memdbd import passwords

WRONG = "-WRONGPASS invalid username-password pair or user is disabled."
NOAUTH = "-NOAUTH Authentication required."
NO_KEY = "-NOPERM this user has no permissions to access one of the keys used as arguments"
NO_CHANNEL = "-NOPERM this user has no permissions to access one of the channels used as arguments"
SHA256 = hashlib.sha256(b"secret").hexdigest()


def no_command(name: str) -> str:
    return f"-NOPERM this user has no permissions to run the '{name}' command"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes for a fraction of the time."""
    monkeypatch.setattr(passwords, "COST", 10)


def party_of(**settings: Any) -> Party:
    """Clients of a daemon with these settings; ``admin`` is one who may do everything."""
    party = Party()
    party.house = House(**settings)
    return party


@pytest.fixture
def party() -> Party:
    """There is a user u with the password "secret", and w who needs none."""
    party = Party()
    assert party.says("admin", "ACL SETUSER u on >secret +@all ~u* &u*") == ["+OK"]
    assert party.says("admin", "ACL SETUSER w on nopass +@all ~w* &w*") == ["+OK"]
    return party


class Thread:
    """One that works when it is told to."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, work: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self._waiting.append((work, done))
        return done

    def works(self) -> None:
        ((work, done),) = self._waiting
        self._waiting.clear()
        maybeDeferred(work).chainDeferred(done)


def hold(party: Party) -> Thread:
    """Have passwords looked at when the test says so."""
    thread = Thread()
    party.house.server.gate.checker._hashing._in_thread = thread  # type: ignore[attr-defined]
    return thread


class TestLogIn:
    def test_by_name_and_password(self, party: Party) -> None:
        party.talk("""
            a> ACL WHOAMI
            a: "default"
            a> AUTH u secret
            a: +OK
            a> ACL WHOAMI
            a: "u"
            a> SET u1 x
            a: +OK
        """)

    @pytest.mark.parametrize(
        "line", ["AUTH u wrong", "AUTH nobody secret", "AUTH u ''", "AUTH '' ''"]
    )
    def test_with_the_wrong_ones_nothing_changes(self, party: Party, line: str) -> None:
        party.talk(f"""
            a> {line}
            a: {WRONG}
            a> ACL WHOAMI
            a: "default"
            a> SET anything x
            a: +OK
        """)

    def test_who_is_somebody_stays_that_when_another_log_in_fails(self, party: Party) -> None:
        party.talk(f"""
            a> AUTH w x
            a: +OK
            a> AUTH u wrong
            a: {WRONG}
            a> ACL WHOAMI
            a: "w"
        """)

    @pytest.mark.parametrize("password", ["secret", "", "x"])
    def test_a_user_with_nopass_takes_any_password(self, party: Party, password: str) -> None:
        assert party.says("a", f"AUTH w '{password}'") == ["+OK"]

    def test_a_user_without_a_password_takes_none(self, party: Party) -> None:
        party.says("admin", "ACL SETUSER v on +@all")
        assert party.says("a", "AUTH v ''") == [WRONG]

    def test_one_who_is_off_is_not_let_in(self, party: Party) -> None:
        party.talk(f"""
            admin> ACL SETUSER u off
            admin: +OK
            a> AUTH u secret
            a: {WRONG}
        """)

    def test_nor_one_who_is_switched_off_while_it_is_looked_at(self, party: Party) -> None:
        thread = hold(party)
        assert party.says("a", "AUTH u secret") == []
        assert party.says("admin", "ACL SETUSER u off") == ["+OK"]
        thread.works()
        assert party.heard() == {"a": [WRONG]}

    def test_nor_with_a_password_that_is_taken_away_meanwhile(self, party: Party) -> None:
        thread = hold(party)
        assert party.says("a", "AUTH u secret") == []
        assert party.says("admin", "ACL SETUSER u resetpass") == ["+OK"]
        thread.works()
        assert party.heard() == {"a": [WRONG]}

    def test_what_is_asked_meanwhile_is_asked_by_the_new_user(self, party: Party) -> None:
        party.sends("a", "AUTH u secret")
        party.sends("a", "GET w1")
        party.sends("a", "ACL WHOAMI")
        assert party.heard() == {"a": ["+OK", NO_KEY, '"u"']}

    def test_three_failures_end_the_connection(self, party: Party) -> None:
        for _ in range(2):
            assert party.says("a", "AUTH u wrong") == [WRONG]
            party.house.passes(1)
        party.sends("a", "AUTH u wrong")
        party.sends("a", "AUTH u secret")
        assert party.heard() == {"a": [WRONG, "closed"]}

    @pytest.mark.parametrize(
        ("name", "told"), [("u", "'u'"), ("part-of-a-pass", "an unknown name")]
    )
    def test_and_the_log_names_none_who_is_not_a_user(
        self, party: Party, name: str, told: str
    ) -> None:
        with capturedLogs() as events:
            for _ in range(3):
                party.says("a", f"AUTH {name} phrase")
                party.house.passes(1)
        (line,) = (text for text in map(formatEvent, events) if "log-ins failed" in text)
        assert line.endswith(f"3 log-ins failed, the last one as {told}")

    def test_a_success_between_begins_anew(self, party: Party) -> None:
        for line in ["AUTH u wrong", "AUTH u wrong", "AUTH w x"] * 3:
            (reply,) = party.says("a", line)
            assert reply == ("+OK" if line == "AUTH w x" else WRONG)
            party.house.passes(1)

    def test_hello_may_do_all_at_once(self, party: Party) -> None:
        (reply,) = party.says("a", "HELLO 3 AUTH u secret SETNAME me")
        assert reply.startswith('{"server": "redis"')
        party.talk("""
            a> CLIENT GETNAME
            a: "me"
            a> ACL WHOAMI
            a: "u"
        """)

    def test_hello_does_nothing_where_the_password_is_wrong(self, party: Party) -> None:
        party.talk(f"""
            a> HELLO 3 AUTH u wrong
            a: {WRONG}
            a> ACL WHOAMI
            a: "default"
            a> GET x
            a: nil2
        """)

    def test_reset_goes_back_to_the_beginning(self, party: Party) -> None:
        party.talk("""
            a> AUTH u secret
            a: +OK
            a> RESET
            a: +RESET
            a> ACL WHOAMI
            a: "default"
        """)

    def test_none_inside_a_transaction(self, party: Party) -> None:
        party.talk("""
            a> MULTI
            a: +OK
            a> AUTH u secret
            a: +QUEUED
            a> EXEC
            a: [-ERR a password cannot be looked at inside a transaction]
            a> ACL WHOAMI
            a: "default"
        """)

    def test_client_list_names_the_user(self, party: Party) -> None:
        party.says("a", "AUTH w x")
        (reply,) = party.says("a", "CLIENT INFO")
        assert " user=w " in reply


class TestStranger:
    """Where a password is needed, a client is nobody before it has said one."""

    @pytest.fixture
    def party(self) -> Party:
        return party_of(password="secret")

    @pytest.mark.parametrize(
        "line",
        ["GET x", "PING", "SET x 1", "MULTI", "SUBSCRIBE x", "CONFIG GET *", "CONFIG", "NOSUCH",
         "ACL WHOAMI", "COMMAND", "CLIENT ID", "EXEC", "SHUTDOWN", "HELP"],
    )  # fmt: skip
    def test_is_told_to_log_in_and_nothing_else(self, party: Party, line: str) -> None:
        assert party.says("a", line) == [NOAUTH]

    def test_logs_in_with_the_password_alone(self, party: Party) -> None:
        assert party.says("a", "AUTH wrong") == [WRONG]
        party.house.passes(1)
        party.talk(f"""
            b> AUTH secret
            b: +OK
            b> GET x
            b: nil2
            a> GET x
            a: {NOAUTH}
        """)

    def test_is_one_again_after_reset(self, party: Party) -> None:
        party.talk(f"""
            a> AUTH default secret
            a: +OK
            a> RESET
            a: +RESET
            a> GET x
            a: {NOAUTH}
        """)

    def test_greets_only_with_a_password(self, party: Party) -> None:
        (reply,) = party.says("a", "HELLO 3")
        assert reply.startswith(
            "-NOAUTH HELLO must be called with the client already authenticated"
        )
        (reply,) = party.says("a", "HELLO 3 AUTH default secret")
        assert reply.startswith("{")

    def test_without_a_password_there_is_none_to_be_said(self) -> None:
        (reply,) = party_of().says("a", "AUTH secret")
        assert reply.startswith("-ERR AUTH <password> called without any password configured")

    def test_in_the_text_dialect(self, party: Party) -> None:
        peer = party.house.connect()
        assert b'"error": "NOAUTH Authentication required; log in first' in peer.asks(b"get x\n")
        assert peer.asks(b"auth default secret\n") == b'{"result": "OK"}\n'
        assert peer.asks(b"get x\n") == b'{"result": null, "ttl_remaining": null}\n'

    def test_a_password_that_is_set_later_makes_strangers_of_those_who_come_then(self) -> None:
        party = party_of()
        party.talk(f"""
            old> PING
            old: +PONG
            admin> ACL SETUSER default resetpass >secret
            admin: +OK
            old> PING
            old: +PONG
            new> PING
            new: {NOAUTH}
            new> AUTH secret
            new: +OK
        """)


class TestChanges:
    """They take effect on connections that are open."""

    def test_rules_that_are_new_count_at_once(self, party: Party) -> None:
        party.talk(f"""
            a> AUTH w x
            a: +OK
            a> SET w1 x
            a: +OK
            admin> ACL SETUSER w -set %R~v*
            admin: +OK
            a> SET w1 x
            a: {no_command("set")}
            a> GET v1
            a: nil2
            a> GETDEL v1
            a: {NO_KEY}
        """)

    def test_also_between_requests_that_came_together(self, party: Party) -> None:
        party.says("a", "AUTH w x")
        for line in "SET w1 x", "ACL SETUSER w -@all", "SET w1 y", "PING":
            party.sends("a", line)
        assert party.heard() == {"a": ["+OK", "+OK", no_command("set"), no_command("ping")]}

    def test_one_who_is_deleted_is_cut(self, party: Party) -> None:
        party.talk("""
            a> AUTH w x
            a: +OK
            b> AUTH u secret
            b: +OK
            admin> ACL DELUSER w
            admin: :1
            a: closed
            b> PING
            b: +PONG
        """)

    def test_so_is_one_who_is_switched_off(self, party: Party) -> None:
        party.talk("""
            a> AUTH w x
            a: +OK
            admin> ACL SETUSER w off
            admin: +OK
            a: closed
        """)

    def test_what_was_not_answered_yet_is_not_run(self, party: Party) -> None:
        party.says("a", "AUTH w x")
        party.sends("admin", "ACL DELUSER w")
        party.sends("a", "SET w1 x")
        assert party.heard() == {"admin": [":1"], "a": ["closed"]}
        assert party.says("admin", "EXISTS w1") == [":0"]

    def test_who_makes_the_change_gets_the_reply(self, party: Party) -> None:
        party.says("a", "AUTH w x")
        party.sends("a", "ACL DELUSER w")
        party.sends("a", "PING")
        assert party.heard() == {"a": [":1", "closed"]}

    def test_who_switches_himself_off_hears_of_it(self, party: Party) -> None:
        party.says("a", "AUTH w x")
        party.sends("a", "ACL SETUSER w off")
        party.sends("a", "PING")
        assert party.heard() == {"a": ["+OK", "closed"]}

    def test_one_with_the_name_of_one_who_was_deleted_is_another(self, party: Party) -> None:
        party.says("a", "AUTH w x")
        party.says("b", "AUTH w x")
        party.sends("a", "ACL DELUSER w")
        party.sends("admin", "ACL SETUSER w on nopass")
        heard = party.heard()
        assert heard["a"] == [":1", "closed"]
        assert heard["b"] == ["closed"]


class TestTransactions:
    def test_each_request_is_looked_at_again(self, party: Party) -> None:
        changed = (
            "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the "
            "EXEC call. This command is no longer allowed for the following reason: "
        )
        party.talk(f"""
            a> AUTH w x
            a: +OK
            a> MULTI
            a: +OK
            a> SET w1 1
            a: +QUEUED
            a> INCR w2
            a: +QUEUED
            a> PUBLISH w x
            a: +QUEUED
            a> GET wx
            a: +QUEUED
            admin> ACL SETUSER w -incr resetchannels resetkeys ~w1
            admin: +OK
            a> EXEC
            a: [+OK, {changed}no permission to execute the command or subcommand, {changed}no permission to access one of the channels used as arguments to the command, {changed}no permission to touch the specified keys]
        """)  # noqa: E501

    def test_what_is_not_allowed_is_not_queued(self, party: Party) -> None:
        party.talk(f"""
            a> AUTH w x
            a: +OK
            a> MULTI
            a: +OK
            a> SET u1 1
            a: {NO_KEY}
            a> EXEC
            a: -EXECABORT Transaction discarded because of previous errors.
        """)

    def test_who_may_not_exec_ends_it_all_the_same(self, party: Party) -> None:
        party.talk(f"""
            a> AUTH w x
            a: +OK
            a> MULTI
            a: +OK
            a> SET w1 1
            a: +QUEUED
            admin> ACL SETUSER w -exec
            admin: +OK
            a> EXEC
            a: -EXECABORT Transaction discarded because of: {no_command("exec")[1:]}
            a> GET w1
            a: nil2
        """)

    def test_rules_that_change_within_one_count_within_it(self, party: Party) -> None:
        party.talk("""
            a> AUTH w x
            a: +OK
            a> MULTI
            a: +OK
            a> ACL SETUSER w -set
            a: +QUEUED
            a> SET w1 1
            a: +QUEUED
            a> EXEC
            a: [+OK, -NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to execute the command or subcommand]
        """)  # noqa: E501

    def test_who_deletes_himself_within_one_hears_of_it(self, party: Party) -> None:
        party.talk("""
            a> AUTH w x
            a: +OK
            a> MULTI
            a: +OK
            a> ACL DELUSER w
            a: +QUEUED
            a> EXEC
            a: [:1] closed
        """)


class TestWhoWaits:
    def test_loses_the_right_while_he_does(self, party: Party) -> None:
        party.talk(f"""
            a> AUTH w x
            a: +OK
            a> BLPOP w1 0
            b> BLPOP w1 0
            admin> ACL SETUSER w -blpop
            admin: +OK
            admin> RPUSH w1 x
            admin: :1
            a: {no_command("blpop")}
            b: ["w1", "x"]
        """)

    @pytest.mark.parametrize("rule", ["resetkeys", "-blmove", "resetkeys %R~w*", "resetkeys ~w1"])
    def test_whatever_right_it_is(self, party: Party, rule: str) -> None:
        denied = no_command("blmove") if rule == "-blmove" else NO_KEY
        party.talk(f"""
            a> AUTH w x
            a: +OK
            a> BLMOVE w1 w2 LEFT LEFT 0
            b> BLPOP w1 0
            admin> ACL SETUSER w {rule}
            admin: +OK
            admin> RPUSH w1 x
            admin: :1
            a: {denied}
            b: ["w1", "x"]
            admin> EXISTS w1 w2
            admin: :0
        """)

    def test_and_gets_it_back_before_it_matters(self, party: Party) -> None:
        party.talk("""
            a> AUTH w x
            a: +OK
            a> BLPOP w1 0
            admin> ACL SETUSER w -blpop
            admin: +OK
            admin> ACL SETUSER w +blpop
            admin: +OK
            admin> RPUSH w1 x
            admin: :1
            a: ["w1", "x"]
        """)

    def test_is_cut_when_he_is_no_user_any_more(self, party: Party) -> None:
        party.talk("""
            a> AUTH w x
            a: +OK
            a> BLPOP w1 0
            admin> ACL DELUSER w
            admin: :1
            a: closed
            admin> RPUSH w1 x
            admin: :1
            admin> LRANGE w1 0 -1
            admin: ["x"]
        """)

    def test_one_whose_requests_are_held_back_is_looked_at_when_they_are_run(
        self, party: Party
    ) -> None:
        party.talk(f"""
            a> AUTH w x
            a: +OK
            admin> CLIENT PAUSE 60000 WRITE
            admin: +OK
            a> SET w1 x
            admin> ACL SETUSER w -set
            admin: +OK
            admin> CLIENT UNPAUSE
            admin: +OK
            a: {no_command("set")}
        """)


class TestWhoListens:
    @pytest.mark.parametrize(
        ("line", "allowed"),
        [
            ("SUBSCRIBE w1", True),
            ("SUBSCRIBE u1", False),
            ("SUBSCRIBE w1 u1", False),
            ("SSUBSCRIBE w1", True),
            ("SSUBSCRIBE u1", False),
            ("PSUBSCRIBE w*", True),
            ("PSUBSCRIBE w1*", False),
            ("PSUBSCRIBE *", False),
            ("PUBLISH w1 x", True),
            ("PUBLISH u1 x", False),
            ("SPUBLISH u1 x", False),
            ("UNSUBSCRIBE u1", True),
            ("PUNSUBSCRIBE u1", True),
        ],
    )
    def test_needs_the_right_to_each_channel(self, party: Party, line: str, allowed: bool) -> None:
        party.says("a", "AUTH w x")
        replies = party.says("a", line)
        assert (replies == [NO_CHANNEL]) != allowed
        if not allowed:
            assert party.says("admin", "PUBSUB CHANNELS") == ["[]"]
            assert party.says("admin", "PUBSUB NUMPAT") == [":0"]

    @pytest.mark.parametrize("how", ["SUBSCRIBE w1", "PSUBSCRIBE w*", "SSUBSCRIBE w1"])
    @pytest.mark.parametrize("change", ["resetchannels", "off", "resetchannels &w2*"])
    @pytest.mark.parametrize("version", [2, 3])
    def test_is_cut_when_it_is_gone_and_hears_nothing_more(
        self, party: Party, how: str, change: str, version: int
    ) -> None:
        party.says("a", f"HELLO {version} AUTH w x")
        party.says("a", how)
        # In one turn: the message would be on its way before the end of the connection.
        party.sends("admin", "MULTI")
        party.sends("admin", f"ACL SETUSER w {change}")
        party.sends("admin", "PUBLISH w1 secret")
        party.sends("admin", "SPUBLISH w1 secret")
        party.sends("admin", "EXEC")
        heard = party.heard()
        assert heard["admin"][-1] == "[+OK, :0, :0]"
        assert heard["a"] == ["closed"]

    def test_what_was_not_sent_yet_is_not_sent(self, party: Party) -> None:
        party.says("a", "AUTH w x")
        party.says("a", "SUBSCRIBE w1")
        party.peer("a").reads = False
        party.says("admin", "PUBLISH w1 one")
        party.says("admin", "ACL SETUSER w resetchannels")
        party.peer("a").reads = True
        assert "one" not in str(party.heard())
        assert party.peer("a").closed

    def test_stays_where_it_is_not(self, party: Party) -> None:
        party.talk("""
            a> AUTH w x
            a: +OK
            a> SUBSCRIBE w1
            a: ["subscribe", "w1", :1]
            admin> ACL SETUSER w resetchannels &w1 -@all resetkeys
            admin: +OK
            admin> PUBLISH w1 x
            admin: :1
            a: ["message", "w1", "x"]
        """)

    def test_as_another_user_hears_only_what_that_one_may(self, party: Party) -> None:
        party.says("a", "HELLO 3 AUTH w x")
        party.says("a", "SUBSCRIBE w1")
        party.says("admin", "ACL SETUSER v on nopass &w1")
        party.talk("""
            a> AUTH v x
            a: +OK
            admin> PUBLISH w1 x
            admin: :1
            a: >["message", "w1", "x"]
        """)
        party.sends("a", "AUTH u secret")
        party.sends("admin", "PUBLISH w1 y")
        heard = party.heard()
        assert heard["a"][-1] == "closed"
        party.sends("admin", "PUBLISH w1 z")
        assert "z" not in str(party.heard())

    def test_one_who_watches_all_loses_that_too(self, party: Party) -> None:
        party.talk("""
            a> AUTH w x
            a: +OK
            a> MONITOR
            a: +OK
            admin> ACL SETUSER w -monitor
            admin: +OK
            a: closed
            admin> SET secret x
            admin: +OK
        """)


class TestHashes:
    def test_one_of_redis_s_is_upgraded_at_the_next_log_in(self, party: Party) -> None:
        party.says("admin", f"ACL SETUSER v on #{SHA256}")
        party.talk("""
            a> AUTH v secret
            a: +OK
        """)
        user = party.house.server.gate.users.get(b"v")
        assert user is not None
        (hashed,) = user.hashes
        assert hashed.startswith("$scrypt$")
        party.talk("""
            b> AUTH v secret
            b: +OK
            a> ACL WHOAMI
            a: -NOPERM this user has no permissions to run the 'acl|whoami' command
        """)
        assert user.hashes == (hashed,)
        # Those who are there follow the next change.
        party.says("admin", "ACL SETUSER v +acl|whoami")
        assert party.says("a", "ACL WHOAMI") == ['"v"']

    def test_so_it_is_for_all_who_come_at_once(self, party: Party) -> None:
        party.says("admin", f"ACL SETUSER v on #{SHA256}")
        thread = hold(party)
        for name in "abc":
            party.sends(name, "AUTH v secret")
        assert party.heard() == {}
        thread.works()
        assert party.heard() == {"a": ["+OK"], "b": ["+OK"], "c": ["+OK"]}

    def test_a_change_that_was_asked_for_by_one_who_may_not_any_more_is_not_made(
        self, party: Party
    ) -> None:
        """While a password is hashed, time goes by."""
        party.says("a", "AUTH w x")
        thread = hold(party)
        assert party.says("a", "ACL SETUSER evil on >x +@all") == []
        assert party.says("admin", "ACL SETUSER w -acl") == ["+OK"]
        thread.works()
        (reply,) = party.heard()["a"]
        assert reply.startswith("-NOPERM permissions have changed while the password was hashed")
        assert party.says("admin", "ACL USERS") == ['["default", "u", "w"]']

    def test_nor_by_one_who_is_gone(self, party: Party) -> None:
        party.says("a", "AUTH w x")
        thread = hold(party)
        assert party.says("a", "ACL SETUSER evil on >x +@all") == []
        party.says("admin", "ACL DELUSER w")
        thread.works()
        party.heard()
        assert party.says("admin", "ACL USERS") == ['["default", "u"]']


def test_nothing_is_left_of_anybody(party: Party) -> None:
    for name, line in ("a", "BLPOP w1 0"), ("b", "SUBSCRIBE w1"), ("c", "MONITOR"), ("d", "MULTI"):
        party.says(name, "AUTH w x")
        party.says(name, line)
    party.says("admin", "ACL DELUSER w")
    assert party.heard() == {}
    assert party.house.remains() == {}
