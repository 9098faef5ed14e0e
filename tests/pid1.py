"""A systemd for tests: a real one, which is PID 1 in namespaces of its own.

It runs on this machine's files, of which whatever it changes is forgotten, with a network of its
own, and knows no units but those that it is given. So a test sees units as systemd runs them,
sandbox and all, and nothing of that reaches the machine. For root only.

::

    with Systemd(tmp_path, {"etc/systemd/system/hello.service": "[Service]…"}) as systemd:
        systemd.run("systemctl", "start", "hello.service")
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import pytest
from harness import PATIENCE, tool

import memdbd

HOME = Path(memdbd.__file__).parents[1]

# In the new namespaces. ProtectHome= and PrivateTmp= hide where a Python and its packages may well
# be, so they are in /opt too.
INSIDE = """
set -eu
root=$1/root python=$2 site=$3
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root"
rm -rf "$root"/etc/systemd/system/*
mkdir -p "$root/opt/python" "$root/opt/memdbd/site"
mount --bind -o ro "$python" "$root/opt/python"
mount --bind -o ro "$site" "$root/opt/memdbd/site"
cp -r --preserve=mode "$4"/. "$root"
mount -t proc proc "$root/proc"
mount --bind -o ro "$root/proc/sys" "$root/proc/sys"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run" -o mode=755
mount -t tmpfs tmpfs "$root/tmp" -o mode=1777
mount --rbind /dev "$root/dev"
hostname memdbd-test
cd "$root"
pivot_root . mnt
cd /
umount -l /mnt
mount --make-rshared /
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=memdbd-test \\
    SYSTEMD_UNIT_PATH=/etc/systemd/system SYSTEMD_LOG_TARGET=null \\
    /lib/systemd/systemd --system --show-status=no </dev/null
"""
# Who is in a chroot cannot make a user namespace, hence pivot_root. What systemd mounts beside a
# service, its credentials, gets to it only where mounts are shared.

PROGRAM = """\
#!{python}
import sys
from twisted.scripts.twistd import run
sys.exit(run())
"""
ENVIRONMENT = "LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/memdbd/src:/opt/memdbd/site"

TARGETS = ("basic", "sysinit", "sockets", "multi-user", "shutdown", "umount", "final", "default")
TARGET = "[Unit]\nDefaultDependencies=no\n"


class Systemd:
    """systemd with these ``files`` (paths without the first slash); and memdbd at /opt/memdbd, as
    the units have it, for which a unit needs ``Environment=`` ENVIRONMENT."""

    def __init__(self, directory: Path, files: Mapping[str, str | bytes]) -> None:
        _check()
        self._given, scratch = directory / "files", directory / "systemd"
        python = f"/opt/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        units = {f"etc/systemd/system/{name}.target": TARGET for name in TARGETS}
        program = {"opt/memdbd/bin/twistd": PROGRAM.format(python=python)}
        for path, content in {**units, **program, **files}.items():
            place = self._given / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.encode() if isinstance(content, str) else content)
        (self._given / "opt/memdbd/bin/twistd").chmod(0o755)
        for part in ("memdbd", "twisted"):
            shutil.copytree(HOME / part, self._given / "opt/memdbd/src" / part)
        scratch.mkdir()

        self._group = Path(tempfile.mkdtemp(prefix="memdbd-test-", dir=_cgroups()))
        # Nothing of it outlives us.
        join = 'echo $$ >"$0/cgroup.procs" && exec setpriv --pdeathsig KILL -- "$@"'
        apart = ["--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net"]
        arguments = [str(scratch), sys.base_prefix, sysconfig.get_paths()["purelib"]]
        self._process = subprocess.Popen(
            [
                *("sh", "-c", join, str(self._group), "unshare", *apart, "--cgroup"),
                *("sh", "-c", INSIDE, "sh", *arguments, str(self._given)),
            ],
            stderr=subprocess.PIPE,
        )
        try:
            self._wait()
            self.run("ip", "link", "set", "lo", "up")
            # As the unit's first lines have it done.
            self.run("env", *ENVIRONMENT.split(), "/opt/memdbd/bin/twistd", "--help")
        except BaseException:
            self.end()
            raise

    def _wait(self) -> None:
        """Wait until it answers."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self._process.poll() is not None:
                assert self._process.stderr is not None
                raise AssertionError(self._process.stderr.read().decode())
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            with contextlib.suppress(ValueError, OSError):
                self._pid = int(children.read_text())
                if Path(f"/proc/{self._pid}/comm").read_text() == "systemd\n":
                    answer = self.run("systemctl", "is-system-running", check=False)
                    if answer.stdout.strip() in ("running", "degraded"):
                        return
        raise AssertionError("systemd does not come up")

    def run(
        self, *command: str, input: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program beside it."""
        enter = ["nsenter", "-t", str(self._pid), "-m", "-p", "-u", "-i", "-n", "-C", "--"]
        done = subprocess.run(
            [*enter, *command],
            input=input,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def read(self, path: str) -> str:
        """What a file of its says."""
        return self.run("cat", path).stdout

    def write(self, path: str, content: str) -> None:
        """Have a file of its say something else; owner and mode stay."""
        self.run("sh", "-c", 'cat >"$0"', path, input=content)

    def about(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value").stdout.strip()

    def end(self) -> None:
        """End it, and with it all that it runs."""
        self._process.kill()
        self._process.communicate()
        end = time.monotonic() + PATIENCE
        while self._group.exists() and time.monotonic() < end:  # the last ones may still be dying
            groups = sorted(self._group.rglob("**"), key=lambda path: len(path.parts))
            with contextlib.suppress(OSError):
                for group in reversed(groups):
                    group.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def _check() -> None:
    """Skip the test where it cannot be run."""
    if os.geteuid():
        pytest.skip("only root can make the namespaces")
    for name in ("unshare", "nsenter", "setpriv"):
        tool(name, "util-linux")
    tool("ip", "iproute2")
    if not Path("/lib/systemd/systemd").exists():
        tool("systemd")


def _cgroups() -> Path:
    """Where version 2 of the control groups is mounted."""
    mounts = Path("/proc/mounts").read_text()
    found = re.search(r"^\S+ (\S+) cgroup2 ", mounts, re.MULTILINE)
    if found is None:
        pytest.skip("there are no control groups of version 2")
    return Path(found[1])
