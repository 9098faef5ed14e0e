"""What is allowed of a request; that it is what Redis allows, test_acl_against_redis shows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random

import pytest
from acl_grammar import REQUESTS, requests, rules
from hypothesis import given
from hypothesis import strategies as st

from memdbd.commands.access import Access
from memdbd.commands.spec import Command
from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.errors import CommandError
from memdbd.permissions import STRANGER, Denied, Permissions
from memdbd.rules import Draft, Names

NAMES = Names(COMMANDS, CONTAINERS)


def permissions(text: str | list[bytes]) -> Permissions:
    draft = Draft()
    draft.apply(text.encode().split(b" ") if isinstance(text, str) else text, NAMES)
    return Permissions([each.made() for each in (draft.root, *draft.others)])


def command(argv: list[bytes]) -> Command:
    container = CONTAINERS.get(argv[0].lower())
    return COMMANDS[argv[0].lower()] if container is None else container.find(argv)


def denial(allowed: Permissions, line: str) -> Denied | None:
    argv = line.encode().split(b" ")
    return raised(lambda: allowed.check(command(argv), argv))


def raised(check: Callable[[], None]) -> Denied | None:
    try:
        check()
    except Denied as denied:
        return denied
    return None


@pytest.mark.parametrize(
    ("rules_", "line", "reason", "object_"),
    [
        ("+get ~a", "get a", None, b""),
        ("+get ~a", "get b", "key", b"b"),
        ("+get ~a", "set a 1", "command", b"set"),
        ("+get", "config get a", "command", b"config|get"),
        ("+mget ~a*", "mget a1 a2 b a3 c", "key", b"b"),
        ("+publish &a", "publish b x", "channel", b"b"),
        ("+publish &a ~b", "publish a x", None, b""),
        ("-@all", "auth x", None, b""),
        ("+@all", "info", None, b""),
        ("+@all", "unsubscribe a", None, b""),
        ("+@all &a*", "psubscribe a*", None, b""),
        ("+@all &a*", "psubscribe ab", "channel", b"ab"),
        ("+@all &*", "psubscribe ab", None, b""),
        # The first that came farthest is told of.
        ("+get ~a (+set ~b)", "get c", "key", b"c"),
        ("(+mget ~a) (+mget ~a ~b)", "mget a b c", "key", b"c"),
        ("(+mget ~a ~b) (+mget ~a)", "mget a b c", "key", b"c"),
        ("(+@all ~a) (+@all &b)", "publish a x", "channel", b"a"),
        ("+get|a ~*", "get a", None, b""),
        ("+get|a ~*", "get b", "command", b"get"),
        ("+get|a ~b", "get a", "key", b"a"),
    ],
)
def test_what_is_denied_is_named(
    rules_: str, line: str, reason: str | None, object_: bytes
) -> None:
    denied = denial(permissions(rules_), line)
    assert (denied and denied.reason) == reason
    if denied is not None:
        assert denied.object == object_
        assert denied.code == "NOPERM"


@pytest.mark.parametrize(
    ("line", "message", "dry"),
    [
        (
            "set b 1",
            "this user has no permissions to run the 'set' command",
            "This user has no permissions to run the 'set' command",
        ),
        (
            "get b",
            "this user has no permissions to access one of the keys used as arguments",
            "This user has no permissions to access the 'b' key",
        ),
        (
            "publish b x",
            "this user has no permissions to access one of the channels used as arguments",
            "This user has no permissions to access the 'b' channel",
        ),
    ],
)
def test_it_is_said_in_redis_s_words(line: str, message: str, dry: str) -> None:
    denied = denial(permissions("+get +publish ~a &a"), line)
    assert denied is not None
    assert (str(denied), denied.dry) == (message, dry)
    later = denied.within_transaction()
    assert later.code == "NOPERM"
    assert str(later).startswith("ACLs rules changed between the moment the transaction was")


class TestWhatIsLookedAt:
    """Mostly nothing: each command is compiled once."""

    @pytest.mark.parametrize(
        ("rules_", "name"),
        [
            ("+@all ~* &*", b"get"),
            ("+@all ~*", b"get"),
            ("+@all", b"ping"),
            ("+@all &*", b"publish"),
            ("-@all", b"hello"),
            ("+get ~a (+get ~*)", b"get"),
        ],
    )
    def test_nothing_where_all_of_it_is_allowed(self, rules_: str, name: bytes) -> None:
        assert permissions(rules_)[COMMANDS[name]] is None

    @pytest.mark.parametrize(
        ("rules_", "name"),
        [
            ("+@all ~a", b"get"),
            ("+@all", b"publish"),
            ("+get|a ~*", b"get"),
            ("-@all", b"get"),
            ("+get ~a (+set ~*)", b"get"),
            ("+@all %R~*", b"zunionstore"),  # its keys move
        ],
    )
    def test_something_where_it_is_not(self, rules_: str, name: bytes) -> None:
        assert permissions(rules_)[COMMANDS[name]] is not None

    def test_the_short_ways_say_what_the_long_one_does(self) -> None:
        rng, seen = Random(1), 0
        for _ in range(400):
            allowed = permissions(rules(rng))
            for argv in requests(rng, [], 20):
                record = command(argv)
                found = raised(partial(allowed.check, record, argv))
                denied = raised(partial(allowed._full_check(record), argv))
                assert (found is None) == (denied is None)
                if found is not None and denied is not None:
                    assert (found.reason, found.object) == (denied.reason, denied.object)
                    seen += 1
        assert seen > 1000


class TestEveryKey:
    @pytest.mark.parametrize(
        ("rules_", "line", "may"),
        [
            ("+sort ~*", "sort a", True),
            ("+sort %R~*", "sort a", True),
            ("+sort %RW~*", "sort a", True),
            ("+sort %W~* ~a", "sort a", False),
            ("+sort ~a", "sort a", False),
            ("+sort ~**", "sort a", False),
            ("+sort ~a (+sort %R~*)", "sort a", True),
            ("+sort ~a (+get %R~*)", "sort a", False),
            # One selector has to allow all of it.
            ("(+sort %R~*) (+sort ~a ~b)", "sort a STORE b", False),
            ("(+sort ~*) (+sort ~a ~b)", "sort a STORE b", True),
        ],
    )
    def test_is_had_by_a_selector_that_allows_the_request(
        self, rules_: str, line: str, may: bool
    ) -> None:
        argv = line.encode().split(b" ")
        allowed = permissions(rules_)
        assert allowed.may_have_every_key(COMMANDS[b"sort"], argv, Access.READ) == may


@pytest.mark.parametrize(
    ("rules_", "channel", "is_pattern", "may"),
    [
        ("&a*", b"ab", False, True),
        ("&a*", b"b", False, False),
        ("&a*", b"a*", True, True),
        ("&a*", b"ab*", True, False),
        ("&*", b"x*", True, True),
        ("&a (&b)", b"b", False, True),
        ("&a (allchannels)", b"x?", True, True),
        ("", b"", False, False),
        ("&", b"", False, True),
    ],
)
def test_what_may_be_heard(rules_: str, channel: bytes, is_pattern: bool, may: bool) -> None:
    assert permissions(rules_).may_hear(channel, is_pattern=is_pattern) == may


class TestStranger:
    @pytest.mark.parametrize("line", REQUESTS)
    def test_may_only_say_who_it_is_and_go(self, line: str) -> None:
        argv = line.encode().split(b" ")
        name = argv[0].decode()
        if name in ("auth", "hello", "quit", "exit", "reset"):
            STRANGER.check(command(argv), argv)
        else:
            with pytest.raises(CommandError, match="Authentication required") as refused:
                STRANGER.check(command(argv), argv)
            assert refused.value.code == "NOAUTH"

    def test_hears_nothing(self) -> None:
        assert not STRANGER.may_hear(b"", is_pattern=False)


@given(st.randoms(use_true_random=False))
def test_an_absurd_request_is_judged_or_refused_never_more(rng: Random) -> None:
    allowed = permissions(rules(rng))
    line = rng.choice(REQUESTS).encode().split(b" ")
    argv = [line[0]] + [rng.choice([b"", b"0", b"-1", b"99", b"STORE", b"x"]) for _ in range(6)]
    if line[0] in CONTAINERS:
        argv[1:2] = line[1:2]
    with suppress(CommandError):
        allowed.check(command(argv), argv)
