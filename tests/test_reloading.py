"""A reload: what follows at once, what is named, and that a mistake changes nothing."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from harness import House, soon
from pki import Authority
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, capturedLogs, formatEvent

from memdbd import config
from memdbd.assembly import Parts, assemble
from memdbd.clock import Clock
from memdbd.config import SETTINGS
from memdbd.errors import ConfigError
from memdbd.limits import Limits
from memdbd.persistence.fs import FileSystem
from memdbd.reloading import Reloader

SALT = b"0123456789abcdef"
NOT = "not reloaded, and nothing has changed: "

# What a start alone can follow.
LATE = {
    "server_host",
    "server_port",
    "listen",
    "resp",
    "backlog",
    "auth",
    "tls_listen",
    "data_dir",
    "storage_file",
    "strict_tail",
}
TLS = {"tls_cert", "tls_key", "tls_ca", "tls_clients", "tls_user"}
OF_TAP = {"log_level", "log_format"}


class Started:
    """A daemon in memory, started with a file of settings, and what it says of its reloads."""

    def __init__(
        self,
        directory: Path,
        text: str = "",
        environment: Mapping[str, str] | None = None,
        flags: Mapping[str, Any] | None = None,
    ) -> None:
        self.file = private(directory / "memdbd.toml")
        self.file.write_text(text)
        source = config.source(flags or {}, environment or {}, str(self.file))
        settings = dataclasses.asdict(source.load())
        self.house = House(**{
            name: value for name, value in settings.items() if value != SETTINGS[name].default
        })  # fmt: skip
        self.parts = self.house.parts
        self.reloader = self.parts.reloader
        self.reloader.source = source.without_secrets()
        self.reloader.startService()

    def reloads(self, text: str | None = None) -> list[str]:
        """Have the file say something else, if that is given, and reload; gives what is logged."""
        if text is not None:
            self.file.write_text(text)
        with logged() as lines:
            self.reloader.reload()
            self.house.settle()
        return lines

    def asks(self, request: bytes) -> bytes:
        """What a new client gets for a request."""
        peer = self.house.connect()
        reply = peer.asks(request + b"\n")
        peer.vanishes()
        return reply


def private(path: Path) -> Path:
    """A file that is its owner's alone."""
    path.touch(0o600)
    return path


@contextmanager
def logged() -> Iterator[list[str]]:
    """What is logged meanwhile, each with its level."""
    lines: list[str] = []
    with capturedLogs() as events:
        yield lines
    lines += map(_line, events)


def _line(event: LogEvent) -> str:
    return f"{event['log_level'].name}: {formatEvent(event)}"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = private(tmp_path / "users")
    path.write_text("user default off\nuser ada on nopass ~* +@all\n")
    return path


