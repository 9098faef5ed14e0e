"""What ``docs/operations.md`` says of users, TLS, limits and reloads, tried."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
from harness import PATIENCE, Caller, Daemon, tool

from memdbd.config import SETTINGS
from memdbd.limits import Alarms, Limits
from memdbd.rules import Names
from memdbd.users import read

DOCUMENT = (Path(__file__).parents[1] / "docs" / "operations.md").read_text("utf-8")
OK = b'{"result": "OK"}\n'


def section(title: str) -> str:
    """What stands under a title."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_table_of_limits_has_each_with_its_default() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| ([\d.]+) \| (.+) \| (.+) \|$", section("Limits"), re.MULTILINE
    )
    assert {name: value for name, value, _, _ in rows} == {
        field.name: str(field.default) for field in fields(Limits)
    }
    assert [name for name, *_ in rows] == [field.name for field in fields(Limits)]


def test_what_is_counted_and_is_no_setting_is_named() -> None:
    for name in Alarms.OTHERS:
        assert f"`{name}`" in section("Limits")


def test_what_a_reload_follows_is_named_and_nothing_else() -> None:
    text = section("Reload").partition("Followed at once are all limits, ")[2]
    named = set(re.findall(r"`(\w+)`", text.partition("The others are named")[0]))
    late = {
        *("server_host", "server_port", "listen", "resp", "backlog", "auth", "tls_listen"),
        *("data_dir", "storage_file", "strict_tail"),  # see test_reloading.py
    }
    limits = {field.name for field in fields(Limits)}
    assert named == set(SETTINGS) - late - limits


def test_the_file_of_users_is_one() -> None:
    from memdbd.commands.table import COMMANDS, CONTAINERS

    (example,) = re.findall(r"```\n(# a web application.*?)```", section("Users"), re.DOTALL)
    salt_and_hash = f"{'A' * 22}${'A' * 43}"
    text = example.replace("ln=14,r=8,p=1$…", f"ln=14,r=8,p=1${salt_and_hash}")
    users = read(text, "users", Names(COMMANDS, CONTAINERS))
    assert {name: draft.enabled for name, draft in users.items()} == {
        b"default": False,
        b"app": True,
        b"ann": True,
    }


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The directory in which the five lines were run."""
    tool("openssl")
    (lines,) = re.findall(r"```sh\n(.*?)```", section("TLS"), re.DOTALL)
    assert lines.count("\n") == 5
    subprocess.run(["sh", "-euc", lines], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_the_five_lines_make_keys_for_their_owner_and_certificates_that_are_beyond_doubt(
    made: Path,
) -> None:
    for name in ("ca", "server", "ann"):
        assert (made / f"{name}-key.pem").stat().st_mode & 0o077 == 0
    for purpose, name in (("sslserver", "server"), ("sslclient", "ann")):
        subprocess.run(
            [
                *("openssl", "verify", "-x509_strict", "-purpose", purpose),
                *("-CAfile", "ca.pem", f"{name}.pem"),
            ],
            cwd=made,
            check=True,
            capture_output=True,
        )


def test_the_five_lines_are_all_that_a_daemon_and_a_client_with_tls_need(made: Path) -> None:
    users = made / "users"
    users.write_text("user default off\nuser ann on ~* &* +@all\n")
    flags = [f"--tls-{name}={made / file}.pem" for name, file in FILES]
    with Daemon(
        made / "data",
        *("--port=0", "--tls-listen=tcp:0:interface=127.0.0.1", *flags),
        *("--tls-clients=required", "--tls-user=cn", f"--auth=users:{users}"),
        listeners=2,
    ) as daemon:
        port = int(daemon.where[1].rpartition(":")[2])
        context = ssl.create_default_context(cafile=str(made / "ca.pem"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
        context.load_cert_chain(made / "ann.pem", made / "ann-key.pem")
        raw = socket.create_connection(("127.0.0.1", port), PATIENCE)
        with Caller(context.wrap_socket(raw, server_hostname="localhost")) as caller:
            assert caller.asks(b"acl whoami") == b'{"result": "ann"}\n'
            assert caller.asks(b"set k v") == OK


FILES = [("cert", "server"), ("key", "server-key"), ("ca", "ca")]
