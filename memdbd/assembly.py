"""The daemon put together: who gets whom, and what ``info`` and ``stats`` are made of.

Strategy: whatever a test could have otherwise is an argument (the reactor, the time, the disk, the
thread), so that the tests run on this wiring and not on a copy of it; nothing is started, so that
making the parts touches neither a socket nor a file. What changes the process is left to tap.

May import: everything of the daemon but tap.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from memdbd import __version__, core
from memdbd.auth import checkers, hashing_of
from memdbd.clients import Clients
from memdbd.clock import Clock
from memdbd.commands.table import COMMANDS, CONTAINERS, TYPES
from memdbd.committing import Committer, InThread
from memdbd.compacting import CompactorProcess
from memdbd.config import Config
from memdbd.daemon import Daemon
from memdbd.denials import Denials
from memdbd.dialects.interface import Dialects
from memdbd.dialects.text_replies import TextEncoder
from memdbd.dispatch import Dispatcher
from memdbd.engines.local import LocalEngine
from memdbd.factory import MemDBFactory
from memdbd.figures import Figures
from memdbd.gate import Gate
from memdbd.glob import bound_by
from memdbd.hashing import InThread as HashInThread
from memdbd.limits import Alarms
from memdbd.listeners import Listeners
from memdbd.monitoring import Monitors
from memdbd.notifications import Notifier
from memdbd.pausing import Pause
from memdbd.persistence.compactor import Compacted, compact, nothing
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.lock import DirectoryLock
from memdbd.pubsub import Registry
from memdbd.reloading import Reloader, follow
from memdbd.replies import Reply
from memdbd.rules import Names
from memdbd.services import Gravedigger, Sweeper
from memdbd.session import Session
from memdbd.slowlog import Watch
from memdbd.snapshots import Snapshots
from memdbd.storage import Storage
from memdbd.structs.graveyard import Graveyard
from memdbd.structs.pool import Random
from memdbd.tls import Credentials
from memdbd.tracking import Trackers
from memdbd.tuning import connect
from memdbd.useradmin import UserAdmin
from memdbd.users import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A daemon's parts, of which ``storage``, ``sweeper``, ``gravedigger``, ``listeners`` and
    ``reloader`` are to be started, in this order."""

    channels: Registry
    daemon: Daemon
    engine: LocalEngine
    dispatcher: Dispatcher
    dialects: Dialects
    factory: MemDBFactory
    storage: Storage
    sweeper: Sweeper
    gravedigger: Gravedigger
    listeners: Listeners
    reloader: Reloader


