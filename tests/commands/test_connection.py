"""The connection itself: is it there, how is spoken, who speaks, and its end."""

from __future__ import annotations

import pytest
from helpers_pure import World, conversation
from parties import Party

from memdbd.commands.spec import Flag
from memdbd.commands.table import COMMANDS, CONTAINERS

SELF = (
    '"server": "redis", "version": "7.0.15", "proto": :{proto}, "id": :1, "mode": "standalone", '
    '"role": "master", "modules": []'
)
IN_RESP2 = f"[{SELF.format(proto=2)}]".replace(": ", ", ")
IN_RESP3 = f"{{{SELF.format(proto=3)}}}"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def party() -> Party:
    return Party()


class TestPing:
    def test_answers_pong_or_the_message(self, world: World) -> None:
        conversation(
            world,
            """
            > ping
            {"result": "PONG"}
            > ping hello out there
            {"result": "hello out there"}
            > PING "hello"
            {"result": "hello"}
            """,
        )

    def test_takes_one_message_in_resp(self, party: Party) -> None:
        party.talk("""
            a> PING
            a: +PONG
            a> PING hello
            a: "hello"
            a> PING a b
            a: -ERR wrong number of arguments for 'ping' command
        """)

    def test_looks_like_a_message_to_who_listens_in_resp2(self, party: Party) -> None:
        party.talk("""
            a> SUBSCRIBE ch
            a: ["subscribe", "ch", :1]
            a> PING
            a: ["pong", ""]
            a> PING hello
            a: ["pong", "hello"]
        """)

    def test_does_not_in_resp3(self, party: Party) -> None:
        party.says("a", "HELLO 3")
        party.says("a", "SUBSCRIBE ch")
        assert party.says("a", "PING") == ["+PONG"]


def test_echo_answers_the_message(world: World) -> None:
    conversation(
        world,
        r"""
        > echo  Hello   World
        {"result": "Hello   World"}
        > echo "a\tb"
        {"result": "a\tb"}
        """,
    )
    assert world.ask("echo") == {
        "error": "wrong number of arguments for 'echo' command; usage: echo <message…>; "
        "a value with blanks goes in quotes"
    }


class TestHelp:
    def test_shows_all_commands_with_their_summaries(self, world: World) -> None:
        shown = world.ask("help")["result"]
        commands = {command.text.usage: command.summary for command in COMMANDS.values()}
        assert shown.items() >= commands.items()
        assert len(shown) == len(commands) + len(CONTAINERS)
        assert shown["echo <message…>"] == "Answer the message"

    @pytest.mark.parametrize("name", ["get", "GET", "Get"])
    def test_shows_one_command_whatever_its_case(self, world: World, name: str) -> None:
        assert world.say(f"help {name}") == '{"result": {"get <key>": "The value of a key"}}'

    def test_shows_what_stands_behind_a_word(self, world: World) -> None:
        assert world.ask("help client")["result"]["client getname"]
        assert world.ask("help")["result"]["client <subcommand> …"] == "See help client"

    def test_knows_what_was_meant(self, world: World) -> None:
        assert world.ask("help gte") == {"error": "unknown command 'gte', did you mean 'get'?"}


class TestHello:
    def test_tells_about_the_server_in_the_protocol_that_is_spoken(self, party: Party) -> None:
        assert party.says("a", "HELLO") == [IN_RESP2]
        assert party.says("a", "HELLO 2") == [IN_RESP2]

    def test_changes_the_protocol_with_its_own_reply(self, party: Party) -> None:
        assert party.says("a", "HELLO 3") == [IN_RESP3]
        assert party.says("a", "GET missing") == ["nil"]
        assert party.says("a", "HELLO") == [IN_RESP3]
        assert party.says("a", "HELLO 2") == [IN_RESP2]
        assert party.says("a", "GET missing") == ["nil2"]

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ("x", "-ERR Protocol version is not an integer or out of range"),
            ("1", "-NOPROTO unsupported protocol version"),
            ("4 SETNAME a", "-NOPROTO unsupported protocol version"),
            ("3 NONSENSE", "-ERR Syntax error in HELLO option 'NONSENSE'"),
            ("3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"),
            ("3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'"),
            (
                "3 SETNAME 'a b'",
                "-ERR Client names cannot contain spaces, newlines or special characters.",
            ),
            (
                "3 AUTH nobody x",
                "-WRONGPASS invalid username-password pair or user is disabled.",
            ),
        ],
    )
    def test_refused_changes_nothing(self, party: Party, arguments: str, error: str) -> None:
        assert party.says("a", f"HELLO {arguments}") == [error]
        assert party.says("a", "GET missing") == ["nil2"]

    def test_says_who_speaks(self, party: Party) -> None:
        assert party.says("a", "HELLO 2 setname me") == [IN_RESP2]
        assert party.says("a", "CLIENT GETNAME") == ['"me"']

    def test_takes_the_name_even_if_something_behind_it_is_wrong(self, party: Party) -> None:
        party.says("a", "HELLO 2 SETNAME me NONSENSE")
        assert party.says("a", "CLIENT GETNAME") == ['"me"']

    @pytest.mark.parametrize(
        "arguments",
        [
            "3 AUTH nobody x SETNAME me",
            "3 AUTH default x SETNAME 'a b'",
        ],
    )
    def test_takes_no_name_from_whoever_could_not_log_in(
        self, party: Party, arguments: str
    ) -> None:
        party.says("a", "CLIENT SETNAME old")
        (reply,) = party.says("a", f"HELLO {arguments}")
        assert reply.startswith("-")
        assert party.says("a", "CLIENT GETNAME") == ['"old"']

    @pytest.mark.parametrize(
        "arguments", ["2 AUTH default x SETNAME me", "2 SETNAME me AUTH default x"]
    )
    def test_takes_the_name_of_who_has_logged_in(self, party: Party, arguments: str) -> None:
        assert party.says("a", f"HELLO {arguments}") == [IN_RESP2]
        assert party.says("a", "CLIENT GETNAME") == ['"me"']

    def test_makes_a_listener_of_resp2_free_again(self, party: Party) -> None:
        party.says("a", "HELLO 3")
        party.says("a", "SUBSCRIBE ch")
        assert party.says("a", "HELLO 2") == [IN_RESP2]
        assert party.says("a", "GET k")[0].startswith("-ERR Can't execute 'get'")

    def test_tells_the_text_dialect_that_it_has_no_versions(self, party: Party) -> None:
        peer = party.house.connect()
        assert b'"proto": 0, "id": 1' in peer.asks(b"hello\n")
        assert peer.asks(b"hello 3\n") == (
            b'{"error": "NOPROTO unsupported protocol version; this connection speaks the text '
            b"dialect; one of RESP begins with '*'\"}\n"
        )


