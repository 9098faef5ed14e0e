"""The settings: defaults < file < environment < flags.

:class:`Config` is the list of them: each field has its default, and with it what a value must be,
its help and its flag. Everything else (the flags, the environment variables, the sample file's
check, the documentation) is derived from the fields.

May import: core, errors, limits, parsing, persistence.snapshot; durability and eviction for the
names of their policies.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memdbd import core, parsing
from memdbd.durability import DURABILITIES, Durability
from memdbd.errors import ConfigError
from memdbd.eviction import POLICIES, Bounds, Policy
from memdbd.limits import Limits
from memdbd.parsing import Parse
from memdbd.persistence.snapshot import FILENAME

ENVIRONMENT = "MEMDB_"  # what the names of our environment variables start with
NO_SETTINGS = frozenset({"MEMDB_CONFIG", core.VARIABLE})  # those that say something else
LEVELS = ("debug", "info", "warn", "error", "critical")
FORMATS = ("text", "json")


def _setting(default: Any, parse: Parse, help: str, *, flag: str = "", secret: bool = False) -> Any:
    """A field of :class:`Config`. ``secret``: it has no flag, for all can see those, and is never
    shown."""
    metadata = {"parse": parse, "help": help, "flag": flag, "secret": secret}
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


_LIMITS = Limits()


def _limit(name: str, parse: Parse, help: str) -> Any:
    return _setting(getattr(_LIMITS, name), parse, help)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings, each with a value that it may have. Durations are in seconds."""

    server_host: str = _setting(
        "127.0.0.1", parsing.text, "address to listen on, as the name or number of one", flag="host"
    )
    server_port: int = _setting(
        65432, parsing.number(0, 65535), "TCP port to listen on; 0 picks a free one", flag="port"
    )
    listen: tuple[str, ...] = _setting(
        (),
        parsing.texts,
        "Twisted endpoint to listen on (tcp:…, unix:…, systemd:…), in place of host and port; may "
        "be given several times",
    )
    resp: tuple[str, ...] = _setting(
        (),
        parsing.texts,
        "Twisted endpoint to listen on, beside the others, for Redis clients only, such as "
        "tcp:6379:interface=127.0.0.1; may be given several times",
    )
    backlog: int = _setting(
        1024,
        parsing.number(1, 65535),
        "connections that may wait to be accepted, where the endpoint says nothing",
    )
    auth: tuple[str, ...] = _setting(
        (),
        parsing.texts,
        "who may log in: a checker in the words of twistd's --auth (see --help-auth), such as "
        "users:/etc/memdbd/users; may be given several times",
    )
    password: str = _setting(
        "", parsing.password, "password of the user default, who then has to log in", secret=True
    )
    allow_open: bool = _setting(
        False,
        parsing.switch,
        "whether to listen beyond this machine even though nobody has to log in: true or false",
    )
    tls_listen: tuple[str, ...] = _setting(
        (),
        parsing.texts,
        "Twisted endpoint to listen on, beside the others, with TLS, such as "
        "tcp:65433:interface=0.0.0.0; may be given several times",
    )
    tls_cert: str = _setting(
        "",
        parsing.path,
        "PEM file with the certificate of this server, and those between it and its CA",
    )
    tls_key: str = _setting("", parsing.path, "PEM file with the key of that certificate")
    tls_ca: str = _setting(
        "", parsing.path, "PEM file with the certificates of the CAs that clients' are from"
    )
    tls_clients: str = _setting(
        "no",
        parsing.one_of("no", "optional", "required"),
        "whether clients with TLS have a certificate: no, optional or required",
    )
    tls_user: str = _setting(
        "none",
        parsing.one_of("none", "cn"),
        "whether a client with a certificate is the user that its common name says: none or cn",
    )
    data_dir: str = _setting("./memdb-data", parsing.text, "directory of the data; made if missing")
    storage_file: str = _setting(FILENAME, parsing.filename, "the snapshot's name in data_dir")
    durability: Durability = _setting(
        "everysec",
        parsing.one_of(*DURABILITIES),
        "when a write is on disk: always (before its reply), everysec (a second later), or no "
        "(when the system does it)",
    )
    snapshot_after: int = _setting(
        64 * 1024 * 1024,
        parsing.size,
        "bytes of journal after which a snapshot is made, if it is also longer than the last one, "
        "such as 64mb; 0: never for that",
    )
    strict_tail: bool = _setting(
        False,
        parsing.switch,
        "whether to refuse to start where the journal ends in the middle of a write, as a crash "
        "leaves it: true or false",
    )
    snapshot_interval: float = _setting(
        60.0,
        parsing.number(0, 10**9, whole=False),
        "seconds between snapshots, if something changed; 0: none",
    )
    sweep_interval: float = _setting(
        0.1, parsing.number(0.001, 3600, whole=False), "seconds between sweeps of expired keys"
    )
    default_ttl: int = _setting(
        3600, parsing.number(1, 10**10), "seconds that set_with_ttl gives a key if none are said"
    )
    cache_capacity: int = _setting(
        100, parsing.number(0), "entries of the read cache for long values of get; 0: no cache"
    )
    max_keys: int = _setting(0, parsing.number(0), "how many keys there may be; 0: any number")
    max_memory: int = _setting(
        0, parsing.size, "how many bytes the keys may take, such as 512mb; 0: any number"
    )
    eviction: Policy = _setting(
        "noeviction", parsing.one_of(*POLICIES), f"what gives way at a bound: {', '.join(POLICIES)}"
    )
    max_clients: int = _limit(
        "max_clients",
        parsing.number(1),
        "how many clients there may be, if that many files may be open",
    )
    max_unauthenticated: int = _limit(
        "max_unauthenticated", parsing.number(1), "how many there may be that have not logged in"
    )
    login_timeout: float = _limit(
        "login_timeout",
        parsing.number(0.001, 3600, whole=False),
        "seconds to log in, and before that to finish a TLS handshake",
    )
    login_attempts: int = _limit(
        "login_attempts", parsing.number(1, 1000), "log-ins that fail before the connection ends"
    )
    idle_timeout: float = _limit(
        "idle_timeout",
        parsing.number(0, 10**9, whole=False),
        "seconds without a request before a client that does not subscribe is cut; 0: never",
    )
    tcp_keepalive: int = _limit(
        "tcp_keepalive",
        parsing.number(0, 32767),
        "seconds until a silent peer is asked whether it is still there; 0: never",
    )
    max_value: int = _limit("max_value", parsing.size, "bytes of one argument")
    max_request: int = _limit("max_request", parsing.size, "bytes of one request")
    max_line: int = _limit(
        "max_line", parsing.size, "bytes of a line of words, in the text dialect"
    )
    max_json_line: int = _limit(
        "max_json_line", parsing.size, "bytes of a line of JSON, in the text dialect"
    )
    max_pattern: int = _limit("max_pattern", parsing.size, "bytes of a glob pattern")
    unauthenticated_arguments: int = _limit(
        "unauthenticated_arguments",
        parsing.number(3),
        "words of a request, before a client has logged in",
    )
    unauthenticated_argument: int = _limit(
        "unauthenticated_argument", parsing.size, "bytes of one of these words"
    )
    unauthenticated_buffer: int = _limit(
        "unauthenticated_buffer", parsing.size, "bytes of such a request that is not complete yet"
    )
    unauthenticated_requests: int = _limit(
        "unauthenticated_requests",
        parsing.number(1),
        "requests of a client that has not logged in, after which it is cut",
    )
    pause_output: int = _limit(
        "pause_output", parsing.size, "bytes that wait for a client before no more is read from it"
    )
    output_limit: int = _limit(
        "output_limit", parsing.size, "bytes of replies that wait for a client before it is cut"
    )
    subscriber_buffer: int = _limit(
        "subscriber_buffer",
        parsing.size,
        "bytes of messages that wait for a client before it is cut",
    )
    subscriber_soft: int = _limit(
        "subscriber_soft", parsing.size, "the same, where they wait for subscriber_seconds"
    )
    subscriber_seconds: float = _limit(
        "subscriber_seconds",
        parsing.number(0, 10**9, whole=False),
        "seconds that subscriber_soft may be exceeded",
    )
    enable_debug_command: bool = _setting(
        False, parsing.switch, "whether DEBUG is there, for clients of this machine: true or false"
    )
    log_level: str = _setting("info", parsing.one_of(*LEVELS), f"least level: {', '.join(LEVELS)}")
    log_format: str = _setting("text", parsing.one_of(*FORMATS), "text, or json: one object a line")

    @property
    def bounds(self) -> Bounds:
        """The settings that bound the keyspace."""
        return Bounds(self.max_keys, self.max_memory, self.eviction)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The Twisted endpoint strings of all listeners."""
        if self.listen:
            return self.listen
        host = self.server_host.replace("\\", "\\\\").replace(":", "\\:")
        return (f"tcp:{self.server_port}:interface={host}:backlog={self.backlog}",)

    @property
    def limits(self) -> Limits:
        """The settings that are limits of what clients may do."""
        return Limits(
            **{each.name: getattr(self, each.name) for each in dataclasses.fields(Limits)}
        )

    def without_secrets(self) -> Config:
        """The same, with what is secret left empty."""
        nothing: dict[str, Any] = dict.fromkeys(SECRET, "")
        return dataclasses.replace(self, **nothing)


SETTINGS: dict[str, dataclasses.Field[Any]] = {
    field.name: field for field in dataclasses.fields(Config)
}
# Those that may be given several times.
MULTIPLE = [name for name, field in SETTINGS.items() if isinstance(field.default, tuple)]


# Those that are never shown, and forgotten as soon as they have been used.
SECRET = [name for name, field in SETTINGS.items() if field.metadata["secret"]]


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return ENVIRONMENT + name.upper()


def flag_of(name: str) -> str:
    """The command-line flag of a setting, without its dashes."""
    return SETTINGS[name].metadata["flag"] or name.replace("_", "-")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the settings come from, so that they can be read again: flags and variables as they
    were given, and the file as it is now.

    ``kept`` names the secrets that a variable has given. They are not here any more; whoever has
    used them keeps what he made of them, for a process's variables stay as they are.
    """

    flags: Mapping[str, Any]
    environment: Mapping[str, str] = dataclasses.field(repr=False)
    path: str | None
    kept: frozenset[str] = frozenset()

    def load(self) -> Config:
        """Put the settings together, those that are kept being empty. Raises ConfigError."""
        kept: dict[str, Any] = dict.fromkeys(self.kept, "")
        return dataclasses.replace(load(self.flags, self.environment, self.path), **kept)

    def secret_file(self) -> str | None:
        """The path of the file, if there is a secret in it, and it can be read."""
        with suppress(ConfigError):
            if self.path is not None and not _read(self.path).keys().isdisjoint(SECRET):
                return self.path
        return None

    def without_secrets(self) -> Source:
        """The same, without what is secret in the variables."""
        secret = {variable_of(name): name for name in SECRET}
        return Source(
            self.flags,
            {name: raw for name, raw in self.environment.items() if name not in secret},
            self.path,
            self.kept | {secret[name] for name in self.environment if name in secret},
        )


