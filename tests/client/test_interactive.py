"""The conversation at the prompt, on a screen of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from memdbd.client.interactive import LEAVING_GRACE, Conversation
from memdbd.client.link import Link
from memdbd.client.login import Login
from memdbd.client.terminal import Terminal


class Person:
    """Sits at the prompt of a client whose server is the test's endpoint."""

    def __init__(
        self, endpoint: Any, screen: Any, login: Login | None = None, *, asks: bool = True
    ) -> None:
        self.endpoint = endpoint
        self.screen = screen
        self.clock = Clock()
        self.transport = StringTransport()
        self.terminal = Terminal(lambda: screen.columns, lambda: None)
        self.ended: list[int] = []
        self.talk = Conversation(
            self.clock, self.terminal, done=self.ended.append, timeout=30, asks=asks
        )
        self.terminal.makeConnection(self.transport)
        link = Link(
            self.clock,
            endpoint,
            "tcp:db:1",
            tell=self.talk.tell,
            on_message=self.talk.show_message,
            on_push=self.talk.show_push,
            login=login,
            timeout=30,
        )
        self.talk.start(link)

    def types(self, keys: str) -> None:
        self.terminal.dataReceived(keys.encode())

    def sees(self) -> list[str]:
        self.screen.write(self.transport.value())
        self.transport.clear()
        lines: list[str] = self.screen.lines
        return lines


@pytest.fixture
def person(endpoint: Any, screen: Callable[[int], Any]) -> Person:
    person = Person(endpoint, screen(100))
    endpoint.accept()
    return person


def test_the_session_of_the_manual(person: Person, endpoint: Any) -> None:
    for typed, said in [
        (
            "subscribe notifications",
            [b'{"result": "OK", "action": "subscribe", "channel": "notifications"}'],
        ),
        (
            'publish notifications "Hello World"',
            [b'{"result": "OK"}', b'{"channel": "notifications", "message": "Hello World"}'],
        ),
        ("get username", [b'{"result": "john_doe", "ttl_remaining": null}']),
        ("set_with_ttl temp_token abc123 60", [b'{"result": "OK", "ttl_set": 60}']),
    ]:
        person.types(typed + "\r")
        assert endpoint.sent() == typed.encode() + b"\n"
        endpoint.says(*said)
    assert person.sees() == [
        "> subscribe notifications",
        "Subscribed to channel: notifications",
        "",
        '> publish notifications "Hello World"',
        "{'result': 'OK'}",
        "",
        "Message from 'notifications': Hello World",
        "",
        "> get username",
        "{'result': 'john_doe', 'ttl_remaining': None}",
        "",
        "> set_with_ttl temp_token abc123 60",
        "Setting temp_token = abc123 with TTL of 60 seconds",
        "{'result': 'OK', 'ttl_set': 60}",
        "",
        "> |",
    ]


def test_there_is_no_prompt_until_the_reply_is_there(person: Person, endpoint: Any) -> None:
    person.types("save\rping\r")
    assert person.sees() == ["> save", "|"]
    assert endpoint.sent() == b"save\n"
    endpoint.says(b'{"result": "OK"}')
    assert endpoint.sent() == b"ping\n"


def test_an_error_is_a_reply_like_any_other(person: Person, endpoint: Any) -> None:
    person.types("gte a\r")
    endpoint.says(b'{"error": "unknown command"}')
    assert person.sees() == ["> gte a", "{'error': 'unknown command'}", "", "> |"]


def test_help_keeps_to_the_screen(endpoint: Any, screen: Callable[[int], Any]) -> None:
    person = Person(endpoint, screen(30))
    endpoint.accept()
    person.types("help ttl\r")
    endpoint.says(b'{"result": {"ttl <key>": "Whole seconds until a key expires"}}')
    assert person.sees() == [
        "> help ttl",
        "ttl <key>",
        "    Whole seconds until a key",
        "    expires",
        "",
        "> |",
    ]


def test_blank_lines_are_not_sent(person: Person, endpoint: Any) -> None:
    person.types("\r  \r")
    assert endpoint.sent() == b""
    assert person.sees() == ["> ", ">   ", "> |"]


