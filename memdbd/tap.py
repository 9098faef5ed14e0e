"""``twistd memdb``: the options, and what the daemon needs of its process.

The only module that imports the reactor, and it does so when the daemon is made, after twistd
has chosen one. Who gets whom is for :mod:`memdbd.assembly` to say. May import: everything.
"""

from __future__ import annotations

import contextlib
import os
import platform
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from types import TracebackType
from typing import IO, Any, ClassVar, TypeVar

from twisted.application.service import IService
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin, findCheckerFactories
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile
from twisted.python.threadpool import ThreadPool

from memdbd import __version__, config, core
from memdbd.assembly import assemble
from memdbd.auth import is_taken
from memdbd.clock import Clock
from memdbd.compacting import CompactorProcess
from memdbd.config import SECRET, SETTINGS, Config, Source, variable_of
from memdbd.errors import ConfigError, MemDBError
from memdbd.hashing import InThread as HashInThread
from memdbd.logs import Observer
from memdbd.persistence.fs import FileSystem
from memdbd.services import Stack
from memdbd.systemd import Notifier, SystemdService
from memdbd.tuning import limit_clients

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


class Options(usage.Options, AuthOptionMixin):
    """The flags of ``twistd memdb``: one for each setting, ``--config``, and those that tell of
    ``--auth``.

    ``options.config`` is what they, the environment and the file come to; ``options.source`` is
    these three.
    """

    synopsis = "[options]"
    longdesc = (
        "An in-memory key-value database with publish/subscribe. Talk to it with `memdb`, "
        "with `telnet 127.0.0.1 65432`, or with anything that can send a line. Each setting "
        "may also stand in a TOML file (--config, names as in etc/memdbd.toml) or in the "
        "environment (MEMDB_SNAPSHOT_INTERVAL=10); a flag wins over the environment, and that "
        "over the file. A password has no flag, which all users of the machine could read: "
        "MEMDB_PASSWORD, or password in the file. SIGHUP has it read file, users and certificates "
        "anew. SIGINT or SIGTERM write a last snapshot and stop. Exit status: 1 if it refuses to "
        "start, and standard error says why."
    )
    optParameters: ClassVar[list[list[str | None]]] = [
        ["config", "c", None, "TOML file with settings"],
        *(row for row in _parameters() if row[0] not in config.MULTIPLE),
    ]
    compData = usage.Completions(multiUse=config.MULTIPLE)

    supportedInterfaces = (IUsernamePassword,)

    config: Config
    source: Source

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

    def supportsCheckerFactory(self, factory: Any) -> bool:
        return is_taken(factory)

    def _checkerFactoriesForOptHelpAuth(self) -> list[Any]:
        return [*filter(is_taken, findCheckerFactories())]

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
            if unknown and unknown[0] in ("--password", "--requirepass"):
                raise SystemExit(
                    "memdbd: a password is no flag, which all users of the machine can read: "
                    "MEMDB_PASSWORD, or password in the file"
                ) from None
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
        self.source = config.source(flags, os.environ, self["config"])
        try:
            self.config = self.source.load()
        except ConfigError as error:
            raise SystemExit(f"memdbd: {error}") from None


class Root(Stack):
    """The daemon as twistd sees it: a stack of services that brings its own log observer.

    ``about`` is what the log begins with: what the daemon is made of.
    """

    _log = Logger()

    def __init__(self, log_observer: ILogObserver | None, about: str) -> None:
        super().__init__()
        self._observer = log_observer
        self._about = about

    def startService(self) -> None:
        self._log.info("{about}", about=self._about)
        super().startService()

    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)
        # twistd asks its application for an observer just before it starts to log.
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)