class TestTheSettings:
    def test_that_have_not_changed_are_left_alone(self, tmp_path: Path) -> None:
        started = Started(tmp_path, "max_keys = 5\n")
        assert started.reloads() == ["info: reloaded: nothing has changed"]

    def test_that_have_changed_are_named_and_followed(self, tmp_path: Path) -> None:
        started = Started(tmp_path, "default_ttl = 5\n")
        assert started.reloads("max_clients = 7\ndefault_ttl = 6\n") == [
            "info: reloaded: default_ttl, max_clients"
        ]
        assert started.asks(b"set_with_ttl k v") == b'{"result": "OK", "ttl_set": 6}\n'

    def test_that_are_no_longer_in_the_file_have_their_defaults_again(self, tmp_path: Path) -> None:
        started = Started(tmp_path, "default_ttl = 5\n")
        assert started.reloads("") == ["info: reloaded: default_ttl"]
        assert b'"ttl_set": 3600' in started.asks(b"set_with_ttl k v")

    def test_of_flags_and_variables_win_as_they_did_at_the_start(self, tmp_path: Path) -> None:
        started = Started(
            tmp_path, "", {"MEMDB_MAX_KEYS": "5"}, {"default_ttl": "5", "cache_capacity": "1"}
        )
        assert started.reloads("max_keys = 6\ndefault_ttl = 6\nmax_value = 1000\n") == [
            "info: reloaded: max_value"
        ]

    def test_are_named_each_time_as_long_as_they_need_a_restart(self, tmp_path: Path) -> None:
        started = Started(tmp_path)
        text = 'server_port = 1\ndata_dir = "/elsewhere"\nmax_keys = 5\n'
        assert started.reloads(text) == [
            "warn: needs a restart: server_port, data_dir",
            "info: reloaded: max_keys",
        ]
        assert started.reloads() == [
            "warn: needs a restart: server_port, data_dir",
            "info: reloaded: nothing has changed",
        ]
        assert started.reloads("max_keys = 5\n") == ["info: reloaded: nothing has changed"]

    def test_that_a_client_has_changed_stay_as_he_said_while_the_file_says_nothing_new(
        self, tmp_path: Path
    ) -> None:
        started = Started(tmp_path, 'max_memory = "1mb"\ndurability = "no"\n')
        started.asks(b"config set maxmemory 2mb appendfsync always")
        started.reloads('max_memory = "1mb"\ndurability = "no"\nmax_keys = 5\n')
        bounds = started.house.engine.bounds
        assert (bounds.max_memory, bounds.max_keys) == (2 << 20, 5)
        assert started.parts.storage.info()["durability"] == "always"
        started.reloads('max_memory = "3mb"\ndurability = "no"\nmax_keys = 5\n')
        assert started.house.engine.bounds.max_memory == 3 << 20

    def test_are_all_either_followed_or_known_to_need_a_restart(self, tmp_path: Path) -> None:
        followed = frozenset[str]().union(
            *(names for names, _ in Started(tmp_path).reloader._follow)
        )
        assert followed | OF_TAP | LATE | TLS == set(SETTINGS)
        assert not followed & (OF_TAP | LATE | TLS)

    def test_without_a_source_stay_what_they_are(self, tmp_path: Path) -> None:
        started = Started(tmp_path, "max_keys = 5\n")
        started.reloader.source = None
        assert started.reloads("max_keys = 6\n") == ["info: reloaded: nothing has changed"]


# A setting, another value, and what the part that follows it has then.
FOLLOWED: list[tuple[str, str, Callable[[Started], object], object]] = [
    ("durability", '"always"', lambda it: it.parts.storage.info()["durability"], "always"),
    ("durability", '"no"', lambda it: it.house.server.parameters["appendfsync"], "no"),
    ("snapshot_after", "7", lambda it: it.parts.storage.snapshots.after, 7),
    ("snapshot_interval", "7", lambda it: it.house.server.parameters["save"], "7 1"),
    ("snapshot_interval", "0", lambda it: it.house.server.parameters["save"], ""),
    ("snapshot_interval", "0", lambda it: it.parts.storage._periodic, None),
    ("sweep_interval", "7", lambda it: it.parts.sweeper._interval, 7),
    ("default_ttl", "7", lambda it: it.house.server.default_ttl, 7),
    ("max_keys", "7", lambda it: it.house.engine.bounds.max_keys, 7),
    ("max_memory", '"7kb"', lambda it: it.house.server.parameters["maxmemory"], "7168"),
    (
        "eviction",
        '"volatile-ttl"',
        lambda it: it.house.server.parameters["maxmemory-policy"],
        "volatile-ttl",
    ),
    ("eviction", '"allkeys-lru"', lambda it: it.house.engine.bounds.policy, "allkeys-lru"),
    ("allow_open", "true", lambda it: it.parts.listeners.allow_open, True),
    (
        "enable_debug_command",
        "true",
        lambda it: it.asks(b"debug sleep 0"),
        b'{"result": "OK"}\n',
    ),
]