@pytest.mark.parametrize(
    ("arguments", "reply"),
    [
        ("default any", "+OK"),
        ("nobody any", "-WRONGPASS invalid username-password pair or user is disabled."),
        (
            "any",
            "-ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?",
        ),
        ("a b c", "-ERR syntax error"),
        ("", "-ERR wrong number of arguments for 'auth' command"),
    ],
)
def test_auth_accepts_any_password_of_a_user_who_needs_none(
    party: Party, arguments: str, reply: str
) -> None:
    assert party.says("a", f"AUTH {arguments}") == [reply]


class TestReset:
    def test_makes_a_connection_as_good_as_new(self, party: Party) -> None:
        for line in (
            "HELLO 3 SETNAME me",
            "SELECT 3",
            "SUBSCRIBE ch",
            "PSUBSCRIBE p*",
            "SSUBSCRIBE sh",
            "CLIENT TRACKING ON",
            "MONITOR",
            "WATCH k",
            "MULTI",
        ):
            party.says("a", line)
        assert party.says("a", "RESET") == ["+RESET"]
        (told,) = party.says("a", "CLIENT INFO")
        for field in ("name= ", "db=0 ", "sub=0 ", "psub=0 ", "ssub=0 ", "multi=-1 ", "resp=2"):
            assert field in told
        assert "flags=N " in told
        assert "redir=-1 " in told
        assert party.says("a", "EXEC") == ["-ERR EXEC without MULTI"]
        assert not party.house.engine.changes.watchers

    def test_is_heard_after_client_reply_off(self, party: Party) -> None:
        party.says("a", "CLIENT REPLY OFF")
        assert party.says("a", "RESET") == ["+RESET"]
        assert party.says("a", "PING") == ["+PONG"]

    def test_frees_who_only_listens(self, party: Party) -> None:
        party.talk("""
            a> SUBSCRIBE ch
            a: ["subscribe", "ch", :1]
            a> RESET
            a: +RESET
            b> PUBLISH ch hello
            b: :0
            a> GET k
            a: nil2
        """)

    def test_takes_no_arguments(self, party: Party) -> None:
        assert party.says("a", "RESET x") == ["-ERR wrong number of arguments for 'reset' command"]

    def test_leaves_the_text_dialect(self, world: World) -> None:
        assert world.say("reset") == '{"result": "RESET"}'
        assert world.say("echo still here") == '{"result": "still here"}'


class TestTheEnd:
    @pytest.mark.parametrize("line", ["QUIT", "quit now", "EXIT"])
    def test_answers_ok_and_closes(self, party: Party, line: str) -> None:
        assert party.says("a", line) == ["+OK", "closed"]

    @pytest.mark.parametrize("before", ["MULTI", "SUBSCRIBE ch"])
    def test_comes_at_once_whatever_the_connection_is_in(self, party: Party, before: str) -> None:
        party.says("a", before)
        assert party.says("a", "QUIT") == ["+OK", "closed"]

    def test_is_nothing_that_other_commands_bring(self) -> None:
        ends = {name for name, command in COMMANDS.items() if Flag.ENDS in command.flags}
        assert ends - {b"shutdown"} == {b"quit", b"exit"}


class TestWait:
    def test_for_no_replica_is_over_at_once(self, party: Party) -> None:
        assert party.says("a", "WAIT 0 0") == [":0"]
        assert party.says("a", "WAIT -1 0") == [":0"]
        assert party.says("a", f"WAIT 0 {2**63 - 1}") == [":0"]

    def test_for_any_is_in_vain(self, party: Party) -> None:
        assert party.says("a", "WAIT 1 1500") == []
        party.house.passes(1.4)
        assert party.heard() == {}
        party.house.passes(0.1)
        assert party.heard() == {"a": [":0"]}

    def test_can_be_ended_by_another(self, party: Party) -> None:
        party.says("a", "WAIT 1 0")
        party.talk(f"""
            b> CLIENT UNBLOCK {party.number("a")}
            b: :1
            a: :0
        """)

    def test_does_not_wait_in_a_transaction(self, party: Party) -> None:
        party.says("a", "MULTI")
        party.says("a", "WAIT 1 0")
        assert party.says("a", "EXEC") == ["[:0]"]

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ("x 0", "value is not an integer or out of range"),
            ("0 x", "timeout is not an integer or out of range"),
            ("0 -1", "timeout is negative"),
            ("0", "wrong number of arguments for 'wait' command"),
        ],
    )
    def test_needs_numbers(self, party: Party, arguments: str, error: str) -> None:
        assert party.says("a", f"WAIT {arguments}") == [f"-ERR {error}"]
