"""A daemon's life as a process: it starts, or says why not; it ends, and the data is there."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Daemon, run

from memdbd import __version__, core

OK = b'{"result": "OK"}\n'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def field(reply: bytes, name: str = "result") -> object:
    return json.loads(reply)[name]


class TestTheData:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_is_there_after_a_stop_with_its_deadlines(
        self, data: Path, number: signal.Signals
    ) -> None:
        with Daemon(data) as daemon, daemon.connect() as caller:
            assert caller.asks(b"set username john_doe") == OK
            assert field(caller.asks(b"set_with_ttl temp_token abc123 1000"), "ttl_set") == 1000
            assert caller.asks(rb'["set", "bytes", "two\nlines \u0000"]') == OK
            assert caller.asks(rb'set "\xff" "\xfe"') == OK
            daemon.signal(number)
            assert daemon.ended() in (0, -number)  # Twisted ends with the signal that stopped it
            assert caller.rest() == b""
            assert daemon.errors() == ""
        with Daemon(data) as daemon, daemon.connect() as caller:
            assert caller.asks(b"get username") == (
                b'{"result": "john_doe", "ttl_remaining": null}\n'
            )
            token = json.loads(caller.asks(b"get temp_token"))
            assert token["result"] == "abc123"
            assert 1000 - 60 <= token["ttl_remaining"] <= 1000
            assert field(caller.asks(b"get bytes")) == "two\nlines \0"
            assert caller.asks(rb'get "\xff"') == (
                b'{"result": "/g==", "encoding": "base64", "ttl_remaining": null}\n'
            )
            assert caller.asks(b"dbsize") == b'{"result": 4}\n'

    def test_is_there_after_a_shutdown_that_a_client_asks_for(self, data: Path) -> None:
        with Daemon(data) as daemon, daemon.connect() as caller:
            assert caller.asks(b"set a 1") == OK
            assert caller.asks(b"shutdown") == OK
            assert caller.rest() == b""
            assert daemon.ended() == 0
        with Daemon(data) as daemon, daemon.connect() as caller:
            assert field(caller.asks(b"get a")) == "1"

    @pytest.mark.parametrize("durability", ["always", "everysec", "no"])
    def test_is_there_after_kill_9_also_what_came_after_the_last_snapshot(
        self, data: Path, durability: str
    ) -> None:
        with Daemon(data, f"--durability={durability}") as daemon, daemon.connect() as caller:
            assert caller.asks(b"set a saved") == OK
            assert caller.asks(b"save") == OK
            assert caller.asks(b"set a journaled") == OK
            daemon.kill()
        with Daemon(data) as daemon, daemon.connect() as caller:
            assert any("did not stop in order" in line for line in daemon.log)
            assert field(caller.asks(b"get a")) == "journaled"

    def test_is_there_after_a_shutdown_that_writes_no_snapshot(self, data: Path) -> None:
        with Daemon(data) as daemon, daemon.connect() as caller:
            assert caller.asks(b"set a 1") == OK
            assert caller.asks(b"shutdown nosave") == OK
            assert daemon.ended() == 0
        assert not (data / "persistence.json").exists()
        with Daemon(data) as daemon, daemon.connect() as caller:
            assert not any("did not stop in order" in line for line in daemon.log)
            assert field(caller.asks(b"get a")) == "1"

    def test_is_in_a_snapshot_after_each_interval(self, data: Path) -> None:
        with Daemon(data, "--snapshot-interval=0.05") as daemon, daemon.connect() as caller:
            assert caller.asks(b"set a 1") == OK
            while not field(caller.asks(b"stats"))["snapshots_written"]:  # type: ignore[index]
                pass
            daemon.kill()
        assert json.loads((data / "persistence.json").read_text())[1]["value"] == "1"
        assert not (data / "journal.00000001").exists()

    def test_that_is_due_goes_by_itself_and_is_told(self, data: Path) -> None:
        with Daemon(data) as daemon, daemon.connect() as caller:
            caller.asks(b"subscribe db_updates")
            caller.sends(b"set_with_ttl k v 1\n")
            caller.line()
            set_update, expire_update = (json.loads(caller.line())["message"] for _ in range(2))
            told = [json.loads(update) for update in (set_update, expire_update)]
            assert [(one["operation"], one["key"]) for one in told] == [
                ("set_with_ttl", "k"),
                ("expire", "k"),
            ]
            assert told[1]["timestamp"] - told[0]["timestamp"] >= 0.999

    def test_of_another_small_database_is_imported(self, data: Path) -> None:
        data.mkdir()
        original = '{"username": "john_doe", "temp": "1"}'
        (data / "persistence.json").write_text(original)
        with Daemon(data) as daemon, daemon.connect() as caller:
            assert field(caller.asks(b"get username")) == "john_doe"
            daemon.terminate()
        assert (data / "persistence.json.imported").read_text() == original
        assert json.loads((data / "persistence.json").read_text())[-1]["count"] == 2

    def test_is_only_its_owners_to_read(self, data: Path) -> None:
        with Daemon(data) as daemon, daemon.connect() as caller:
            caller.asks(b"save")
        assert data.stat().st_mode & 0o077 == 0
        assert (data / "persistence.json").stat().st_mode & 0o077 == 0


class TestTheLog:
    def test_begins_with_what_the_daemon_is_made_of(self, data: Path) -> None:
        with Daemon(data, "--log-format=json") as daemon:
            about = next(
                told["message"]
                for told in map(json.loads, daemon.log)
                if "memdbd" in told["message"]
            )
            assert about.startswith(f"memdbd {__version__} starts, with the {core.NAME} core, Pyth")


class TestAcknowledgedWrites:
    CLIENTS = 4

    @pytest.mark.parametrize("seed", [1, 2])
    def test_are_there_after_a_stop_in_the_middle_of_them(self, data: Path, seed: int) -> None:
        with Daemon(data) as daemon:
            stop_at = random.Random(seed).randrange(200, 4000)
            reached = threading.Event()
            acknowledged: list[int] = [0] * self.CLIENTS
            sent: list[int] = [0] * self.CLIENTS

            def write(client: int) -> None:
                with daemon.connect() as caller:
                    try:
                        while True:
                            batch = range(sent[client], sent[client] + 20)
                            caller.sends(b"".join(b"set %d:%d v\n" % (client, n) for n in batch))
                            sent[client] += len(batch)
                            for reply in caller.lines(len(batch)):
                                assert reply == OK
                                acknowledged[client] += 1
                            if acknowledged[client] != sent[client]:
                                return
                            if sum(acknowledged) >= stop_at and all(acknowledged):
                                reached.set()
                    except OSError:
                        return

            writers = [
                threading.Thread(target=write, args=(client,)) for client in range(self.CLIENTS)
            ]
            for writer in writers:
                writer.start()
            assert reached.wait(60)
            daemon.terminate()
            for writer in writers:
                writer.join(60)

        with Daemon(data) as daemon, daemon.connect() as caller:
            there = {tuple(map(int, key.split(":"))) for key in field(caller.asks(b"keys"))}  # type: ignore[attr-defined]
        for client in range(self.CLIENTS):
            written = sorted(number for writer, number in there if writer == client)
            # All that was acknowledged, perhaps some more, and nothing out of order.
            assert written == list(range(len(written)))
            assert acknowledged[client] <= len(written) <= sent[client]


class TestARefusalToStart:
    """Exit status 1, one line on standard error that says why, and no traceback."""

    def refused(self, directory: Path, *flags: str, **env: str) -> str:
        ended = run(directory, *flags, env=env)
        assert ended.returncode == 1
        assert "Traceback" not in ended.stdout + ended.stderr
        assert ended.stderr.startswith("memdbd: ")
        assert ended.stderr.count("\n") == 1
        return ended.stderr.removeprefix("memdbd: ").rstrip("\n")

    def test_on_a_directory_in_use_names_who_has_it(self, data: Path) -> None:
        with Daemon(data) as daemon:
            said = self.refused(data.parent, "--port=0", f"--data-dir={data}")
            assert said == f"data directory {data} is in use: lock held by pid {daemon.pid}"
            with daemon.connect() as caller:
                assert caller.asks(b"ping") == b'{"result": "PONG"}\n'

    def test_on_a_directory_whose_daemon_was_killed_there_is_none(self, data: Path) -> None:
        with Daemon(data) as daemon:
            daemon.kill()
        with Daemon(data) as daemon, daemon.connect() as caller:
            assert caller.asks(b"ping") == b'{"result": "PONG"}\n'

    @pytest.mark.parametrize(
        ("damage", "line"),
        [
            (lambda text: text.replace("john_doe", "john_dof"), 3),
            (lambda text: "nonsense", 1),
        ],
    )
    def test_on_a_damaged_snapshot_names_file_and_line_and_leaves_it(
        self, data: Path, damage: Callable[[str], str], line: int
    ) -> None:
        with Daemon(data) as daemon, daemon.connect() as caller:
            caller.asks(b"set username john_doe")
            daemon.terminate()
        snapshot = data / "persistence.json"
        damaged = damage(snapshot.read_text())
        snapshot.write_text(damaged)
        said = self.refused(data.parent, "--port=0", f"--data-dir={data}")
        assert said.startswith(f"{snapshot}, line {line}: ")
        assert said.endswith(f"memdb repair {data}")
        assert snapshot.read_text() == damaged

    def test_on_a_port_in_use_names_it(self, data: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            said = self.refused(data.parent, f"--port={port}", f"--data-dir={data}")
        assert said.startswith(f"Address already in use: cannot listen on tcp:{port}:")

    def test_with_a_data_directory_that_is_none_names_it(self, data: Path) -> None:
        data.write_text("a file")
        said = self.refused(data.parent, "--port=0", f"--data-dir={data}")
        assert said.startswith(f"data directory {data} cannot be used: ")

    def test_with_a_bad_flag_names_it(self, tmp_path: Path) -> None:
        said = self.refused(tmp_path, "--snapshot-interval=soon")
        assert said.startswith("--snapshot-interval must be a number ")
        assert said.endswith(", not 'soon'")

    def test_with_a_core_that_there_is_none_of_names_those_that_there_are(self, data: Path) -> None:
        said = self.refused(data.parent, "--port=0", f"--data-dir={data}", MEMDB_CORE="rust")
        assert said == "MEMDB_CORE is 'compiled' or 'python', or not set; not 'rust'"
        assert not data.exists()

    def test_with_a_certificate_that_is_none_names_the_file(self, data: Path) -> None:
        (data.parent / "cert.pem").write_text("nonsense")
        flags = ["--tls-listen=tcp:0:interface=127.0.0.1", "--tls-cert=cert.pem"]
        said = self.refused(data.parent, "--port=0", f"--data-dir={data}", *flags)
        assert said == "tls_listen needs tls_key: PEM files"
        said = self.refused(
            data.parent, "--port=0", f"--data-dir={data}", *flags, "--tls-key=key.pem"
        )
        assert said.startswith("tls_cert: cert.pem must have a certificate in PEM (BEGIN CERTIFI")


def test_a_configuration_file_and_the_environment_are_followed(data: Path) -> None:
    file = data.parent / "memdbd.toml"
    file.write_text("default_ttl = 7\nmax_keys = 1\n")
    with (
        Daemon(data, f"--config={file}", env={"MEMDB_MAX_KEYS": "2"}) as daemon,
        daemon.connect() as caller,
    ):
        assert caller.asks(b"set_with_ttl a v") == b'{"result": "OK", "ttl_set": 7}\n'
        assert caller.asks(b"set b v") == OK
        assert b"max_keys (2) is reached" in caller.asks(b"set c v")


def test_info_tells_about_the_process(data: Path) -> None:
    with Daemon(data) as daemon, daemon.connect() as caller:
        info = json.loads(caller.asks(b"info"))["result"]
        assert info["server"]["pid"] == daemon.pid
        assert info["server"]["listening_on"] == daemon.where
        assert info["persistence"]["snapshot"] == str(data / "persistence.json")


@pytest.mark.slow
def test_a_stop_does_not_wait_for_ever_for_who_does_not_read(data: Path) -> None:
    with Daemon(data) as daemon, daemon.connect() as reader, daemon.connect() as caller:
        caller.asks(b"set k " + b"x" * 60_000)
        reader.sends(b"get k\n" * 2000)  # 120 MB, of which it reads none
        counts: list[int] = []
        while counts[-10:] != [max(counts, default=0)] * 10:  # until no more are answered
            stats = json.loads(caller.asks(b"stats"))["result"]
            counts.append(stats["commands"] - len(counts))
        assert counts[-1] < 2000
        assert caller.asks(b"set last write") == OK
        daemon.terminate()
        assert daemon.errors() == ""
    with Daemon(data) as daemon, daemon.connect() as caller:
        assert field(caller.asks(b"get last")) == "write"


def test_a_log_in_json_is_one_object_a_line(data: Path) -> None:
    with Daemon(data, "--log-format=json") as daemon:
        daemon.terminate()
        events = [json.loads(line) for line in daemon.log]
        assert all({"time", "level", "logger", "message"} <= event.keys() for event in events)
        assert f"listening on {daemon.where[0]}" in [event["message"] for event in events]


def test_a_log_level_leaves_out_what_is_below_it(data: Path) -> None:
    unix = data.parent / "s"
    with Daemon(data, "--log-level=warn", f"--listen=unix:{unix}", listeners=0) as daemon:
        daemon.signal(signal.SIGTERM)
        daemon.ended()
        assert daemon.log == []


def test_every_line_of_a_text_log_has_its_time(data: Path) -> None:
    with Daemon(data) as daemon:
        daemon.terminate()
        assert len(daemon.log) >= 4
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", line) for line in daemon.log)
