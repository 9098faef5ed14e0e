"""Values that are bytes: what is said and what is answered."""

from __future__ import annotations

import pytest
from helpers_pure import NOW, World, conversation, refusal

from memdbd.commands.arguments import INT64_MAX, INT64_MIN
from memdbd.commands.strings import STRING
from memdbd.errors import SyntaxFault, WrongType
from memdbd.replies import OK


@pytest.fixture
def world() -> World:
    return World()


NO_INTEGER = "ERR value is not an integer or out of range"


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

    def test_the_word_ex_is_a_part_of_an_unquoted_value(self, world: World) -> None:
        world.say("set greeting hello there EX 10")
        assert world.ask("get greeting") == {
            "result": "hello there EX 10",
            "ttl_remaining": None,
        }

    @pytest.mark.parametrize(
        "line", ['set k "a value" EX 10', '["set", "k", "a value", "ex", "10"]']
    )
    def test_options_stand_behind_a_quoted_value(self, world: World, line: str) -> None:
        assert world.say(line) == '{"result": "OK"}'
        assert world.ask("get k") == {"result": "a value", "ttl_remaining": 10}

    @pytest.mark.parametrize(
        ("option", "number", "deadline"),
        [
            (b"EX", b"10", NOW + 10_000),
            (b"px", b"10", NOW + 10),
            (b"ExAt", b"2000000000", 2_000_000_000_000),
            (b"PXAT", b"2000000000001", 2_000_000_000_001),
        ],
    )
    def test_a_deadline_may_be_given_in_four_ways(
        self, world: World, option: bytes, number: bytes, deadline: int
    ) -> None:
        assert world.run(b"set", b"k", b"v", option, number) is OK
        assert world.db.deadlines == {b"k": deadline}
        assert world.heard() == [("set_with_ttl", b"k")]

    def test_a_deadline_that_has_passed_leaves_no_key(self, world: World) -> None:
        assert world.run(b"set", b"k", b"v", b"EXAT", b"1") is OK
        assert world.run(b"get", b"k") is None
        assert world.heard() == [("set_with_ttl", b"k"), ("expire", b"k")]

    def test_keepttl_keeps_the_deadline_of_any_value(self, world: World) -> None:
        world.run(b"set", b"k", b"v", b"PX", b"10")
        assert world.run(b"set", b"k", b"w", b"KEEPTTL") is OK
        assert world.db.deadlines == {b"k": NOW + 10}
        world.now += 10
        world.run(b"set", b"k", b"x", b"KEEPTTL")
        assert world.db.deadlines == {}

    def test_nx_and_xx_ask_whether_the_key_is_there(self, world: World) -> None:
        assert world.run(b"set", b"k", b"v", b"XX") is None
        assert world.run(b"set", b"k", b"v", b"NX") is OK
        assert world.run(b"set", b"k", b"w", b"NX") is None
        assert world.run(b"get", b"k") == b"v"
        assert world.run(b"set", b"k", b"w", b"XX") is OK
        assert world.heard() == [("set", b"k")] * 2

    def test_with_get_the_old_value_is_answered_whether_it_is_replaced_or_not(
        self, world: World
    ) -> None:
        assert world.run(b"set", b"k", b"v", b"GET") is None
        assert world.run(b"set", b"k", b"w", b"GET") == b"v"
        assert world.run(b"set", b"k", b"x", b"GET", b"NX") == b"w"
        assert world.run(b"set", b"x", b"x", b"GET", b"XX") is None
        assert world.run(b"get", b"k") == b"w"
        assert world.run(b"exists", b"x") == 0

    def test_only_with_get_must_it_be_a_string(self, world: World) -> None:
        world.run(b"rpush", b"l", b"x")
        with pytest.raises(WrongType):
            world.run(b"set", b"l", b"v", b"NX", b"GET")
        assert world.run(b"set", b"l", b"v", b"NX") is None
        assert world.run(b"set", b"l", b"v") is OK

    @pytest.mark.parametrize(
        "options",
        [
            (b"NX", b"XX"),
            (b"EX",),
            (b"EX", b"10", b"KEEPTTL"),
            (b"EX", b"10", b"PX", b"10"),
            (b"PERSIST",),
            (b"EX", b"ten", b"FOO"),
        ],
    )
    def test_options_that_do_not_go_together_are_a_syntax_error(
        self, world: World, options: tuple[bytes, ...]
    ) -> None:
        with pytest.raises(SyntaxFault):
            world.run(b"set", b"k", b"v", *options)
        assert world.heard() == []

    def test_the_last_of_the_same_option_counts(self, world: World) -> None:
        world.run(b"set", b"k", b"v", b"EX", b"no number", b"EX", b"10")
        assert world.db.deadlines == {b"k": NOW + 10_000}

    @pytest.mark.parametrize(
        ("option", "number", "error"),
        [
            (b"EX", b"ten", NO_INTEGER),
            (b"EX", b"0", "ERR invalid expire time in 'set' command"),
            (b"PXAT", b"-1", "ERR invalid expire time in 'set' command"),
            (b"EX", b"9223372036854775807", "ERR invalid expire time in 'set' command"),
            (b"EXAT", b"9223372036854775807", "ERR invalid expire time in 'set' command"),
            (b"PX", b"9223372036854775807", "ERR invalid expire time in 'set' command"),
        ],
    )
    def test_a_time_out_of_range_is_refused(
        self, world: World, option: bytes, number: bytes, error: str
    ) -> None:
        assert refusal(world, b"set", b"k", b"v", b"NX", option, number) == error

    def test_the_last_millisecond_there_is_may_be_said(self, world: World) -> None:
        world.run(b"set", b"k", b"v", b"PXAT", b"9223372036854775807")
        assert world.db.deadlines == {b"k": INT64_MAX}


