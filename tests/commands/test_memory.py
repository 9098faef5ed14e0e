"""MEMORY: what keys and the process take."""

from __future__ import annotations

import pytest
from helpers_pure import World, refusal

from memdbd.replies import OK


@pytest.fixture
def world() -> World:
    return World()


def usage(world: World, *arguments: bytes) -> int | None:
    told = world.run(b"memory", b"usage", *arguments)
    assert told is None or isinstance(told, int)
    return told


class TestUsage:
    def test_of_what_is_not_there_is_null(self, world: World) -> None:
        assert usage(world, b"k") is None

    def test_grows_with_the_value_and_the_name(self, world: World) -> None:
        world.run(b"set", b"k", b"v")
        small = usage(world, b"k") or 0
        world.run(b"set", b"k", b"v" * 1001)
        assert usage(world, b"k") == small + 1000
        world.run(b"rename", b"k", b"k" * 101)
        assert usage(world, b"k" * 101) == small + 1100

    def test_is_the_same_with_a_deadline_as_in_redis(self, world: World) -> None:
        world.run(b"set", b"k", b"v")
        before = usage(world, b"k")
        world.run(b"expire", b"k", b"10")
        assert usage(world, b"k") == before

    def test_is_that_of_a_bounded_keyspace(self, world: World) -> None:
        world.run(b"config", b"set", b"maxmemory", b"1gb")
        world.run(b"rpush", b"list", *[b"%d" % number for number in range(1000)])
        assert usage(world, b"list") == world.daemon.stats()["memory_counted_bytes"]

    def test_looks_no_closer_whatever_the_samples(self, world: World) -> None:
        world.run(b"rpush", b"k", b"a", b"b")
        assert usage(world, b"k", b"SAMPLES", b"0") == usage(world, b"k")

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ((b"bogus",), "ERR syntax error"),
            ((b"samples",), "ERR syntax error"),
            ((b"samples", b"-1"), "ERR syntax error"),
            ((b"samples", b"x"), "ERR value is not an integer or out of range"),
        ],
    )
    def test_refuses_wrong_options_in_redis_s_words(
        self, world: World, options: tuple[bytes, ...], error: str
    ) -> None:
        assert refusal(world, b"memory", b"usage", b"k", *options) == error


def test_stats_tell_of_keys_and_bytes(world: World) -> None:
    world.run(b"set", b"k", b"v")
    told = world.run(b"memory", b"stats")
    assert told["keys.count"] == 1
    assert told["total.allocated"] > 0


def test_the_doctor_says_it_in_words(world: World) -> None:
    world.run(b"set", b"k", b"v")
    assert world.run(b"memory", b"doctor").text.startswith("1 keys, ")


def test_there_is_nothing_to_purge_and_no_figures_of_the_allocator(world: World) -> None:
    assert world.run(b"memory", b"purge") == OK
    assert world.run(b"memory", b"malloc-stats").text == (
        "Stats not supported for the current allocator"
    )
