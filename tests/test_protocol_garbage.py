"""Nonsense on the wire: each line has its one reply, and what follows is answered in its place."""

from __future__ import annotations

import json
import random
import re

import pytest
from harness import House, pieces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memdbd.commands.table import COMMANDS
from memdbd.dispatch import HTTP
from memdbd.limits import Limits

LIMITS = Limits()
NAMES = [name for name in COMMANDS if name not in (b"quit", b"exit", b"multi", b"monitor")]

WORDS = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from([b"k", b"ch", b"1", b"-1", b"0", b"99999999999999999999999", b"*", b"[a-"]),
    st.sampled_from([b'"', b"'", b'"\\x', b'"\\q"', b"''", b'""', b'"a b"', b"'a'b", b"\\"]),
    st.binary(max_size=8),
)
LINES = st.lists(WORDS, max_size=6).map(b" ".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
JSON_LINES = st.builds(
    lambda name, rest, cut: json.dumps([name.decode(), *rest]).encode()[: -cut or None],
    st.sampled_from(NAMES),
    st.lists(JSON, max_size=3),
    st.integers(0, 3),
)
OTHER_PROTOCOLS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\nAccept: x\r\n\r\n",
        b"*2\r\n$3\r\nget\r\n$1\r\nk\r\n",
        b"*4294967295\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xff\xfd\x01\xff\xfb\x03",
        b"\xff\xf4\xff\xfd\x06ping",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"[" * 2000,
        b'["' + b"\\ud800" + b'"]',
        b"{}",
        b"\x00" * 100,
    ]
)
GARBAGE = st.one_of(
    st.binary(max_size=60),
    LINES,
    st.lists(LINES, max_size=4).map(b"\n".join),
    JSON_LINES,
    OTHER_PROTOCOLS,
)

# What ends the connection, or has it wait or answer otherwise, has its tests elsewhere; nonsense
# must not.
ENDS = (
    b"quit", b"exit", *HTTP, b"shutdown", b"multi", b"monitor", b"client", b"debug",
    b"blpop", b"brpop", b"blmove", b"blmpop", b"bzpop", b"bzmpop", b"unsubscribe",
)  # fmt: skip


def is_nonsense(garbage: bytes) -> bool:
    return not any(name in garbage.lower() for name in ENDS)


def answer(arriving: list[bytes]) -> bytes:
    """What a new daemon answers to bytes that arrive in these pieces."""
    house = House()
    house.server.saver = None
    peer = house.connect()
    heard = peer.asks(*arriving)
    assert not peer.closed
    assert house.dispatcher.failures == 0
    # What telnet is refused is said as soon as it is seen, and no reply has these bytes.
    return re.sub(rb"\xff[\xfc\xfe].", b"", heard, flags=re.DOTALL)


def is_answered_in_place(inputs: list[bytes], seed: int) -> None:
    """A marker behind each input is answered behind its replies, however the bytes arrive."""
    # The first byte is the text dialect's, whatever the garbage begins with.
    sent = b"\n" + b"".join(
        garbage + b"\necho marker %d\n" % number for number, garbage in enumerate(inputs)
    )
    whole = answer([sent])
    assert answer([bytes([byte]) for byte in sent]) == whole
    cuts = random.Random(seed)
    assert answer(list(pieces(sent, cuts.choices(range(len(sent)), k=20)))) == whole

    replies = [json.loads(line) for line in whole.splitlines()]
    assert all(reply.keys() & {"result", "error", "channel"} for reply in replies)
    markers = [reply["result"] for reply in replies if is_marker(reply)]
    assert markers == [f"marker {number}" for number in range(len(inputs))]
    if b"\xff" not in sent:  # of telnet's own bytes alone there is no reply
        requests = sum(1 for line in sent.split(b"\n") if line.split())
        assert sum("channel" not in reply or "action" in reply for reply in replies) == requests


def is_marker(reply: dict[str, object]) -> bool:
    result = reply.get("result")
    return isinstance(result, str) and result.startswith("marker ")


INPUTS = st.lists(GARBAGE.filter(is_nonsense), min_size=10, max_size=10)
SEEDS = st.integers(0, 2**32)


def common(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


@given(inputs=INPUTS, seed=SEEDS)
@common(30)
def test_garbage_is_answered_in_its_place(inputs: list[bytes], seed: int) -> None:
    is_answered_in_place(inputs, seed)


@pytest.mark.slow
@given(inputs=INPUTS, seed=SEEDS)
@common(1000)
def test_ten_thousand_inputs_of_garbage_are_answered_in_their_place(
    inputs: list[bytes], seed: int
) -> None:
    is_answered_in_place(inputs, seed)


def test_ten_thousand_lines_of_garbage_are_ten_thousand_errors() -> None:
    nonsense = random.Random(7)
    lines = [b"zz" + nonsense.randbytes(60).replace(b"\n", b"") for _ in range(10_000)]
    replies = answer([b"\n".join(lines) + b"\nping\n"]).splitlines()
    assert len(replies) == 10_001
    assert all(reply.startswith(b'{"error": ') for reply in replies[:-1])
    assert replies[-1] == b'{"result": "PONG"}'


@given(garbage=st.binary(max_size=200), seed=SEEDS)
@common(30)
def test_garbage_without_an_end_of_line_costs_a_line_at_most(garbage: bytes, seed: int) -> None:
    house = House()
    peer = house.connect()
    endless = garbage.replace(b"\n", b"").lstrip(b" \t\r\v\f[\xff") or b"x"
    sent = b"ping\n" + endless * (LIMITS.max_line // len(endless) + 1)
    heard = peer.asks(*pieces(sent, random.Random(seed).choices(range(len(sent)), k=20)))
    assert heard == (
        b'{"result": "PONG"}\n'
        b'{"error": "line is too long: at most %d bytes are allowed"}\n' % LIMITS.max_line
    )
    assert peer.closed