@pytest.mark.parametrize("leaving", ["exit\r", "QUIT \r", "\x03", "\x04"])
def test_leaving_closes_everything_and_succeeds(
    person: Person, endpoint: Any, leaving: str
) -> None:
    person.types(leaving)
    assert endpoint.sent() == b""
    assert endpoint.transport.disconnecting
    assert person.transport.disconnecting
    person.terminal.connectionLost()
    assert person.ended == [0]
    assert person.sees()[-1] == "|"


def test_a_stuck_terminal_cannot_hold_up_leaving(person: Person) -> None:
    person.talk.leave(143)
    person.clock.advance(LEAVING_GRACE)
    assert person.ended == [143]


def test_a_lost_connection_is_told_above_the_line_being_typed(
    person: Person, endpoint: Any
) -> None:
    person.types("get a")
    endpoint.lose(ConnectionDone())
    person.clock.advance(1)
    endpoint.accept()
    assert person.sees() == [
        "Connection to tcp:db:1 lost: closed by the server, trying again in 1 s",
        "",
        "Connected to tcp:db:1",
        "",
        "> get a|",
    ]


def test_a_command_while_away_says_that_it_was_not_sent(person: Person, endpoint: Any) -> None:
    endpoint.lose(ConnectionDone())
    person.types("set a 1\r")
    assert person.sees()[2:] == [
        "> set a 1",
        "Not connected to tcp:db:1: the command was not sent",
        "",
        "> |",
    ]


def test_a_command_whose_reply_was_lost_may_have_been_carried_out(
    person: Person, endpoint: Any
) -> None:
    person.types("incr n\r")
    endpoint.lose(ConnectionDone())
    assert person.sees() == [
        "> incr n",
        "No reply came: the command may have been carried out",
        "",
        "Connection to tcp:db:1 lost: closed by the server, trying again in 1 s",
        "",
        "> |",
    ]


def test_ctrl_c_stops_waiting_on_a_new_connection(person: Person, endpoint: Any) -> None:
    person.types("blpop q 0\r")
    person.clock.advance(1000)  # as long as it takes
    person.types("\x03")
    assert endpoint.transport.disconnected
    endpoint.accept()
    person.types("ping\r")
    assert endpoint.sent() == b"ping\n"
    endpoint.says(b'{"result": "PONG"}')
    assert person.sees() == [
        "> blpop q 0",
        "^C",
        "No longer waiting for the reply: the command may have been carried out",
        "",
        "> ping",
        "{'result': 'PONG'}",
        "",
        "> |",
    ]


def test_a_reply_that_does_not_come_gives_the_prompt_back(person: Person, endpoint: Any) -> None:
    person.types("save\r")
    person.clock.advance(30)
    endpoint.accept()
    assert person.sees() == [
        "> save",
        "No reply within 30 s: the command may have been carried out",
        "",
        "> |",
    ]


def test_the_prompt_tells_of_the_database_and_of_a_transaction(
    person: Person, endpoint: Any
) -> None:
    for typed, said, prompt in [
        ("select 9", b'{"result": "OK"}', "[9]> |"),
        ("multi", b'{"result": "OK"}', "[9](tx)> |"),
        ("select 3", b'{"result": "QUEUED"}', "[9](tx)> |"),
        ("gte", b'{"error": "unknown command"}', "[9](tx)> |"),
        ("exec", b'{"error": "EXECABORT"}', "[9]> |"),
        ("select 99", b'{"error": "DB index is out of range"}', "[9]> |"),
        ("multi", b'{"result": "OK"}', "[9](tx)> |"),
        ("select 3", b'{"result": "QUEUED"}', "[9](tx)> |"),
        ("exec", b'{"result": [{"result": "OK"}]}', "[3]> |"),
        ("multi", b'{"result": "OK"}', "[3](tx)> |"),
        ("discard", b'{"result": "OK"}', "[3]> |"),
        ("reset", b'{"result": "RESET"}', "> |"),
    ]:
        person.types(typed + "\r")
        endpoint.says(said)
        assert person.sees()[-1] == prompt


