"""What follows when a parameter is set while the daemon runs, and what the parameters are before.

May import: config, engines, dispatch, factory, storage, and what they may import.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

from memdbd.config import Config
from memdbd.dispatch import Dispatcher
from memdbd.durability import Durability
from memdbd.engines.local import LocalEngine
from memdbd.errors import CommandError
from memdbd.eviction import POLICIES
from memdbd.factory import MemDBFactory
from memdbd.notifications import Notifier, canonical, parse
from memdbd.parameters import Parameters
from memdbd.slowlog import Watch
from memdbd.storage import Storage


def connect(
    parameters: Parameters,
    settings: Config,
    *,
    dispatcher: Dispatcher,
    engine: LocalEngine,
    factory: MemDBFactory,
    notifier: Notifier,
    storage: Storage,
    watch: Watch,
) -> None:
    """Have each part follow its parameters; ``settings`` is what they are now."""
    interval = int(settings.snapshot_interval)
    parameters.tell(
        dbfilename=settings.storage_file,
        dir=settings.data_dir,
        enable_debug_command="local" if settings.enable_debug_command else "no",
        maxmemory=settings.max_memory,
        maxmemory_policy=settings.eviction,
        save=f"{interval} 1" if interval else "",
        appendfsync=settings.durability,
        auto_aof_rewrite_min_size=settings.snapshot_after,
    )
    parameters.set([("client-output-buffer-limit", f"pubsub {settings.subscriber_buffer} 0 0")])

    def slower_than(micros: str) -> None:
        watch.slowlog.threshold = None if micros == "-1" else int(micros) / 1_000_000
        dispatcher.observed_from = watch.least

    def threshold(ms: str) -> None:
        watch.latency.threshold = int(ms)
        dispatcher.observed_from = watch.least

    dispatcher.observer = watch.saw
    dispatcher.observed_from = watch.least
    parameters.on("slowlog-log-slower-than", slower_than)
    parameters.on("slowlog-max-len", lambda length: watch.slowlog.resize(int(length)))
    parameters.on("latency-monitor-threshold", threshold)
    parameters.on("client-output-buffer-limit", partial(_limit_subscribers, factory))
    parameters.on("maxmemory", lambda size: _bound(engine, max_memory=int(size)))
    parameters.on("maxmemory-policy", partial(_evict_by, engine))
    parameters.on("notify-keyspace-events", partial(_notify, notifier))
    parameters.on("requirepass", _refuse_password)
    parameters.on("appendfsync", lambda policy: storage.follow(cast(Durability, policy)))
    parameters.on("auto-aof-rewrite-min-size", lambda size: _save_after(storage, int(size)))
    parameters.on("save", lambda points: storage.save_every(_interval(points)))


def _interval(points: str) -> float:
    """Seconds between snapshots. Of several save points it is the shortest time, whatever the
    number of changes: a snapshot too many is better than one too late."""
    return min(map(int, points.split()[::2]), default=0)


def _save_after(storage: Storage, size: int) -> None:
    storage.snapshots.after = size


def _bound(engine: LocalEngine, **changes: Any) -> None:
    engine.bound(replace(engine.bounds, **changes))


def _evict_by(engine: LocalEngine, policy: str) -> None:
    if policy not in POLICIES:
        raise ValueError(f"memdbd evicts by {', '.join(POLICIES)}")
    _bound(engine, policy=policy)


def _limit_subscribers(factory: MemDBFactory, limits: str) -> None:
    words = limits.split()
    factory.subscriber_buffer = int(words[words.index("pubsub") + 1]) or UNLIMITED


def _notify(notifier: Notifier, wanted: str) -> str:
    try:
        letters = parse(wanted)
    except CommandError as error:
        raise ValueError(error) from None
    notifier.want(letters)
    return canonical(letters)


def _refuse_password(password: str) -> None:
    if password:
        raise ValueError("memdbd has no users yet: whoever reaches its port may do everything")


UNLIMITED = 2**63 - 1  # bytes
