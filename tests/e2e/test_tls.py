"""TLS on real sockets: openssl as the client, what either side says of a refusal, and reloads."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pki
import pytest
from harness import PATIENCE, Caller, Daemon, tool
from pki import Authority, Keys, Paths

from memdbd.tls import NO_TLS

PONG = b'{"result": "PONG"}\n'
VERSIONS = pytest.mark.parametrize(
    "version", [pytest.param("-tls1_2", marks=pytest.mark.slow), "-tls1_3"]
)
ALERT = re.compile(r"alert number (\d+)")

# Of RFC 8446, section 6.
HANDSHAKE_FAILURE, BAD_CERTIFICATE, CERTIFICATE_EXPIRED, UNKNOWN_CA = 40, 42, 45, 48
PROTOCOL_VERSION, CERTIFICATE_REQUIRED = 70, 116


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def serving(data: Path, keys: Keys, clients: str = "no", *flags: str) -> Daemon:
    """A daemon with a plain listener and one with TLS."""
    return Daemon(data, *keys.flags(clients), *flags, listeners=2)


def port_of(daemon: Daemon) -> int:
    """The port with TLS."""
    return int(daemon.where[1].rpartition(":")[2])


def call(daemon: Daemon, context: ssl.SSLContext) -> Caller:
    """A new connection with TLS."""
    raw = socket.create_connection(("127.0.0.1", port_of(daemon)), PATIENCE)
    return Caller(context.wrap_socket(raw, server_hostname="localhost"))


def s_client(
    port: int, keys: Keys, *options: str, own: Paths | None = None, host: str = "localhost"
) -> subprocess.CompletedProcess[str]:
    """Have openssl ask two things of a server that it verifies."""
    if own is not None:
        options += ("-cert", str(own.certificate), "-cert_chain", str(own.certificate))
        options += ("-key", str(own.key))
    return subprocess.run(
        [
            *(tool("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-quiet"),
            *("-CAfile", str(keys.ca_path), "-verify_return_error", "-verify_hostname", host),
            *options,
        ],
        input="ping\nexit\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def alert(done: subprocess.CompletedProcess[str]) -> int:
    """The alert for which openssl gave up."""
    assert done.returncode != 0
    assert "PONG" not in done.stdout
    found = ALERT.search(done.stderr)
    assert found is not None, done.stderr
    return int(found[1])


class TestOpenssl:
    @VERSIONS
    def test_is_served(self, data: Path, keys: Keys, version: str) -> None:
        with serving(data, keys) as daemon:
            done = s_client(port_of(daemon), keys, version)
            assert done.stdout == '{"result": "PONG"}\n{"result": "OK"}\n'
            daemon.terminate()
            assert daemon.errors() == ""

    @VERSIONS
    @pytest.mark.parametrize("clients", ["optional", "required"])
    def test_is_served_with_a_certificate(
        self, data: Path, keys: Keys, version: str, clients: str
    ) -> None:
        own = keys.client("alice", ca=Authority("lower", keys.ca))
        with serving(data, keys, clients) as daemon:
            done = s_client(port_of(daemon), keys, version, own=own)
            assert done.stdout == '{"result": "PONG"}\n{"result": "OK"}\n'

    def test_with_tls_1_1_is_refused_by_the_server(self, data: Path, keys: Keys) -> None:
        old = ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        with serving(data, keys) as daemon:
            done = s_client(port_of(daemon), keys, *old)
            assert alert(done) == PROTOCOL_VERSION
            daemon.logs("refused: it speaks TLS 1.1 at most; 1.2 is the least")
        # The same client is able to, where the server is: it was not for its own policy.
        with old_server(keys) as port:
            assert s_client(port, keys, *old).stdout == "TLSv1.1\n"


@contextlib.contextmanager
def old_server(keys: Keys) -> Iterator[int]:
    """A server that speaks TLS 1.1, once; gives its port."""
    paths = keys.ca.issue("localhost").write(keys.directory, "old")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(paths.certificate, paths.key)

    def serve() -> None:
        with context.wrap_socket(listener.accept()[0], server_side=True) as accepted:
            accepted.sendall(f"{accepted.version()}\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)


class TestAClientIsRefused:
    """What it sees, and what the daemon's log says."""

    @VERSIONS
    def test_with_an_expired_certificate(self, data: Path, keys: Keys, version: str) -> None:
        own = keys.ca.issue("bob", ends=-0.5)
        paths = own.write(keys.directory, "client")
        with serving(data, keys, "required") as daemon:
            assert alert(s_client(port_of(daemon), keys, version, own=paths)) == CERTIFICATE_EXPIRED
            daemon.logs(r"at 127\.0\.0\.1:\d+ (was|is) refused: its certificate has expired")
            assert f"has expired ({own.expires}, CN='bob')" in daemon.log[-1]

    @VERSIONS
    def test_with_a_foreign_certificate(self, data: Path, keys: Keys, version: str) -> None:
        own = keys.client("eve", ca=Authority("another CA"))
        with serving(data, keys, "optional") as daemon:
            assert alert(s_client(port_of(daemon), keys, version, own=own)) == UNKNOWN_CA
            daemon.logs("refused: its certificate is from a CA that tls_ca does not know")

    @VERSIONS
    def test_without_a_certificate(self, data: Path, keys: Keys, version: str) -> None:
        wanted = HANDSHAKE_FAILURE if version == "-tls1_2" else CERTIFICATE_REQUIRED
        with serving(data, keys, "required") as daemon:
            assert alert(s_client(port_of(daemon), keys, version)) == wanted
            daemon.logs("refused: it has no certificate, and tls_clients is required")


