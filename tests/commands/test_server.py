"""The daemon: its time, state and figures, and the snapshot."""

from __future__ import annotations

import pytest
from helpers_pure import World

from memdbd.errors import CommandError
from memdbd.replies import OK, Pending


@pytest.fixture
def world() -> World:
    return World()


def test_time_is_seconds_and_microseconds_of_the_wall(world: World) -> None:
    world.now = 1_700_000_000_250
    assert world.say("time") == '{"result": ["1700000000", "250000"]}'


def test_info_has_the_sections_of_the_components(world: World) -> None:
    world.daemon.sections = {
        "server": lambda: {"version": "1.2.3", "pid": 7},
        "persistence": lambda: {"last_save": None},
    }
    assert world.say("info") == (
        '{"result": {"server": {"version": "1.2.3", "pid": 7}, "persistence": {"last_save": null}}}'
    )


def test_stats_are_the_counters_of_all_components(world: World) -> None:
    world.daemon.counters = [lambda: {"commands": 3}, lambda: {"keys": 2, "expired": 1}]
    assert world.say("stats") == '{"result": {"commands": 3, "keys": 2, "expired": 1}}'


def test_save_answers_when_the_snapshot_is_there(world: World) -> None:
    snapshot = Pending()
    world.daemon.saver = lambda: snapshot
    replies: list[object] = []
    reply = world.run(b"save")
    assert isinstance(reply, Pending)
    reply.then(replies.append)
    assert replies == []
    snapshot.resolve(OK)
    assert replies == [OK]


def test_save_is_refused_where_no_snapshot_is_kept(world: World) -> None:
    with pytest.raises(CommandError, match="this engine keeps no snapshot"):
        world.run(b"save")
