"""The daemon: its time, state and figures, the snapshot, and its end."""

from __future__ import annotations

import pytest
from harness import House
from helpers_pure import NOW, World, refusal

from memdbd import __version__
from memdbd.errors import CommandError
from memdbd.replies import NO_REPLY, OK, Pending


@pytest.fixture
def world() -> World:
    return World()


def test_time_is_seconds_and_microseconds_of_the_wall(world: World) -> None:
    world.now = 1_700_000_000_250
    assert world.say("time") == '{"result": ["1700000000", "250000"]}'


class TestInfo:
    def test_has_the_sections_of_the_components_in_the_text_dialect(self, world: World) -> None:
        world.daemon.sections = {
            "server": lambda: {"version": "1.2.3", "pid": 7},
            "persistence": lambda: {"last_save": None},
        }
        server, persistence = '"server": {"version": "1.2.3", "pid": 7}', (
            '"persistence": {"last_save": null}'
        )  # fmt: skip
        assert world.say("info") == f'{{"result": {{{server}, {persistence}}}}}'
        assert world.say("info SERVER") == f'{{"result": {{{server}}}}}'
        assert world.ask("info cluster") == {"result": {"cluster": {"cluster_enabled": 0}}}
        assert "there is no section 'nosuch'" in world.ask("info nosuch")["error"]

    def test_is_redis_s_text_for_redis_clients(self, world: World) -> None:
        assert world.run(b"info", b"Cluster").text == "# Cluster\r\ncluster_enabled:0\r\n"
        assert "redis_version:7.0.15" in world.run(b"info").text
        assert world.run(b"info", b"nosuch").text == ""


def test_stats_are_the_counters_of_all_components(world: World) -> None:
    world.daemon.counters = [lambda: {"commands": 3}, lambda: {"keys": 2, "expired": 1}]
    assert world.say("stats") == '{"result": {"commands": 3, "keys": 2, "expired": 1}}'


class TestSnapshots:
    def test_save_answers_when_the_snapshot_is_there(self, world: World) -> None:
        snapshot = Pending()
        world.daemon.saver = lambda: snapshot
        replies: list[object] = []
        reply = world.run(b"save")
        assert isinstance(reply, Pending)
        reply.then(replies.append)
        assert replies == []
        snapshot.resolve(OK)
        assert replies == [OK]

    @pytest.mark.parametrize("options", [(), (b"schedule",)])
    def test_bgsave_answers_at_once(self, world: World, options: tuple[bytes, ...]) -> None:
        begun: list[Pending] = []

        def save() -> Pending:
            begun.append(Pending())
            return begun[-1]

        world.daemon.saver = save
        assert world.run(b"bgsave", *options).text == "Background saving started"
        assert len(begun) == 1

    def test_bgsave_in_a_transaction_is_begun_behind_it(self) -> None:
        house, saved = House(), []

        def save() -> Pending:
            saved.append(list(house.engine.databases[0].keys()))
            return Pending()

        house.server.saver = save
        said = house.connect().asks(b"multi\nset a 1\nbgsave\nset b 2\nexec\n")
        assert b'{"result": "Background saving scheduled"}' in said
        assert saved == [[b"a", b"b"]]

    def test_bgsave_takes_no_other_word(self, world: World) -> None:
        assert refusal(world, b"bgsave", b"x") == "ERR syntax error"
        assert refusal(world, b"bgsave", b"schedule", b"x") == "ERR syntax error"

    def test_lastsave_is_the_start_before_there_is_one(self, world: World) -> None:
        world.now += 5000
        assert world.run(b"lastsave") == NOW // 1000

    def test_save_is_refused_where_no_snapshot_is_kept(self, world: World) -> None:
        with pytest.raises(CommandError, match="this engine keeps no snapshot"):
            world.run(b"save")


def _ill() -> None:
    raise CommandError("the journal is ill")


