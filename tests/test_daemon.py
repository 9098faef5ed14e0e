"""What commands may ask of the daemon."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest
from twisted.internet.task import Clock as ReactorClock

from memdbd.clock import Clock
from memdbd.commands.lists import LIST
from memdbd.commands.strings import STRING
from memdbd.commands.table import COMMANDS, CONTAINERS, TYPES
from memdbd.daemon import Daemon
from memdbd.errors import CommandError
from memdbd.pubsub import Registry
from memdbd.replies import OK, Pending
from memdbd.session import Session


@pytest.fixture
def daemon() -> Daemon:
    clock = Clock(steady=lambda: 5.0, wall=lambda: 1_700_000_000.25)
    return Daemon(
        clock,
        COMMANDS,
        CONTAINERS,
        TYPES,
        default_ttl=60,
        call_later=ReactorClock().callLater,
        random=Random(1).random,
    )


def test_its_time_is_the_walls_in_microseconds(daemon: Daemon) -> None:
    assert daemon.wall_us() == 1_700_000_000_250_000


def test_it_knows_the_commands_and_the_default_ttl(daemon: Daemon) -> None:
    assert daemon.commands is COMMANDS
    assert daemon.default_ttl == 60


def test_it_knows_the_type_of_a_value(daemon: Daemon) -> None:
    assert daemon.type_of(b"value") is STRING
    assert daemon.type_of(deque()) is LIST


def test_it_knows_what_was_meant_by_an_unknown_command(daemon: Daemon) -> None:
    assert str(daemon.unknown_command(b"gte")) == "unknown command 'gte', did you mean 'get'?"


def test_info_is_asked_of_each_section_anew(daemon: Daemon) -> None:
    state = {"keys": 1}
    daemon.sections.update(server=lambda: {"pid": 7}, data=lambda: state)
    assert daemon.info() == {"server": {"pid": 7}, "data": {"keys": 1}}
    state["keys"] = 2
    assert daemon.info()["data"] == {"keys": 2}


def test_info_is_a_copy(daemon: Daemon) -> None:
    state = {"keys": 1}
    daemon.sections["data"] = lambda: state
    daemon.info()["data"]["keys"] = 9
    assert state == {"keys": 1}


def test_stats_are_the_counters_of_all_in_one(daemon: Daemon) -> None:
    assert daemon.stats() == {}
    daemon.counters += [lambda: {"commands": 1}, lambda: {"keys": 2, "expired": 3}]
    assert daemon.stats() == {"commands": 1, "keys": 2, "expired": 3}


def test_save_gives_the_reply_to_come(daemon: Daemon) -> None:
    snapshot = Pending()
    daemon.saver = lambda: snapshot
    assert daemon.save() is snapshot


def shut_down(daemon: Daemon, *, save: bool = True, force: bool = False) -> object:
    session = Session(1, Registry(), lambda message: None, lambda push: None)
    return daemon.shut_down(session, OK, save=save, force=force)


def test_it_is_not_shut_down_where_nobody_can_end_it(daemon: Daemon) -> None:
    with pytest.raises(CommandError, match="Errors trying to SHUTDOWN"):
        shut_down(daemon, force=True)


def test_it_is_shut_down_when_the_snapshot_is_there(daemon: Daemon) -> None:
    done: list[str] = []
    snapshot = Pending()
    daemon.saver = lambda: snapshot
    daemon.stopper = lambda: done.append("stopped")
    assert isinstance(shut_down(daemon), Pending)
    assert done == []
    snapshot.resolve(OK)
    assert done == ["stopped"]


def test_it_is_shut_down_without_a_snapshot_where_none_is_wanted(daemon: Daemon) -> None:
    done: list[str] = []
    daemon.saver = lambda: pytest.fail("saved")
    daemon.leaver = lambda: done.append("no last snapshot")
    daemon.stopper = lambda: done.append("stopped")
    assert shut_down(daemon, save=False) is OK
    assert done == ["no last snapshot", "stopped"]


def test_save_is_refused_without_anyone_to_save(daemon: Daemon) -> None:
    with pytest.raises(CommandError, match="this engine keeps no snapshot"):
        daemon.save()
