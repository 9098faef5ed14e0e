"""Changes of keys as messages: which events, on which channels."""

from __future__ import annotations

import pytest
from parties import Party

from memdbd.errors import CommandError
from memdbd.notifications import canonical, parse


class Listening:
    """A client that hears all events of all databases, and one that makes them."""

    def __init__(self, setting: str) -> None:
        self.party = Party()
        self.want(setting)
        self.party.says("a", "PSUBSCRIBE __key*")

    def want(self, setting: str) -> None:
        self.party.house.server.notifier.want(parse(setting))

    def hears(self, *lines: str) -> list[str]:
        """The messages that come of these lines, as ``channel payload``."""
        for line in lines:
            self.party.sends("b", line)
        heard = []
        for push in self.party.heard().get("a", []):
            _, _, channel, payload = push.strip("[]").split(", ")
            heard.append(f"{channel} {payload}".replace('"', ""))
        return heard

    def events(self, *lines: str) -> list[str]:
        """The same for key events alone, as ``event key``."""
        return [
            each.removeprefix("__keyevent@0__:")
            for each in self.hears(*lines)
            if each.startswith("__keyevent")
        ]


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ("", ""),
        ("KEA", "AKE"),
        ("EKA", "AKE"),
        ("Kng", "gnK"),
        ("KEAn", "AKE"),
        ("mKEg$lshzxetd", "AKEm"),
        ("mKEg$lshzxet", "g$lshzxetKEm"),
        ("K", "K"),
        ("xE", "xE"),
    ],
)
def test_the_setting_is_shown_as_redis_does(setting: str, shown: str) -> None:
    assert canonical(parse(setting)) == shown


@pytest.mark.parametrize("setting", ["q", "KEA ", "kea"])
def test_an_unknown_letter_is_refused(setting: str) -> None:
    with pytest.raises(CommandError, match="Invalid event class character"):
        parse(setting)


class TestTheChannels:
    def test_are_of_the_key_and_of_the_event(self) -> None:
        assert Listening("KEA").hears("SET k v") == [
            "__keyspace@0__:k set",
            "__keyevent@0__:set k",
        ]

    def test_are_those_that_are_wanted(self) -> None:
        assert Listening("KA").hears("SET k v") == ["__keyspace@0__:k set"]
        assert Listening("EA").hears("SET k v") == ["__keyevent@0__:set k"]
        assert Listening("A").hears("SET k v") == []
        assert Listening("K").hears("SET k v") == []

    def test_have_the_number_of_the_database(self) -> None:
        assert Listening("EA").hears("SELECT 3", "SET k v") == ["__keyevent@3__:set k"]


class TestTheClasses:
    LINES = ("SET s 1", "RPUSH l 1", "SADD t 1", "HSET h f 1", "ZADD z 1 a", "DEL s")

    @pytest.mark.parametrize(
        ("letter", "events"),
        [
            ("$", ["set s"]),
            ("l", ["rpush l"]),
            ("s", ["sadd t"]),
            ("h", ["hset h"]),
            ("z", ["zadd z"]),
            ("g", ["del s"]),
            ("x", []),
        ],
    )
    def test_are_told_of_by_their_letters(self, letter: str, events: list[str]) -> None:
        assert Listening("E" + letter).events(*self.LINES) == events

    def test_of_expiry_is_told_of_when_a_key_is_gone(self) -> None:
        listening = Listening("Ex")
        listening.events("SET k v PX 100")
        listening.party.house.passes(1)
        assert listening.events("GET k") == ["expired k"]

    def test_of_misses_is_told_of_what_is_read_and_not_there(self) -> None:
        listening = Listening("Em")
        listening.events("SET k v")
        assert listening.events("MGET k l m", "EXISTS l", "OBJECT ENCODING l", "LPOP l") == [
            "keymiss l",
            "keymiss m",
            "keymiss l",
        ]
        listening.want("")
        assert listening.party.house.dispatcher.attendants.members == ()