class TestEachPart:
    @pytest.mark.parametrize(("name", "value", "found", "expected"), FOLLOWED)
    def test_follows_its_settings(
        self,
        tmp_path: Path,
        name: str,
        value: str,
        found: Callable[[Started], object],
        expected: object,
    ) -> None:
        started = Started(tmp_path)
        assert found(started) != expected
        assert started.reloads(f"{name} = {value}\n") == [f"info: reloaded: {name}"]
        assert found(started) == expected

    def test_keeps_the_limits(self, tmp_path: Path) -> None:
        started = Started(tmp_path)
        limits = started.parts.factory.limits
        started.reloads("".join(f"{field.name} = 5\n" for field in dataclasses.fields(Limits)))
        assert limits == Limits(**{field.name: 5 for field in dataclasses.fields(Limits)})

    @pytest.mark.parametrize(
        ("text", "parameter", "value"),
        [
            ("max_clients = 7\n", "maxclients", "7"),
            ("idle_timeout = 7.5\n", "timeout", "7"),
            ("tcp_keepalive = 7\n", "tcp-keepalive", "7"),
            ("max_request = 700\n", "client-query-buffer-limit", "700"),
        ],
    )
    def test_of_the_limits_tells_redis_s_parameters(
        self, tmp_path: Path, text: str, parameter: str, value: str
    ) -> None:
        started = Started(tmp_path)
        started.reloads(text)
        assert started.house.server.parameters[parameter] == value

    def test_drops_what_the_read_cache_has_no_room_for_now(self, tmp_path: Path) -> None:
        started = Started(tmp_path, "cache_capacity = 5\n")
        for key in (b"a", b"b", b"c"):
            started.asks(b"set %b " % key + b"x" * 2000)
            started.asks(b"get %b" % key)
        assert started.parts.dialects.stats()["read_cache_entries"] == 3
        started.reloads("cache_capacity = 2\n")
        assert started.parts.dialects.stats()["read_cache_entries"] == 2

    def test_evicts_at_once_what_is_beyond_a_bound(self, tmp_path: Path) -> None:
        started = Started(tmp_path)
        started.asks(b"mset a 1 b 2 c 3")
        started.reloads('max_keys = 1\neviction = "allkeys-lru"\n')
        assert list(started.house.engine.databases[0].values) == [b"c"]

    def test_makes_snapshots_at_another_interval(self, tmp_path: Path) -> None:
        started = Started(tmp_path, "snapshot_interval = 1000\n")
        assert started.reloads("snapshot_interval = 0.5\n") == ["info: reloaded: snapshot_interval"]
        periodic = started.parts.storage._periodic
        assert periodic is not None
        assert periodic._interval == 0.5


# What is wrong with the file, and what is said of it.
WRONG = [
    ("max_keys = -1\n", "{file}: max_keys must be a whole number of at least 0, not -1"),
    ("max_kez = 1\n", "{file}: max_kez: there is no such setting; did you mean max_keys?"),
    (
        "max_keys = 1\nmax_keys\n",
        "{file} is not TOML: Expected '=' after a key in a key/value pair (at line 2, column 9)",
    ),
    ("password = 5\n", "{file}: password must be a text"),
    (
        "snapshot_after = 99999999999999999999\n",
        "{file}: snapshot_after must be at most 9223372036854775807 bytes, not "
        "99999999999999999999",
    ),
]


class TestAMistake:
    @pytest.mark.parametrize(("text", "says"), WRONG)
    def test_in_the_file_changes_nothing_and_is_told(
        self, tmp_path: Path, text: str, says: str
    ) -> None:
        started = Started(tmp_path, "max_keys = 5\n")
        before = started.reloader.settings
        assert started.reloads(f"default_ttl = 5\n{text}") == [
            f"error: {NOT}{says.format(file=started.file).replace('line 2', 'line 3')}"
        ]
        assert started.reloader.settings == before
        assert started.house.server.default_ttl == 3600
        assert started.reloads("default_ttl = 5\n") == ["info: reloaded: default_ttl, max_keys"]

    def test_that_the_file_is_gone_changes_nothing(self, tmp_path: Path) -> None:
        started = Started(tmp_path)
        started.file.unlink()
        assert started.reloads() == [
            f"error: {NOT}cannot read the configuration {started.file}: No such file or directory"
        ]

    def test_in_the_users_changes_nothing_else_either(self, tmp_path: Path, users: Path) -> None:
        started = Started(tmp_path, f'auth = "users:{users}"\n')
        users.write_text("user default off\nuser ada on nopass +@al\n")
        (said,) = started.reloads(f'auth = "users:{users}"\nmax_keys = 5\n')
        assert said.startswith(f"error: {NOT}{users}, line 2: '+@al': ")
        assert not started.house.engine.bounds
        assert started.asks(b"auth ada x") == b'{"result": "OK"}\n'

    def test_in_memdbd_itself_is_told_and_the_next_reload_works(self, tmp_path: Path) -> None:
        started = Started(tmp_path)

        def fails(changed: object) -> None:
            raise ZeroDivisionError

        reloader = started.reloader
        reloader._follow.insert(0, (frozenset({"default_ttl"}), fails))
        text = "default_ttl = 5\nmax_keys = 5\n"
        assert started.reloads(text) == [
            "critical: a defect of memdbd: not followed: default_ttl",
            "info: reloaded: max_keys; not followed: default_ttl",
        ]
        assert started.house.engine.bounds.max_keys == 5
        assert reloader.settings.default_ttl == 3600
        del reloader._follow[0]
        assert started.reloads() == ["info: reloaded: default_ttl"]

    def test_in_memdbd_itself_does_not_lose_a_password(self, tmp_path: Path) -> None:
        started = Started(tmp_path)

        def fails(changed: object) -> None:
            raise ZeroDivisionError

        started.reloader._follow.insert(0, (frozenset({"password"}), fails))
        text = 'password = "sesame"\n'
        assert started.reloads(text)[-1] == (
            "info: reloaded: nothing has changed; not followed: password"
        )
        assert started.asks(b"auth sesame") == b'{"result": "OK"}\n'
        del started.reloader._follow[0]
        assert started.reloads(text) == ["info: reloaded: password"]

    def test_in_whoever_is_told_does_not_end_the_reloads(self, tmp_path: Path) -> None:
        started = Started(tmp_path)

        def fails(*outcome: str) -> None:
            raise ZeroDivisionError

        started.reloader.began = started.reloader.ended = fails
        cannot = "critical: a defect of memdbd: it cannot be told of the reload"
        for keys in (5, 6):
            assert started.reloads(f"max_keys = {keys}\n") == [
                cannot,
                "info: reloaded: max_keys",
                cannot,
            ]


