"""redis-py, ioredis and redis-cli over TLS, and what they say where one refuses the other."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import PATIENCE, Daemon, environment, tool
from interop.clients import NODE, REDIS_PY_5, REDIS_PY_NEWEST, node_modules_with, python_with
from interop.transcripts import SCRIPTS, TESTS
from pki import Authority, Identity, Keys, Paths

pytestmark = pytest.mark.slow

HOST = "localhost"

# With the port of a server and its CA, and with or without a certificate: what the client tells.
Client = Callable[[int, Path, Paths | None], dict[str, Any]]


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def paths_of(ca: Path, own: Paths | None) -> list[str]:
    return [str(ca), *map(str, own or ())]


def redis_py(cache: Path, packages: tuple[str, ...], face: str) -> Client:
    def client(port: int, ca: Path, own: Paths | None) -> dict[str, Any]:
        python = str(python_with(cache, packages))
        words = ("-m", "interop.scripts.redis_py_tls", face, HOST, str(port), *paths_of(ca, own))
        return told(run(python, *words, PYTHONPATH=str(TESTS)))

    return client


def ioredis(cache: Path) -> Client:
    def client(port: int, ca: Path, own: Paths | None) -> dict[str, Any]:
        script = str(SCRIPTS / "ioredis_tls.mjs")
        words = (tool("node", "nodejs"), script, HOST, str(port), *paths_of(ca, own))
        return told(run(*words, NODE_PATH=str(node_modules_with(cache, NODE))))

    return client


def redis_cli(port: int, ca: Path, own: Paths | None) -> dict[str, Any]:
    given = ("--cert", str(own.certificate), "--key", str(own.key)) if own else ()
    words = (tool("redis-cli", "redis-tools"), "-h", HOST, "-p", str(port), "--tls")
    done = run(*words, "--cacert", str(ca), "--sni", HOST, *given, "ping")
    # It shows the error of a refusal that comes behind the handshake on its standard output.
    if done.stdout == "PONG\n":
        return {"told": ["PONG"]}
    return {"error": done.stdout + done.stderr}


CLIENTS = {
    "redis-py 5.x": lambda cache: redis_py(cache, REDIS_PY_5, "sync"),
    "redis-py 5.x async": lambda cache: redis_py(cache, REDIS_PY_5, "async"),
    "redis-py": lambda cache: redis_py(cache, REDIS_PY_NEWEST, "sync"),
    "redis-py async": lambda cache: redis_py(cache, REDIS_PY_NEWEST, "async"),
    "ioredis": ioredis,
    "redis-cli": lambda cache: redis_cli,
}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, cache: Path) -> Client:
    return CLIENTS[request.param](cache)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def serving(keys: Keys, clients: str) -> Daemon:
    return Daemon(keys.directory / "data", *keys.flags(clients), listeners=2)


def port_of(daemon: Daemon) -> int:
    return int(daemon.where[1].rpartition(":")[2])


@pytest.mark.parametrize(
    ("clients", "with_one"),
    [("no", False), ("optional", False), ("optional", True), ("required", True)],
)
def test_a_client_is_served(keys: Keys, client: Client, clients: str, with_one: bool) -> None:
    own = keys.client("alice") if with_one else None
    with serving(keys, clients) as daemon:
        heard = client(port_of(daemon), keys.ca_path, own)
        assert heard in ({"told": [True, True, True, 100, "hello"]}, *PLAIN)
        daemon.terminate()
        assert daemon.errors() == ""


PLAIN = ({"told": ["PONG", "OK", True, 100, "hello"]}, {"told": ["PONG"]})

# What is refused, and what is in the log. What a client shows of it depends on what it hears
# first, the alert or the end.
REFUSED = {
    "none": (lambda keys: None, "it has no certificate, and tls_clients is required"),
    "expired": (
        lambda keys: keys.client("bob", ends=-0.5),
        "its certificate has expired",
    ),
    "foreign": (
        lambda keys: keys.client("eve", ca=Authority("another CA")),
        "its certificate is from a CA that tls_ca does not know",
    ),
}


@pytest.mark.parametrize("which", REFUSED)
def test_a_client_is_refused(keys: Keys, client: Client, which: str) -> None:
    make, reason = REFUSED[which]
    own = make(keys)
    with serving(keys, "required") as daemon:
        heard = client(port_of(daemon), keys.ca_path, own)
        assert "told" not in heard
        assert heard["error"]
        daemon.logs(f"refused: {reason}")


BAD: dict[str, tuple[Callable[[Keys], Identity], str]] = {
    "expired": (lambda keys: keys.ca.issue(HOST, ends=-0.5), "expired"),
    "foreign": (lambda keys: Authority("another CA").issue(HOST), "certificate"),
    "another host": (
        lambda keys: keys.ca.issue("db.example", hosts=["db.example"]),
        "match|not valid for|altnames",
    ),
}


# redis-cli has no look at hosts, and says no more than that it does not like a certificate.
REFUSALS = [
    (name, which)
    for name in CLIENTS
    for which in BAD
    if (name, which) != ("redis-cli", "another host")
]


@pytest.mark.parametrize(("name", "which"), REFUSALS)
def test_a_client_refuses_the_server(keys: Keys, cache: Path, name: str, which: str) -> None:
    make, shown = BAD[which]
    keys.serve(make(keys))
    with serving(keys, "no") as daemon:
        heard = CLIENTS[name](cache)(port_of(daemon), keys.ca_path, None)
        assert "told" not in heard
        assert re.search("certificate" if name == "redis-cli" else shown, heard["error"])
        if which != "another host":  # which a client may look at when the handshake is done
            # asyncio goes without a word.
            daemon.logs("refused: it (does not accept this server's certificate: it|went before)")