def test_a_lost_connection_takes_the_transaction_but_not_the_database(
    person: Person, endpoint: Any
) -> None:
    person.types("select 9\r")
    endpoint.says(b'{"result": "OK"}')
    person.types("multi\r")
    endpoint.says(b'{"result": "OK"}')
    person.types("get a")
    assert person.sees()[-1] == "[9](tx)> get a|"
    endpoint.lose(ConnectionDone())
    assert person.sees()[-1] == "[9]> get a|"


def test_a_shutdown_is_sent(person: Person, endpoint: Any) -> None:
    person.types("shutdown nosave\ryes\r")
    assert endpoint.sent() == b"shutdown nosave\n"
    endpoint.says(b'{"error": "NOSAVE is not possible"}')
    assert person.sees()[-1] == "> |"
    person.types("shutdown\ryes\r")
    assert endpoint.sent() == b"shutdown\n"
    assert person.ended == []


class TestQuestions:
    def test_what_cannot_be_undone_is_done_after_a_yes(self, person: Person, endpoint: Any) -> None:
        person.types("flushall\r")
        assert endpoint.sent() == b""
        person.types(" Yes \r")
        assert endpoint.sent() == b"flushall\n"
        endpoint.says(b'{"result": "OK"}')
        assert person.sees() == [
            "> flushall",
            "flushall deletes all keys of all databases. Go on? (yes/no)  Yes ",
            "{'result': 'OK'}",
            "",
            "> |",
        ]

    @pytest.mark.parametrize("answer", ["no\r", "\r", "yess\r", "flushall\r", "\x03", "\x04"])
    def test_and_after_nothing_else(self, person: Person, endpoint: Any, answer: str) -> None:
        person.types("flushall\r" + answer)
        assert endpoint.sent() == b""
        assert person.sees()[2:] == ["Nothing was done", "", "> |"]
        assert person.ended == []

    def test_the_database_is_the_one_of_the_prompt(self, person: Person, endpoint: Any) -> None:
        person.types("select 9\r")
        endpoint.says(b'{"result": "OK"}')
        person.types("flushdb\r")
        assert person.sees()[-1].startswith("flushdb deletes all keys of database 9. Go on?")

    def test_who_asks_is_the_one_of_the_prompt(self, person: Person, endpoint: Any) -> None:
        person.types("auth ann hunter2\r")
        endpoint.says(b'{"result": "OK"}')
        endpoint.sent()
        person.types("acl setuser default off\r")
        assert endpoint.sent() == b"acl setuser default off\n"
        endpoint.says(b'{"result": "OK"}')
        person.types("acl setuser ann off\r")
        assert endpoint.sent() == b""
        assert person.sees()[-1].startswith("acl setuser 'ann' off is about you")

    def test_who_wants_none_is_asked_none(self, endpoint: Any, screen: Any) -> None:
        person = Person(endpoint, screen(100), asks=False)
        endpoint.accept()
        person.types("flushall\r")
        assert endpoint.sent() == b"flushall\n"

    def test_a_message_meanwhile_disturbs_nothing(self, person: Person, endpoint: Any) -> None:
        person.types("flushall\rye")
        endpoint.says(b'{"channel": "c", "message": "m"}')
        assert person.sees()[-1] == (
            "flushall deletes all keys of all databases. Go on? (yes/no) ye|"
        )
        person.types("s\r")
        assert endpoint.sent() == b"flushall\n"