def source(flags: Mapping[str, Any], environment: Mapping[str, str], path: str | None) -> Source:
    """Where the settings come from; ``path`` is the TOML file, if a flag has named one."""
    ours = {name: raw for name, raw in environment.items() if name.startswith(ENVIRONMENT)}
    path = path or ours.get(f"{ENVIRONMENT}CONFIG")
    # A daemon may go to another directory.
    return Source(dict(flags), ours, os.path.abspath(path) if path else None)


def load(flags: Mapping[str, Any], environment: Mapping[str, str], path: str | None) -> Config:
    """Put the settings together.

    ``flags`` has the settings given as flags, by their names; ``path`` is the TOML file. Raises
    ConfigError with the source, the setting, and what would be right.
    """
    path = path or environment.get(f"{ENVIRONMENT}CONFIG")
    values: dict[str, Any] = {}
    if path:
        for name, raw in _read(path).items():
            values[name] = _parse(name, raw, f"{path}: {name}", name)
    for variable, raw in environment.items():
        name = variable.removeprefix(ENVIRONMENT).lower()
        if variable.startswith(ENVIRONMENT) and variable not in NO_SETTINGS:
            values[name] = _parse(name, raw, variable, variable)
    for name, raw in flags.items():
        flag = f"--{flag_of(name)}"
        values[name] = _parse(name, raw, flag, flag)
    return Config(**values)


def _read(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of a number's length
        raise ConfigError(f"{path} is not TOML: {error}") from None


def _parse(name: str, raw: Any, source: str, said: str) -> Any:
    field = SETTINGS.get(name)
    if field is None:
        by_flag = {flag_of(setting): setting for setting in SETTINGS}
        near = difflib.get_close_matches(name, SETTINGS, n=1)
        guess = by_flag.get(name) or (near[0] if near else "")
        if guess and said.isupper():
            guess = ENVIRONMENT + guess.upper()
        hint = f"did you mean {guess}?" if guess else f"the settings are {', '.join(SETTINGS)}"
        raise ConfigError(f"{source}: there is no such setting; {hint}")
    try:
        return field.metadata["parse"](raw)
    except ValueError as error:
        given = "" if field.metadata["secret"] else f", not {raw!r}"
        raise ConfigError(f"{source} {error}{given}") from None
