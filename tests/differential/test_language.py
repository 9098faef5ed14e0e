"""A line says what it draws, and one that says nothing is refused."""

from __future__ import annotations

from random import Random

import pytest

from differential.grammar import GROUPS
from differential.grammar.guard import Guard
from differential.grammar.language import parse
from differential.grammar.sequences import draw
from differential.resp import Request
from memdbd.commands.table import COMMANDS

ATOMS = {"key": lambda rng: [b"k"], "score": lambda rng: [b"1"]}


def drawn(text: str) -> set[tuple[bytes, ...]]:
    """What can be drawn, in capitals."""
    line, rng = parse(text, ATOMS), Random(1)
    return {tuple(word.upper() for word in line.draw(rng)) for _ in range(300)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET key", {"GET K"}),
        ("GET 'any", {"GET ANY"}),
        ("X (A|B 1)", {"X A", "X B 1"}),
        ("X [A|B]", {"X", "X A", "X B"}),
        ("X [A] [B]", {"X", "X A", "X B", "X A B", "X B A"}),
        ("X [A [B]]", {"X", "X A", "X A B"}),
    ],
)
def test_a_line_draws_each_of_its_forms_and_no_other(text: str, expected: set[str]) -> None:
    assert drawn(text) == {tuple(form.encode().split()) for form in expected}


def test_a_number_is_that_of_what_follows_and_can_be_used_again() -> None:
    for command, count, *rest in drawn("X #{key} W ={score}"):
        times = int(count)
        assert (command, *rest) == (b"X", *[b"K"] * times, b"W", *[b"1"] * times)


@pytest.mark.parametrize("text", ["X [A", "X A]", "X {A)", "X unknown"])
def test_what_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text, ATOMS)


@pytest.mark.parametrize("name", GROUPS)
def test_a_sequence_depends_on_nothing_but_its_seed_and_is_safe(name: str) -> None:
    one, same = (draw(GROUPS[name], 3, Random(5)) for _ in range(2))
    assert one == same
    assert one.is_safe


@pytest.mark.parametrize(
    "text",
    [
        "BLPOP missing 0",
        "BLMPOP 0x10 1 missing LEFT",
        "BLPOP missing -0",
        "WAIT 1 0",
        "SETRANGE s 100000000 x",
        "SETBIT s 4294967295 1",
        "BITFIELD s SET u8 #400000000 1",
        "SRANDMEMBER s -2147483648",
        "PEXPIRE s 1",
        "SET s x PX 1",
        "CLIENT KILL TYPE normal",
        "CLIENT PAUSE 9999",
        "CLIENT TRACKING ON BCAST PREFIX a PREFIX b PREFIX bc",
        "SORT s BY w_* ALPHA STORE d",
        "GEOSEARCHSTORE d s FROMMEMBER a BYRADIUS 1 km COUNT 1 ANY",
        "GEOSEARCH z1 FROMMEMBER a BYRADIUS 1 km COUNT 1",
        "GEOSEARCHSTORE g1 z1 FROMMEMBER a BYRADIUS 1 km COUNT 1",
        "GEOSEARCHSTORE g1 g1 FROMMEMBER a BYRADIUS 1 km STOREDIST",
        "GEORADIUS g1 1 1 1 km STOREDIST g1",
    ],
)
def test_what_would_harm_is_not_sent(text: str) -> None:
    assert not Guard(stepped=False).allows(Request(tuple(text.encode().split())))


def test_in_a_transaction_nothing_waits() -> None:
    guard = Guard(stepped=False)
    waiting = Request((b"BLPOP", b"missing", b"0"))
    assert guard.allows(Request((b"multi",)))
    assert guard.allows(waiting)
    assert guard.allows(Request((b"EXEC",)))
    assert not guard.allows(waiting)


def test_what_is_past_is_not_counted() -> None:
    guard = Guard(stepped=False)
    for words in (
        (b"SET", b"k", b"v", b"EXAT", b"4102444800"),
        (b"DBSIZE",),
        (b"GET", b"EXAT", b"1"),
    ):
        assert guard.allows(Request(words))
    assert guard.allows(Request((b"set", b"k", b"v", b"exat", b"1")))
    assert not guard.allows(Request((b"dbsize",)))


@pytest.mark.parametrize("off", [(b"CLIENT", b"reply", b"OFF"), (b"CLIENT", b"KILL", b"@id1")])
def test_in_a_transaction_replies_are_not_switched_off(off: tuple[bytes, ...]) -> None:
    guard = Guard(stepped=True)
    assert guard.allows(Request((b"MULTI",), client=1))
    assert not guard.allows(Request(off, client=1))
    assert guard.allows(Request(off, client=2))
    assert guard.allows(Request((b"DISCARD", b"x"), client=1))
    assert not guard.allows(Request(off, client=1))
    assert guard.allows(Request((b"DISCARD",), client=1))
    assert guard.allows(Request(off, client=1))


def test_down_a_pipe_what_memdbd_runs_together_comes_in_a_row() -> None:
    # What SPOP gives is chance, and PUBLISH is drawn with those who listen, one request at a time:
    # of these, tests/commands/test_together.py and tests/test_pubsub.py have to be enough.
    together = {name for name, command in COMMANDS.items() if command.many} - {b"spop", b"publish"}
    for seed in range(200):
        for group in GROUPS.values():
            if not group.clients:
                asked = [request.argv for request in draw(group, 2, Random(seed)).requests]
                for one, two, three in zip(asked, asked[1:], asked[2:], strict=False):
                    if one[:1] == two[:1] == three[:1]:
                        name = one[0].lower()
                        if {len(one), len(two), len(three)} == {_least(name)}:
                            together.discard(name)
    assert not together


def _least(name: bytes) -> int:
    return COMMANDS[name].min_words if name in COMMANDS else 0