class TestAClientRefuses:
    @VERSIONS
    @pytest.mark.parametrize(
        ("server", "host", "seen", "said"),
        [
            (
                lambda keys: keys.ca.issue("localhost", ends=-0.5),
                "localhost",
                "certificate has expired",
                "it finds it expired",
            ),
            (
                lambda keys: Authority("another CA").issue("localhost"),
                "localhost",
                "unable to get local issuer certificate",
                "it does not know the CA",
            ),
            (
                lambda keys: keys.ca.issue("localhost"),
                "db.example",
                "hostname mismatch",
                "which may be for another host",
            ),
        ],
        ids=["expired", "foreign", "another host"],
    )
    def test_the_certificate_of_the_server(
        self,
        data: Path,
        keys: Keys,
        version: str,
        server: Callable[[Keys], pki.Identity],
        host: str,
        seen: str,
        said: str,
    ) -> None:
        keys.serve(server(keys))
        with serving(data, keys) as daemon:
            done = s_client(port_of(daemon), keys, version, host=host)
            assert done.returncode != 0
            assert "PONG" not in done.stdout
            assert seen in done.stderr
            daemon.logs(f"refused: it does not accept this server's certificate.* {said}")


@pytest.mark.parametrize(
    ("name", "user", "is_in"),
    [("default", "cn", True), ("somebody else", "cn", False), ("default", "none", False)],
)
def test_a_certificate_logs_its_owner_in_where_names_are_asked_for(
    data: Path, keys: Keys, name: str, user: str, is_in: bool
) -> None:
    own = keys.client(name)
    context = ssl.create_default_context(cafile=str(keys.ca_path))
    context.load_cert_chain(own.certificate, own.key)
    flags = [*keys.flags("required"), f"--tls-user={user}"]
    with Daemon(data, *flags, listeners=2, env={"MEMDB_PASSWORD": "secret"}) as daemon:
        with call(daemon, context) as caller:
            said = caller.asks(b"ping")
            assert said == PONG if is_in else b"NOAUTH" in said
        # Who has logged in so far is one thing, and what the certificate said another.
        with daemon.connect() as caller:
            assert b"NOAUTH" in caller.asks(b"ping")