class TestLogins:
    def test_a_login_comes_before_everything_else(self, endpoint: Any, screen: Any) -> None:
        person = Person(endpoint, screen(100), Login("ann", b"secret"))
        person.types("get a\r")
        endpoint.accept()
        assert endpoint.sent() == b'["auth","ann","secret"]\n'
        assert person.sees() == ["|"]
        endpoint.says(b'{"result": "OK"}')
        assert endpoint.sent() == b"get a\n"
        assert person.sees() == ["ann> get a", "|"]

    def test_one_that_is_refused_ends_it_with_status_1(self, endpoint: Any, screen: Any) -> None:
        person = Person(endpoint, screen(200), Login("ann", b"secret"))
        endpoint.accept()
        endpoint.says(b'{"error": "invalid username-password pair or user is disabled."}')
        person.terminal.connectionLost()
        assert person.ended == [1]
        assert person.sees() == [
            "Connecting to tcp:db:1 failed: the server refuses the login as 'ann': invalid"
            " username-password pair or user is disabled",
            "",
            "|",
        ]
        assert endpoint.transport.disconnected

    def test_one_that_is_typed_is_neither_remembered_nor_left_on_the_screen(
        self, person: Person, endpoint: Any
    ) -> None:
        person.types("get a\r")
        endpoint.says(b'{"error": "Authentication required; log in first"}')
        person.types("auth ann hunter2\r")
        assert endpoint.sent() == b"get a\nauth ann hunter2\n"
        endpoint.says(b'{"result": "OK"}')
        assert person.sees() == [
            "> get a",
            "{'error': 'Authentication required; log in first'}",
            "",
            "> auth ann (redacted)",
            "{'result': 'OK'}",
            "",
            "ann> |",
        ]
        person.types("\x1b[A")
        assert person.sees()[-1] == "ann> get a|"

    def test_the_prompt_says_who_it_is_until_reset(self, person: Person, endpoint: Any) -> None:
        for typed, said, prompt in [
            ("auth ann x", b'{"result": "OK"}', "ann> |"),
            ("select 3", b'{"result": "OK"}', "ann[3]> |"),
            ("auth bob x", b'{"error": "invalid username-password pair"}', "ann[3]> |"),
            ("auth x", b'{"result": "OK"}', "[3]> |"),
            (r'auth "b\x1bb" x', b'{"result": "OK"}', "b\\x1bb[3]> |"),
            ("reset", b'{"result": "RESET"}', "> |"),
        ]:
            person.types(typed + "\r")
            endpoint.says(said)
            assert person.sees()[-1] == prompt


def test_unsubscribing_tells_of_the_patterns_that_are_left(person: Person, endpoint: Any) -> None:
    person.types("psubscribe n*\r")
    endpoint.says(b'{"result": "OK", "action": "psubscribe", "channel": "n*"}')
    person.types("unsubscribe\r")
    endpoint.says(b'{"result": "OK", "action": "unsubscribe", "channel": []}')
    assert person.sees() == [
        "> psubscribe n*",
        "Subscribed to pattern: n*",
        "",
        "> unsubscribe",
        "Not subscribed to any channel",
        "Still subscribed to pattern: n*",
        "",
        "> |",
    ]


def test_what_is_pushed_is_shown(person: Person, endpoint: Any) -> None:
    endpoint.says(
        b'{"push": ["invalidate", ["k"]]}',
        rb'{"push": "1.5 [0 127.0.0.1:1] \"ping\""}',
        b'{"pattern": "n*", "channel": "news", "message": "hi"}',
    )
    assert person.sees() == [
        "{'push': ['invalidate', ['k']]}",
        "",
        '1.5 [0 127.0.0.1:1] "ping"',
        "",
        "Message from 'news' (pattern 'n*'): hi",
        "",
        "> |",
    ]


def test_the_prompt_waits_for_the_first_connection(
    endpoint: Any, screen: Callable[[int], Any]
) -> None:
    person = Person(endpoint, screen(100))
    person.types("ping\r")
    assert person.sees() == ["|"]
    endpoint.accept()
    assert endpoint.sent() == b"ping\n"


def test_the_prompt_comes_without_a_server_too(endpoint: Any, screen: Callable[[int], Any]) -> None:
    person = Person(endpoint, screen(100))
    endpoint.refuse(ConnectionRefusedError())
    assert person.sees()[-1] == "> |"
    assert "trying again in 1 s" in person.sees()[0]


def test_ctrl_c_while_connecting_leaves(endpoint: Any, screen: Callable[[int], Any]) -> None:
    person = Person(endpoint, screen(100))
    person.types("\x03")
    person.terminal.connectionLost()
    assert person.ended == [0]


def test_what_others_publish_cannot_command_the_terminal(person: Person, endpoint: Any) -> None:
    endpoint.says(b'{"channel": "a\\u001b[2J", "message": "\\u001b]0;pwned\\u0007"}')
    assert person.sees()[0] == r"Message from 'a\x1b[2J': \x1b]0;pwned\x07"
