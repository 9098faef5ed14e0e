"""The units of ``etc/systemd`` as a real systemd runs them: with TLS, users and the journal, in the
sandbox that they ask for."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from harness import PATIENCE
from pid1 import ENVIRONMENT, Systemd
from pki import Authority

UNITS = Path(__file__).parents[2] / "etc" / "systemd"
SYSTEM = "etc/systemd/system"
OK = '{"result": "OK"}'

# What is not the units' own: where the program is, and where its log goes.
HERE = f"""
[Service]
Environment={ENVIRONMENT}
StandardOutput=append:/var/log/memdbd.log
"""
# In place of the credentials of tls.conf, as its last lines have it.
GROUP = """
[Service]
LoadCredential=
SupplementaryGroups=daemon
Environment=MEMDB_TLS_CERT=/etc/memdbd/server.pem
Environment=MEMDB_TLS_KEY=/etc/memdbd/server-key.pem
Environment=MEMDB_AUTH=users:/etc/memdbd/users
"""
USERS = "user default off\nuser ada on #{sha256} ~* &* +@all\n"
SHA256 = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"  # of "alice"
LOG_IN = 'auth ada "alice"'

pytestmark = pytest.mark.slow


class Host:
    """A machine on which memdbd is installed as ``etc/systemd`` says, with TLS."""

    def __init__(self, directory: Path, **more: str) -> None:
        self.ca = Authority("the CA")
        server = self.ca.issue("localhost", ends=50)
        units = {
            f"{SYSTEM}/{path.relative_to(UNITS)}": path.read_text()
            for path in UNITS.rglob("*.*")
            if path.is_file()
        }
        self.systemd = Systemd(
            directory,
            {
                **units,
                **{f"{SYSTEM}/memdbd.service.d/{name}.conf": text for name, text in more.items()},
                f"{SYSTEM}/memdbd.service.d/here.conf": HERE,
                "etc/memdbd/memdbd.env": "MEMDB_DURABILITY=always\n",
                "etc/memdbd/ca.pem": self.ca.chain_pem,
                "etc/memdbd/server.pem": server.chain_pem,
                "etc/memdbd/server-key.pem": server.key_pem,
                "etc/memdbd/users": USERS.format(sha256=SHA256),
            },
        )
        self._group = "daemon" if "with_group" in more else "root"

    def __enter__(self) -> Self:
        self.systemd.__enter__()
        try:
            for name in ("server.pem", "server-key.pem", "users"):
                self.systemd.run("chgrp", self._group, f"/etc/memdbd/{name}")
                self.systemd.run("chmod", "640", f"/etc/memdbd/{name}")
            units = ("memdbd.socket", "memdbd-tls.socket", "memdbd.service")
            self.systemd.run("systemctl", "start", *units)
        except BaseException:
            self.systemd.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.systemd.end()

    @property
    def log(self) -> str:
        return self.systemd.read("/var/log/memdbd.log")

    @property
    def pid(self) -> str:
        return self.systemd.about("memdbd.service", "MainPID")

    def asks(self, *requests: str) -> list[str]:
        """What a client with TLS gets that has verified the server."""
        said = self.systemd.run(
            *("openssl", "s_client", "-quiet", "-connect", "127.0.0.1:65433"),
            *("-CAfile", "/etc/memdbd/ca.pem", "-verify_return_error"),
            *("-verify_hostname", "localhost"),
            input="".join(f"{line}\n" for line in (*requests, "exit")),
        )
        *replies, end = said.stdout.splitlines()
        assert end == OK
        return replies

    def reload(self, pattern: str) -> re.Match[str]:
        """Reload; gives what the log says of it."""
        before, end = len(self.log), time.monotonic() + PATIENCE
        self.systemd.run("systemctl", "reload", "memdbd.service")
        while (found := re.search(pattern, self.log[before:])) is None:
            assert time.monotonic() < end, self.log[before:]
        return found


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path) as found:
        yield found


def test_tls_users_and_the_journal_work_in_the_sandbox(host: Host) -> None:
    (refused,) = host.asks("get k")
    assert "NOAUTH" in refused
    assert host.asks(LOG_IN, "set k v") == [OK, OK]
    # The sandbox is there.
    status = dict(
        line.split(":\t", 1)
        for line in host.systemd.read(f"/proc/{host.pid}/status").splitlines()
        if ":\t" in line
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {int(status[f"Cap{which}"], 16) for which in ("Prm", "Eff", "Bnd", "Amb")} == {0}
    assert "0" not in status["Uid"].split()
    # The thread that hashes passwords may say that the others go first.
    threads = host.systemd.run("sh", "-c", f"cat /proc/{host.pid}/task/*/stat").stdout.splitlines()
    nice = [int(line.rpartition(")")[2].split()[16]) for line in threads]
    assert nice.count(10) == 1
    assert set(nice) == {os.nice(0), 10}
    # kill -9: systemd starts it again, and the journal has all.
    before = host.pid
    host.systemd.run("systemctl", "kill", "--signal=KILL", "memdbd.service")
    assert host.asks(LOG_IN, "get k") == [OK, '{"result": "v", "ttl_remaining": null}']
    assert host.pid != before
    assert "the daemon before did not stop in order" in host.log
    # And the end is one in order.
    host.systemd.run("systemctl", "stop", "memdbd.service")
    assert host.systemd.about("memdbd.service", "Result") == "success"
    assert "persistence.json" in host.systemd.run("ls", "/var/lib/private/memdbd").stdout


def test_a_reload_is_told_to_systemd_and_sends_nobody_away(host: Host) -> None:
    assert host.asks(LOG_IN, "set k v") == [OK, OK]
    before = host.pid
    host.reload(r"reloaded: certificates")  # the users are as they were
    assert host.asks(LOG_IN, "get k")[0] == OK
    assert host.pid == before
    assert host.systemd.about("memdbd.service", "SubState") == "running"


def test_files_of_a_group_are_reloaded(tmp_path: Path) -> None:
    with Host(tmp_path, with_group=GROUP) as host:
        assert host.asks(LOG_IN, "set k v") == [OK, OK]
        new = host.ca.issue("localhost", ends=99)
        host.systemd.write("/etc/memdbd/server.pem", new.chain_pem.decode())
        host.systemd.write("/etc/memdbd/server-key.pem", new.key_pem.decode())
        host.systemd.write("/etc/memdbd/users", USERS.format(sha256=SHA256) + "user bob off\n")
        host.reload(rf"reloaded: users \(3\), certificates \(until {new.expires}\)")
        assert host.asks(LOG_IN, "get k")[0] == OK
        shown = host.systemd.run(
            *("openssl", "s_client", "-connect", "127.0.0.1:65433"), check=False
        ).stdout
        assert f"{new.serial:X}" in host.systemd.run(
            "openssl", "x509", "-noout", "-serial", input=shown
        ).stdout.replace("serial=0", "serial=")
        host.systemd.write("/etc/memdbd/users", "nonsense\n")
        host.reload(r"not reloaded, and nothing has changed: /etc/memdbd/users, line 1: ")


def test_the_daemon_sees_no_network_nor_files_of_others_and_writes_to_its_directory_alone(
    host: Host,
) -> None:
    # Root beside it, in what the daemon sees: what fails for him is not there for it either.
    inside = host.systemd.run(
        *("nsenter", "-t", host.pid, "-m", "-n", "--", "sh", "-c"),
        "ls -A /home /root /tmp; ip -o link | wc -l; "
        "for each in /etc /opt /usr /var/lib; do echo x >$each/x; done; "
        "echo x >/var/lib/private/memdbd/x",
    )
    assert inside.stdout == "/home:\n\n/root:\n\n/tmp:\n1\n"
    assert inside.stderr.count("Read-only file system") == 4