def test_records_that_are_decrypted_in_one_turn_are_answered_in_slices(
    data: Path, keys: Keys
) -> None:
    context = ssl.create_default_context(cafile=str(keys.ca_path))
    with serving(data, keys) as daemon:
        with call(daemon, context) as caller:
            for _ in range(50):
                caller.sends(b"incr n\n" * 300)  # more than a slice
                caller.sends(b"incr n\n")
                assert len(caller.lines(301)) == 301
            assert caller.asks(b"get n") == b'{"result": "15050", "ttl_remaining": null}\n'
        daemon.terminate()
        assert daemon.errors() == ""


def test_a_unix_socket_may_have_tls(data: Path, keys: Keys) -> None:
    path = data.parent / "memdb.sock"
    with Daemon(data, *keys.flags("no", f"unix:{path}"), listeners=2):
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(str(path))
        context = ssl.create_default_context(cafile=str(keys.ca_path))
        with Caller(context.wrap_socket(raw, server_hostname="localhost")) as caller:
            assert caller.asks(b"ping") == PONG


def test_a_daemon_with_an_expired_certificate_starts_and_says_so(data: Path, keys: Keys) -> None:
    old = keys.serve(keys.ca.issue("localhost", ends=-0.5))
    with Daemon(data, *keys.flags()) as daemon:  # the warning is in front of the listeners
        assert any(f"has expired ({old.expires})" in line for line in daemon.log)


class TestTheWrongPort:
    @pytest.mark.parametrize(
        ("request_", "reason"),
        [
            (b"ping\n", "it speaks no TLS"),
            (b"*1\r\n$4\r\nPING\r\n", "it speaks no TLS"),
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "it speaks HTTP, and no TLS"),
        ],
    )
    def test_with_tls_hears_nothing_in_plain_text(
        self, data: Path, keys: Keys, request_: bytes, reason: str
    ) -> None:
        with serving(data, keys) as daemon:
            sock = socket.create_connection(("127.0.0.1", port_of(daemon)), PATIENCE)
            with Caller(sock) as caller:
                caller.sends(request_)
                assert caller.rest() == NO_TLS
            daemon.logs(f"refused: {reason}")

    @pytest.mark.parametrize("way", ["port", "resp"])
    def test_without_tls_ends_a_handshake_and_says_where_it_belongs(
        self, data: Path, keys: Keys, way: str
    ) -> None:
        flags = ["--port=0", "--resp=tcp:0:interface=127.0.0.1"]
        with Daemon(data, *flags, listeners=2) as daemon:
            port = int(daemon.where[way == "resp"].rpartition(":")[2])
            context = ssl.create_default_context(cafile=str(keys.ca_path))
            with (
                socket.create_connection(("127.0.0.1", port), PATIENCE) as raw,
                pytest.raises((ssl.SSLError, ConnectionError)),
            ):
                context.wrap_socket(raw, server_hostname="localhost")
            daemon.logs("it speaks TLS to a port without; see tls_listen")
            with daemon.connect() as caller:
                assert caller.asks(b"ping") == PONG
            daemon.terminate()
            assert daemon.errors() == ""
            said = [line for line in daemon.log if "127.0.0.1:" in line and "warn" in line]
            assert len(said) == 1