class TestThePassword:
    def test_of_the_file_is_followed(self, tmp_path: Path) -> None:
        started = Started(tmp_path)
        peer = started.house.connect()
        assert started.reloads('password = "sesame"\n') == ["info: reloaded: password"]
        assert b"NOAUTH" in started.asks(b"get k")
        assert started.asks(b"auth sesame") == b'{"result": "OK"}\n'
        assert b'"result": null' in peer.asks(b"get k\n")  # who was in stays in
        assert started.reloads('password = "another"\n') == ["info: reloaded: password"]
        assert b"WRONGPASS" in started.asks(b"auth sesame")
        assert started.reloads("") == ["info: reloaded: password"]
        assert b'"result": null' in started.asks(b"get k")

    def test_that_is_the_same_keeps_its_hash(self, tmp_path: Path) -> None:
        started = Started(tmp_path, 'password = "sesame"\n')
        before = started.parts.reloader._useradmin.password
        assert started.reloads() == ["info: reloaded: nothing has changed"]
        assert started.parts.reloader._useradmin.password == before is not None

    def test_that_a_client_has_set_stays_while_the_file_says_nothing_new(
        self, tmp_path: Path
    ) -> None:
        started = Started(tmp_path)
        parameters = started.house.server.parameters
        parameters.set([("requirepass", "of a client")])
        assert started.reloads("max_keys = 5\n") == ["info: reloaded: max_keys"]
        assert started.asks(b'auth "of a client"') == b'{"result": "OK"}\n'
        assert started.reloads('password = "sesame"\n') == ["info: reloaded: max_keys, password"]
        assert started.asks(b"auth sesame") == b'{"result": "OK"}\n'
        assert parameters["requirepass"] != ""
        assert "sesame" not in parameters["requirepass"]
        started.reloads("")
        assert parameters["requirepass"] == ""

    def test_of_a_variable_stays_and_wins_over_the_file(self, tmp_path: Path) -> None:
        started = Started(tmp_path, "", {"MEMDB_PASSWORD": "sesame"})
        assert started.reloads('password = "another"\nmax_keys = 5\n') == [
            "info: reloaded: max_keys"
        ]
        assert started.asks(b"auth sesame") == b'{"result": "OK"}\n'

    def test_is_kept_nowhere(self, tmp_path: Path) -> None:
        started = Started(tmp_path, 'password = "sesame"\n')
        assert started.reloads('password = "sesame2"\n') == ["info: reloaded: password"]
        assert started.reloader.settings.password == ""
        credentials: Any = started.parts.listeners._credentials
        assert credentials._settings.password == ""

    def test_is_hashed_while_all_goes_on_and_nothing_changes_meanwhile(
        self, tmp_path: Path
    ) -> None:
        started = Started(tmp_path)
        threads: list[Deferred[None]] = []
        work: list[Callable[[], Any]] = []

        def in_thread(function: Callable[[], Any], /) -> Deferred[Any]:
            work.append(function)
            threads.append(Deferred())
            return threads[-1]

        started.reloader._in_thread = in_thread
        assert started.reloads('password = "sesame"\nmax_keys = 5\n') == []
        assert not started.house.engine.bounds
        assert b'"result": null' in started.asks(b"get k")
        with logged() as lines:
            threads[0].callback(work[0]())
        assert lines == ["info: reloaded: max_keys, password"]


