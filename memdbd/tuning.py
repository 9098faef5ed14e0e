"""What follows when a parameter is set while the daemon runs, and what the parameters are before.

May import: config, engines, dispatch, factory, storage, and what they may import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

from twisted.logger import Logger

from memdbd.commands.secrets import REDACTED
from memdbd.config import Config
from memdbd.dispatch import Dispatcher
from memdbd.durability import Durability
from memdbd.engines.local import LocalEngine
from memdbd.errors import CommandError
from memdbd.eviction import POLICIES
from memdbd.factory import MemDBFactory
from memdbd.gate import Gate
from memdbd.limits import Limits
from memdbd.notifications import Notifier, canonical, parse
from memdbd.parameters import Parameters
from memdbd.slowlog import Watch
from memdbd.storage import Storage
from memdbd.useradmin import UserAdmin

# Files that the daemon itself has open or may open: journal and snapshot, listeners, its threads'.
FILES = 64

_log = Logger()


def connect(
    parameters: Parameters,
    settings: Config,
    *,
    dispatcher: Dispatcher,
    engine: LocalEngine,
    factory: MemDBFactory,
    gate: Gate,
    useradmin: UserAdmin,
    notifier: Notifier,
    storage: Storage,
    watch: Watch,
) -> None:
    """Have each part follow its parameters; ``settings`` is what they are now."""
    interval = int(settings.snapshot_interval)
    parameters.tell(
        aclfile=useradmin.file.path if useradmin.file is not None else "",
        dbfilename=settings.storage_file,
        dir=settings.data_dir,
        requirepass=REDACTED.decode() if useradmin.password is not None else "",
        enable_debug_command="local" if settings.enable_debug_command else "no",
        maxmemory=settings.max_memory,
        maxmemory_policy=settings.eviction,
        save=f"{interval} 1" if interval else "",
        appendfsync=settings.durability,
        auto_aof_rewrite_min_size=settings.snapshot_after,
    )
    connect_limits(parameters, factory)

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
    parameters.on("maxmemory", lambda size: _bound(engine, max_memory=int(size)))
    parameters.on("maxmemory-policy", partial(_evict_by, engine))
    parameters.on("notify-keyspace-events", partial(_notify, notifier))
    parameters.on("requirepass", useradmin.require)
    parameters.on("acllog-max-len", lambda length: gate.denials.resize(int(length)))
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


def _notify(notifier: Notifier, wanted: str) -> str:
    try:
        letters = parse(wanted)
    except CommandError as error:
        raise ValueError(error) from None
    notifier.want(letters)
    return canonical(letters)


# Limits


def connect_limits(parameters: Parameters, factory: MemDBFactory) -> None:
    """Have the limits follow the parameters that are some of them, and these tell what they are."""
    limits, admission = factory.limits, factory.admission

    def idle(seconds: str) -> None:
        limits.idle_timeout = float(seconds)
        admission.watch_idle()

    def set_to(name: str) -> Callable[[str], None]:
        return lambda value: setattr(limits, name, int(value))

    tell_limits(parameters, factory)
    parameters.on("client-output-buffer-limit", partial(_limit_output, limits))
    parameters.on("client-query-buffer-limit", set_to("max_request"))
    parameters.on("maxclients", partial(_limit_clients, factory))
    parameters.on("proto-max-bulk-len", set_to("max_value"))
    parameters.on("tcp-keepalive", set_to("tcp_keepalive"))
    parameters.on("timeout", idle)


def tell_limits(parameters: Parameters, factory: MemDBFactory) -> None:
    """Have the parameters tell what the limits are, which may just have changed."""
    limits = factory.limits
    _, _, slaves = parameters["client-output-buffer-limit"].partition("slave ")
    pubsub = f"{limits.subscriber_buffer} {limits.subscriber_soft} {limits.subscriber_seconds:.0f}"
    parameters.tell(
        client_output_buffer_limit=f"normal {limits.output_limit} 0 0 "
        f"slave {slaves.partition(' pubsub')[0]} pubsub {pubsub}",
        client_query_buffer_limit=limits.max_request,
        maxclients=factory.admission.most,
        proto_max_bulk_len=limits.max_value,
        tcp_keepalive=limits.tcp_keepalive,
        timeout=int(limits.idle_timeout),
    )
    factory.admission.watch_idle()


def limit_clients(parameters: Parameters, factory: MemDBFactory, files: int) -> None:
    """Have no more clients than there may be open ``files``, and say so where they were to be
    more."""
    ceiling = factory.admission.ceiling = max(files - FILES, 1)
    if factory.limits.max_clients > ceiling:
        _log.warn(
            "max_clients is {wanted}, but {files} files may be open at most: there will be no more "
            "than {ceiling} clients (see ulimit -Hn, or LimitNOFILE= of systemd)",
            wanted=factory.limits.max_clients,
            files=files,
            ceiling=ceiling,
        )
    tell_limits(parameters, factory)


def _limit_output(limits: Limits, raw: str) -> None:
    words = raw.split()
    of = {words[at]: list(map(int, words[at + 1 : at + 4])) for at in range(0, len(words), 4)}
    hard, soft, seconds = of["normal"]
    if soft or seconds:
        raise ValueError("memdbd has a soft limit for subscribers only")
    limits.output_limit = hard
    limits.subscriber_buffer, limits.subscriber_soft, limits.subscriber_seconds = of["pubsub"]


def _limit_clients(factory: MemDBFactory, raw: str) -> None:
    ceiling = factory.admission.ceiling
    if ceiling is not None and int(raw) > ceiling:
        raise ValueError(
            "The operating system is not able to handle the specified number of clients, try with "
            f"{ceiling}"
        )
    factory.limits.max_clients = int(raw)