class Talker:
    """A client that goes on asking, and counts what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.replies = 0
        self.serial = serial_of(writer)

    @classmethod
    async def arrives(cls, port: int, context: ssl.SSLContext) -> Talker:
        return cls(
            *await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
        )

    async def asks(self) -> None:
        self._writer.write(b"incr n\n")
        assert (await self._reader.readline()).startswith(b'{"result": ')
        self.replies += 1

    async def talks(self, until: asyncio.Event) -> None:
        while not until.is_set():
            await self.asks()

    async def leaves(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def serial_of(writer: asyncio.StreamWriter) -> int:
    return pki.serial_of(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))


@pytest.mark.slow
def test_certificates_are_reloaded_while_a_hundred_clients_talk(data: Path, keys: Keys) -> None:
    """Nobody is disconnected, who comes is shown the newest, and a bad file changes nothing."""
    context = ssl.create_default_context(cafile=str(keys.ca_path))
    own = keys.client("alice")
    context.load_cert_chain(own.certificate, own.key)

    async def reload(daemon: Daemon, outcome: str) -> None:
        daemon.signal(signal.SIGHUP)
        await asyncio.to_thread(daemon.logs, outcome)

    async def talk(daemon: Daemon) -> None:
        port, over = port_of(daemon), asyncio.Event()
        talkers = [await Talker.arrives(port, context) for _ in range(100)]
        assert {talker.serial for talker in talkers} == {keys.server.serial}
        talking = [asyncio.create_task(talker.talks(over)) for talker in talkers]

        async def all_get_on() -> None:
            """Each of them is told something more."""
            told = [talker.replies for talker in talkers]
            while any(
                talker.replies < before + 3 for talker, before in zip(talkers, told, strict=True)
            ):
                assert not [task for task in talking if task.done()]
                await asyncio.sleep(0)

        await all_get_on()
        for _ in range(5):
            new = keys.serve(keys.ca.issue("localhost"))
            await reload(daemon, r"\breloaded: ")
            await all_get_on()
            late = await Talker.arrives(port, context)
            assert late.serial == new.serial
            await late.asks()
            await late.leaves()
        # The key of another certificate.
        whole = (keys.directory / "server-key.pem").read_bytes()
        (keys.directory / "server-key.pem").write_bytes(keys.ca.key_pem)
        await reload(
            daemon, r"not reloaded.*tls_key: .*server-key.pem does not belong to the first"
        )
        await all_get_on()
        late = await Talker.arrives(port, context)
        assert late.serial == new.serial
        await late.leaves()
        (keys.directory / "server-key.pem").write_bytes(whole)
        over.set()
        await asyncio.gather(*talking)
        assert len(talking) == 100
        replies = sum(talker.replies for talker in talkers)
        await talkers[0].asks()
        for talker in talkers:
            await talker.leaves()
        with daemon.connect() as caller:
            assert caller.asks(b"get n") == (
                b'{"result": "%d", "ttl_remaining": null}\n' % (replies + 1 + 5)
            )

    with serving(data, keys, "required") as daemon:
        asyncio.run(asyncio.wait_for(talk(daemon), PATIENCE))
        daemon.terminate()
        assert daemon.errors() == ""


@pytest.mark.slow
def test_clients_that_speak_half_a_handshake_keep_nobody_out(data: Path, keys: Keys) -> None:
    """Each stops at another byte, and goes or stays; whoever does all of it is served."""
    context = ssl.create_default_context(cafile=str(keys.ca_path))
    outgoing = ssl.MemoryBIO()
    half = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    hello = outgoing.read()
    with serving(data, keys) as daemon:
        kept = []
        for cut in range(1, len(hello), max(1, len(hello) // 100)):
            sock = socket.create_connection(("127.0.0.1", port_of(daemon)), PATIENCE)
            sock.sendall(hello[:cut])
            if cut % 2:
                kept.append(sock)
            else:
                sock.close()
        with call(daemon, context) as caller:
            assert caller.asks(b"ping") == PONG
        for sock in kept:
            sock.close()
        daemon.terminate()
        assert daemon.errors() == ""
        assert not [line for line in daemon.log if "Traceback" in line or "Unhandled" in line]


def test_a_stop_does_not_wait_for_clients_that_only_keep_their_connection(
    data: Path, keys: Keys
) -> None:
    context = ssl.create_default_context(cafile=str(keys.ca_path))
    with serving(data, keys) as daemon:
        callers = [call(daemon, context) for _ in range(5)]
        for caller in callers:
            assert caller.asks(b"ping") == PONG
        # They read nothing until the daemon has ended, and so do not answer its goodbye.
        daemon.terminate()
        assert not [line for line in daemon.log if "abort" in line]
        for caller in callers:
            assert caller.rest() == b""
            caller.close()
