"""Replies and messages as a person sees them."""

from __future__ import annotations

import orjson
import pytest

from memdbd.client.render import (
    as_python,
    as_text,
    message_for_people,
    push_for_people,
    reply_for_people,
)
from memdbd.client.typed import words_of
from memdbd.client.wire import Message, Push, Reply, decode_line
from memdbd.commands.table import COMMANDS


def shown(request: bytes, line: bytes, columns: int = 80) -> str:
    reply = decode_line(line)
    assert isinstance(reply, Reply)
    return reply_for_people(reply, words_of(request), columns)


def test_a_reply_is_the_python_dict() -> None:
    line = b'{"result": "john_doe", "ttl_remaining": null}'
    assert shown(b"get username", line) == "{'result': 'john_doe', 'ttl_remaining': None}"


def test_an_error_is_the_python_dict() -> None:
    assert as_python(b'{"error": "it\'s wrong"}') == """{'error': "it's wrong"}"""


def test_base64_is_shown_as_bytes() -> None:
    line = b'{"result": "/2E=", "encoding": "base64", "ttl_remaining": null}'
    assert shown(b"get k", line) == r"{'result': b'\xffa', 'ttl_remaining': None}"


def test_a_page_is_a_dict_whatever_bytes_it_has() -> None:
    line = b'{"result": {"cursor": "12", "found": {"name": "john"}}}'
    assert shown(b"hscan h 0", line) == "{'result': {'cursor': '12', 'found': {'name': 'john'}}}"
    line = b'{"result": {"cursor": "12", "found": ["/w=="]}, "encoding": "base64"}'
    assert shown(b"sscan s 0", line) == r"{'result': {'cursor': '12', 'found': [b'\xff']}}"
    line = b'{"result": [{"member": "/w==", "score": "inf"}], "encoding": "base64"}'
    assert shown(b"zrange z 0 0 withscores", line) == (
        r"{'result': [{'member': b'\xff', 'score': 'inf'}]}"
    )


def test_subscribing_is_a_sentence_a_channel() -> None:
    line = b'{"result": "OK", "action": "subscribe", "channel": "notifications"}'
    assert shown(b"subscribe notifications", line) == "Subscribed to channel: notifications"
    line = b'{"result": "OK", "action": "subscribe", "channel": ["a", "b"]}'
    assert shown(b"subscribe a b", line) == "Subscribed to channel: a\nSubscribed to channel: b"


def test_unsubscribing_is_too() -> None:
    line = b'{"result": "OK", "action": "unsubscribe", "channel": "x"}'
    assert shown(b"unsubscribe x", line) == "Unsubscribed from channel: x"
    line = b'{"result": "OK", "action": "unsubscribe", "channel": []}'
    assert shown(b"unsubscribe", line) == "Not subscribed to any channel"


@pytest.mark.parametrize(
    ("request_line", "ttl", "sentence"),
    [
        (b"set_with_ttl k abc123 60", 60, "Setting k = abc123 with TTL of 60 seconds"),
        (b"set_with_ttl k abc123", 3600, "Setting k = abc123 with TTL of 3600 seconds"),
        (b"SET_WITH_TTL k two words 60", 60, "Setting k = two words with TTL of 60 seconds"),
        (b'set_with_ttl "a b" "60"', 3600, "Setting a b = 60 with TTL of 3600 seconds"),
        (b'["set_with_ttl", "k", "a\\nb", "5"]', 5, r"Setting k = a\nb with TTL of 5 seconds"),
        (rb'set_with_ttl k "\xff" 5', 5, r"Setting k = b'\xff' with TTL of 5 seconds"),
    ],
)
def test_setting_with_a_ttl_says_which_one_the_server_took(
    request_line: bytes, ttl: int, sentence: str
) -> None:
    line = b'{"result": "OK", "ttl_set": %d}' % ttl
    assert shown(request_line, line) == f"{sentence}\n{{'result': 'OK', 'ttl_set': {ttl}}}"


HELP = b'{"result": {"get <key>": "The value of a key", "%s": "Long", "ttl <key>": "%s"}}' % (
    b"x" * 30 + b" " + b"x" * 10,
    b"Whole seconds until a well-kept key expires",
)


