"""What a user may do: commands, keys and channels, and the check of a request against it.

Theory of operation. A :class:`Selector` is what one list of rules has come to: the names of the
commands that it allows, patterns of keys with what may be done with them, patterns of channels. A
user has one or more; a request is allowed if one of them allows all of it (acl.c of Redis 7.0:
``ACLCheckAllUserCommandPerm``, ``ACLSelectorCheckCmd``).

Strategy. Nearly all requests are allowed, and are to cost next to nothing. So :class:`Permissions`
compiles, for each command when it is first asked for, what is left to be looked at in a request:
mostly nothing, which is None; else a function of its words. A change of a user's rules makes new
permissions, and nothing here ever changes.

May import: errors, glob, commands.access, commands.spec, commands.categories.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from memdbd.commands.access import Access, KeyRange
from memdbd.commands.spec import Command, Flag
from memdbd.errors import CommandError, shown
from memdbd.glob import matcher

# Raises Denied for a request that is not allowed.
Check = Callable[[Sequence[bytes]], None]


class NotPermitted(CommandError):
    """A request that its user may not make."""

    code = "NOPERM"
    is_rejection = True


class Denied(NotPermitted):
    """A request that its user may not make. ``reason`` and ``object`` are as ACL LOG has them: a
    command by its full name, or the first key or channel that it may not have, which is the
    ``place``-th of them."""

    def __init__(self, reason: str, object: bytes, message: str, dry: str, place: int = 0) -> None:
        super().__init__(f"this user has no permissions to {message}")
        self.reason = reason
        self.object = object
        self.place = place
        self.dry = f"This user has no permissions to {dry}"  # what ACL DRYRUN says

    def within_transaction(self) -> NotPermitted:
        """The same, of a request that was allowed when it was queued."""
        return NotPermitted(
            "ACLs rules changed between the moment the transaction was accumulated and the EXEC "
            "call. This command is no longer allowed for the following reason: " + _WHY[self.reason]
        )


_WHY = {
    "command": "no permission to execute the command or subcommand",
    "key": "no permission to touch the specified keys",
    "channel": "no permission to access one of the channels used as arguments to the command",
}


def _denied_command(command: Command) -> Denied:
    name = command.full_name
    what = f"run the '{name}' command"
    return Denied("command", name.encode(), what, what)


def _denied_key(key: bytes, place: int = 0) -> Denied:
    what = "access one of the keys used as arguments"
    return Denied("key", key, what, f"access the '{shown(key)}' key", place)


def _denied_channel(channel: bytes, place: int = 0) -> Denied:
    what = "access one of the channels used as arguments"
    return Denied("channel", channel, what, f"access the '{shown(channel)}' channel", place)


_PROGRESS = {"command": 1, "key": 2, "channel": 3}


def _progress(denied: Denied) -> tuple[int, int]:
    """How far a request came. Where each selector has its own denial, the farthest is told."""
    return _PROGRESS[denied.reason], denied.place


class Pattern:
    """Keys, or channels, by a glob pattern; ``access`` is what may be done with the keys.

    Raises CommandError for a pattern that is too long.
    """

    __slots__ = ("access", "bits", "matches", "text")

    def __init__(self, text: bytes, access: Access = Access.BOTH) -> None:
        self.text = text
        self.access = access
        self.bits = access.value  # to look into an enum.Flag takes a microsecond
        self.matches = matcher(text)


class Selector(NamedTuple):
    """What one list of rules allows.

    ``commands`` are full names (``config|get``); ``first_arguments`` are those with which a command
    is allowed that is not among them, in lower case. ``keys`` and ``channels``: None for all.
    """

    commands: frozenset[str] = frozenset()
    first_arguments: Mapping[str, frozenset[bytes]] = {}
    keys: tuple[Pattern, ...] | None = ()
    channels: tuple[Pattern, ...] | None = ()

    def may_run(self, command: Command) -> bool:
        return bool(command.flags & Flag.NO_AUTH) or command.full_name in self.commands

    def check(self, command: Command, argv: Sequence[bytes]) -> Denied | None:
        """What is not allowed of a request, if anything. Its number of words is right."""
        if not self.may_run(command) and not self._has_first(command, argv):
            return _denied_command(command)
        if self.keys is not None:
            keys = command.keys_of(argv)
            accesses = command.access_of(argv, keys)
            for place, (key, access) in enumerate(zip(keys, accesses, strict=True)):
                if not self.may_have(key, access):
                    return _denied_key(key, place)
        if self.channels is not None and command.find_channels is not None:
            for place, channel in enumerate(command.find_channels(argv)):
                if not self.may_hear(channel, is_pattern=command.channel_patterns):
                    return _denied_channel(channel, place)
        return None

    def _has_first(self, command: Command, argv: Sequence[bytes]) -> bool:
        allowed = self.first_arguments.get(command.full_name, ())
        return len(argv) > 1 and argv[1].lower() in allowed

    def has_every_key(self, access: Access) -> bool:
        return self.keys is None or any(
            access in key.access and key.text == b"*" for key in self.keys
        )

    def may_have(self, key: bytes, access: Access) -> bool:
        """Whether there is this right to a key; NONE: any right."""
        if self.keys is None:
            return True
        bits = access.value
        return any(each.bits & bits == bits and each.matches(key) for each in self.keys)

    def may_hear(self, channel: bytes, *, is_pattern: bool) -> bool:
        """Whether a channel, or all that match a pattern, may be listened to and published on.

        A pattern only by itself: whether all that it matches would match another, nobody works out.
        """
        if self.channels is None:
            return True
        if is_pattern:
            return any(channel == each.text for each in self.channels)
        return any(each.matches(channel) for each in self.channels)


class Permissions(dict[Command, Check | None]):
    """What a user may do: for each command what is left to be checked of a request, or None."""

    __slots__ = ("selectors",)

    def __init__(self, selectors: Sequence[Selector]) -> None:
        self.selectors = tuple(selectors)

    def __missing__(self, command: Command) -> Check | None:
        check = self[command] = self._compiled(command)
        return check

    def _compiled(self, command: Command) -> Check | None:
        fitting = [
            each
            for each in self.selectors
            if each.may_run(command) or command.full_name in each.first_arguments
        ]
        if not fitting:
            return _refuse(command)
        if any(_allows_all(each, command) for each in fitting):
            return None
        if len(fitting) == 1 and (patterns := _of_only_key(fitting[0], command)):
            return _check_of_key(patterns)
        return self._full_check(command)

    def _full_check(self, command: Command) -> Check:
        def check(argv: Sequence[bytes]) -> None:
            denied = []
            for selector in self.selectors:
                found = selector.check(command, argv)
                if found is None:
                    return
                denied.append(found)
            raise max(denied, key=_progress)  # the first of those that came equally far

        return check

    def check(self, command: Command, argv: Sequence[bytes]) -> None:
        """Raise Denied for a request that is not allowed. Its number of words is right."""
        check = self[command]
        if check is not None:
            check(argv)

    def may_hear(self, channel: bytes, *, is_pattern: bool) -> bool:
        """Whether this channel, or this pattern of them, may be listened to."""
        return any(each.may_hear(channel, is_pattern=is_pattern) for each in self.selectors)

    def may_run(self, name: str) -> bool:
        """Whether the command of this full name may be run, on some keys at least."""
        return any(name in each.commands for each in self.selectors)

    def may_have(self, key: bytes) -> bool:
        """Whether there is any right to a key."""
        return any(each.may_have(key, Access.NONE) for each in self.selectors)

    def may_have_every_key(self, command: Command, argv: Sequence[bytes], access: Access) -> bool:
        """Whether the request may be made by a selector that allows whatever key there is: SORT
        asks this where it looks up keys that its request does not name."""
        return any(
            each.has_every_key(access) and each.check(command, argv) is None
            for each in self.selectors
        )


def _refuse(command: Command) -> Check:
    def refuse(argv: Sequence[bytes]) -> NoReturn:
        raise _denied_command(command)

    return refuse


def _allows_all(selector: Selector, command: Command) -> bool:
    """Whether nothing is to be looked at in the command's requests."""
    has_keys = not isinstance(command.find_keys, KeyRange) or command.find_keys.first > 0
    return (
        selector.may_run(command)
        and (selector.keys is None or not has_keys)
        and (selector.channels is None or command.find_channels is None)
    )


