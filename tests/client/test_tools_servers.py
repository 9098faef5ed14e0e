"""``memdb export`` and ``memdb import`` between real servers: memdbd, and redis-server."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import PATIENCE, Caller, Daemon, environment

from .test_records import fill, redis_server

END = b'{"end":true,"count":%d}\n'


def memdb(*words: str | Path, given: bytes = b"", **env: str) -> tuple[int, bytes, str]:
    """Run it; gives exit status, standard output and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "memdbd.client.cli", *map(str, words)],
        input=given, capture_output=True, env=environment(**env), timeout=PATIENCE, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.decode()


def records(lines: bytes) -> dict[tuple[int, str], Any]:
    """What was exported, by database and key; the members of sets in order."""
    *found, end = map(json.loads, lines.splitlines())
    assert end == {"end": True, "count": len(found)}
    for record in found:
        if record.get("type") == "set":
            record["value"].sort()
    by_place = {(record.get("database", 0), record["key"]): record for record in found}
    assert len(by_place) == len(found)
    return by_place


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path / "data") as daemon:
        yield daemon


def endpoint(daemon: Daemon) -> str:
    return f"127.0.0.1:{daemon.port}"


def test_all_types_go_from_redis_to_memdbd_and_back_by_every_way(
    tmp_path: Path, daemon: Daemon
) -> None:
    (tmp_path / "r").mkdir()
    with redis_server(tmp_path / "r") as redis:
        count = len(fill(redis))
        redis.ask("SAVE")
        source = f"unix:{tmp_path}/r/socket"
        status, lines, said = memdb("-c", source, "export")
        assert (status, said) == (0, f"{count} keys exported\n")
        # RDB, to memdbd, by lines to redis-server.
        redis.ask("FLUSHALL")
        rdb = tmp_path / "r/dump.rdb"
        status, _, said = memdb("import", "-c", endpoint(daemon), rdb)
        assert (status, said) == (0, f"{count} keys imported\n")
        file = tmp_path / "all.jsonl"
        assert memdb("export", "-c", endpoint(daemon), file)[0] == 0
        assert records(file.read_bytes()) == records(lines)
        assert memdb("import", "--connect", source, given=file.read_bytes())[0] == 0
        assert records(memdb("-c", source, "export")[1]) == records(lines)


def test_what_is_there_stops_an_import_or_stays_or_goes(daemon: Daemon) -> None:
    to = ("-c", endpoint(daemon), "import")
    first = b'{"key":"a","value":"1"}\n{"key":"l","value":["1"],"type":"list","database":2}\n'
    second = b'{"key":"l","value":["2"],"type":"list","database":2}\n{"key":"b","value":"2"}\n'
    first, second = first + END % 2, second + END % 2
    assert memdb(*to, given=first)[0] == 0
    status, _, said = memdb(*to, given=second)
    assert status == 1
    assert "1 of the keys is there already, such as 'l' in database 2. Nothing was written" in said
    with daemon.connect() as caller:
        assert json.loads(caller.asks(b"exists b")) == {"result": 0}
    status, _, said = memdb(*to, "--skip", given=second)
    assert (status, said.splitlines()[-1]) == (0, "1 key imported, 1 was there already")
    out = memdb("export", "-c", endpoint(daemon))[1]
    assert records(out)[2, "l"]["value"] == ["1"]
    assert memdb(*to, "--replace", given=second)[0] == 0
    out = memdb("export", "-c", endpoint(daemon))[1]
    assert records(out)[2, "l"]["value"] == ["2"]


def test_a_fault_anywhere_in_the_file_changes_nothing(daemon: Daemon) -> None:
    given = b'{"key":"a%d","value":"1"}\n'
    lines = b"".join(given % number for number in range(2000)) + b"nonsense\n"
    status, _, said = memdb("-c", endpoint(daemon), "import", given=lines)
    assert (status, said) == (
        1,
        "memdb import: standard input, line 2001: this is not a record\n",
    )
    with daemon.connect() as caller:
        assert json.loads(caller.asks(b"dbsize")) == {"result": 0}


