"""Who is compared: redis-server, memdbd with each of its cores, and fakeredis.

All journal with a sync every second, as far as they journal at all (fakeredis does not), and none
compacts its journal meanwhile. :class:`Field` has the servers of a section, which run side by side
so that they can take turns.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import ROOT, Server, memdbd, redis, running

REDIS = "redis-server"
PYTHON = "memdbd, Python"
COMPILED = "memdbd, compiled"
FAKE = "fakeredis"
OURS = (PYTHON, COMPILED)
ALL = (REDIS, *OURS, FAKE)  # in this order wherever they are shown
CLIENTS = 11_000  # that each of them lets in
CORE = "MEMDB_CORE"  # the variable that chooses memdbd's core


@dataclass(frozen=True)
class Peer:
    """One that is compared."""

    name: str
    start: Callable[..., AbstractContextManager[Server]]  # with flags, which are its own
    slow: bool = False  # so slow that it gets one round, with fewer requests

    @property
    def ours(self) -> bool:
        return self.name in OURS


def redis_server(*flags: str) -> AbstractContextManager[Server]:
    return redis(
        "--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0",
        "--maxclients", str(CLIENTS), *flags,
    )  # fmt: skip


def daemon(core: str, tree: Path) -> Callable[..., AbstractContextManager[Server]]:
    # A tree from before there was a choice takes it for a setting, and there is none of that name.
    environment = {CORE: core} if (tree / "memdbd" / "core").exists() else {}

    def start(*flags: str) -> AbstractContextManager[Server]:
        return memdbd(
            "--durability", "everysec", "--snapshot-after", "0", "--max-clients", str(CLIENTS),
            *flags, tree=tree, environment=environment,
        )  # fmt: skip

    return start


def fake(*flags: str) -> AbstractContextManager[Server]:
    command = [sys.executable, "-m", "benchmarks.fake_server"]
    return running(ROOT, command)


def found(cores: Iterable[str], tree: Path = ROOT) -> tuple[list[Peer], list[str]]:
    """The peers that can be started here, and what is said of those that cannot.

    Raises SystemExit if memdbd cannot be had with the core that is always there.
    """
    peers = [Peer(REDIS, redis_server)]
    missing = []
    for name, core in ((PYTHON, "python"), (COMPILED, "compiled")):
        if core not in cores:
            continue
        why = _why_not(core, tree)
        if why and core == "python":
            raise SystemExit(f"{name}: {why}")
        if why:
            missing.append(f"{name}: {why}")
        else:
            peers.append(Peer(name, daemon(core, tree)))
    if importlib.util.find_spec("fakeredis"):
        peers.append(Peer(FAKE, fake, slow=True))
    else:
        missing.append("fakeredis: not installed (pip install -r benchmarks/requirements.txt)")
    return peers, missing


def _why_not(core: str, tree: Path) -> str:
    """Why memdbd cannot be had with that core; empty if it can."""
    run = subprocess.run(
        [sys.executable, "-c", f"from memdbd import core; assert core.NAME == {core!r}"],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), CORE: core},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == 0:
        return ""
    if "cannot import name 'core'" in run.stderr and core == "python":
        return ""  # a tree from before there was a choice
    return run.stderr.strip().rpartition("\n")[2]


class Field:
    """Servers that run side by side, each started when it is first wanted."""

    def __init__(self, flags: Mapping[str, Sequence[str]]) -> None:
        self._flags = flags  # more of them for a peer, by its name
        self._running: dict[str, tuple[ExitStack, Server]] = {}

    def server(self, peer: Peer) -> Server:
        """Its server, which is running."""
        if peer.name not in self._running:
            with ExitStack() as stack:
                server = stack.enter_context(peer.start(*self._flags.get(peer.name, ())))
                self._running[peer.name] = stack.pop_all(), server
        return self._running[peer.name][1]

    def log(self, peer: Peer) -> str:
        """The end of what its server has said; nothing if it has none."""
        if peer.name not in self._running:
            return ""
        path = self._running[peer.name][1].directory / "log"
        return path.read_bytes()[-3000:].decode(errors="replace") if path.exists() else ""

    def discard(self, peer: Peer) -> None:
        """Stop it: who asks for it again gets a new one with nothing in it."""
        stack, server = self._running.pop(peer.name, (None, None))
        if stack is not None and server is not None:
            with suppress(subprocess.TimeoutExpired):  # it has been killed
                stack.close()

    def __enter__(self) -> Field:
        return self

    def __exit__(self, *exception: object) -> None:
        for _, server in self._running.values():
            server.process.kill()  # nothing that it has left is wanted
            server.process.wait()
        for stack, _ in self._running.values():
            stack.close()
