"""What a run was made on: the header of the tables, as names and values."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path


def described(tree: Path) -> dict[str, str]:
    """The machine and the versions of all that takes part; ``tree`` is memdbd's."""
    load = os.getloadavg()[0]
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{os.cpu_count()} cores of {_cpu_model()}, {_memory() >> 30} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load before": f"{load:.2f}",
        "memdbd": _revision(tree),
        "Python": platform.python_version(),
        "Twisted": _version("twisted"),
        "hiredis": _version("hiredis"),
        "orjson": _version("orjson"),
        "zlib-ng": _version("zlib-ng"),
        "redis-server": _said("redis-server", "--version"),
        "redis-benchmark": _said("redis-benchmark", "--version"),
        "fakeredis": _version("fakeredis"),
    }


def sentence(made: Mapping[str, str]) -> str:
    """All of it in one line."""
    return "; ".join(f"{name} {value}" for name, value in made.items() if value)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _said(*command: str) -> str:
    """The version in what a program says of itself."""
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    found = next(word for word in said if word.lstrip("v=")[:1].isdigit())
    return found.removeprefix("v=")


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return " ".join(models[0].split()) if models else platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _revision(tree: Path) -> str:
    """Its commit, and whether something is changed since then."""

    def git(*words: str) -> str:
        run = subprocess.run(
            ["git", "-C", str(tree), *words], capture_output=True, text=True, check=False
        )
        return run.stdout.strip()

    commit = git("rev-parse", "--short", "HEAD")
    return f"{commit}, changed" if git("status", "--porcelain", "memdbd") else commit