class TestShutdown:
    @pytest.mark.parametrize("options", [(), (b"save",), (b"SAVE", b"NOW", b"FORCE")])
    def test_stops_the_process(self, world: World, options: tuple[bytes, ...]) -> None:
        stopped: list[bool] = []
        world.daemon.stopper = lambda: stopped.append(True)
        assert world.run(b"shutdown", *options) is NO_REPLY
        assert stopped == [True]

    def test_closes_the_connection_behind_it(self) -> None:
        house = House()
        house.server.stopper = lambda: None
        peer = house.connect()
        assert peer.asks(b"*1\r\n$8\r\nshutdown\r\n*1\r\n$4\r\nping\r\n") == b""
        assert not peer.closed  # it is being saved
        house.saves.pop().resolve(OK)
        assert peer.hears() == b""
        assert peer.closed

    def test_is_answered_in_the_text_dialect(self) -> None:
        house = House()
        house.server.stopper = lambda: None
        peer = house.connect()
        assert peer.asks(b"shutdown\nping\n") == b""
        house.saves.pop().resolve(OK)
        assert peer.hears() == b'{"result": "OK"}\n'
        assert peer.closed

    def test_that_cannot_save_stops_nothing(self) -> None:
        house = House()
        house.server.stopper = lambda: pytest.fail("stopped")
        peer = house.connect()
        assert peer.asks(b"shutdown\nping\n") == b""
        house.saves.pop().resolve(CommandError("the disk is full"))
        assert peer.hears() == (
            b'{"error": "Errors trying to SHUTDOWN. Check logs; the disk is full"}\n'
            b'{"result": "PONG"}\n'
        )

    def test_by_force_does_not_wait_for_that(self) -> None:
        house = House()
        house.server.stopper = lambda: None
        peer = house.connect()
        assert peer.asks(b"shutdown force\n") == b'{"result": "OK"}\n'
        assert (peer.closed, house.saves) == (True, [])

    def test_with_nosave_saves_nothing_and_says_so_to_whoever_would(self) -> None:
        house, done = House(), []
        house.server.stopper = lambda: done.append("stopped")
        house.server.leaver = lambda: done.append("no last snapshot")
        peer = house.connect()
        assert peer.asks(b"shutdown nosave\nping\n") == b'{"result": "OK"}\n'
        assert (peer.closed, house.saves, done) == (True, [], ["no last snapshot", "stopped"])

    def test_with_nosave_stops_nothing_where_that_would_lose_something(self) -> None:
        house = House()
        house.server.stopper = lambda: pytest.fail("stopped")
        house.server.leaver = _ill
        assert house.connect().asks(b"shutdown nosave\nping\n") == (
            b'{"error": "Errors trying to SHUTDOWN. Check logs; the journal is ill"}\n'
            b'{"result": "PONG"}\n'
        )

    def test_with_nosave_and_force_stops_all_the_same(self) -> None:
        house, done = House(), []
        house.server.stopper = lambda: done.append("stopped")
        house.server.leaver = _ill
        assert house.connect().asks(b"shutdown nosave force\n") == b'{"result": "OK"}\n'
        assert done == ["stopped"]

    def test_that_is_refused_closes_nothing(self) -> None:
        peer = House().connect()
        assert b"PONG" in peer.asks(b"shutdown nosave\nping\n")

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ((b"x",), "ERR syntax error"),
            ((b"save", b"nosave"), "ERR syntax error"),
            ((b"abort", b"now"), "ERR syntax error"),
            ((b"abort",), "ERR No shutdown in progress."),
            ((), "ERR Errors trying to SHUTDOWN. Check logs."),  # nobody can stop this one
            ((b"nosave",), "ERR Errors trying to SHUTDOWN. Check logs."),
        ],
    )
    def test_is_refused(self, world: World, options: tuple[bytes, ...], error: str) -> None:
        assert refusal(world, b"shutdown", *options) == error

    def test_is_no_part_of_a_transaction(self, world: World) -> None:
        world.daemon.stopper = lambda: pytest.fail("stopped")
        world.say("multi")
        assert "not allowed inside a transaction" in world.say("shutdown")


def test_lolwut_shows_the_version(world: World) -> None:
    shown = f"memdbd {__version__}, which answers as Redis ver. 7.0.15\n"
    for arguments in ((), (b"version",), (b"VERSION", b"5", b"1"), (b"x",)):
        assert world.run(b"lolwut", *arguments).text == shown
    assert refusal(world, b"lolwut", b"version", b"x") == (
        "ERR value is not an integer or out of range"
    )


def test_it_is_nobody_s_replica(world: World) -> None:
    assert world.run(b"role") == [b"master", 0, []]
    for name in (b"replicaof", b"slaveof"):
        assert world.run(name, b"no", b"ONE") == OK
        assert refusal(world, name, b"example.org", b"6379") == (
            "ERR memdbd follows no other server: it does not replicate"
        )
