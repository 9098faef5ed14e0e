"""The clients that the tests of interoperability run: what is pinned, and how it is installed.

Raise the versions here together, by hand. Each client gets a directory of its own in pytest's
cache, named after what is in it, so that it is installed once a clone. Node's clients must run on
Debian 12's Node 18: the newest that do are these (node-redis 6 and ioredis 6 want Node 20).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness import tool

REDIS_PY_5 = ("redis==5.3.1",)
REDIS_PY_NEWEST = ("redis==8.1.0", "hiredis==3.5.0")
TXREDISAPI = ("txredisapi==1.6.0", "twisted[tls]==26.10.0", "hiredis==3.5.0")
NODE = ("ioredis@5.11.1", "redis@5.12.1")

INSTALLATION = 300  # seconds after which an installation has failed


def python_with(cache: Path, packages: tuple[str, ...]) -> Path:
    """The python of a virtual environment that has the packages, and nothing of ours."""

    def install(directory: Path) -> None:
        _run(sys.executable, "-m", "venv", str(directory))
        pip = str(directory / "bin/python"), "-m", "pip", "--disable-pip-version-check"
        _run(*pip, "install", "--quiet", *packages)

    return _once(cache, packages, install) / "bin/python"


def node_modules_with(cache: Path, packages: tuple[str, ...]) -> Path:
    """A ``node_modules`` that has the packages."""
    npm = tool("npm")

    def install(directory: Path) -> None:
        directory.mkdir()
        _run(npm, "install", "--no-audit", "--no-fund", f"--prefix={directory}", *packages)

    return _once(cache, packages, install) / "node_modules"


def _once(cache: Path, packages: tuple[str, ...], install: Callable[[Path], None]) -> Path:
    """The directory for the packages; it takes its name when it is complete, and not before."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"  # a venv's is this one
    directory = cache / "-".join((python, *packages))
    if not directory.exists():
        scratch = Path(tempfile.mkdtemp(dir=cache)) / "new"
        install(scratch)
        scratch.rename(directory)
        shutil.rmtree(scratch.parent)
    return directory


def _run(*command: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=INSTALLATION, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