def test_what_an_export_has_left_that_failed_is_not_imported(
    tmp_path: Path, daemon: Daemon
) -> None:
    with redis_server(tmp_path) as redis:
        redis.ask_all([("SET", f"k{number}", "x" * 100) for number in range(2000)])
        redis.ask_all([("SELECT", 1), ("XADD", "s", "*", "f", "v")])
        status, lines, _ = memdb("-c", f"unix:{tmp_path}/socket", "export")
    assert (status, lines.count(b"\n")) == (1, 2000)
    to = ("-c", endpoint(daemon), "import")
    for given in lines, lines[:100_000], b"":
        assert memdb(*to, given=given)[0] == 1
    with daemon.connect() as caller:
        assert json.loads(caller.asks(b"dbsize")) == {"result": 0}
    assert memdb(*to, "--incomplete", given=lines)[0] == 0


def test_an_interrupted_export_says_nothing_of_the_connection(
    peer: Callable[[Callable[[socket.socket], None]], str],
) -> None:
    is_asked = threading.Event()

    def script(connection: socket.socket) -> None:
        connection.recv(1)
        is_asked.set()
        while connection.recv(4096):
            pass

    with subprocess.Popen(
        [sys.executable, "-m", "memdbd.client.cli", "-c", peer(script), "export"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    ) as process:  # fmt: skip
        assert is_asked.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=PATIENCE)
    assert (process.returncode, *out) == (130, b"", b"")


def test_huge_values_go_in_pieces(daemon: Daemon) -> None:
    fields = {f"f{number}": f"v{number}" for number in range(25_000)}
    scores = [[f"m{number}", f"{number}.5"] for number in range(15_000)]
    given: list[dict[str, Any]] = [
        {"key": "h", "value": fields, "type": "hash", "deadline": 4_102_444_800_000},
        {"key": "z", "value": scores, "type": "zset"},
        {"key": "s", "value": sorted(fields), "type": "set"},
        {"key": "l", "value": list(fields), "type": "list"},
        {"key": "text", "value": "x" * 5_000_000},
    ]
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in given)
    lines += END % len(given)
    assert memdb("-c", endpoint(daemon), "import", given=lines)[0] == 0
    found = records(memdb("-c", endpoint(daemon), "export")[1])
    assert found == {(0, str(record["key"])): record for record in given}


def test_an_export_while_others_write_has_each_key_once_and_whole(daemon: Daemon) -> None:
    """Every value is one that was there at some moment, and no key that stays is missing."""
    with daemon.connect() as caller:
        _pipeline(caller, [b"set stays%d x" % each for each in range(3000)])
        process = subprocess.Popen(
            [sys.executable, "-m", "memdbd.client.cli", "-c", endpoint(daemon), "export"],
            stdout=subprocess.PIPE, env=environment(),
        )  # fmt: skip
        turn = 0
        while process.poll() is None and turn < 200:
            # Two elements at a time, in one transaction; keys that come and go.
            _pipeline(caller, [b"multi", b"rpush pair a", b"rpush pair b", b"exec"])
            _pipeline(caller, [b"set goes%d x" % turn, b"del goes%d" % (turn - 5)])
            turn += 1
            if process.stdout is not None and turn == 200:
                break
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    found = records(out)
    assert sum(key.startswith("stays") for _, key in found) == 3000
    if (0, "pair") in found:
        assert len(found[0, "pair"]["value"]) % 2 == 0


def _pipeline(caller: Caller, lines: list[bytes]) -> None:
    caller.sends(b"\n".join(lines) + b"\n")
    assert len(caller.lines(len(lines))) == len(lines)