def test_help_is_two_columns_with_whole_words() -> None:
    assert shown(b"help", HELP, columns=42).split("\n") == [
        "get <key>  The value of a key",
        "x" * 30 + " " + "x" * 10,
        "           Long",
        "ttl <key>  Whole seconds until a well-kept",
        "           key expires",
    ]


def test_help_on_a_narrow_screen_is_one_below_the_other() -> None:
    assert shown(b"help", HELP, columns=40).split("\n") == [
        "get <key>",
        "    The value of a key",
        "x" * 30,
        "    " + "x" * 10,
        "    Long",
        "ttl <key>",
        "    Whole seconds until a well-kept key",
        "    expires",
    ]


@pytest.mark.parametrize("columns", [1, 2, 40, 80, 200])
def test_help_breaks_no_word_of_any_command(columns: int) -> None:
    commands = {command.usage: command.summary for command in COMMANDS.values()}
    text = shown(b"help", orjson.dumps({"result": commands}), columns)
    if columns >= 40:
        assert max(map(len, text.split("\n"))) <= columns
        assert text.split() == " ".join(f"{u} {s}" for u, s in commands.items()).split()


def test_help_on_one_command_has_no_column_to_fill() -> None:
    line = b'{"result": {"get <key>": "The value of a key"}}'
    assert shown(b"help get", line) == "get <key>  The value of a key"


def test_help_without_a_summary_still_has_the_usage() -> None:
    assert shown(b"help", b'{"result": {"get <key>": ""}}') == "get <key>"


def test_a_message_names_its_channel() -> None:
    message = Message(b"notifications", b"Hello World", b"")
    assert message_for_people(message) == "Message from 'notifications': Hello World"


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ("psubscribe", "Subscribed to pattern: a"),
        ("punsubscribe", "Unsubscribed from pattern: a"),
        ("ssubscribe", "Subscribed to shard channel: a"),
        ("sunsubscribe", "Unsubscribed from shard channel: a"),
    ],
)
def test_patterns_and_shard_channels_have_their_sentences(action: str, sentence: str) -> None:
    line = b'{"result": "OK", "action": "%s", "channel": "a"}' % action.encode()
    assert shown(action.encode() + b" a", line) == sentence


def test_unsubscribing_from_nothing_names_what_there_was_none_of() -> None:
    line = b'{"result": "OK", "action": "punsubscribe", "channel": []}'
    assert shown(b"punsubscribe", line) == "Not subscribed to any pattern"


def test_a_message_for_a_pattern_names_it() -> None:
    message = Message(b"news", b"hi", b"", b"n*")
    assert message_for_people(message) == "Message from 'news' (pattern 'n*'): hi"


def test_a_push_is_shown_as_a_line_or_as_a_dict() -> None:
    line = rb'{"push": "1795421483.657549 [0 127.0.0.1:1] \"get\" \"a\\u001b\""}'
    push = decode_line(line)
    assert isinstance(push, Push)
    assert push_for_people(push) == '1795421483.657549 [0 127.0.0.1:1] "get" "a\\u001b"'
    assert push_for_people(Push(b"a\x1b", b"")) == r"a\x1b"
    line = b'{"push": ["invalidate", ["k"]]}'
    assert push_for_people(Push([b"invalidate", [b"k"]], line)) == "{'push': ['invalidate', ['k']]}"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"caf\xc3\xa9 \xe6\x97\xa5", "café 日"),
        (b"a\nb\x1b[2J\x07", r"a\nb\x1b[2J\x07"),
        ("\u202egnp.exe".encode(), r"\u202egnp.exe"),
        (b"\x9b2J", r"b'\x9b2J'"),
        ("\x9b2J".encode(), r"\x9b2J"),
        (b"back\\slash", "back\\slash"),
    ],
)
def test_other_peoples_data_cannot_command_the_terminal(data: bytes, text: str) -> None:
    assert as_text(data) == text
    assert message_for_people(Message(data, data, b"")).isprintable()
