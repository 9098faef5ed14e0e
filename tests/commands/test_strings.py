"""Values that are bytes: what is said and what is answered."""

from __future__ import annotations

import pytest
from helpers_pure import NOW, World, conversation

from memdbd.commands.spec import INT64_MAX, INT64_MIN
from memdbd.commands.strings import MAX_VALUE, STRING
from memdbd.errors import CommandError
from memdbd.replies import OK


@pytest.fixture
def world() -> World:
    return World()


class TestGet:
    def test_it_gives_the_value_and_the_whole_seconds_left(self, world: World) -> None:
        conversation(
            world,
            """
            > set username john_doe
            {"result": "OK"}
            > get username
            {"result": "john_doe", "ttl_remaining": null}
            > set_with_ttl temp_token abc123 60
            {"result": "OK", "ttl_set": 60}
            > get temp_token
            {"result": "abc123", "ttl_remaining": 60}
            > get nothing
            {"result": null, "ttl_remaining": null}
            """,
        )

    @pytest.mark.parametrize(
        ("ms_later", "left"), [(0, 60), (500, 60), (501, 59), (59_500, 1), (59_501, 0), (59_999, 0)]
    )
    def test_seconds_left_are_rounded_as_redis_does(
        self, world: World, ms_later: int, left: int
    ) -> None:
        world.say("set_with_ttl k v 60")
        world.now += ms_later
        assert world.ask("get k") == {"result": "v", "ttl_remaining": left}

    def test_an_expired_key_is_no_key(self, world: World) -> None:
        world.say("set_with_ttl k v 60")
        world.now += 60_000
        assert world.say("get k") == '{"result": null, "ttl_remaining": null}'

    def test_a_program_gets_the_bare_value(self, world: World) -> None:
        world.run(b"set", b"k", b"\xff")
        assert world.run(b"get", b"k") == b"\xff"
        assert world.run(b"get", b"x") is None

    def test_an_empty_value_is_a_value(self, world: World) -> None:
        world.say('set k ""')
        assert world.ask("get k") == {"result": "", "ttl_remaining": None}


class TestSet:
    def test_it_replaces_the_value_and_clears_the_deadline(self, world: World) -> None:
        world.say("set_with_ttl k v 60")
        assert world.say("set k w") == '{"result": "OK"}'
        assert world.ask("get k") == {"result": "w", "ttl_remaining": None}
        assert world.heard() == [("set_with_ttl", b"k"), ("set", b"k")]

    def test_the_value_is_the_rest_of_the_line(self, world: World) -> None:
        world.say("set k  several  words, it's all one ")
        assert world.ask("get k")["result"] == "several  words, it's all one"


