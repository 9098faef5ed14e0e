"""Where exports go and imports come from, and how both end when something stops them."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from harness import PATIENCE, environment
from persistence.stores import Store, small
from structs.redis_server import Redis

from memdbd.client import transfer
from memdbd.client.sink import Sink
from memdbd.errors import StorageError
from memdbd.persistence.fs import FileSystem
from memdbd.persistence.lock import DirectoryLock
from memdbd.persistence.recovery import Recovered, recover

from .test_records import redis_server

MEMDB = [sys.executable, "-m", "memdbd.client.cli"]
LINES = b'{"key":"a","value":"1"}\n{"end":true,"count":1}\n'


def memdb(*words: str | Path, **env: str) -> tuple[int, bytes, str]:
    """Run it; gives exit status, standard output and standard error."""
    done = subprocess.run(
        [*MEMDB, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True,
        env=environment(**env), timeout=PATIENCE, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.decode()


@contextmanager
def started(*words: str | Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """It, with pipes at all ends."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*MEMDB, *map(str, words)], stdin=pipe, stdout=pipe, stderr=pipe, env=environment(**env)
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def answering(talk: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server for one connection; gives its endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(PATIENCE)


def large(directory: Path) -> Store:
    """A store with more than a pipe takes."""
    store = Store(directory)
    store.turn((b"SET", b"large", b"x" * 3_000_000))
    store.close()
    return store


class TestSink:
    def test_a_dash_is_standard_output(self, tmp_path: Path) -> None:
        store = small(tmp_path / "d")
        done = subprocess.run(
            [*MEMDB, "export", "--from", str(store.directory), "-"], cwd=tmp_path,
            capture_output=True, env=environment(), timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout.count(b"\n")) == (0, 10)
        assert not (tmp_path / "-").exists()

    @pytest.mark.parametrize("force", [False, True])
    def test_a_device_is_written_to_and_stays(self, force: bool) -> None:
        master, slave = os.openpty()
        path = os.ttyname(slave)
        try:
            sink = Sink(FileSystem(), path, force)
            sink.write(b"line\n")
            sink.finish()
            sink.abort()
            assert os.read(master, 100) == b"line\r\n"
            assert os.path.samestat(os.stat(path), os.fstat(slave))
        finally:
            os.close(master)
            os.close(slave)

    def test_a_pipe_is_written_to_and_stays(self, tmp_path: Path) -> None:
        store, pipe = small(tmp_path / "d"), tmp_path / "pipe"
        os.mkfifo(pipe)
        with started("export", "--force", "--from", store.directory, pipe) as process:
            read: list[bytes] = []
            thread = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
            thread.start()
            assert process.wait(PATIENCE) == 0
            thread.join(PATIENCE)
            assert [data.count(b"\n") for data in read] == [10]
        assert pipe.is_fifo()

    def test_a_link_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "e").mkdir()
        link, file = tmp_path / "link", tmp_path / "e/file"
        link.symlink_to(file)
        for force in False, True:
            sink = Sink(FileSystem(), str(link), force)
            sink.write(b"%d" % force)
            sink.finish()
            sink.abort()
            assert link.is_symlink()
            assert file.read_bytes() == b"%d" % force
        with pytest.raises(StorageError, match="there already"):
            Sink(FileSystem(), str(link), force=False)

    def test_closed_standard_output_is_status_74(self, tmp_path: Path) -> None:
        store = small(tmp_path / "d")
        command = shlex.join([*MEMDB, "export", "--from", str(store.directory)])
        done = subprocess.run(
            ["/bin/sh", "-c", f"exec {command} >&-"],
            stderr=subprocess.PIPE, env=environment(), timeout=PATIENCE, check=False,
        )  # fmt: skip
        said = b"memdb export: standard output is closed\n"
        assert (done.returncode, done.stderr) == (74, said)

    def test_a_reader_that_leaves_is_status_74(self, tmp_path: Path) -> None:
        store = large(tmp_path / "d")
        with started("export", "--from", store.directory) as process:
            assert process.stdout
            assert process.stderr
            process.stdout.close()
            assert process.wait(PATIENCE) == 74
            assert process.stderr.read().splitlines() == [
                b"memdb export: standard output cannot be written: Broken pipe"
            ]


class TestSource:
    def test_a_pipe_is_read_as_a_file(self, tmp_path: Path) -> None:
        pipe, directory = tmp_path / "pipe", tmp_path / "e"
        os.mkfifo(pipe)
        with started("import", "--into", directory, pipe) as process:
            threading.Thread(target=pipe.write_bytes, args=[LINES], daemon=True).start()
            assert process.wait(PATIENCE) == 0
        assert Store(directory).recovered().size == 1


