"""Transactions, as both dialects have them: what is queued, what is run, and what spoils them."""

from __future__ import annotations

import pytest
from harness import House, Peer
from twisted.logger import capturedLogs

from memdbd.commands.context import Context
from memdbd.commands.table import COMMANDS

QUEUED = '{"result": "QUEUED"}'
OK = '{"result": "OK"}'
DEFECT = '{"error": "internal error, the server\'s log has the details"}'
ABORTED = '{"error": "EXECABORT Transaction discarded because of previous errors."}'


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def peer(house: House) -> Peer:
    return house.connect()


@pytest.fixture
def other(house: House) -> Peer:
    return house.connect()


def converse(peer: Peer, text: str) -> None:
    """Hold a conversation: each line ``> request`` is said, and the line under it must answer."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    for request, reply in zip(lines[::2], lines[1::2], strict=True):
        answer = peer.asks(request.removeprefix("> ").encode() + b"\n").decode()
        assert (request, answer) == (request, reply + "\n")


def resp(peer: Peer, *requests: str) -> bytes:
    """What the last of some requests in RESP brings."""
    answer = b""
    for request in requests:
        words = [b"$%d\r\n%b\r\n" % (len(word), word) for word in request.encode().split()]
        answer = peer.asks(b"*%d\r\n%b" % (len(words), b"".join(words)))
    return answer


def test_no_more_is_queued_than_one_request_may_be(house: House, peer: Peer) -> None:
    house.factory.limits.max_request = 40
    converse(
        peer,
        f"""
        > multi
        {OK}
        > set k 0123456789
        {QUEUED}
        > set k 0123456789
        {QUEUED}
        > set k 0123456789
        {{"error": "the transaction is over 40 bytes (max_request)"}}
        > exec
        {ABORTED}
        > multi
        {OK}
        > set k 0123456789
        {QUEUED}
        > exec
        {{"result": [{OK}]}}
        """,
    )
    assert house.factory.alarms.counts["max_request"] == 1


def test_requests_are_queued_and_then_run_as_one(peer: Peer, other: Peer) -> None:
    converse(
        peer,
        f"""
        > multi
        {OK}
        > set k some words
        {QUEUED}
        > incr n
        {QUEUED}
        > get k
        {QUEUED}
        """,
    )
    converse(other, '> exists k n\n{"result": 0}')
    converse(
        peer,
        """
        > exec
        {"result": [{"result": "OK"}, {"result": 1}, \
{"result": "some words", "ttl_remaining": null}]}
        > get n
        {"result": "1", "ttl_remaining": null}
        """,
    )


def test_an_error_in_the_middle_keeps_none_of_the_others(peer: Peer) -> None:
    converse(
        peer,
        f"""
        > multi
        {OK}
        > set k words
        {QUEUED}
        > incr k
        {QUEUED}
        > lpush k a
        {QUEUED}
        > set k 1
        {QUEUED}
        > exec
        {{"result": [{OK}, {{"error": "value is not an integer or out of range"}}, \
{{"error": "WRONGTYPE Operation against a key holding the wrong kind of value"}}, {OK}]}}
        """,
    )


def test_a_defect_in_the_middle_keeps_none_of_the_others(
    house: House, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(ctx: Context, key: bytes) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(COMMANDS[b"llen"], "handler", broken)
    with capturedLogs() as events:
        converse(
            peer,
            f"""
            > multi
            {OK}
            > set k v
            {QUEUED}
            > llen k
            {QUEUED}
            > incr n
            {QUEUED}
            > exec
            {{"result": [{OK}, {DEFECT}, {{"result": 1}}]}}
            """,
        )
    assert [event["log_failure"].type for event in events] == [ZeroDivisionError]
    assert house.dispatcher.failures == 1


def test_to_a_redis_client_it_is_an_array(peer: Peer) -> None:
    assert resp(peer, "MULTI") == b"+OK\r\n"
    assert resp(peer, "SET k a") == b"+QUEUED\r\n"
    assert resp(peer, "INCR k") == b"+QUEUED\r\n"
    assert resp(peer, "LPOP missing 1") == b"+QUEUED\r\n"
    assert resp(peer, "GET k") == b"+QUEUED\r\n"
    assert resp(peer, "EXEC") == (
        b"*4\r\n+OK\r\n-ERR value is not an integer or out of range\r\n*-1\r\n$1\r\na\r\n"
    )
    assert resp(peer, "MULTI", "EXEC") == b"*0\r\n"


class TestWhatIsNotQueued:
    def test_a_request_that_cannot_be_run_spoils_all(self, peer: Peer) -> None:
        for wrong in ("get", "nosuch", "set k", "config", "object nosuch"):
            converse(peer, f"> multi\n{OK}\n> set k 1\n{QUEUED}")
            assert b"error" in peer.asks(wrong.encode() + b"\n")
            converse(peer, f"> set k 2\n{QUEUED}\n> exec\n{ABORTED}")
        converse(peer, '> exists k\n{"result": 0}')

    def test_neither_does_it_outside_of_one(self, peer: Peer) -> None:
        peer.asks(b"nosuch\nget\nobject nosuch\n")
        converse(peer, f'> multi\n{OK}\n> exec\n{{"result": []}}')

    def test_a_transaction_that_was_spoilt_is_over(self, peer: Peer) -> None:
        peer.asks(b"multi\nnosuch\nexec\n")
        converse(peer, f'> multi\n{OK}\n> exec\n{{"result": []}}')

    @pytest.mark.parametrize(
        ("request_", "error"),
        [
            ("MULTI", "MULTI calls can not be nested"),
            ("WATCH k", "WATCH inside MULTI is not allowed"),
        ],
    )
    def test_what_is_refused_at_once_spoils_nothing(
        self, peer: Peer, request_: str, error: str
    ) -> None:
        assert resp(peer, "MULTI", "PING", request_) == b"-ERR %b\r\n" % error.encode()
        assert resp(peer, "EXEC") == b"*1\r\n+PONG\r\n"

    @pytest.mark.parametrize("request_", ["MULTI foo", "WATCH", "DISCARD foo"])
    def test_unless_it_is_not_even_understood(self, peer: Peer, request_: str) -> None:
        name = request_.split()[0].lower().encode()
        wrong = b"-ERR wrong number of arguments for '%b' command\r\n" % name
        assert resp(peer, "MULTI", request_) == wrong
        assert resp(peer, "EXEC").startswith(b"-EXECABORT ")

    @pytest.mark.parametrize("before", [(), ("MULTI", "SET k 1"), ("WATCH k", "SET k 1")])
    def test_an_exec_that_is_not_understood_ends_it(
        self, peer: Peer, before: tuple[str, ...]
    ) -> None:
        assert resp(peer, *before, "EXEC foo") == (
            b"-EXECABORT Transaction discarded because of: "
            b"wrong number of arguments for 'exec' command\r\n"
        )
        assert resp(peer, "EXEC") == b"-ERR EXEC without MULTI\r\n"
        assert resp(peer, "MULTI", "PING", "EXEC") == b"*1\r\n+PONG\r\n"

    @pytest.mark.parametrize("request_", ["EXEC", "DISCARD"])
    def test_without_a_transaction_there_is_none_to_end(self, peer: Peer, request_: str) -> None:
        assert resp(peer, request_) == b"-ERR %b without MULTI\r\n" % request_.encode()


class TestDiscard:
    def test_forgets_what_was_queued_and_what_is_watched(self, peer: Peer, other: Peer) -> None:
        assert resp(peer, "WATCH k", "MULTI", "SET k 1", "DISCARD") == b"+OK\r\n"
        resp(other, "SET k 2")
        assert resp(peer, "MULTI", "GET k", "EXEC") == b"*1\r\n$1\r\n2\r\n"

    def test_and_that_it_was_spoilt(self, peer: Peer) -> None:
        resp(peer, "MULTI", "NOSUCH", "DISCARD")
        assert resp(peer, "MULTI", "EXEC") == b"*0\r\n"


# Conversations of two: what is done, by whom, between WATCH and MULTI.
CHANGED, UNCHANGED = b"*-1\r\n", b"*1\r\n+PONG\r\n"


class TestWatch:
    @pytest.mark.parametrize(
        "change",
        [
            "SET k 2",
            "APPEND k 2",
            "DEL k",
            "EXPIRE k 100",
            "RENAME k j",
            "RENAME x k",
            "FLUSHALL",
            "FLUSHDB",
            "SWAPDB 0 1",
            "MOVE k 1",
            "COPY x k REPLACE",
        ],
    )
    def test_a_change_of_the_key_spoils_it(self, peer: Peer, other: Peer, change: str) -> None:
        resp(other, "SET x 1", "SET k 1")
        assert resp(peer, "WATCH j k") == b"+OK\r\n"
        resp(other, change)
        assert resp(peer, "MULTI", "PING", "EXEC") == CHANGED
        assert resp(peer, "MULTI", "PING", "EXEC") == UNCHANGED

    @pytest.mark.parametrize(
        "change", ["GET k", "SET x 2", "SADD k a", "PERSIST k", "EXPIRE missing 1", "SWAPDB 1 2"]
    )
    def test_what_changes_nothing_does_not(self, peer: Peer, other: Peer, change: str) -> None:
        resp(other, "SET k 1")
        resp(peer, "WATCH k")
        resp(other, change)
        assert resp(peer, "MULTI", "PING", "EXEC") == UNCHANGED

    @pytest.mark.parametrize("change", ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "DEL k"])
    def test_neither_does_what_leaves_no_key_where_there_was_none(
        self, peer: Peer, other: Peer, change: str
    ) -> None:
        resp(peer, "WATCH k")
        resp(other, change)
        assert resp(peer, "MULTI", "PING", "EXEC") == UNCHANGED

    def test_but_a_key_that_is_swapped_in_does(self, peer: Peer, other: Peer) -> None:
        resp(peer, "WATCH k")
        resp(other, "SELECT 1", "SET k 1", "SWAPDB 0 1")
        assert resp(peer, "MULTI", "PING", "EXEC") == CHANGED

    def test_one_s_own_change_counts_as_well(self, peer: Peer) -> None:
        resp(peer, "WATCH k", "SET k 1")
        assert resp(peer, "MULTI", "PING", "EXEC") == CHANGED

    def test_but_not_one_in_the_transaction(self, peer: Peer) -> None:
        resp(peer, "WATCH k", "MULTI", "SET k 1")
        assert resp(peer, "EXEC") == b"*1\r\n+OK\r\n"
        assert resp(peer, "MULTI", "PING", "EXEC") == UNCHANGED

    def test_a_key_that_expires_has_changed(self, peer: Peer, house: House) -> None:
        resp(peer, "SET k 1", "EXPIRE k 1", "WATCH k")
        house.passes(1)
        assert resp(peer, "MULTI", "PING", "EXEC") == CHANGED

    def test_one_that_had_expired_before_has_not(self, peer: Peer, house: House) -> None:
        resp(peer, "SET k 1", "EXPIRE k 1")
        house.passes(1)
        resp(peer, "WATCH k")
        assert resp(peer, "MULTI", "PING", "EXEC") == UNCHANGED

    def test_the_key_is_that_of_the_database(self, peer: Peer, other: Peer) -> None:
        resp(peer, "SELECT 1", "WATCH k", "SELECT 0")
        resp(other, "SET k 1")
        assert resp(peer, "MULTI", "PING", "EXEC") == UNCHANGED
        resp(peer, "SELECT 1", "WATCH k", "SELECT 0")
        resp(other, "SELECT 1", "SET k 1")
        assert resp(peer, "MULTI", "PING", "EXEC") == CHANGED

    def test_watching_twice_is_watching_once(self, peer: Peer, other: Peer) -> None:
        resp(peer, "WATCH k k", "WATCH k")
        resp(other, "SET k 1")
        assert resp(peer, "MULTI", "PING", "EXEC") == CHANGED

    def test_unwatch_forgets_what_was_seen(self, peer: Peer) -> None:
        assert resp(peer, "WATCH k", "SET k 1", "UNWATCH") == b"+OK\r\n"
        assert resp(peer, "MULTI", "PING", "EXEC") == UNCHANGED

    def test_in_a_transaction_it_is_too_late(self, peer: Peer) -> None:
        assert resp(peer, "WATCH k", "SET k 1", "MULTI", "UNWATCH", "EXEC") == CHANGED
        assert resp(peer, "WATCH k", "MULTI", "UNWATCH", "EXEC") == b"*1\r\n+OK\r\n"

    def test_who_leaves_watches_nothing(self, peer: Peer, house: House) -> None:
        resp(peer, "WATCH k")
        assert house.engine.changes.watchers
        peer.vanishes()
        assert not house.engine.changes.watchers

    def test_a_spoilt_transaction_is_an_error_even_if_it_was_touched(self, peer: Peer) -> None:
        resp(peer, "WATCH k", "SET k 1", "MULTI", "NOSUCH")
        assert resp(peer, "EXEC").startswith(b"-EXECABORT ")

    def test_in_text_nothing_is_null(self, peer: Peer) -> None:
        peer.asks(b"watch k\nset k 1\nmulti\nping\n")
        assert peer.asks(b"exec\n") == b'{"result": null}\n'


class TestCommandsInside:
    def test_those_that_wait_do_not(self, peer: Peer) -> None:
        waiting = ("BLPOP k 0", "BRPOP k 0", "BLMOVE k j LEFT LEFT 0", "BRPOPLPUSH k j 0")
        assert resp(peer, "MULTI", *waiting, "BLMPOP 0 1 k LEFT", "EXEC") == (
            b"*5\r\n*-1\r\n*-1\r\n$-1\r\n$-1\r\n*-1\r\n"
        )
        # Outside of it they do again.
        assert resp(peer, "BLPOP k 0") == b""

    def test_select_is_for_what_follows_inside_and_behind(self, peer: Peer) -> None:
        resp(peer, "MULTI", "SET k 0", "SELECT 1", "SET k 1", "GET k")
        assert resp(peer, "EXEC") == b"*4\r\n+OK\r\n+OK\r\n+OK\r\n$1\r\n1\r\n"
        assert resp(peer, "GET k") == b"$1\r\n1\r\n"
        assert resp(peer, "SELECT 0", "GET k") == b"$1\r\n0\r\n"

    def test_subscriptions_are_part_of_the_results(self, peer: Peer) -> None:
        assert resp(peer, "MULTI", "SUBSCRIBE a b", "PING", "EXEC") == (
            b"*2\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n"
        )

    def test_quit_is_at_once(self, peer: Peer) -> None:
        assert resp(peer, "MULTI", "SET k 1", "QUIT") == b"+OK\r\n"
        assert peer.closed

    def test_and_so_is_reset(self, peer: Peer) -> None:
        assert resp(peer, "MULTI", "SET k 1", "RESET") == b"+RESET\r\n"
        assert resp(peer, "EXEC") == b"-ERR EXEC without MULTI\r\n"

    def test_save_may_not_be_inside(self, peer: Peer) -> None:
        assert resp(peer, "MULTI", "SAVE") == (b"-ERR Command not allowed inside a transaction\r\n")
        assert resp(peer, "EXEC").startswith(b"-EXECABORT ")

    def test_a_message_that_it_brings_comes_behind_the_results(self, peer: Peer) -> None:
        peer.asks(b"subscribe news\n")
        peer.asks(b"multi\npublish news hello\nping\n")
        assert peer.asks(b"exec\n") == (
            b'{"result": [{"result": "OK"}, {"result": "PONG"}]}\n'
            b'{"channel": "news", "message": "hello"}\n'
        )

    def test_queueing_is_told_apart_from_data(self, house: House, peer: Peer) -> None:
        assert resp(peer, "MULTI", "ECHO QUEUED") == b"+QUEUED\r\n"
        assert resp(peer, "EXEC") == b"*1\r\n$6\r\nQUEUED\r\n"