def makeService(options: Options) -> IService:
    """Make the daemon of this process. Raises SystemExit where a setting cannot be followed."""
    if core.FAULT:
        raise SystemExit(f"memdbd: {core.FAULT}")
    from twisted.internet import reactor as installed

    reactor: Any = installed  # which interfaces it has, Twisted's annotations do not say
    clock = Clock()
    # twistd catches an Exception at the start, removes its pid file, and lets it out with a
    # traceback (a SystemExit would leave the file). For what we refuse, one line is enough.
    sys.excepthook = partial(_refusal, bool(options.parent and options.parent["nodaemon"]))
    # Twisted's timers go by the wall; set back by an hour, it would silence every LoopingCall for
    # one. This clock goes on where the wall was.
    reactor.seconds = clock.seconds
    files = _raise_file_limit()
    if hasattr(signal, "SIGHUP"):  # Windows has none
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # all is about to be read anyway

    def in_thread(function: Callable[[], T], /) -> Deferred[T]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), function)

    try:
        parts = assemble(
            reactor,
            clock,
            options.config,
            FileSystem(),
            in_thread,
            time.perf_counter,
            random.random,
            CompactorProcess(),
            hash_in_thread=_hash_in_thread(reactor),
        )
    except ConfigError as error:
        raise SystemExit(f"memdbd: {error}") from None
    parts.daemon.stopper = reactor.stop
    reloader = parts.reloader
    if files is not None:
        stay_below = partial(limit_clients, parts.daemon.parameters, parts.factory, files)
        stay_below()
        reloader.on(lambda changed: stay_below(), "max_clients")
    # Nobody needs the secrets any more, least of all the processes that are started from here.
    for name in SECRET:
        os.environ.pop(variable_of(name), None)
    reloader.source = options.source = options.source.without_secrets()
    options.config = reloader.settings

    def status() -> str:
        keys = sum(map(len, parts.engine.databases))
        return f"{len(parts.factory.connections)} connections, {keys} keys"

    observer = _observer(options.config, options.parent)
    if observer is not None:
        reloader.on(_follow(observer, options.config), "log_level", "log_format")
    systemd = SystemdService(
        Notifier.from_environment(os.environ, os.getpid()),
        reactor,
        status,
        lambda: time.monotonic_ns() // 1000,
    )
    reloader.began, reloader.ended = systemd.reloading, systemd.reloaded
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(reloader.reload))
    root = Root(
        observer,
        f"memdbd {__version__} starts, with the {core.NAME} core, Python "
        f"{platform.python_version()} and {type(reactor).__name__}",
    )
    # From the bottom up; stopped from the top down: the last snapshot has what the last client
    # did, and the manager hears first that we stop and last that we are ready.
    for service in (
        parts.storage,
        parts.sweeper,
        parts.gravedigger,
        parts.listeners,
        reloader,
        systemd,
    ):
        service.setServiceParent(root)
    return root


class _Gentle(threading.Thread):
    """A thread that lets the others go first, where the system can say that of one thread.

    It has a tenth of a core that is busy otherwise, and a log-in then takes half a second. At 19,
    the most, it would be 2 to 3 s, of the 5 that there are to log in.
    """

    NICENESS = 10

    def run(self) -> None:
        if sys.platform == "linux":  # elsewhere it would be the whole process
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self.NICENESS)
        super().run()


def _hash_in_thread(reactor: Any) -> HashInThread:
    """Runs what is only work in a thread of its own, so that what waits for the disk never waits
    behind it; the thread begins when it is first needed."""
    pool = ThreadPool(0, 1, "passwords")
    pool.threadFactory = _Gentle

    def hash_in_thread(function: Callable[[], Any], /) -> Deferred[Any]:
        if not (pool.started or pool.joined):
            pool.start()
            reactor.addSystemEventTrigger("during", "shutdown", pool.stop)
        return deferToThreadPool(reactor, pool, function)

    return hash_in_thread


def _follow(observer: Observer, settings: Config) -> Callable[[Mapping[str, Any]], None]:
    """Has the log follow its settings; ``settings`` is what they are now."""
    now = {"level": settings.log_level, "form": settings.log_format}

    def follow(changed: Mapping[str, Any]) -> None:
        now["level"] = changed.get("log_level", now["level"])
        now["form"] = changed.get("log_format", now["form"])
        observer.follow(**now)

    return follow


def _observer(settings: Config, twistd: Any) -> Observer | None:
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
    return Observer(stream, settings.log_level, settings.log_format)


def _raise_file_limit() -> int | None:
    """A connection is a file, and the usual limit of 1024 is soft. Gives how many may be open, None
    where nobody knows or any number."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # a stubborn kernel
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return None if soft == resource.RLIM_INFINITY else soft


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
