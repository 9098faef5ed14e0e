"""The machine that compares: it finds what is there, nothing else, and asks about everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest

from differential.campaign import Campaign
from differential.coverage import documented, generated
from differential.grammar import GROUPS
from differential.players import Player
from differential.servers import Connection, Target, redis_server

Swap = tuple[bytes, bytes] | tuple[()]

COMMANDS = 6_000
SEED = 7


@pytest.fixture(scope="module")
def redis() -> Iterator[Target]:
    with redis_server() as target:
        yield target


@dataclass(frozen=True)
class Liar(Target):
    """A server with one defect: some words are put into its mouth, or its clients'."""

    asked: Swap = ()
    told: Swap = ()

    def connect(self) -> Connection:
        return _Lie(self)


class _Lie(Connection):
    def __init__(self, liar: Liar) -> None:
        super().__init__(liar.dial())
        self._liar = liar

    def send(self, data: bytes) -> None:
        super().send(_swapped(data, self._liar.asked))

    def receive(self) -> bytes:
        return _swapped(super().receive(), self._liar.told)


def _swapped(data: bytes, swap: Swap) -> bytes:
    return data.replace(*swap) if swap else data


@pytest.mark.slow
def test_redis_is_like_redis(redis: Target) -> None:
    with redis_server("redis again", tcp=True) as again:
        campaign = Campaign(redis, again)
        report = campaign.run(list(GROUPS.values()), (2, 3), COMMANDS, SEED)
        campaign.close()
    assert not report.findings, "\n\n".join(map(str, report.findings))
    assert report.total >= COMMANDS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "asked", "told", "culprit"),
    [
        ("strings", (b"\r\nINCRBY\r\n", b"\r\nDECRBY\r\n"), (), b"INCRBY"),
        ("strings", (b"\r\nHello\r\n", b"\r\nhello\r\n"), (), b"HELLO"),
        ("lists", (), (b"-ERR index out of", b"-ERR Index out of"), b"LSET"),
        ("keys", (b"\r\nGT\r\n", b"\r\nLT\r\n"), (), b"GT"),
        ("pubsub", (), (b"$7\r\nmessage", b"$7\r\nmassage"), b"PUBLISH"),
    ],
    ids=["a value", "a state", "an error's text", "an option", "a push"],
)
def test_a_defect_is_found_and_shown_by_few_commands(
    redis: Target, group: str, asked: Swap, told: Swap, culprit: bytes
) -> None:
    with redis_server("liar") as other:
        campaign = Campaign(redis, Liar(other.name, other.host, other.port, asked, told))
        findings = campaign.run([GROUPS[group]], (2, 3), COMMANDS // 2, SEED, most=3).findings
        campaign.close()
    assert findings
    assert all(finding.shown_again for finding in findings)
    shown = [finding.sequence.requests for finding in findings]
    assert all(len(requests) <= 6 for requests in shown)
    for requests in shown:
        assert culprit in {word.upper() for request in requests for word in request.argv}


def test_the_grammar_has_all_commands_and_options_of_its_groups(redis: Target) -> None:
    player = Player(redis)
    docs, grammar = documented(player), generated(Random(SEED))
    player.close()
    assert not docs.keys() - grammar.keys()
    missing = {name: words - grammar[name] for name, words in docs.items()}
    assert not {name: words for name, words in missing.items() if words}
