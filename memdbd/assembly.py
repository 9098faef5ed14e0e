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

from twisted.internet.interfaces import IReactorTime

from memdbd import __version__
from memdbd.clients import Clients
from memdbd.clock import Clock
from memdbd.commands.table import COMMANDS, CONTAINERS, TYPES
from memdbd.committing import Committer, InThread
from memdbd.compacting import CompactorProcess
from memdbd.config import Config
from memdbd.daemon import Daemon
from memdbd.dialects.interface import Dialects
from memdbd.dialects.text_replies import TextEncoder
from memdbd.dispatch import Dispatcher
from memdbd.engines.local import LocalEngine
from memdbd.factory import MemDBFactory
from memdbd.figures import Figures
from memdbd.listeners import Listeners
from memdbd.monitoring import Monitors
from memdbd.notifications import Notifier
from memdbd.pausing import Pause
from memdbd.persistence.compactor import Compacted, compact, nothing
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.lock import DirectoryLock
from memdbd.pubsub import Registry
from memdbd.replies import Reply
from memdbd.services import Gravedigger, Sweeper
from memdbd.session import Session
from memdbd.slowlog import Watch
from memdbd.snapshots import Snapshots
from memdbd.storage import Storage
from memdbd.structs.graveyard import Graveyard
from memdbd.structs.pool import Random
from memdbd.tracking import Trackers
from memdbd.tuning import connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A daemon's parts, of which ``storage``, ``sweeper``, ``gravedigger`` and ``listeners`` are to
    be started, in this order."""

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


def assemble(
    reactor: IReactorTime,
    clock: Clock,
    settings: Config,
    fs: FileSystem,
    in_thread: InThread,
    seconds: Callable[[], float],
    random: Random,
    compactor: CompactorProcess | None = None,
) -> Parts:
    """Put a daemon together that follows ``settings``.

    ``in_thread(function)`` runs what waits for the disk; ``seconds`` is what slices of work are
    measured with; ``random()`` gives a number from 0 to 1; ``compactor`` runs elsewhere than
    in that thread. Raises ConfigError where an endpoint to listen on is none.
    """
    channels = Registry()
    daemon = Daemon(
        clock, COMMANDS, CONTAINERS, TYPES, settings.default_ttl, reactor.callLater, random
    )
    graveyard = Graveyard()
    engine = LocalEngine(clock, channels, daemon, TYPES, settings.bounds, graveyard)
    dispatcher = Dispatcher(engine, COMMANDS, CONTAINERS, daemon.suggestions, seconds)
    clients = Clients(reactor.seconds)
    attendants, soon = dispatcher.attendants, partial(reactor.callLater, 0)
    daemon.clients = clients
    daemon.monitors = Monitors(clients, clock.wall_us, attendants)
    daemon.notifier = Notifier(channels, engine.databases, attendants)
    daemon.pause = Pause(clock.ms, reactor.callLater, attendants)
    daemon.trackers = Trackers(clients, engine.changes, attendants, soon)
    engine.waiting.failed = dispatcher.failed_later
    clients.leaving += [daemon.monitors.leave, daemon.trackers.forget]
    encoder = TextEncoder(settings.cache_capacity)
    dialects = Dialects(COMMANDS, CONTAINERS, encoder)
    factory = MemDBFactory(
        reactor=reactor,
        engine=engine,
        dispatcher=dispatcher,
        channels=channels,
        clients=clients,
        dialects=dialects,
        subscriber_buffer=settings.subscriber_buffer,
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
    listeners = Listeners(reactor, settings.endpoints, factory, settings.resp)
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
        notifier=daemon.notifier,
        storage=storage,
        watch=Watch(daemon.slowlog, daemon.latency, clients, clock.wall_ms),
    )
    started = clock.ms()

    def about() -> dict[str, Reply]:
        return {
            "version": __version__,
            "python": platform.python_version(),
            "reactor": type(reactor).__name__,
            "pid": os.getpid(),  # asked for late: twistd forks in between
            "uptime_seconds": (clock.ms() - started) // 1000,
            **listeners.info(),
        }

    def may_debug(session: Session) -> bool:
        client = clients.get(session.number)
        return settings.enable_debug_command and client is not None and client.is_local

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
    )