class TestTheUsers:
    def test_of_the_file_are_read_anew(self, tmp_path: Path, users: Path) -> None:
        started = Started(tmp_path, f'auth = "users:{users}"\n')
        ada, bob = started.house.connect(), started.house.connect()
        ada.asks(b"auth ada x\n")
        users.write_text(
            "# new\nuser default off\nuser ada on nopass ~* +get\nuser bob on nopass ~* +@all\n"
        )
        assert started.reloads() == ["info: reloaded: users (3)"]
        assert b"NOPERM" in ada.asks(b"set k v\n")
        assert bob.asks(b"auth bob x\n") == b'{"result": "OK"}\n'
        users.write_text("user default off\nuser bob on nopass ~* +@all\n")
        assert started.reloads() == [
            f"info: 2 users read from {users}: 1 connection ended",
            "info: reloaded: users (2)",
        ]
        ada.hears()
        assert ada.closed
        assert not bob.closed

    def test_that_were_not_saved_are_gone_and_that_is_told(
        self, tmp_path: Path, users: Path
    ) -> None:
        started = Started(tmp_path, f'auth = "users:{users}"\n')
        started.parts.factory.gate.users.set(b"bob", (b"on", b"nopass"))
        users.write_text(f"{users.read_text()}# new\n")
        assert started.reloads() == [
            f"warn: the users are those of {users} again; what was changed since it was read, and "
            "not saved with ACL SAVE, is gone",
            "info: reloaded: users (2)",
        ]

    def test_that_were_not_saved_stay_where_the_file_says_nothing_new(
        self, tmp_path: Path, users: Path
    ) -> None:
        users.write_text("user default on #" + "0" * 64 + "\nuser ada on nopass ~* +@all\n")
        auth = f'auth = "users:{users}"\n'
        started = Started(tmp_path, auth)
        started.parts.factory.gate.users.set(b"bob", (b"on", b"nopass", b"+@all"))
        assert started.reloads() == ["info: reloaded: nothing has changed"]
        started.parts.factory.gate.users.set(b"bob", (b"+get",))
        assert started.reloads(f'{auth}password = "sesame"\n') == ["info: reloaded: password"]
        assert started.asks(b"auth sesame") == b'{"result": "OK"}\n'
        assert started.reloads(auth) == ["info: reloaded: password"]
        assert b"NOAUTH" in started.asks(b"get k")
        assert started.asks(b"auth bob x") == b'{"result": "OK"}\n'
        assert started.parts.factory.gate.users.unsaved

    def test_that_were_saved_are_not_read_again(self, tmp_path: Path, users: Path) -> None:
        started = Started(tmp_path, f'auth = "users:{users}"\n')
        started.parts.factory.gate.users.set(b"bob", (b"on", b"nopass", b"+@all"))
        started.parts.reloader._useradmin.save()
        assert started.reloads() == ["info: reloaded: nothing has changed"]

    def test_that_a_reload_has_refused_are_read_by_the_next(
        self, tmp_path: Path, users: Path
    ) -> None:
        auth = f'auth = "users:{users}"\n'
        started = Started(tmp_path, auth)
        users.write_text("user default off\nuser bob on nopass ~* +@all\n")
        assert started.reloads(f"{auth}max_keys = -1\n")[0].startswith("error: ")
        assert started.reloads(auth) == ["info: reloaded: users (2)"]

    def test_stay_where_there_is_no_file(self, tmp_path: Path) -> None:
        started = Started(tmp_path)
        started.parts.factory.gate.users.set(b"bob", (b"on", b"nopass", b"+@all"))
        bob = started.house.connect()
        bob.asks(b"auth bob x\n")
        assert started.reloads('password = "sesame"\n') == ["info: reloaded: password"]
        assert bob.asks(b"ping\n") == b'{"result": "PONG"}\n'

    def test_the_password_that_is_a_setting_is_that_of_the_user_default(
        self, tmp_path: Path, users: Path
    ) -> None:
        auth = f'auth = "users:{users}"\n'
        users.write_text("user default on nopass ~* +@all\nuser ada on nopass ~* +@all\n")
        started = Started(tmp_path, auth)
        assert started.reloads(f'{auth}password = "sesame"\n') == ["info: reloaded: password"]
        assert started.asks(b"auth sesame") == b'{"result": "OK"}\n'

    def test_with_a_default_that_is_off_and_a_password_for_it_contradict_each_other(
        self, tmp_path: Path, users: Path
    ) -> None:
        auth = f'auth = "users:{users}"\n'
        both = (
            f"MEMDB_PASSWORD (password) is set, but the user default is off in {users}: take one "
            "of them away"
        )
        with pytest.raises(ConfigError) as refused:
            Started(tmp_path, auth, {"MEMDB_PASSWORD": "sesame"})
        assert str(refused.value) == both
        started = Started(tmp_path, auth)
        assert started.reloads(f'{auth}password = "sesame"\n') == [f"error: {NOT}{both}"]
        assert not started.parts.factory.gate.users.default.enabled
        users.write_text("user ada on nopass ~* +@all\n")  # no word of default
        assert started.reloads()[-1].startswith("info: reloaded: password")
        assert started.asks(b"auth sesame") == b'{"result": "OK"}\n'
        users.write_text("user default off\n")
        assert started.reloads() == [f"error: {NOT}{both}"]
        assert started.asks(b"auth sesame") == b'{"result": "OK"}\n'


