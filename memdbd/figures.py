"""The daemon's figures under Redis's names, as INFO gives them to dashboards and exporters.

A figure that has no meaning here is left out, unless exporters insist on it; then it is the
constant that Redis has where the feature is not used. Every figure is worked out when it is asked
for. May import: core, engines, dispatch, factory, storage, and what they may import.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from memdbd import REDIS_VERSION, __version__, core
from memdbd.clock import Clock
from memdbd.dispatch import Dispatcher
from memdbd.engines.local import LocalEngine
from memdbd.factory import MemDBFactory
from memdbd.parameters import Parameters
from memdbd.replies import Reply
from memdbd.storage import Storage
from memdbd.structs.graveyard import Graveyard
from memdbd.structs.pool import Random

# Sections that INFO shows only when it is asked for them, or for all.
EXTRA = ("commandstats", "latencystats")

Fields = Mapping[str, object]


class Figures:
    """Gives the sections of INFO by their names in lower case.

    ``random()`` gives a number from 0 to 1, of which the name of this run is made.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        engine: LocalEngine,
        dispatcher: Dispatcher,
        factory: MemDBFactory,
        storage: Storage,
        parameters: Parameters,
        graveyard: Graveyard,
        reactor: object,
        random: Random,
    ) -> None:
        self._clock = clock
        self._engine = engine
        self._dispatcher = dispatcher
        self._factory = factory
        self._storage = storage
        self._parameters = parameters
        self._graveyard = graveyard
        self._reactor = reactor
        self._run_id = "".join(f"{int(random() * 16):x}" for _ in range(40))
        self._started = clock.ms()
        self._seen = (clock.ms(), 0)  # when INFO was last asked for, and the commands by then
        # What was counted when the counters were last set to zero. The counters themselves go on:
        # others watch them too.
        self._before: Mapping[str, int] = {}
        self._counts_before: Mapping[str, tuple[int, int]] = {}
        self._mishaps_before: Mapping[str, tuple[int, int]] = {}
        self._errors_before: Mapping[str, int] = {}
        self.sections: dict[str, Callable[[], Fields]] = {
            "server": self._server,
            "clients": self._clients,
            "memory": self._memory,
            "persistence": self._persistence,
            "stats": self._stats,
            "replication": self._replication,
            "cpu": self._cpu,
            "modules": dict,
            "commandstats": self._commandstats,
            "errorstats": self._errorstats,
            "latencystats": dict,
            "cluster": lambda: {"cluster_enabled": 0},
            "keyspace": self._keyspace,
            "limits": self._limits,
        }

    def text(self, names: Sequence[str]) -> str:
        """The sections of these names (none: the usual ones; ``all`` or ``everything``: every
        one) as INFO shows them."""
        if {"all", "everything"} & set(names):
            wanted = list(self.sections)
        elif not names or "default" in names:
            wanted = [name for name in self.sections if name not in EXTRA or name in names]
        else:
            wanted = [name for name in self.sections if name in names]
        return "\r\n".join(self._section(name) for name in wanted)

    def _section(self, name: str) -> str:
        title = "CPU" if name == "cpu" else name.capitalize()
        lines = [f"{field}:{value}\r\n" for field, value in self.sections[name]().items()]
        return f"# {title}\r\n{''.join(lines)}"

    def section(self, name: str) -> dict[str, Reply] | None:
        """The fields of one section, for the text dialect; None where there is none."""
        section = self.sections.get(name)
        return None if section is None else dict(section())

    def memory_stats(self) -> dict[str, Reply]:
        """What MEMORY STATS tells, of Redis's fields those that mean something here."""
        used = _resident()
        peak = max(_peak(), used)
        keys = sum(map(len, self._engine.databases))
        return {
            "peak.allocated": peak,
            "total.allocated": used,
            "keys.count": keys,
            "keys.bytes-per-key": used // keys if keys else 0,
            "peak.percentage": 100 * used / peak if peak else 0.0,
            "fragmentation": 1.0,
            "fragmentation.bytes": 0,
        }

    def command_counts(self) -> Iterable[tuple[str, int, int]]:
        """Of each command its full name, the calls, and the microseconds that they took."""
        for name, (calls, micros) in self._dispatcher.counts().items():
            calls_before, micros_before = self._counts_before.get(name, (0, 0))
            yield name, calls - calls_before, micros - micros_before

    def last_save(self) -> int:
        """When the last snapshot was begun, or the daemon was started, in seconds since 1970."""
        saved = self._storage.info()["last_save"]
        return int(saved if isinstance(saved, float) else self._started / 1000)

    def reset(self) -> None:
        """Count from zero again."""
        self._before = self._counted()
        self._counts_before = self._dispatcher.counts()
        self._mishaps_before = self._dispatcher.mishaps()
        self._errors_before = dict(self._dispatcher.errors)
        self._seen = (self._clock.ms(), 0)

    # The sections

    def _server(self) -> Fields:
        uptime = (self._clock.ms() - self._started) // 1000
        return {
            "redis_version": REDIS_VERSION,
            "redis_git_sha1": "00000000",
            "redis_git_dirty": 0,
            "redis_build_id": f"memdbd-{__version__}",
            "redis_mode": "standalone",
            "memdbd_version": __version__,
            "memdbd_core": core.NAME,
            "os": f"{platform.system()} {platform.release()} {platform.machine()}",
            "arch_bits": 64 if sys.maxsize > 2**32 else 32,
            "multiplexing_api": type(self._reactor).__name__,
            "python_version": platform.python_version(),
            "process_id": os.getpid(),
            "process_supervised": "no",
            "run_id": self._run_id,
            "tcp_port": self._parameters["port"],
            "server_time_usec": self._clock.wall_us(),
            "uptime_in_seconds": uptime,
            "uptime_in_days": uptime // 86400,
            "hz": self._parameters["hz"],
            "configured_hz": self._parameters["hz"],
            "executable": sys.executable,
            "config_file": "",
        }

    def _clients(self) -> Fields:
        return {
            "connected_clients": len(self._factory.connections),
            "cluster_connections": 0,
            "clients_unauthenticated": len(self._factory.admission),  # ours
            "maxclients": self._factory.admission.most,
            "blocked_clients": len(self._engine.waiting),
            "tracking_clients": sum(
                client.session.tracking is not None for client in self._factory.clients
            ),
        }

    def _memory(self) -> Fields:
        used = _resident()
        peak = max(_peak(), used)
        limit = int(self._parameters["maxmemory"])
        return {
            "used_memory": used,
            "used_memory_human": _human(used),
            "used_memory_rss": used,
            "used_memory_rss_human": _human(used),
            "used_memory_peak": peak,
            "used_memory_peak_human": _human(peak),
            "used_memory_peak_perc": f"{100 * used / peak:.2f}%" if peak else "0.00%",
            # What maxmemory is compared with, where there is one.
            "used_memory_dataset": self._engine.stats().get("memory_counted_bytes", 0),
            "used_memory_lua": 0,
            "total_system_memory": _total(),
            "total_system_memory_human": _human(_total()),
            "maxmemory": limit,
            "maxmemory_human": _human(limit),
            "maxmemory_policy": self._parameters["maxmemory-policy"],
            "mem_fragmentation_ratio": "1.00",  # used is what is resident
            "mem_allocator": "python",
            "active_defrag_running": 0,
            "lazyfree_pending_objects": len(self._graveyard),
        }

    def _persistence(self) -> Fields:
        about, counted = self._storage.info(), self._storage.stats()
        return {
            "loading": 0,
            "rdb_changes_since_last_save": about["changes_since_last_save"],
            "rdb_bgsave_in_progress": int(bool(about["snapshot_in_progress"])),
            "rdb_last_save_time": self.last_save(),
            "rdb_last_bgsave_status": "err" if about["last_save_error"] else "ok",
            "rdb_saves": counted["snapshots_written"],
            "aof_enabled": 1,  # the journal, which is always there
            "aof_rewrite_in_progress": int(bool(about["snapshot_in_progress"])),
            "aof_last_bgrewrite_status": "err" if about["last_save_error"] else "ok",
            "aof_last_write_status": "err" if about["reason"] else "ok",
            "aof_current_size": about["journal_bytes"],
            "aof_base_size": about["snapshot_bytes"],
            "aof_pending_bio_fsync": int(bool(about["sync_in_progress"])),
            # Ours.
            "durability": about["durability"],
            "state": about["state"],
            "reason": about["reason"],
            "journal": about["journal"],
            "seconds_since_sync": about["seconds_since_sync"],
            "snapshot": about["snapshot"],
            "snapshot_bytes": about["snapshot_bytes"],
            "snapshot_last_seconds": about["last_save_seconds"] or 0,
            "snapshot_last_error": about["last_save_error"] or "",
        }

    def _stats(self) -> Fields:
        told = self._engine.stats()
        counted = {name: n - self._before.get(name, 0) for name, n in self._counted().items()}
        return {
            **counted,
            "instantaneous_ops_per_sec": self._rate(counted["total_commands_processed"]),
            "pubsub_channels": told["channels"],
            "pubsub_patterns": told["patterns"],
            "pubsubshard_channels": len(self._engine.channels.shards),
        }

    def _counted(self) -> dict[str, int]:
        told = self._engine.stats()
        return {
            "total_connections_received": self._factory.accepted,
            "rejected_connections": self._factory.admission.rejected,
            "total_commands_processed": self._dispatcher.stats()["commands"],
            "total_net_input_bytes": self._factory.received,
            "total_net_output_bytes": self._factory.sent,
            "expired_keys": told["expired"],
            "evicted_keys": told["evicted"],
            "keyspace_hits": told["key_hits"],
            "keyspace_misses": told["key_misses"],
            "total_error_replies": sum(self._dispatcher.errors.values()),
        }

    def _rate(self, commands: int) -> int:
        """Commands a second since INFO was last asked for, which is what a dashboard plots."""
        now = self._clock.ms()
        before, done = self._seen
        self._seen = (now, commands)
        return max(0, 1000 * (commands - done) // max(now - before, 1))

    def _replication(self) -> Fields:
        return {
            "role": "master",
            "connected_slaves": 0,
            "master_failover_state": "no-failover",
            "master_replid": self._run_id,
            "master_repl_offset": 0,
            "repl_backlog_active": 0,
            "repl_backlog_size": self._parameters["repl-backlog-size"],
            "repl_backlog_first_byte_offset": 0,
            "repl_backlog_histlen": 0,
        }

    def _cpu(self) -> Fields:
        user, system = os.times()[:2]
        return {"used_cpu_sys": f"{system:.6f}", "used_cpu_user": f"{user:.6f}"}

    def _commandstats(self) -> Fields:
        mishaps, fields = self._dispatcher.mishaps(), {}
        for name, calls, micros in self.command_counts():
            before = self._mishaps_before.get(name, (0, 0))
            rejected, failed = (n - m for n, m in zip(mishaps[name], before, strict=True))
            if calls or rejected:
                fields[f"cmdstat_{name}"] = (
                    f"calls={calls},usec={micros},usec_per_call={micros / max(calls, 1):.2f},"
                    f"rejected_calls={rejected},failed_calls={failed}"
                )
        return fields

    def _errorstats(self) -> Fields:
        return {
            f"errorstat_{code}": f"count={count}"
            for code, all_time in self._dispatcher.errors.items()
            if (count := all_time - self._errors_before.get(code, 0))
        }

    def _keyspace(self) -> Fields:
        return {
            f"db{each.index}": f"keys={len(each)},expires={len(each.deadlines)},avg_ttl=0"
            for each in self._engine.databases
            if len(each)
        }

    def _limits(self) -> Fields:
        """How often each limit was met; they are ours."""
        met = self._factory.alarms.figures()
        return {f"limit_{name}": count for name, count in met.items()}


def _resident() -> int:
    """Bytes of memory that the process holds now, or at most so far where nobody tells."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _peak()


def _peak() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _total() -> int:
    """Bytes of memory that the machine has; 0 where nobody tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


_HUMAN = (("K", 1), ("M", 2), ("G", 3))


def _human(size: int) -> str:
    """Bytes as Redis shows them to people."""
    if size < 1024:
        return f"{size}B"
    unit, power = next((row for row in _HUMAN if size < 1024 ** (row[1] + 1)), _HUMAN[-1])
    return f"{size / 1024**power:.2f}{unit}"
