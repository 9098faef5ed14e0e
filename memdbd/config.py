"""The settings: defaults < file < environment < flags.

:class:`Config` is the list of them: each field has its default, and with it what a value must be,
its help and its flag. Everything else (the flags, the environment variables, the sample file's
check, the documentation) is derived from the fields.

May import: errors, limits, persistence.snapshot; durability and eviction for the names of their
policies.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memdbd.durability import DURABILITIES, Durability
from memdbd.errors import ConfigError
from memdbd.eviction import POLICIES, Bounds, Policy
from memdbd.limits import Limits
from memdbd.persistence.snapshot import FILENAME

ENVIRONMENT = "MEMDB_"  # what the names of our environment variables start with
LEVELS = ("debug", "info", "warn", "error", "critical")
FORMATS = ("text", "json")

# Gives a setting's value for what a file, a variable or a flag says; raises ValueError with a
# phrase that says what would be right.
Parse = Callable[[Any], Any]


def _text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw:
        raise ValueError("must be a text that is not empty")
    return raw


# Names that other files of the directory have, or may have one day.
_TAKEN = re.compile(r"journal\..*|memdbd\.lock|repair-.*|.*\.(torn|tmp|imported)(\.[0-9]+)?")


def _path(raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError("must be the path of a file")
    return raw


def _filename(raw: Any) -> str:
    if not isinstance(raw, str) or not raw or raw in (".", "..") or not {"/", "\\"}.isdisjoint(raw):
        raise ValueError("must be the name of a file, without a directory")
    if _TAKEN.fullmatch(raw):
        raise ValueError("must be a name that no other file of the directory can have")
    return raw


def _texts(raw: Any) -> tuple[str, ...]:
    if isinstance(raw, str):  # in a variable, separated by blanks
        raw = raw.split()
    if not isinstance(raw, (list, tuple)) or not all(isinstance(one, str) and one for one in raw):
        raise ValueError("must be a list of texts")
    return tuple(raw)


# In a text. Python's own int() and float() also take "1_000", " 5 ", "1e3" and "٥".
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")


def _number(least: float, most: float = float("inf"), *, whole: bool = True) -> Parse:
    kind = "a whole number" if whole else "a number"
    bounds = f" from {least} to {most}" if most != float("inf") else f" of at least {least}"

    def parse(raw: Any) -> float:
        number = raw
        if isinstance(raw, str) and _DECIMAL.fullmatch(raw):
            with suppress(ValueError):  # a fraction, or more digits than Python converts
                number = int(raw) if whole else float(raw)
        accepted = int if whole else (int, float)
        if isinstance(number, bool) or not isinstance(number, accepted):
            raise ValueError(f"must be {kind}{bounds}")
        if not least <= number <= most or number == float("inf"):
            raise ValueError(f"must be {kind}{bounds}")
        return number

    return parse


def _bytes(raw: Any) -> int:
    units = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "b": 1, "": 1}
    if isinstance(raw, str):
        text = raw.strip().lower()
        digits = text.rstrip("bgkm ")
        unit = units.get(text[len(digits) :].strip())
        if unit and digits.isascii() and digits.isdigit():
            return int(digits) * unit
    elif isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
        return raw
    raise ValueError("must be a number of bytes, or one with kb, mb or gb behind it")


def _password(raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError("must be a text")
    return raw


def _switch(raw: Any) -> bool:
    words = {"true": True, "false": False}
    if isinstance(raw, str) and raw in words:
        return words[raw]
    if not isinstance(raw, bool):
        raise ValueError("must be true or false")
    return raw


def _one_of(*words: str) -> Parse:
    def parse(raw: Any) -> str:
        if raw not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(raw)

    return parse


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
        "127.0.0.1", _text, "address to listen on, as the name or number of one", flag="host"
    )
    server_port: int = _setting(
        65432, _number(0, 65535), "TCP port to listen on; 0 picks a free one", flag="port"
    )
    listen: tuple[str, ...] = _setting(
        (),
        _texts,
        "Twisted endpoint to listen on (tcp:…, unix:…, ssl:…, systemd:…), in place of host and "
        "port; may be given several times",
    )
    resp: tuple[str, ...] = _setting(
        (),
        _texts,
        "Twisted endpoint to listen on, beside the others, for Redis clients only, such as "
        "tcp:6379:interface=127.0.0.1; may be given several times",
    )
    backlog: int = _setting(
        1024, _number(1, 65535), "connections that may wait to be accepted, at host and port"
    )
    auth: tuple[str, ...] = _setting(
        (),
        _texts,
        "who may log in: a checker in the words of twistd's --auth (see --help-auth), such as "
        "users:/etc/memdbd/users; may be given several times",
    )
    password: str = _setting(
        "", _password, "password of the user default, who then has to log in", secret=True
    )
    allow_open: bool = _setting(
        False,
        _switch,
        "whether to listen beyond this machine even though nobody has to log in: true or false",
    )
    tls_listen: tuple[str, ...] = _setting(
        (),
        _texts,
        "Twisted endpoint to listen on, beside the others, with TLS, such as "
        "tcp:65433:interface=0.0.0.0; may be given several times",
    )
    tls_cert: str = _setting(
        "", _path, "PEM file with the certificate of this server, and those between it and its CA"
    )
    tls_key: str = _setting("", _path, "PEM file with the key of that certificate")
    tls_ca: str = _setting(
        "", _path, "PEM file with the certificates of the CAs that clients' are from"
    )
    tls_clients: str = _setting(
        "no",
        _one_of("no", "optional", "required"),
        "whether clients with TLS have a certificate: no, optional or required",
    )
    tls_user: str = _setting(
        "none",
        _one_of("none", "cn"),
        "whether a client with a certificate is the user that its common name says: none or cn",
    )
    data_dir: str = _setting("./memdb-data", _text, "directory of the data; made if missing")
    storage_file: str = _setting(FILENAME, _filename, "the snapshot's name in data_dir")
    durability: Durability = _setting(
        "everysec",
        _one_of(*DURABILITIES),
        "when a write is on disk: always (before its reply), everysec (a second later), or no "
        "(when the system does it)",
    )
    snapshot_after: int = _setting(
        64 * 1024 * 1024,
        _bytes,
        "bytes of journal after which a snapshot is made, if it is also longer than the last one, "
        "such as 64mb; 0: never for that",
    )
    strict_tail: bool = _setting(
        False,
        _switch,
        "whether to refuse to start where the journal ends in the middle of a write, as a crash "
        "leaves it: true or false",
    )
    snapshot_interval: float = _setting(
        60.0,
        _number(0, 10**9, whole=False),
        "seconds between snapshots, if something changed; 0: none",
    )
    sweep_interval: float = _setting(
        0.1, _number(0.001, 3600, whole=False), "seconds between sweeps of expired keys"
    )
    default_ttl: int = _setting(
        3600, _number(1, 10**10), "seconds that set_with_ttl gives a key if none are said"
    )
    cache_capacity: int = _setting(
        100, _number(0), "entries of the read cache for long values of get; 0: no cache"
    )
    max_keys: int = _setting(0, _number(0), "how many keys there may be; 0: any number")
    max_memory: int = _setting(
        0, _bytes, "how many bytes the keys may take, such as 512mb; 0: any number"
    )
    eviction: Policy = _setting(
        "noeviction", _one_of(*POLICIES), f"what gives way at a bound: {', '.join(POLICIES)}"
    )
    max_clients: int = _limit(
        "max_clients", _number(1), "how many clients there may be, if that many files may be open"
    )
    max_unauthenticated: int = _limit(
        "max_unauthenticated", _number(1), "how many there may be that have not logged in"
    )
    login_timeout: float = _limit(
        "login_timeout",
        _number(0.001, 3600, whole=False),
        "seconds to log in, and before that to finish a TLS handshake",
    )
    login_attempts: int = _limit(
        "login_attempts", _number(1, 1000), "log-ins that fail before the connection ends"
    )
    idle_timeout: float = _limit(
        "idle_timeout",
        _number(0, 10**9, whole=False),
        "seconds without a request before a client that does not subscribe is cut; 0: never",
    )
    tcp_keepalive: int = _limit(
        "tcp_keepalive",
        _number(0, 32767),
        "seconds until a silent peer is asked whether it is still there; 0: never",
    )
    max_value: int = _limit("max_value", _bytes, "bytes of one argument")
    max_request: int = _limit("max_request", _bytes, "bytes of one request")
    max_line: int = _limit("max_line", _bytes, "bytes of a line of words, in the text dialect")
    max_json_line: int = _limit(
        "max_json_line", _bytes, "bytes of a line of JSON, in the text dialect"
    )
    max_pattern: int = _limit("max_pattern", _bytes, "bytes of a glob pattern")
    unauthenticated_arguments: int = _limit(
        "unauthenticated_arguments", _number(3), "words of a request, before a client has logged in"
    )
    unauthenticated_argument: int = _limit(
        "unauthenticated_argument", _bytes, "bytes of one of these words"
    )
    unauthenticated_buffer: int = _limit(
        "unauthenticated_buffer", _bytes, "bytes of such a request that is not complete yet"
    )
    pause_output: int = _limit(
        "pause_output", _bytes, "bytes that wait for a client before no more is read from it"
    )
    output_limit: int = _limit(
        "output_limit", _bytes, "bytes of replies that wait for a client before it is cut"
    )
    subscriber_buffer: int = _limit(
        "subscriber_buffer", _bytes, "bytes of messages that wait for a client before it is cut"
    )
    subscriber_soft: int = _limit(
        "subscriber_soft", _bytes, "the same, where they wait for subscriber_seconds"
    )
    subscriber_seconds: float = _limit(
        "subscriber_seconds",
        _number(0, 10**9, whole=False),
        "seconds that subscriber_soft may be exceeded",
    )
    enable_debug_command: bool = _setting(
        False, _switch, "whether DEBUG is there, for clients of this machine: true or false"
    )
    log_level: str = _setting("info", _one_of(*LEVELS), f"least level: {', '.join(LEVELS)}")
    log_format: str = _setting("text", _one_of(*FORMATS), "text, or json: one object a line")

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


SETTINGS: dict[str, dataclasses.Field[Any]] = {
    field.name: field for field in dataclasses.fields(Config)
}
# Those that may be given several times.
MULTIPLE = [name for name, field in SETTINGS.items() if isinstance(field.default, tuple)]


def flag_of(name: str) -> str:
    """The command-line flag of a setting, without its dashes."""
    return SETTINGS[name].metadata["flag"] or name.replace("_", "-")


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
        if variable.startswith(ENVIRONMENT) and name != "config":
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