@pytest.mark.parametrize(
    ("line", "events"),
    [
        ("SET k v EX 10", ["set k", "expire k"]),
        ("SETEX k 10 v", ["set k", "expire k"]),
        ("INCR n", ["incrby n"]),
        ("DECR n", ["incrby n"]),
        ("INCRBYFLOAT n 1", ["incrbyfloat n"]),
        ("APPEND k x", ["append k"]),
        ("EXPIRE here 10", ["expire here"]),
        ("EXPIRE here -1", ["del here"]),
        ("PERSIST here", []),
        ("RENAME here there", ["rename_from here", "rename_to there"]),
        ("MOVE here 1", ["move_from here", "__keyevent@1__:move_to here"]),
        ("COPY here there", ["copy_to there"]),
        ("LPOP list", ["lpop list", "del list"]),
        ("LMOVE list list2 LEFT RIGHT", ["rpush list2", "lpop list", "del list"]),
        ("SPOP set", ["spop set", "del set"]),
        ("SUNIONSTORE d set", ["sunionstore d"]),
        ("HDEL hash f", ["hdel hash", "del hash"]),
        ("ZINCRBY zset 1 a", ["zincr zset"]),
        ("ZREM zset a", ["zrem zset", "del zset"]),
        ("ZUNIONSTORE d 1 zset", ["zunionstore d"]),
        ("PFADD p x", ["pfadd p"]),
        ("SORT list STORE d", ["sortstore d"]),
        ("FLUSHALL", []),
        ("SWAPDB 0 1", []),
    ],
)
def test_an_operation_has_redis_s_events(line: str, events: list[str]) -> None:
    listening = Listening("EA")
    listening.events("SET here v", "RPUSH list 1", "SADD set 1", "HSET hash f 1", "ZADD zset 1 a")
    assert listening.events(line) == events


def test_nothing_is_listened_to_while_nothing_is_wanted() -> None:
    listening = Listening("KEA")
    changes = listening.party.house.engine.changes
    assert len(changes.listeners.members) == 1
    listening.want("K")
    assert list(changes.listeners.members) == []
    assert listening.hears("SET k v") == []


class TestWhatIsNew:
    def test_is_told_of_before_what_made_it(self) -> None:
        listening = Listening("EAn")
        assert listening.events("SET k v", "SET k w") == ["new k", "set k", "set k"]
        assert listening.events("DEL k", "RPUSH k x") == ["del k", "new k", "rpush k"]
        assert listening.events("RENAME k l") == ["new l", "rename_from k", "rename_to l"]

    def test_may_be_all_that_is_told_of(self) -> None:
        assert Listening("En").events("MSET k v l w", "GET m", "DEL k") == ["new k", "new l"]

    def test_is_found_inside_a_transaction(self) -> None:
        listening = Listening("E$n")
        lines = ("SET k v", "MULTI", "SET k w", "DEL k", "SET k x", "SET l y", "EXEC")
        assert listening.events(*lines) == [
            "new k", "set k", "set k", "new k", "set k", "new l", "set l",
        ]  # fmt: skip

    def test_is_found_in_whatever_database_it_is(self) -> None:
        listening = Listening("E$n")
        assert listening.events("SET k v", "COPY k n DB 2", "MOVE k 3") == [
            "new k", "set k", "__keyevent@2__:new n", "__keyevent@3__:new k",
        ]  # fmt: skip
        assert listening.events("MULTI", "SELECT 5", "SET q v", "EXEC") == [
            "__keyevent@5__:new q", "__keyevent@5__:set q",
        ]  # fmt: skip

    def test_is_what_replaces_another_by_a_copy_or_a_new_name(self) -> None:
        listening = Listening("En")
        assert listening.events("MSET k v l w") == ["new k", "new l"]
        assert listening.events("COPY k l REPLACE", "RENAME k l") == ["new l", "new l"]

    def test_is_told_of_in_a_keyspace_with_bounds_set_meanwhile(self) -> None:
        listening = Listening("En")
        listening.party.says("a", "CONFIG SET maxmemory 1gb")
        assert listening.events("SET k v") == ["new k"]

    def test_costs_nothing_when_it_is_no_longer_wanted(self) -> None:
        listening = Listening("En")
        listening.want("")
        assert listening.party.house.dispatcher.attendants.members == ()
        assert listening.party.house.engine.changes.listeners.members == ()
        assert {each.born for each in listening.party.house.engine.databases} == {None}