def assemble(
    reactor: IReactorTime,
    clock: Clock,
    settings: Config,
    fs: FileSystem,
    in_thread: InThread,
    seconds: Callable[[], float],
    random: Random,
    compactor: CompactorProcess | None = None,
    *,
    hash_in_thread: HashInThread | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> Parts:
    """Put a daemon together that follows ``settings``.

    ``in_thread(function)`` runs what waits for the disk; ``seconds`` is what slices of work are
    measured with; ``random()`` gives a number from 0 to 1; ``compactor`` runs elsewhere than
    in that thread; ``hash_in_thread`` runs what is only work, and may take long. Raises ConfigError
    where an endpoint to listen on is none, and for a users file that cannot be followed.
    """
    channels = Registry()
    limits, alarms = settings.limits, Alarms(reactor.seconds, _warn)
    bound_by(limits)
    daemon = Daemon(
        clock, COMMANDS, CONTAINERS, TYPES, settings.default_ttl, reactor.callLater, random
    )
    graveyard = Graveyard()
    engine = LocalEngine(clock, channels, daemon, TYPES, settings.bounds, graveyard)
    dispatcher = Dispatcher(
        engine, COMMANDS, CONTAINERS, daemon.suggestions, seconds, limits, alarms
    )
    clients = Clients(reactor.seconds)
    hashes = hash_in_thread or cast(HashInThread, in_thread)
    hashing = hashing_of(hashes, reactor.callLater, alarms, reactor.seconds)
    others, users_file = checkers(settings.auth, fs)
    gate = Gate(
        Users(Names(COMMANDS, CONTAINERS)),
        hashing,
        clients,
        Denials(reactor.seconds),
        limits,
        alarms,
        random_bytes,
        others=others,
    )
    useradmin = UserAdmin(gate, hashing, random_bytes, file=users_file, asks_others=bool(others))
    useradmin.open(settings.password)
    settings = settings.without_secrets()  # they are not kept
    daemon.gate, daemon.useradmin = gate, useradmin
    engine.denied = lambda context, denied: gate.denied(
        context.session, denied, nested=not context.may_wait
    )
    attendants, soon = dispatcher.attendants, partial(reactor.callLater, 0)
    daemon.clients = clients
    daemon.monitors = Monitors(clients, clock.wall_us, attendants)
    daemon.notifier = Notifier(channels, engine.databases, attendants)
    daemon.pause = Pause(clock.ms, reactor.callLater, attendants)
    daemon.trackers = Trackers(clients, engine.changes, attendants, soon)
    engine.waiting.failed = dispatcher.failed_later
    clients.leaving += [daemon.monitors.leave, daemon.trackers.forget]
    encoder = TextEncoder(settings.cache_capacity)
    dialects = Dialects(COMMANDS, CONTAINERS, encoder, limits)
    factory = MemDBFactory(
        reactor=reactor,
        engine=engine,
        dispatcher=dispatcher,
        channels=channels,
        clients=clients,
        gate=gate,
        dialects=dialects,
        limits=limits,
        alarms=alarms,
        seconds=seconds,
    )
    lock = DirectoryLock(fs, settings.data_dir)
    committer = Committer(
        reactor=reactor,
        clock=clock,
        changes=engine.changes,
        turn=factory.turn,
        guard=engine.be_guarded,
        in_thread=in_thread,
        durability=settings.durability,
    )

    def compact_here(directory: str, path: str, segment: int, created: float) -> Compacted:
        return compact(fs, directory, path, TYPES, segment, created)

    snapshots = Snapshots(
        reactor=reactor,
        clock=clock,
        engine=engine,
        committer=committer,
        types=TYPES,
        fs=fs,
        lock=lock,
        compact=compactor or compact_here,
        kill=compactor.kill if compactor is not None else nothing,
        in_thread=in_thread,
        random=random,
        after=settings.snapshot_after,
    )
    storage = Storage(
        reactor=reactor,
        engine=engine,
        committer=committer,
        snapshots=snapshots,
        lock=lock,
        types=TYPES,
        fs=fs,
        directory=settings.data_dir,
        filename=settings.storage_file,
        interval=settings.snapshot_interval,
        strict_tail=settings.strict_tail,
    )
    sweeper = Sweeper(reactor, settings.sweep_interval, engine.databases)
    gravedigger = Gravedigger(reactor, graveyard)
    credentials = Credentials(settings, clock.wall_ms, lambda path: b"".join(fs.read(path)))
    listeners = Listeners(
        reactor,
        settings.endpoints,
        factory,
        settings.resp,
        tls=settings.tls_listen,
        credentials=credentials,
        is_open=lambda: gate.is_open,
        allow_open=settings.allow_open,
        has_users=bool(settings.auth),
        backlog=settings.backlog,
    )
    listeners.heard = lambda port: daemon.parameters.tell(port=port)
    daemon.figures = Figures(
        clock=clock,
        engine=engine,
        dispatcher=dispatcher,
        factory=factory,
        storage=storage,
        parameters=daemon.parameters,
        graveyard=graveyard,
        reactor=reactor,
        random=random,
    )
    connect(
        daemon.parameters,
        settings,
        dispatcher=dispatcher,
        engine=engine,
        factory=factory,
        gate=gate,
        useradmin=useradmin,
        notifier=daemon.notifier,
        storage=storage,
        watch=Watch(daemon.slowlog, daemon.latency, clients, clock.wall_ms),
    )
    reloader = Reloader(
        settings, gate, useradmin, listeners, credentials if settings.tls_listen else None, hashes
    )
    follow(
        reloader,
        daemon=daemon,
        engine=engine,
        encoder=encoder,
        factory=factory,
        storage=storage,
        sweeper=sweeper,
    )
    started = clock.ms()

    def about() -> dict[str, Reply]:
        return {
            "version": __version__,
            "python": platform.python_version(),
            "core": core.NAME,
            "reactor": type(reactor).__name__,
            "pid": os.getpid(),  # asked for late: twistd forks in between
            "uptime_seconds": (clock.ms() - started) // 1000,
            **listeners.info(),
        }

    def may_debug(session: Session) -> bool:
        client = clients.get(session.number)
        enabled = daemon.parameters["enable-debug-command"] != "no"
        return enabled and client is not None and client.is_local

    daemon.may_debug = may_debug
    daemon.saver = storage.save
    daemon.leaver = storage.leave
    daemon.sections.update(server=about, persistence=storage.info, stats=daemon.stats)
    daemon.counters += [
        factory.stats, dispatcher.stats, engine.stats, dialects.stats, storage.stats,
    ]  # fmt: skip
    return Parts(
        channels=channels,
        daemon=daemon,
        engine=engine,
        dispatcher=dispatcher,
        dialects=dialects,
        factory=factory,
        storage=storage,
        sweeper=sweeper,
        gravedigger=gravedigger,
        listeners=listeners,
        reloader=reloader,
    )


_log = Logger("memdbd")


def _warn(sentence: str) -> None:
    """Write a sentence to the log; there may be braces in it."""
    _log.warn("{sentence}", sentence=sentence)
