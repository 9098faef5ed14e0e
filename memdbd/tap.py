"""``twistd memdb``: the options, and what the daemon needs of its process.

The only module that imports the reactor, and it does so when the daemon is made, after twistd
has chosen one. Who gets whom is for :mod:`memdbd.assembly` to say. May import: everything.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from types import TracebackType
from typing import IO, Any, ClassVar, TypeVar

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile

from memdbd import __version__, config
from memdbd.assembly import assemble
from memdbd.clock import Clock
from memdbd.compacting import CompactorProcess
from memdbd.config import SETTINGS, Config
from memdbd.errors import ConfigError, MemDBError
from memdbd.logs import observer
from memdbd.persistence.fs import FileSystem
from memdbd.services import Stack
from memdbd.systemd import Notifier, SystemdService

T = TypeVar("T")


def _parameters() -> list[list[str | None]]:
    parameters: list[list[str | None]] = []
    for name, field in SETTINGS.items():
        if field.metadata["secret"]:
            continue
        default = field.default
        shown = "" if default == () else f" [default: {default}]"
        parameters.append([config.flag_of(name), None, None, field.metadata["help"] + shown])
    return parameters


class Options(usage.Options):
    """The flags of ``twistd memdb``: one for each setting, and ``--config``.

    ``options.config`` is what they, the environment and the file come to.
    """

    synopsis = "[options]"
    longdesc = (
        "An in-memory key-value database with publish/subscribe. Talk to it with `memdb`, "
        "with `telnet 127.0.0.1 65432`, or with anything that can send a line. Each setting "
        "may also stand in a TOML file (--config, names as in etc/memdbd.toml) or in the "
        "environment (MEMDB_SNAPSHOT_INTERVAL=10); a flag wins over the environment, and that "
        "over the file. SIGINT or SIGTERM write a last snapshot and stop. Exit status: 1 if it "
        "refuses to start, and standard error says why."
    )
    optParameters: ClassVar[list[list[str | None]]] = [
        ["config", "c", None, "TOML file with settings"],
        *(row for row in _parameters() if row[0] not in config.MULTIPLE),
    ]
    compData = usage.Completions(multiUse=config.MULTIPLE)

    config: Config

    def __init__(self) -> None:
        super().__init__()
        self._multiple: dict[str, list[str]] = {}

    def opt_listen(self, endpoint: str) -> None:
        self._multiple.setdefault("listen", []).append(endpoint)

    opt_listen.__doc__ = SETTINGS["listen"].metadata["help"]

    def opt_resp(self, endpoint: str) -> None:
        self._multiple.setdefault("resp", []).append(endpoint)

    opt_resp.__doc__ = SETTINGS["resp"].metadata["help"]

    def opt_tls_listen(self, endpoint: str) -> None:
        self._multiple.setdefault("tls_listen", []).append(endpoint)

    opt_tls_listen.__doc__ = SETTINGS["tls_listen"].metadata["help"]

    def opt_auth(self, checker: str) -> None:
        self._multiple.setdefault("auth", []).append(checker)

    opt_auth.__doc__ = SETTINGS["auth"].metadata["help"]

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"memdbd {__version__}")
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            # twistd would print all of its help, and the error behind it.
            words = str(error).split()
            flags = [f"--{flag.rstrip('=')}" for flag in self.longOpt]
            unknown = [word for word in words if word.startswith("--") and word not in flags]
            near = get_close_matches(unknown[0], flags, n=1) if unknown else []
            hint = f"did you mean {near[0]}?" if near else "see twistd memdb --help"
            raise SystemExit(f"memdbd: {error}; {hint}") from None

    def postOptions(self) -> None:
        flags: dict[str, Any] = {
            name: self[config.flag_of(name)]
            for name in SETTINGS
            if self.get(config.flag_of(name)) is not None
        }
        flags |= self._multiple
        try:
            self.config = config.load(flags, os.environ, self["config"])
        except ConfigError as error:
            raise SystemExit(f"memdbd: {error}") from None


class Root(Stack):
    """The daemon as twistd sees it: a stack of services that brings its own log observer."""

    def __init__(self, log_observer: ILogObserver | None) -> None:
        super().__init__()
        self._observer = log_observer

    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)
        # twistd asks its application for an observer just before it starts to log.
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)


def makeService(options: Options) -> IService:
    """Make the daemon of this process. Raises SystemExit where a setting cannot be followed."""
    from twisted.internet import reactor as installed

    reactor: Any = installed  # which interfaces it has, Twisted's annotations do not say
    settings, clock = options.config, Clock()
    # twistd catches an Exception at the start, removes its pid file, and lets it out with a
    # traceback (a SystemExit would leave the file). For what we refuse, one line is enough.
    sys.excepthook = partial(_refusal, bool(options.parent and options.parent["nodaemon"]))
    # Twisted's timers go by the wall; set back by an hour, it would silence every LoopingCall for
    # one. This clock goes on where the wall was.
    reactor.seconds = clock.seconds
    _raise_file_limit()
    if hasattr(signal, "SIGHUP"):
        # There is nothing to be reloaded yet, and a closed terminal or a logrotate script is no
        # reason to die without a snapshot, which is what the signal does by itself.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def in_thread(function: Callable[[], T], /) -> Deferred[T]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), function)

    try:
        parts = assemble(
            reactor,
            clock,
            settings,
            FileSystem(),
            in_thread,
            time.perf_counter,
            random.random,
            CompactorProcess(),
        )
    except ConfigError as error:
        raise SystemExit(f"memdbd: {error}") from None

    parts.daemon.stopper = reactor.stop

    def status() -> str:
        keys = sum(map(len, parts.engine.databases))
        return f"{len(parts.factory.connections)} connections, {keys} keys"

    root = Root(_observer(settings, options.parent))
    notifier = Notifier.from_environment(os.environ, os.getpid())
    # From the bottom up; stopped from the top down: the last snapshot has what the last client
    # did, and the manager hears first that we stop and last that we are ready.
    for service in (
        parts.storage,
        parts.sweeper,
        parts.gravedigger,
        parts.listeners,
        SystemdService(notifier, reactor, status),
    ):
        service.setServiceParent(root)
    return root


def _observer(settings: Config, twistd: Any) -> ILogObserver | None:
    """Where twistd was told to log to, with our level and format; None to leave it to twistd."""
    twistd = twistd or {}
    if twistd.get("syslog"):
        return None
    stream: IO[Any]
    path = twistd.get("logfile")
    if path == "-" or (not path and twistd.get("nodaemon")):
        stream = sys.stdout
    else:
        stream = LogFile.fromFullPath(path or "twistd.log")
    return observer(stream, settings.log_level, settings.log_format)


def _raise_file_limit() -> None:
    """A connection is a file, and the usual limit of 1024 is soft."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows; a stubborn kernel
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _refusal(
    foreground: bool,
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType | None,
) -> None:
    """What twistd lets out at the start: one line for what we refuse, a traceback for the rest."""
    if issubclass(kind, MemDBError):
        if not foreground:  # there is no standard error, and twistd says to look at the log
            Logger().critical("refused to start: {error}", error=error)
        print(f"memdbd: {error}", file=sys.__stderr__)
    else:
        sys.__excepthook__(kind, error, traceback)


def main() -> None:
    """The ``memdbd`` script: ``twistd --nodaemon memdb`` for people who do not know twistd."""
    from twisted.scripts.twistd import run

    # No pid file: the lock on the data directory does what it is for.
    sys.argv = [sys.argv[0], "--nodaemon", "--pidfile=", "memdb", *sys.argv[1:]]
    run()