class TestSetWithTTL:
    @pytest.mark.parametrize(
        ("line", "value", "ttl"),
        [
            ("set_with_ttl k abc 60", "abc", 60),
            ("set_with_ttl k two words 60", "two words", 60),
            ("set_with_ttl k abc", "abc", 3600),
            ("set_with_ttl k two words", "two words", 3600),
            ("set_with_ttl k 60", "60", 3600),
            ("set_with_ttl k 60 61", "60", 61),
            ('set_with_ttl k "two words" 5', "two words", 5),
            ('set_with_ttl k "a 60"', "a 60", 3600),
            ('["set_with_ttl", "k", "a 60"]', "a 60", 3600),
            ('["set_with_ttl", "k", "a", "60"]', "a", 60),
            ("set_with_ttl k abc 1.5", "abc 1.5", 3600),
            ("set_with_ttl k in 60s", "in 60s", 3600),
        ],
    )
    def test_a_whole_number_behind_a_value_is_the_ttl(
        self, world: World, line: str, value: str, ttl: int
    ) -> None:
        assert world.ask(line) == {"result": "OK", "ttl_set": ttl}
        assert world.ask("get k") == {"result": value, "ttl_remaining": ttl}

    def test_the_deadline_is_kept_to_the_millisecond(self, world: World) -> None:
        world.now += 123
        world.say("set_with_ttl k v 60")
        assert world.db.deadlines.get(b"k") == NOW + 60_123

    @pytest.mark.parametrize("ttl", [0, -1, INT64_MIN, INT64_MAX // 1000 + 1, INT64_MAX])
    def test_a_ttl_out_of_range_is_refused_and_nothing_is_set(self, world: World, ttl: int) -> None:
        error = world.ask(f"set_with_ttl k v {ttl}")["error"]
        assert error.startswith("invalid expire time in 'set_with_ttl' command")
        assert world.db.values == {}

    def test_a_ttl_that_is_no_number_says_which_argument_that_is(self, world: World) -> None:
        assert world.ask('set_with_ttl k "v" soon') == {
            "error": "value is not an integer or out of range; "
            "look at <ttl> in: set_with_ttl <key> <value…> [<ttl>]"
        }

    def test_it_is_heard_under_its_name(self, world: World) -> None:
        world.say("set_with_ttl k v 60")
        assert world.heard() == [("set_with_ttl", b"k")]


class TestIncr:
    def test_it_counts_from_nothing(self, world: World) -> None:
        assert [world.ask("incr k")["result"] for _ in range(3)] == [1, 2, 3]
        assert world.db.get(b"k") == b"3"
        assert world.heard() == [("incr", b"k")] * 3

    def test_it_counts_on_from_a_number(self, world: World) -> None:
        world.say("set k -10")
        assert world.ask("incr k") == {"result": -9}

    def test_the_deadline_stays(self, world: World) -> None:
        world.say("set_with_ttl k 1 60")
        world.say("incr k")
        assert world.ask("get k") == {"result": "2", "ttl_remaining": 60}

    def test_an_expired_number_is_not_counted_on_from(self, world: World) -> None:
        world.say("set_with_ttl k 41 60")
        world.now += 60_000
        assert world.ask("incr k") == {"result": 1}
        assert world.ask("ttl k") == {"result": -1}

    @pytest.mark.parametrize("value", ["word", "1.5", "007", "9223372036854775808", " 1", ""])
    def test_what_is_no_number_is_refused_and_stays(self, world: World, value: str) -> None:
        world.say(f'set k "{value}"')
        assert world.ask("incr k")["error"].startswith("value is not an integer or out of range")
        assert world.ask("get k")["result"] == value

    def test_it_stops_at_64_bits(self, world: World) -> None:
        world.say(f"set k {INT64_MAX}")
        assert world.ask("incr k") == {"error": "increment or decrement would overflow"}
        assert world.ask("get k")["result"] == str(INT64_MAX)


class TestAppend:
    def test_it_gives_the_new_length_in_bytes(self, world: World) -> None:
        conversation(
            world,
            """
            > append k Hello
            {"result": 5}
            > append k " Wörld"
            {"result": 12}
            > append k and more words
            {"result": 26}
            > get k
            {"result": "Hello Wörldand more words", "ttl_remaining": null}
            """,
        )
        assert world.heard() == [("append", b"k")] * 3

    def test_the_deadline_stays(self, world: World) -> None:
        world.say("set_with_ttl k a 60")
        world.say("append k b")
        assert world.ask("get k") == {"result": "ab", "ttl_remaining": 60}

    def test_an_expired_value_is_not_appended_to(self, world: World) -> None:
        world.say("set_with_ttl k old 60")
        world.now += 60_000
        assert world.ask("append k new") == {"result": 3}
        assert world.ask("get k") == {"result": "new", "ttl_remaining": None}

    def test_a_value_does_not_grow_over_its_bound(self, world: World) -> None:
        world.db.set(b"k", bytes(MAX_VALUE))
        with pytest.raises(CommandError, match="string exceeds maximum allowed size"):
            world.run(b"append", b"k", b"x")
        assert len(world.db.get(b"k") or b"") == MAX_VALUE

    def test_a_value_may_grow_up_to_its_bound(self, world: World) -> None:
        world.db.set(b"k", bytes(MAX_VALUE - 1))
        assert world.run(b"append", b"k", b"x") == MAX_VALUE


class TestTheTypeString:
    @pytest.mark.parametrize("value", [b"", b"text", b"\xff\x00", bytes(1000)])
    def test_it_is_in_a_snapshot_what_it_is_in_memory(self, value: bytes) -> None:
        dumped = STRING.dump(value, lambda data: data.decode("latin1"))
        assert STRING.load(dumped, lambda text: text.encode("latin1")) == value

    def test_its_size_grows_with_it_byte_by_byte(self) -> None:
        assert STRING.size(b"x" * 100) - STRING.size(b"") == 100


def test_any_bytes_are_a_key_and_a_value(world: World) -> None:
    for data in (b"", b"\xff", b"\r\n", b"\x00", bytes(range(256))):
        assert world.run(b"set", data, data) is OK
        assert world.run(b"get", data) == data
