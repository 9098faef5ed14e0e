"""Redis's parameters: what they may be set to, and what follows."""

from __future__ import annotations

import pytest

from memdbd.errors import CommandError
from memdbd.parameters import Parameters


@pytest.fixture
def parameters() -> Parameters:
    return Parameters()


def refusal(parameters: Parameters, *changes: tuple[str, str]) -> str:
    with pytest.raises(CommandError) as refused:
        parameters.set(changes)
    return str(refused.value)


class TestGet:
    def test_finds_by_patterns_and_by_names(self, parameters: Parameters) -> None:
        assert parameters.matching([b"maxmemory-p*"]) == {"maxmemory-policy": "noeviction"}
        assert parameters.matching([b"hz", b"timeout"]) == {"hz": "10", "timeout": "0"}
        assert parameters.matching([b"nosuch", b"nosuch*"]) == {}

    def test_a_name_is_given_back_as_it_was_asked_for(self, parameters: Parameters) -> None:
        assert parameters.matching([b"HZ"]) == {"HZ": "10"}
        assert parameters.matching([b"H[YZ]"]) == {"hz": "10"}


class TestSet:
    @pytest.mark.parametrize(
        ("name", "raw", "shown"),
        [
            ("maxmemory", "100mb", "104857600"),
            ("maxmemory", "1K", "1000"),
            ("MAXMEMORY", "1kb", "1024"),
            ("appendonly", "YES", "yes"),
            ("appendfsync", "Always", "always"),
            ("list-max-listpack-size", "-2", "-2"),
            ("save", " 900  1 300 10 ", "900 1 300 10"),
            ("save", "", ""),
            ("hz", "1000", "500"),
            ("hz", "0", "1"),
            ("activedefrag", "no", "no"),
        ],
    )
    def test_keeps_a_value_as_redis_shows_it(
        self, parameters: Parameters, name: str, raw: str, shown: str
    ) -> None:
        parameters.set([(name, raw)])
        assert parameters[name.lower()] == shown

    @pytest.mark.parametrize(
        ("name", "raw", "why"),
        [
            ("appendonly", "maybe", "argument must be 'yes' or 'no'"),
            ("appendonly", "no", "the journal is always written"),
            ("timeout", "x", "argument couldn't be parsed into an integer"),
            ("timeout", "", "argument couldn't be parsed into an integer"),
            ("timeout", "-1", "argument must be between 0 and 2147483647 inclusive"),
            ("maxmemory", "1.5", "argument must be a memory value"),
            ("maxmemory", "-1", "argument must be a memory value"),
            (
                "appendfsync",
                "bogus",
                "argument(s) must be one of the following: everysec, always, no",
            ),
            ("save", "1", "Invalid save parameters"),
            ("save", "0 1", "Invalid save parameters"),
            ("save", "a b", "Invalid save parameters"),
            ("port", "7", "can't set immutable config"),
            (
                "client-output-buffer-limit",
                "normal 0 0",
                "Wrong number of arguments in buffer limit configuration.",
            ),
            (
                "client-output-buffer-limit",
                "bogus 0 0 0",
                "Invalid client class specified in buffer limit configuration.",
            ),
            (
                "client-output-buffer-limit",
                "normal 0 0 x",
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
            (
                "activedefrag",
                "yes",
                "Active defragmentation cannot be enabled: memory is Python's",
            ),
        ],
    )
    def test_refuses_what_a_parameter_cannot_be(
        self, parameters: Parameters, name: str, raw: str, why: str
    ) -> None:
        before = parameters[name]
        assert refusal(parameters, (name, raw)) == (
            f"CONFIG SET failed (possibly related to argument '{name}') - {why}"
        )
        assert parameters[name] == before

    def test_refuses_what_there_is_not(self, parameters: Parameters) -> None:
        assert refusal(parameters, ("NoSuch", "1")) == (
            "Unknown option or number of arguments for CONFIG SET - 'NoSuch'"
        )

    def test_refuses_the_same_one_twice(self, parameters: Parameters) -> None:
        assert refusal(parameters, ("hz", "1"), ("HZ", "2")).endswith("- duplicate parameter")

    def test_two_names_of_one_parameter_follow_each_other(self, parameters: Parameters) -> None:
        parameters.set([("hash-max-ziplist-entries", "7")])
        assert parameters["hash-max-listpack-entries"] == "7"
        parameters.set([("hash-max-listpack-entries", "8")])
        assert parameters["hash-max-ziplist-entries"] == "8"

    def test_the_limits_of_other_classes_stay(self, parameters: Parameters) -> None:
        parameters.set([("client-output-buffer-limit", "normal 1kb 2kb 3")])
        parameters.set([("client-output-buffer-limit", "Replica 0 0 0 pubsub 4mb 1mb 60")])
        assert parameters["client-output-buffer-limit"] == (
            "normal 1024 2048 3 slave 0 0 0 pubsub 4194304 1048576 60"
        )


class TestActions:
    def test_hear_of_a_new_value(self, parameters: Parameters) -> None:
        heard: list[str] = []
        parameters.on("maxmemory", heard.append)
        parameters.set([("maxmemory", "1kb")])
        assert heard == ["1024"]

    def test_may_say_how_the_value_is_shown(self, parameters: Parameters) -> None:
        parameters.on("notify-keyspace-events", lambda value: value.upper())
        parameters.set([("notify-keyspace-events", "kea")])
        assert parameters["notify-keyspace-events"] == "KEA"

    def test_hear_of_nothing_where_one_of_several_is_refused(self, parameters: Parameters) -> None:
        heard: list[str] = []
        parameters.on("maxmemory", heard.append)
        refusal(parameters, ("maxmemory", "1kb"), ("timeout", "x"))
        assert heard == []
        assert parameters["maxmemory"] == "0"

    def test_are_undone_where_another_fails(self, parameters: Parameters) -> None:
        heard: list[str] = []

        def fail(value: str) -> None:
            raise ValueError("not today")

        parameters.on("maxmemory", heard.append)
        parameters.on("slowlog-max-len", fail)
        assert refusal(parameters, ("maxmemory", "1kb"), ("slowlog-max-len", "7")) == (
            "CONFIG SET failed (possibly related to argument 'slowlog-max-len') - not today"
        )
        assert heard == ["1024", "0"]
        assert parameters.matching([b"maxmemory", b"slowlog-max-len"]) == {
            "maxmemory": "0",
            "slowlog-max-len": "128",
        }

    def test_do_not_hear_of_what_is_only_told(self, parameters: Parameters) -> None:
        parameters.on("maxmemory", pytest.fail)
        parameters.tell(maxmemory=7, maxmemory_policy="allkeys-lru", port=6379)
        assert parameters["maxmemory"] == "7"
        assert parameters["maxmemory-policy"] == "allkeys-lru"
        assert parameters["port"] == "6379"