def _of_only_key(selector: Selector, command: Command) -> list[Pattern]:
    """The patterns of which the first argument, the only key, must match one: where that is all
    there is to be looked at."""
    keys, needed = selector.keys, command.access
    if keys is None or not selector.may_run(command) or command.find_channels is not None:
        return []
    if command.find_keys != KeyRange(1, 1):
        return []
    if isinstance(needed, tuple):
        return [each for each in keys if needed[0] in each.access]
    return list(keys) if all(each.access == Access.BOTH for each in keys) else []


_WILD = frozenset(b"*?[]\\")


def _check_of_key(patterns: Sequence[Pattern]) -> Check:
    """Look at the first argument, as in nearly all requests: 0.1 us where the patterns are only
    prefixes, 0.3 for others, and 1.5 in the general way."""
    texts = [each.text for each in patterns]
    # An empty prefix is none: no pattern but the empty one matches the empty key.
    if all(text[:-1] and text.endswith(b"*") and _WILD.isdisjoint(text[:-1]) for text in texts):
        prefixes = tuple(text[:-1] for text in texts)

        def check_prefix(argv: Sequence[bytes]) -> None:
            if not argv[1].startswith(prefixes):
                raise _denied_key(argv[1])

        return check_prefix
    matchers = tuple(each.matches for each in patterns)

    def check(argv: Sequence[bytes]) -> None:
        key = argv[1]
        for matches in matchers:
            if matches(key):
                return
        raise _denied_key(key)

    return check


class Stranger(Permissions):
    """What a client may do that has not said who it is."""

    __slots__ = ()

    def __missing__(self, command: Command) -> Check | None:
        return None if command.flags & Flag.NO_AUTH else _refuse_stranger


def not_logged_in() -> CommandError:
    """The error for a client that has to say first who it is."""
    return CommandError(
        "Authentication required.", "log in first: auth <user> <password>", code="NOAUTH"
    ).rejecting()


def _refuse_stranger(argv: Sequence[bytes]) -> NoReturn:
    raise not_logged_in()


STRANGER = Stranger(())