class TestSetex:
    @pytest.mark.parametrize(("name", "ms"), [(b"setex", 5000), (b"psetex", 5)])
    def test_it_takes_the_time_before_the_value(self, world: World, name: bytes, ms: int) -> None:
        assert world.run(name, b"k", b"5", b"v") is OK
        assert world.db.deadlines == {b"k": NOW + ms}
        assert world.heard() == [("set_with_ttl", b"k")]

    @pytest.mark.parametrize("name", [b"setex", b"psetex"])
    def test_a_time_that_is_none_is_refused_in_its_name(self, world: World, name: bytes) -> None:
        error = f"ERR invalid expire time in '{name.decode()}' command"
        assert refusal(world, name, b"k", b"0", b"v") == error
        assert refusal(world, name, b"k", b"soon", b"v") == NO_INTEGER

    def test_in_a_line_the_value_is_the_rest(self, world: World) -> None:
        world.say("setex k 5 two words")
        assert world.ask("get k") == {"result": "two words", "ttl_remaining": 5}


class TestSeveral:
    def test_mset_and_mget_are_for_several_keys(self, world: World) -> None:
        conversation(
            world,
            """
            > mset a 1 b "two words" a 3
            {"result": "OK"}
            > mget a b nothing
            {"result": ["3", "two words", null]}
            """,
        )
        assert world.heard() == [("set", b"a"), ("set", b"b"), ("set", b"a")]

    def test_mget_gives_nothing_for_another_type(self, world: World) -> None:
        world.run(b"rpush", b"l", b"x")
        assert world.run(b"mget", b"l") == [None]

    def test_msetnx_sets_all_or_nothing(self, world: World) -> None:
        assert world.run(b"msetnx", b"a", b"1", b"b", b"2") == 1
        assert world.run(b"msetnx", b"c", b"1", b"b", b"3") == 0
        assert world.run(b"mget", b"a", b"b", b"c") == [b"1", b"2", None]

    @pytest.mark.parametrize("name", [b"mset", b"msetnx"])
    def test_a_key_without_a_value_is_one_word_too_many(self, world: World, name: bytes) -> None:
        error = f"ERR wrong number of arguments for '{name.decode()}' command"
        assert refusal(world, name, b"a", b"1", b"b") == error
        assert world.heard() == []

    def test_setnx_sets_what_is_not_there(self, world: World) -> None:
        assert [world.run(b"setnx", b"k", value) for value in (b"v", b"w")] == [1, 0]
        assert world.run(b"get", b"k") == b"v"


class TestGettingAndMore:
    def test_getset_replaces_the_value_and_clears_the_deadline(self, world: World) -> None:
        assert world.run(b"getset", b"k", b"v") is None
        world.run(b"set", b"k", b"v", b"EX", b"10")
        assert world.run(b"getset", b"k", b"w") == b"v"
        assert (world.run(b"get", b"k"), world.db.deadlines) == (b"w", {})

    def test_getdel_deletes_what_it_gives(self, world: World) -> None:
        world.run(b"set", b"k", b"v")
        assert [world.run(b"getdel", b"k") for _ in range(2)] == [b"v", None]
        assert world.heard() == [("set", b"k"), ("delete", b"k")]

    def test_getex_alone_changes_nothing(self, world: World) -> None:
        world.run(b"set", b"k", b"v", b"EX", b"10")
        world.heard()
        assert world.run(b"getex", b"k") == b"v"
        assert world.heard() == []
        assert world.run(b"ttl", b"k") == 10

    def test_getex_sets_a_deadline_or_takes_it_off(self, world: World) -> None:
        world.run(b"set", b"k", b"v")
        assert world.run(b"getex", b"k", b"PX", b"10") == b"v"
        assert world.db.deadlines == {b"k": NOW + 10}
        assert world.run(b"getex", b"k", b"PERSIST") == b"v"
        assert world.run(b"getex", b"k", b"PERSIST") == b"v"
        assert world.heard() == [("set", b"k"), ("set_ttl", b"k"), ("persist", b"k")]

    def test_getex_deletes_what_it_gives_where_the_deadline_has_passed(self, world: World) -> None:
        world.run(b"set", b"k", b"v")
        assert world.run(b"getex", b"k", b"EXAT", b"1") == b"v"
        assert world.heard() == [("set", b"k"), ("delete", b"k")]

    def test_getex_looks_at_the_time_only_where_there_is_a_value(self, world: World) -> None:
        assert world.run(b"getex", b"k", b"EX", b"soon") is None
        world.run(b"set", b"k", b"v")
        assert refusal(world, b"getex", b"k", b"EX", b"soon") == NO_INTEGER
        error = "ERR invalid expire time in 'getex' command"
        assert refusal(world, b"getex", b"k", b"EX", b"0") == error

    @pytest.mark.parametrize("options", [(b"NX",), (b"KEEPTTL",), (b"PERSIST", b"EX", b"1")])
    def test_getex_has_not_all_options_of_set(
        self, world: World, options: tuple[bytes, ...]
    ) -> None:
        with pytest.raises(SyntaxFault):
            world.run(b"getex", b"k", *options)


@pytest.mark.parametrize(
    "argv", [(b"get", b"l"), (b"getset", b"l", b"v"), (b"getdel", b"l"), (b"getex", b"l")]
)
def test_what_is_no_string_is_refused_and_stays(world: World, argv: tuple[bytes, ...]) -> None:
    world.run(b"rpush", b"l", b"x")
    with pytest.raises(WrongType):
        world.run(*argv)
    assert world.heard() == [("rpush", b"l")]


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