class Listening:
    """A daemon on a reactor in memory that listens, started with a file of settings."""

    def __init__(self, directory: Path, text: str) -> None:
        self.file = private(directory / "memdbd.toml")
        self.file.write_text(text)
        self.reactor = MemoryReactorClock()
        source = config.source({}, {}, str(self.file))
        self.parts: Parts = assemble(
            self.reactor,
            Clock(),
            source.load(),
            FileSystem(),
            partial(soon, self.reactor),
            self.reactor.seconds,
            Random(1).random,
        )
        self.reloader: Reloader = self.parts.reloader
        self.reloader.source = source.without_secrets()
        self.parts.listeners.startService()
        self.reloader.startService()

    def reloads(self, text: str | None = None) -> list[str]:
        if text is not None:
            self.file.write_text(text)
        with logged() as lines:
            self.reloader.reload()
            self.reactor.pump([0] * 5)
        return lines

    @property
    def is_open(self) -> bool:
        return self.parts.factory.gate.is_open


OPEN = (
    f"error: {NOT}set password (MEMDB_PASSWORD) or auth, or allow_open = true: 0.0.0.0:1 is open "
    "to the network and nobody has to log in"
)
BEYOND = 'listen = "tcp:1"\n'
LOOPBACK = r"tcp:1:interface=\:\:1"  # the reactor in memory takes all of IPv4 for one