def test_a_stream_is_refused_or_left_out(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        redis.ask_all([("SET", "a", "1"), ("XADD", "s", "*", "f", "v")])
        source = f"unix:{tmp_path}/socket"
        file = tmp_path / "all.jsonl"
        status, _, said = memdb("export", "-c", source, file)
        assert status == 1
        assert "key 's' of database 0 is of the type stream" in said
        assert not file.exists()
        status, _, said = memdb("export", "-c", source, "--leave-out", file)
        assert (status, said.splitlines()[-1]) == (0, "1 key exported, 1 left out")
        redis.ask("SAVE")
        to = tmp_path / "d"
        status, _, said = memdb("import", "--into", to, tmp_path / "dump.rdb")
        assert status == 1
        assert "such as streams: 1 in database 0" in said
        status, _, said = memdb("import", "--into", to, "--leave-out", tmp_path / "dump.rdb")
        assert (status, said) == (0, "1 key imported, 1 of other types left out\n")


def test_a_password_is_taken_from_the_environment(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        redis.ask("CONFIG", "SET", "requirepass", "secret")
        source = ("-c", f"unix:{tmp_path}/socket")
        status, _, said = memdb(*source, "export")
        assert (status, "MEMDB_PASSWORD" in said) == (1, True)
        assert memdb(*source, "export", REDISCLI_AUTH="wrong")[0] == 1
        assert memdb(*source, "export", REDISCLI_AUTH="secret")[0] == 0
        redis.ask("CONFIG", "SET", "requirepass", "")
        # As on the other side of a pipe from one that wants it.
        assert memdb(*source, "export", REDISCLI_AUTH="secret")[0] == 0


def test_an_expired_deadline_is_not_written_and_a_later_one_is_kept(daemon: Daemon) -> None:
    soon = int(time.time() * 1000) + 3_600_000
    given = b'{"key":"old","value":"1","deadline":1}\n{"key":"new","value":"1","deadline":%d}\n'
    _, _, said = memdb("-c", endpoint(daemon), "import", given=given % soon + END % 2)
    assert said.splitlines()[-1] == "1 key imported, 1 had expired"
    assert records(memdb("-c", endpoint(daemon), "export")[1])[0, "new"]["deadline"] == soon


def test_no_server_is_status_2(tmp_path: Path) -> None:
    status, _, said = memdb("export", "-c", "tcp:127.0.0.1:1", tmp_path / "f")
    assert (status, list(tmp_path.iterdir())) == (2, [])
    assert said.startswith("Connecting to tcp:127.0.0.1:1 failed: ")


def test_check_and_repair_while_a_daemon_runs_and_after_it(tmp_path: Path, daemon: Daemon) -> None:
    directory = tmp_path / "data"
    with daemon.connect() as caller:
        _pipeline(caller, [b"set a 1"])
    status, out, _ = memdb("check", "--json", directory)
    found = json.loads(out)
    assert (status, found["daemon"], found["keys"]) == (0, f"pid {daemon.pid}", 1)
    status, _, said = memdb("repair", "--yes", directory)
    assert (status, f"lock held by pid {daemon.pid}" in said) == (1, True)
    daemon.kill()
    found = json.loads(memdb("check", "--json", directory)[1])
    assert (found["daemon"], found["closed"], found["keys"]) == (None, False, 1)


def test_a_daemon_starts_on_what_was_repaired_and_imported(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with Daemon(directory) as daemon:
        with daemon.connect() as caller:
            for number in range(100):
                caller.asks(b"set k%d v" % number)
        daemon.kill()
    segment = max(directory.glob("journal.*"))
    data = bytearray(segment.read_bytes())
    data[100] ^= 1
    segment.write_bytes(data)
    status, out, _ = memdb("check", directory)
    assert status in (1, 3)  # by whether anything behind it had been synced
    status, out, said = memdb("repair", "--yes", directory)
    assert (status, said) == (0, "")
    assert b"All that was there before is in" in out
    with Daemon(directory) as daemon, daemon.connect() as caller:
        left = json.loads(caller.asks(b"dbsize"))["result"]
        assert left < 100
        assert json.loads(caller.asks(b"set more 1"))["result"] == "OK"
        daemon.kill()
    assert json.loads(memdb("check", "--json", directory)[1])["keys"] == left + 1
