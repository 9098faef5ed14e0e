"""The commands there are."""

from __future__ import annotations

import re

import pytest

from memdbd.commands.spec import Command, Flag
from memdbd.commands.table import COMMANDS, GROUPS, TYPES

EACH = pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)


def test_every_command_of_the_documentation_is_there() -> None:
    assert set(COMMANDS) == set(
        b"get set set_with_ttl delete keys subscribe unsubscribe publish list_channels "
        b"list_subscribers ttl expire persist exists incr append rename type dbsize flushall ping "
        b"echo time info stats save help exit quit".split()
    )


def test_names_are_unique() -> None:
    names = [command.name for group in GROUPS for command in group.COMMANDS]
    assert len(names) == len(set(names)) == len(COMMANDS)


def test_each_group_lists_every_command_that_is_declared_in_it() -> None:
    for group in GROUPS:
        declared = {one for one in vars(group).values() if isinstance(one, Command)}
        assert declared == set(group.COMMANDS), group.__name__


@EACH
def test_a_name_is_lower_case_and_one_word(command: Command) -> None:
    assert re.fullmatch("[a-z][a-z_]*", command.name)
    assert COMMANDS[command.name.encode()] is command


@EACH
def test_every_command_has_a_summary_a_group_and_a_flag(command: Command) -> None:
    assert command.summary[0].isupper()
    assert not command.summary.endswith(".")
    assert command.group in {group.__name__.rpartition(".")[2] for group in GROUPS}
    assert command.flags


@EACH
def test_every_command_that_reads_or_changes_a_key_declares_it_and_what_it_does(
    command: Command,
) -> None:
    has_keys = any(param.is_key for param in command.params)
    does = Flag.READ in command.flags or Flag.WRITE in command.flags
    assert does or not has_keys
    assert Flag.WRITE in command.flags or Flag.GROWS not in command.flags


def test_what_is_told_of_the_server_itself_is_no_reading_of_keys() -> None:
    told = {name for name, command in COMMANDS.items() if Flag.SERVER in command.flags}
    assert told == {b"time", b"info", b"stats"}
    assert not any(Flag.READ in COMMANDS[name].flags for name in told)


@EACH
def test_optional_parameters_stand_behind_the_others_and_a_repeated_one_at_the_end(
    command: Command,
) -> None:
    optional = [param.optional for param in command.params]
    assert optional == sorted(optional)
    assert not any(param.many for param in command.params[:-1])
    assert sum(param.rest for param in command.params) <= 1
    assert len({param.name for param in command.params}) == len(command.params)


def test_types_have_different_names_and_classes() -> None:
    assert len({kind.name for kind in TYPES}) == len({kind.python for kind in TYPES}) == len(TYPES)