class TestAListenerBeyondThisMachine:
    def test_is_not_opened_to_everybody_by_a_reload(self, tmp_path: Path) -> None:
        daemon = Listening(tmp_path, f'{BEYOND}password = "sesame"\n')
        assert daemon.reloads(f"{BEYOND}max_keys = 5\n") == [OPEN]
        assert not daemon.is_open
        assert not daemon.parts.engine.bounds

    def test_is_opened_where_that_is_allowed_and_not_closed_by_a_word(self, tmp_path: Path) -> None:
        daemon = Listening(tmp_path, f'{BEYOND}password = "sesame"\n')
        assert daemon.reloads(f"{BEYOND}allow_open = true\n") == [
            "info: reloaded: allow_open, password"
        ]
        assert daemon.is_open
        assert daemon.reloads(BEYOND) == [OPEN]
        assert daemon.parts.listeners.allow_open
        assert daemon.reloads(f'{BEYOND}password = "sesame"\n') == [
            "info: reloaded: allow_open, password"
        ]
        assert not daemon.is_open

    def test_is_not_opened_by_a_users_file(self, tmp_path: Path, users: Path) -> None:
        text = f'{BEYOND}auth = "users:{users}"\n'
        daemon = Listening(tmp_path, text)
        users.write_text("user default on nopass ~* +@all\n")
        what = "set password (MEMDB_PASSWORD) or auth"
        new = "the user default is nopass: have it off, or set password (MEMDB_PASSWORD)"
        assert daemon.reloads(text) == [OPEN.replace(what, new)]
        assert len(daemon.parts.factory.gate.users) == 2

    def test_that_a_client_has_opened_does_not_keep_all_else_from_being_read(
        self, tmp_path: Path
    ) -> None:
        text = f'{BEYOND}password = "sesame"\n'
        daemon = Listening(tmp_path, text)
        daemon.parts.factory.gate.users.set(b"default", (b"nopass",))
        assert daemon.reloads(f"{text}max_keys = 5\n") == ["info: reloaded: max_keys"]

    def test_of_loopback_may_be_open(self, tmp_path: Path) -> None:
        text = f"listen = '{LOOPBACK}'\n"
        daemon = Listening(tmp_path, f'{text}password = "sesame"\n')
        assert daemon.reloads(text) == ["info: reloaded: password"]
        assert daemon.is_open

    def test_may_be_open_where_all_need_a_certificate(self, tmp_path: Path) -> None:
        text = with_tls(tmp_path, listen="tcp:1")
        daemon = Listening(tmp_path, f'{text}password = "sesame"\ntls_clients = "required"\n')
        expires = daemon.parts.listeners._credentials.info()["tls_certificate_expires"]  # type: ignore[union-attr]
        assert daemon.reloads(f'{text}tls_clients = "required"\n') == [
            f"info: reloaded: password, certificates (until {expires})"
        ]
        assert daemon.reloads(f'{text}tls_clients = "optional"\n') == [OPEN]
        assert daemon.reloader.settings.tls_clients == "required"


def with_tls(directory: Path, listen: str = LOOPBACK) -> str:
    """Settings for a listener with TLS, and the files that they name."""
    ca = Authority("the CA")
    server = ca.issue("localhost", ends=30).write(directory, "server")
    return (
        'listen = "unix:s"\n'
        f"tls_listen = '{listen}'\n"
        f'tls_cert = "{server.certificate}"\n'
        f'tls_key = "{server.key}"\n'
        f'tls_ca = "{ca.write_ca(directory)}"\n'
    )


class TestTheCertificates:
    def test_are_read_anew_and_the_day_on_which_they_end_is_told(self, tmp_path: Path) -> None:
        text = with_tls(tmp_path) + 'tls_clients = "optional"\n'
        daemon = Listening(tmp_path, text)
        before = daemon.parts.listeners._credentials.serverConnectionForTLS(None)  # type: ignore
        new = Authority("another CA").issue("localhost", ends=99)
        new.write(tmp_path, "server")
        assert daemon.reloads() == [f"info: reloaded: certificates (until {new.expires})"]
        after = daemon.parts.listeners._credentials.serverConnectionForTLS(None)  # type: ignore
        assert after.get_context() is not before.get_context()

    def test_that_are_wrong_change_nothing_and_the_file_is_named(self, tmp_path: Path) -> None:
        text = with_tls(tmp_path) + 'tls_clients = "optional"\n'
        daemon = Listening(tmp_path, text)
        (tmp_path / "server.pem").write_text("nonsense")
        (said,) = daemon.reloads(f"{text}max_keys = 5\n")
        assert said.startswith(f"error: {NOT}tls_cert: {tmp_path}/server.pem must have ")
        assert not daemon.parts.engine.bounds

    @pytest.mark.parametrize(
        ("begins", "ends", "says"),
        [(-9, -1, "has expired ("), (2, 9, "is not valid before ")],
    )
    def test_that_nobody_accepts_do_not_take_the_place_of_good_ones(
        self, tmp_path: Path, begins: float, ends: float, says: str
    ) -> None:
        text = with_tls(tmp_path)
        daemon = Listening(tmp_path, text)
        new = Authority("the CA").issue("localhost", begins=begins, ends=ends)
        new.write(tmp_path, "server")
        (said,) = daemon.reloads(f"{text}max_keys = 5\n")
        assert said.startswith(f"error: {NOT}tls_cert: {tmp_path}/server.pem {says}")
        assert not daemon.parts.engine.bounds

    def test_that_have_expired_meanwhile_do_not_keep_all_else_from_being_read(
        self, tmp_path: Path
    ) -> None:
        text = with_tls(tmp_path)
        Authority("the CA").issue("localhost", begins=-9, ends=-1).write(tmp_path, "server")
        with logged() as lines:
            daemon = Listening(tmp_path, text)
        assert [line for line in lines if " has expired (" in line]
        said = daemon.reloads(f"{text}max_keys = 5\n")
        assert said[-1].startswith("info: reloaded: max_keys, certificates (until ")

    def test_follow_their_settings(self, tmp_path: Path) -> None:
        text = with_tls(tmp_path) + 'tls_clients = "optional"\n'
        daemon = Listening(tmp_path, text)
        (said,) = daemon.reloads(f'{text}tls_user = "cn"\n')
        assert said.startswith("info: reloaded: tls_user, certificates (until ")
        (said,) = daemon.reloads(with_tls(tmp_path) + 'tls_user = "cn"\n')
        assert said.startswith(f"error: {NOT}tls_user = cn needs certificates of clients: ")

    def test_of_a_daemon_that_listens_without_tls_need_a_restart(self, tmp_path: Path) -> None:
        daemon = Listening(tmp_path, 'listen = "unix:s"\n')
        assert daemon.reloads(with_tls(tmp_path)) == [
            "warn: needs a restart: tls_listen, tls_cert, tls_key, tls_ca",
            "info: reloaded: nothing has changed",
        ]