SIGNALS = [signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
class TestSignals:
    def test_what_was_spooled_is_removed(self, tmp_path: Path, number: int) -> None:
        spools = tmp_path / "tmp"
        spools.mkdir()
        with started("import", "--into", tmp_path / "e", TMPDIR=str(spools)) as process:
            assert process.stdin
            process.stdin.write(b" " * 1_000_000)  # all but what a pipe holds has been read
            process.stdin.flush()
            assert list(spools.iterdir())
            for _ in range(10):  # again, where it came between Python's look for one and a read
                process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE / 10)
                    break
            assert process.returncode == 128 + number
        assert list(spools.iterdir()) == []

    def test_it_is_heard_while_nobody_reads(self, tmp_path: Path, number: int) -> None:
        store = large(tmp_path / "d")
        with started("export", "--from", store.directory) as process:
            assert process.stdout
            assert os.read(process.stdout.fileno(), 1)  # the rest of it fits into no pipe
            process.send_signal(number)
            assert process.wait(PATIENCE) == 128 + number

    def test_it_is_heard_while_nobody_reads_what_a_server_has(
        self, tmp_path: Path, number: int
    ) -> None:
        with redis_server(tmp_path) as redis:
            redis.ask("SET", "large", b"x" * 3_000_000)
            with started("export", "-c", f"unix:{tmp_path}/socket") as process:
                assert process.stdout
                assert process.stderr
                # It may be between two writes: the next one fits into no pipe.
                assert os.read(process.stdout.fileno(), 1)
                process.send_signal(number)
                assert process.wait(PATIENCE) == 128 + number
                assert process.stderr.read() == b""

    def test_an_unfinished_file_is_removed(self, tmp_path: Path, number: int) -> None:
        asked = threading.Event()

        def say_nothing(connection: socket.socket) -> None:
            connection.recv(1)
            asked.set()
            while connection.recv(1000):
                pass

        with (
            answering(say_nothing) as where,
            started("export", "-c", where, tmp_path / "f") as process,
        ):
            assert asked.wait(PATIENCE)
            assert re.fullmatch(r"f\.[0-9]+\.tmp", next(tmp_path.iterdir()).name)
            process.send_signal(number)
            assert process.wait(PATIENCE) == 128 + number
            assert process.stderr
            assert process.stderr.read() == b""
        assert list(tmp_path.iterdir()) == []


class TestDirectory:
    def test_a_torn_end_is_told(self, tmp_path: Path) -> None:
        store = small(tmp_path / "d")
        with store.segment(3).open("ab") as file:
            file.write(b"half")
        status, out, said = memdb("export", "--from", store.directory)
        assert (status, out.count(b"\n")) == (0, 10)
        assert "The last write is not complete" in said
        assert f"{store.segment(3)}, byte " in said
        assert "4 bytes of no whole frame are left out" in said

    @pytest.mark.parametrize("times", [1, transfer.ATTEMPTS])
    def test_what_a_daemon_changes_meanwhile_is_no_damage(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
    ) -> None:
        store = small(tmp_path / "d")
        lock = DirectoryLock(FileSystem(), str(store.directory))
        lock.acquire()
        calls = []

        def changing(*words: object) -> Recovered:
            calls.append(words)
            if len(calls) <= times:
                raise StorageError("journal.00000001: this segment is missing")
            return recover(*words)  # type: ignore[arg-type]

        monkeypatch.setattr(transfer, "recover", changing)
        said: list[str] = []
        reading = FileSystem(), str(store.directory), store.path, said.append
        if times < transfer.ATTEMPTS:
            assert transfer._recovered(*reading).size == 9
            assert f"lock held by pid {os.getpid()}" in said[0]
        else:
            with pytest.raises(StorageError, match="a daemon is at work there"):
                transfer._recovered(*reading)
        lock.release()
        calls.clear()
        with pytest.raises(StorageError, match="is missing"):
            transfer._recovered(*reading)
        assert len(calls) == 1


class TestServers:
    def test_what_speaks_no_resp_is_status_2(self) -> None:
        def web(connection: socket.socket) -> None:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        for words in (["export"], ["import", "--skip", "-"]):
            with answering(web) as where, started("-c", where, *words) as process:
                _, said = process.communicate(LINES, PATIENCE)
            assert process.returncode == 2
            assert b"what answers is no memdbd and no Redis" in said

    def test_a_server_that_is_full_is_quoted(self, tmp_path: Path) -> None:
        with redis_server(tmp_path) as redis:
            redis.ask("CONFIG", "SET", "maxclients", 1)
            status, _, said = memdb("export", "-c", f"unix:{tmp_path}/socket")
        assert (status, "max number of clients reached" in said) == (2, True)

    def test_the_reason_of_a_discarded_transaction_is_told(self, tmp_path: Path) -> None:
        with redis_server(tmp_path) as redis:
            redis.ask("SET", "a", "1")
            redis.ask("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-get")
            source = "-c", f"unix:{tmp_path}/socket"
            status, _, said = memdb("export", *source, "--user", "bob", REDISCLI_AUTH="pw")
        assert (status, "NOPERM" in said, "EXECABORT" in said) == (1, True, False)

    def test_a_user_without_a_password_is_a_wrong_command_line(self) -> None:
        status, _, said = memdb("export", "-c", "127.0.0.1:1", "--user", "bob")
        assert status == 64
        assert "--user bob needs a password: " in said

    def test_an_interrupted_huge_value_is_under_another_key_that_is_named(
        self, tmp_path: Path
    ) -> None:
        with redis_server(tmp_path) as redis:
            redis.ask("SET", "k", "before")
            value = ",".join(['"x"'] * 200_000)
            lines = f'{{"key":"k","value":[{value}],"type":"list"}}\n{{"end":true,"count":1}}\n'
            redis.ask("CLIENT", "PAUSE", 600_000, "WRITE")
            with started("-c", f"unix:{tmp_path}/socket", "import", "--replace") as process:
                assert process.stdin
                assert process.stderr
                process.stdin.write(lines.encode())
                process.stdin.close()
                while not _blocked(redis):
                    pass
                process.send_signal(signal.SIGTERM)
                assert process.wait(PATIENCE) == 128 + signal.SIGTERM
                said = process.stderr.read().decode()
            assert re.fullmatch(
                r"Left on the server: key 'k:memdb-import:[0-9a-f]{16}', where a value was being "
                r"built; delete it\n",
                said,
            )
            assert redis.ask("GET", "k") == b"before"


def _blocked(redis: Redis) -> bool:
    return b"blocked_clients:1" in redis.ask("INFO", "clients")
