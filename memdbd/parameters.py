"""Redis's parameters, as CONFIG GET and SET name them.

Those that mean something here act: whoever is concerned says so with ``on``. Others are kept and
given back, since tools and test suites set them: they choose how Redis stores values, or how hard
it works at something that is done otherwise here. What is in no table is unknown.

Strategy: a table of names with a kind and Redis's default. A kind turns what was sent into the
value as it is shown, or says in Redis's words what would be right (config.c). A change of several
is made as a whole, or not at all.

May import: errors, glob.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from memdbd.errors import CommandError
from memdbd.glob import matcher

# The value as it is shown, of what was sent; raises ValueError with what is wrong.
Kind = Callable[[str], str]
# Takes a new value, and may give it back as it is to be shown; raises ValueError where it cannot
# be taken.
Action = Callable[[str], str | None]

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_MEMORY = re.compile(r"([0-9]{1,18})(b|k|kb|m|mb|g|gb)?", re.IGNORECASE)
_UNITS = {
    "": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3,
}  # fmt: skip
_MOST = 2**63 - 1
MIB = 1024**2
_GLOB = frozenset(b"*?[")
_CLASSES = ("normal", "slave", "replica", "pubsub")


def _text(raw: str) -> str:
    return raw


def _switch(raw: str) -> str:
    if raw.lower() not in ("yes", "no"):
        raise ValueError("argument must be 'yes' or 'no'")
    return raw.lower()


def _number(least: int = 0, most: int = _MOST) -> Kind:
    def parse(raw: str) -> str:
        if not _INTEGER.fullmatch(raw):
            raise ValueError("argument couldn't be parsed into an integer")
        if not least <= int(raw) <= most:
            raise ValueError(f"argument must be between {least} and {most} inclusive")
        return raw

    return parse


def _memory(raw: str) -> str:
    found = _MEMORY.fullmatch(raw)
    if found is None:
        raise ValueError("argument must be a memory value")
    return str(int(found[1]) * _UNITS[(found[2] or "").lower()])


def _memory_from(least: int) -> Kind:
    def parse(raw: str) -> str:
        if int(_memory(raw)) < least:
            raise ValueError(f"argument must be between {least} and {_MOST} inclusive")
        return _memory(raw)

    return parse


def _one_of(*words: str) -> Kind:
    def parse(raw: str) -> str:
        if raw.lower() not in words:
            raise ValueError(f"argument(s) must be one of the following: {', '.join(words)}")
        return raw.lower()

    return parse


def _save(raw: str) -> str:
    words = raw.split()
    if len(words) % 2 or not all(map(str.isdigit, words)) or "0" in words[::2]:
        raise ValueError("Invalid save parameters")
    return " ".join(words)


def _frequency(raw: str) -> str:
    return str(min(max(int(_number(0, 2**31 - 1)(raw)), 1), 500))


def _never(why: str) -> Kind:
    """A switch that cannot be switched on."""

    def parse(raw: str) -> str:
        if _switch(raw) == "yes":
            raise ValueError(why)
        return "no"

    return parse


def _always(why: str) -> Kind:
    """A switch that cannot be switched off."""

    def parse(raw: str) -> str:
        if _switch(raw) == "no":
            raise ValueError(why)
        return "yes"

    return parse


def _buffer_limits(raw: str) -> str:
    words = raw.split()
    if len(words) % 4:
        raise ValueError("Wrong number of arguments in buffer limit configuration.")
    limits: dict[str, str] = {}
    for at in range(0, len(words), 4):
        name = words[at].lower()
        if name not in _CLASSES:
            raise ValueError("Invalid client class specified in buffer limit configuration.")
        try:
            hard, soft = _memory(words[at + 1]), _memory(words[at + 2])
            seconds = _number()(words[at + 3])
        except ValueError:
            raise ValueError(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration."
            ) from None
        limits["slave" if name == "replica" else name] = f"{hard} {soft} {seconds}"
    return " ".join(f"{name} {limit}" for name, limit in limits.items())


_REPLICA_LIMIT = "268435456 67108864 60"
_PUBSUB_LIMIT = "33554432 8388608 60"

POLICIES = (
    "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
    "allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction",
)  # fmt: skip

# Kept and given back. Name, kind, default.
_KEPT: tuple[tuple[str, Kind, str], ...] = (
    ("activedefrag", _never("Active defragmentation cannot be enabled: memory is Python's"), "no"),
    ("active-expire-effort", _number(1, 10), "1"),
    ("activerehashing", _switch, "yes"),
    ("appendfsync", _one_of("everysec", "always", "no"), "everysec"),
    ("appendonly", _always("the journal is always written"), "yes"),
    ("auto-aof-rewrite-min-size", _memory, "67108864"),
    ("auto-aof-rewrite-percentage", _number(), "100"),
    ("busy-reply-threshold", _number(0), "5000"),
    ("dynamic-hz", _switch, "yes"),
    ("hash-max-listpack-entries", _number(), "512"),
    ("hash-max-listpack-value", _number(), "64"),
    ("hash-max-ziplist-entries", _number(), "512"),
    ("hash-max-ziplist-value", _number(), "64"),
    ("hll-sparse-max-bytes", _number(), "3000"),
    ("hz", _frequency, "10"),
    ("latency-tracking", _switch, "yes"),
    ("lazyfree-lazy-eviction", _switch, "no"),
    ("lazyfree-lazy-expire", _switch, "no"),
    ("lazyfree-lazy-server-del", _switch, "no"),
    ("lazyfree-lazy-user-del", _switch, "no"),
    ("lazyfree-lazy-user-flush", _switch, "no"),
    ("lfu-decay-time", _number(0, 2**31 - 1), "1"),
    ("lfu-log-factor", _number(0, 2**31 - 1), "10"),
    ("list-compress-depth", _number(0, 2**31 - 1), "0"),
    ("list-max-listpack-size", _number(-(2**31), 2**31 - 1), "-2"),
    ("list-max-ziplist-size", _number(-(2**31), 2**31 - 1), "-2"),
    ("lua-time-limit", _number(0), "5000"),
    ("maxmemory-clients", _memory, "0"),
    ("maxmemory-samples", _number(1, 2**31 - 1), "5"),
    ("min-replicas-max-lag", _number(0, 2**31 - 1), "10"),
    ("min-replicas-to-write", _number(0, 2**31 - 1), "0"),
    ("no-appendfsync-on-rewrite", _switch, "no"),
    ("rdbcompression", _switch, "yes"),
    ("repl-backlog-size", _memory, "1048576"),
    ("repl-timeout", _number(1, 2**31 - 1), "60"),
    ("replica-priority", _number(0, 2**31 - 1), "100"),
    ("replica-read-only", _switch, "yes"),
    ("sanitize-dump-payload", _one_of("no", "yes", "clients"), "no"),
    ("set-max-intset-entries", _number(), "512"),
    ("stop-writes-on-bgsave-error", _switch, "yes"),
    ("stream-node-max-bytes", _memory, "4096"),
    ("stream-node-max-entries", _number(), "100"),
    ("tracking-table-max-keys", _number(), "1000000"),
    ("zset-max-listpack-entries", _number(), "128"),
    ("zset-max-listpack-value", _number(), "64"),
    ("zset-max-ziplist-entries", _number(), "128"),
    ("zset-max-ziplist-value", _number(), "64"),
)

# They act, through what is registered with ``on``.
_ACTING: tuple[tuple[str, Kind, str], ...] = (
    ("acllog-max-len", _number(), "128"),
    ("client-output-buffer-limit", _buffer_limits,
     f"normal 0 0 0 slave {_REPLICA_LIMIT} pubsub {_PUBSUB_LIMIT}"),
    ("client-query-buffer-limit", _memory_from(MIB), "1073741824"),
    ("latency-monitor-threshold", _number(), "0"),
    ("maxclients", _number(1, 2**32 - 1), "10000"),
    ("maxmemory", _memory, "0"),
    ("maxmemory-policy", _one_of(*POLICIES), "noeviction"),
    ("notify-keyspace-events", _text, ""),
    ("proto-max-bulk-len", _memory_from(MIB), "536870912"),
    ("requirepass", _text, ""),
    ("save", _save, ""),
    ("slowlog-log-slower-than", _number(-1), "10000"),
    ("slowlog-max-len", _number(), "128"),
    ("tcp-keepalive", _number(0, 2**31 - 1), "300"),
    ("timeout", _number(0, 2**31 - 1), "0"),
)  # fmt: skip

# What a running daemon is, and cannot be changed.
_FIXED: tuple[tuple[str, str], ...] = (
    ("acl-pubsub-default", "resetchannels"),
    ("aclfile", ""),
    ("bind", ""),
    ("cluster-enabled", "no"),
    ("daemonize", "no"),
    ("databases", "16"),
    ("dbfilename", ""),
    ("dir", ""),
    ("enable-debug-command", "no"),
    ("io-threads", "1"),
    ("loglevel", "notice"),
    ("logfile", ""),
    ("port", "0"),
    ("replicaof", ""),
    ("slaveof", ""),
    ("tcp-backlog", "511"),
    ("unixsocket", ""),
)

# What is set of them is added to what they are.
_ADDED_TO = frozenset({"client-output-buffer-limit"})

# What it was cannot be told of what is shown, so it is changed when all else has been.
_LAST = frozenset({"requirepass"})

# Two names of one parameter: one follows the other.
_ALIASES = {
    "hash-max-ziplist-entries": "hash-max-listpack-entries",
    "hash-max-ziplist-value": "hash-max-listpack-value",
    "lua-time-limit": "busy-reply-threshold",
    "list-max-ziplist-size": "list-max-listpack-size",
    "zset-max-ziplist-entries": "zset-max-listpack-entries",
    "zset-max-ziplist-value": "zset-max-listpack-value",
}


class Parameters:
    """The parameters and their values, as texts."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {name: kind for name, kind, _ in (*_KEPT, *_ACTING)}
        self._values = {name: default for name, _, default in (*_KEPT, *_ACTING)} | dict(_FIXED)
        self._actions: dict[str, Action] = {}

    def on(self, name: str, action: Action) -> None:
        """Have ``action(value)`` called when ``name`` is set."""
        self._actions[name] = action

    def tell(self, **values: object) -> None:
        """Say what the values are (``_`` for ``-`` in the names), without a change."""
        for name, value in values.items():
            self._values[name.replace("_", "-")] = str(value)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def matching(self, patterns: Sequence[bytes]) -> dict[str, str]:
        """The values of all whose names match one of the glob patterns. What is no pattern is
        given back as it was asked for."""
        found: dict[str, str] = {}
        for pattern in patterns:
            if _GLOB.isdisjoint(pattern):
                name = pattern.decode("utf-8", "surrogateescape")
                if name.lower() in self._values:
                    found[name] = self._values[name.lower()]
            else:
                matches = matcher(pattern.lower())
                found |= {
                    name: value for name, value in self._values.items() if matches(name.encode())
                }
        return found

    def set(self, changes: Sequence[tuple[str, str]]) -> None:
        """Set all of these, or none. Raises CommandError."""
        values: dict[str, str] = {}
        for asked, raw in changes:
            name = asked.lower()
            if name not in self._values:
                raise CommandError(
                    f"Unknown option or number of arguments for CONFIG SET - '{asked}'"
                )
            kind = self._kinds.get(name)
            if kind is None:
                raise _failed(asked, "can't set immutable config")
            if name in values:
                raise _failed(asked, "duplicate parameter")
            try:
                values[name] = kind(f"{self[name]} {raw}" if name in _ADDED_TO else raw)
            except ValueError as error:
                raise _failed(asked, str(error)) from None
        self._apply(values)

    def _apply(self, values: Mapping[str, str]) -> None:
        done: dict[str, str] = {}
        for name, value in sorted(values.items(), key=lambda item: item[0] in _LAST):
            before = self[name]
            try:
                self._act(name, value)
            except ValueError as error:
                for other, old in reversed(done.items()):
                    self._act(other, old)
                raise _failed(name, str(error)) from None
            done[name] = before

    def _act(self, name: str, value: str) -> None:
        action = self._actions.get(name)
        shown = None if action is None else action(value)
        self._keep(name, value if shown is None else shown)

    def _keep(self, name: str, value: str) -> None:
        self._values[name] = value
        for old, new in _ALIASES.items():
            if name in (old, new):
                self._values[old] = self._values[new] = value


def _failed(name: str, why: str) -> CommandError:
    return CommandError(f"CONFIG SET failed (possibly related to argument '{name}') - {why}")
