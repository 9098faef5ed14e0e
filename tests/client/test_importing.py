"""How keys get to a server: in requests that it takes, and a huge value whole or not at all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from harness import outcome
from persistence.stores import BY_CLASS, BY_NAME
from twisted.internet.defer import Deferred, ensureDeferred, succeed

from memdbd.client.importing import (
    BATCH_BYTES,
    HUGE,
    PIECE_BYTES,
    Existing,
    Importer,
    Server,
)
from memdbd.client.progress import Progress
from memdbd.client.resp import ErrorReply, Refused, RespClient
from memdbd.persistence.snapshot import Entry

MIB = b"x" * PIECE_BYTES
BUILT = b"huge:memdb-import:token"


class Listening:
    """A server that answers each command with what ``replies`` has for its name, else with OK."""

    def __init__(self, **replies: Any) -> None:
        self.asked: list[Sequence[Any]] = []
        self._replies = replies
        self._queued: list[Any] | None = None

    def ask_all(self, commands: list[Sequence[Any]]) -> Deferred[list[Any]]:
        return succeed([self._answer(words) for words in commands])

    async def ask(self, *words: Any) -> Any:
        (reply,) = await self.ask_all([words])
        if isinstance(reply, ErrorReply):
            raise Refused(str(reply))
        return reply

    def _answer(self, words: Sequence[Any]) -> Any:
        self.asked.append(words)
        name = words[0]
        reply = self._replies.get(name, b"OK")
        if name == "MULTI":
            self._queued = []
        elif name == "EXEC":
            queued, self._queued = self._queued, None
            return self._replies.get(name, queued)
        elif self._queued is not None:
            self._queued.append(reply)
            return b"QUEUED"
        return reply

    def commands(self, name: str) -> list[Sequence[Any]]:
        return [words for words in self.asked if words[0] == name]


def huge(deadline: int | None = None) -> Entry:
    return 0, b"huge", deque([b"1"] * HUGE), deadline


def write(
    server: Listening, entry: Entry, existing: Existing = Existing.REFUSE
) -> tuple[Any, Server]:
    target = Server(cast(RespClient, server), existing, BY_CLASS, "token")
    return outcome(ensureDeferred(target.write([entry]))), target


@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("list", [MIB] * 200),
        ("set", [b"%d" % each + MIB for each in range(3)]),
        ("hash", {b"%d" % each: MIB for each in range(3)}),
        ("zset", {MIB + b"%d" % each: 1.0 for each in range(3)}),
    ],
)
def test_large_items_go_one_by_one(name: str, items: Any) -> None:
    value = BY_NAME[name].python(items)
    server = Listening(EXISTS=0, LLEN=200, SCARD=3, HLEN=3, ZCARD=3, RENAMENX=1)
    assert write(server, (0, b"huge", value, None))[0] == 1
    requests = [sum(map(len, words)) for words in server.asked if words[0] != "SELECT"]
    assert len(requests) > len(items)
    pushed = [words for words in server.asked if words[0] in ("RPUSH", "SADD", "HSET", "ZADD")]
    assert {words[1] for words in pushed} == {BUILT}  # and so in no transaction
    assert max(requests) < 2 * PIECE_BYTES


def test_a_batch_has_few_bytes_or_one_key() -> None:
    found: list[Entry] = [
        (0, b"%d" % number, value, None)
        for number, value in enumerate(
            [b"x" * (BATCH_BYTES // 3), deque([b"y" * (BATCH_BYTES // 2)]), b"small", MIB * 3] * 5
        )
    ]

    class Given:
        left_out: dict[int, int] = {}  # noqa: RUF012
        note = ""

        def entries(self) -> Iterator[tuple[str, Entry]]:
            return (("it", entry) for entry in found)

    class Taking:
        def __init__(self) -> None:
            self.batches: list[list[Entry]] = []

        async def existing(self, entries: list[Entry]) -> list[Entry]:
            return []

        async def write(self, entries: list[Entry]) -> int:
            self.batches.append(entries)
            return len(entries)

        async def finish(self) -> None:
            pass

    target = Taking()
    importer = Importer(Given(), target, Progress(None, lambda: 0.0), Existing.SKIP, 0)
    outcome(ensureDeferred(importer.run()))
    assert [entry for batch in target.batches for entry in batch] == found
    for batch in target.batches:
        size = sum(len(item) for _, _, value, _ in batch
                   for item in (value if isinstance(value, deque) else [value]))  # fmt: skip
        assert size <= BATCH_BYTES or len(batch) == 1


class TestHuge:
    def test_it_gets_its_key_with_its_deadline_when_it_is_complete(self) -> None:
        server = Listening(EXISTS=0, LLEN=HUGE, RENAMENX=1, PEXPIREAT=1)
        assert write(server, huge(17))[0] == 1
        assert {words[1] for words in server.commands("RPUSH")} == {BUILT}
        assert server.asked[-4:] == [
            ("MULTI",), ("PEXPIREAT", BUILT, 17), ("RENAMENX", BUILT, b"huge"), ("EXEC",),
        ]  # fmt: skip

    def test_it_replaces_what_is_there_at_once(self) -> None:
        server = Listening(LLEN=HUGE, RENAME=b"OK")
        assert write(server, huge(), Existing.REPLACE)[0] == 1
        assert server.commands("DEL") == []
        assert server.asked[-2] == ("RENAME", BUILT, b"huge")

    @pytest.mark.parametrize("existing", [Existing.SKIP, Existing.REFUSE])
    def test_a_key_that_came_to_be_meanwhile_stays(self, existing: Existing) -> None:
        server = Listening(EXISTS=0, LLEN=HUGE, RENAMENX=0)
        found, target = write(server, huge(), existing)
        assert found == 0 if existing is Existing.SKIP else "meanwhile" in str(found)
        assert server.commands("DEL") == [("DEL", BUILT)]
        assert target.left_behind is None

    @pytest.mark.parametrize(
        "replies",
        [
            {"RPUSH": ErrorReply("OOM no memory")},
            {"LLEN": HUGE - 1},  # someone has taken one
            {"LLEN": HUGE, "EXEC": None},
            {"LLEN": HUGE, "RENAMENX": ErrorReply("ERR no such key")},
        ],
    )
    def test_an_error_leaves_nothing(self, replies: dict[str, Any]) -> None:
        server = Listening(**{"EXISTS": 0, "RENAMENX": 1} | replies)
        found, target = write(server, huge())
        assert isinstance(found, Refused)
        assert server.asked[-1] == ("DEL", BUILT)
        assert target.left_behind is None

    def test_what_cannot_be_removed_is_remembered(self) -> None:
        server = Listening(EXISTS=0, RPUSH=ErrorReply("READONLY"), DEL=ErrorReply("READONLY"))
        assert write(server, huge())[1].left_behind == (0, BUILT)

    def test_a_deadline_that_passes_meanwhile_is_no_error(self) -> None:
        gone = ErrorReply("ERR no such key")
        server = Listening(LLEN=HUGE, RENAME=gone, PEXPIREAT=1)
        assert write(server, huge(17), Existing.REPLACE)[0] == 1
        assert server.asked[-1] == ("DEL", b"huge")