@pytest.mark.skipif(os.name != "posix", reason="there are no such modes")
class TestAFileThatAllCanRead:
    SAID = "warn: {} has passwords or their hashes, and all users of this machine can read it: "

    def said(self, path: Path) -> str:
        return f"{self.SAID.format(path)}chmod o= {path}"

    def test_and_that_has_the_users_is_warned_of(self, tmp_path: Path, users: Path) -> None:
        users.chmod(0o604)
        with logged() as lines:
            started = Started(tmp_path, f'auth = "users:{users}"\n')
        assert self.said(users) in lines
        assert self.said(users) in started.reloads()
        users.chmod(0o640)  # of a group that the daemon is given
        assert not [line for line in started.reloads() if line.startswith("warn")]

    def test_and_that_has_the_password_is_too(self, tmp_path: Path) -> None:
        started = Started(tmp_path, "")
        started.file.chmod(0o644)
        assert started.reloads("max_keys = 5\n") == ["info: reloaded: max_keys"]
        assert self.said(started.file) in started.reloads('password = "sesame"\n')
        with logged() as lines:
            started.reloader.startService()
        assert lines == [self.said(started.file)]
        started.file.unlink()
        started.reloader.startService()  # and no word of a file that is gone


class TestWhen:
    def test_a_wish_before_the_start_and_behind_the_end_is_none(self, tmp_path: Path) -> None:
        started = Started(tmp_path)
        started.reloader.stopService()
        assert started.reloads("max_keys = 5\n") == []
        started.reloader.startService()
        assert started.reloads() == ["info: reloaded: max_keys"]

    def test_wishes_during_a_reload_are_one_more(self, tmp_path: Path) -> None:
        started = Started(tmp_path)
        started.file.write_text('password = "sesame"\n')  # for which it waits for the thread
        with logged() as lines:
            started.reloader.reload()
            started.file.write_text("max_keys = 5\n")
            started.reloader.reload()
            started.reloader.reload()
            started.house.settle()
        assert lines == ["info: reloaded: password", "info: reloaded: max_keys, password"]

    def test_an_end_during_a_reload_is_the_end_of_it(self, tmp_path: Path) -> None:
        started = Started(tmp_path)
        started.file.write_text('password = "sesame"\nmax_keys = 5\n')
        with logged() as lines:
            started.reloader.reload()
            started.reloader.stopService()
            started.house.settle()
        assert lines == []
        assert not started.house.engine.bounds

    def test_who_waits_is_told_when_it_begins_and_how_it_ends(self, tmp_path: Path) -> None:
        started = Started(tmp_path)
        told: list[str] = []
        started.reloader.began = lambda: told.append("began")
        started.reloader.ended = told.append
        started.reloads("max_keys = 5\n")
        started.reloads("max_keys = x\n")
        assert told[:3] == ["began", "reloaded: max_keys", "began"]
        assert told[3].startswith(NOT)
