"""redis-cli in all its ways and redis-benchmark: they show of memdbd what they show of Redis.

Most tests let a tool loose on both servers, and compare what it printed; a view takes out what a
server is free to choose.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import PATIENCE, tool
from interop.servers import HOST, Ports
from interop.terminals import Terminal

pytestmark = pytest.mark.slow

MANY = 100_000

STOCK = b"""\
flushall
mset one 1 two 22 long aaaaaaaaaabbbbbbbbbb
rpush queue a b c d e f g
rpush short a
sadd tags red green blue
hset user:1 name john city Paris age 42
hset user:2 name jane
zadd board 1 a 2.5 b 3 c
expire two 1000
"""

SESSION = """\
ping
set greeting "hello world"
get greeting
get absent
append greeting "\\xff\\n"
get greeting
incr greeting
rpush queue a b c
lrange queue 0 -1
lrange absent 0 -1
hset user name john age 42
hgetall user
zadd board 1.5 a 2 b
zrange board 0 -1 withscores
sadd tags red
smembers tags
nosuch command
get
multi
incr count
lpush count x
exec
multi
discard
select 3
dbsize
select 99
select 0
copy greeting again db 3
hello 3
hgetall user
smembers tags
zscore board a
zrange board 0 -1 withscores
get absent
client getname
"""


def cli(port: int, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ``redis-cli`` to its end."""
    return subprocess.run(
        [tool("redis-cli", "redis-tools"), "-h", HOST, "-p", str(port), *words],
        input=given,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


@contextlib.contextmanager
def running_cli(port: int, *words: str) -> Iterator[Callable[[int], list[str]]]:
    """A ``redis-cli`` that goes on; gives what reads so many lines of its output."""
    command = [tool("redis-cli", "redis-tools"), "-h", HOST, "-p", str(port), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout
        giving_up = threading.Timer(PATIENCE, process.kill)
        giving_up.start()
        try:
            yield lambda count: [output.readline() for _ in range(count)]
        finally:
            giving_up.cancel()
            process.kill()


def in_resp(*words: str) -> bytes:
    parts = (f"${len(word)}\r\n{word}\r\n" for word in words)
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


@pytest.fixture
def both(port: int, redis_port: int) -> tuple[int, int]:
    """A port of memdbd's and redis-server's, with the same few keys of each kind in both."""
    for each in (port, redis_port):
        stocked = cli(each, given=STOCK)
        assert b"ERR" not in stocked.stdout
    return port, redis_port


def same(both: tuple[int, int], shown: Callable[[int], object]) -> None:
    """Assert that what is shown of memdbd is what is shown of redis-server."""
    memdbd, redis = both
    assert shown(memdbd) == shown(redis)


def test_a_typed_session_reads_the_same(both: tuple[int, int], tmp_path: Path) -> None:
    def session(port: int) -> str:
        cli(port, "flushall")
        directory = tmp_path / str(port)
        directory.mkdir()
        command = (tool("redis-cli", "redis-tools"), "-h", HOST, "-p", str(port))
        prompt = rf"(?m)^{HOST}:{port}\S*>"
        with Terminal(directory, *command) as terminal:
            terminal.shows(prompt)
            for number, line in enumerate(SESSION.splitlines(), 1):
                terminal.types(line)
                terminal.shows(prompt, number + 1)  # behind the reply
            terminal.types("quit")
            screen = terminal.shows("ended 0")
        own = r'(?<="id" => ).*|(?<="version" => ).*'  # in the reply to HELLO
        return re.sub(own, "OWN", screen.replace(str(port), "PORT"))

    same(both, session)


def test_a_message_comes_to_whoever_subscribed_at_the_prompt(
    both: tuple[int, int], tmp_path: Path
) -> None:
    def session(port: int) -> str:
        directory = tmp_path / str(port)
        directory.mkdir()
        command = (tool("redis-cli", "redis-tools"), "-h", HOST, "-p", str(port))
        with Terminal(directory, *command) as terminal:
            terminal.shows(f"{port}>")
            terminal.types("subscribe news")
            terminal.shows(r"\(integer\) 1")
            assert cli(port, "publish", "news", "hello").stdout == b"1\n"
            terminal.shows('"hello"')
            terminal.presses("C-c")
            terminal.shows(f"C{HOST}:{port}>")
            terminal.types("get one")
            terminal.shows('"1"')
            terminal.types("quit")
            screen = terminal.shows("ended 0")
        return screen.replace(str(port), "PORT")

    same(both, session)


def test_stat_counts_keys_clients_and_requests(both: tuple[int, int], tmp_path: Path) -> None:
    port, _ = both
    command = (tool("redis-cli", "redis-tools"), "-h", HOST, "-p", str(port))
    row = r"(?m)^(\d+) +\S+ +(\d+) +(\d+) +\d+ \(\+(\d+)\) +\d+ *$"
    with Terminal(tmp_path, *command, "-i", "0.1", "--stat") as terminal:
        screen = terminal.shows(row, 3)
    assert "keys       mem      clients blocked requests            connections" in screen
    keys, clients, blocked, requests = re.findall(row, screen)[-1]
    assert (keys, blocked) == ("9", "0")
    assert int(clients) >= 1
    assert int(requests) >= 1


@pytest.mark.parametrize(
    "flags",
    [(), ("--pattern", "user:*"), ("--count", "1"), ("--type", "hash")],
    ids=" ".join,
)
def test_scan_lists_the_keys(flags: tuple[str, ...], both: tuple[int, int]) -> None:
    same(both, lambda port: sorted(cli(port, "--scan", *flags).stdout.split()))


@pytest.mark.parametrize("flag", ["--bigkeys", "--memkeys"])
def test_the_biggest_keys_are_found(flag: str, both: tuple[int, int]) -> None:
    def summary(port: int) -> list[bytes]:
        done = cli(port, flag)
        assert done.returncode == 0
        assert done.stderr == b""
        lines = done.stdout.partition(b"-------- summary -------")[2].splitlines()
        if flag == "--memkeys":  # bytes of memory, of which each server needs its own
            lines = [re.sub(rb"has \d+|with \d+ bytes.*", b"", line) for line in lines]
        return sorted(lines)

    same(both, summary)


@pytest.mark.parametrize(
    "words",
    [
        ("get", "one"),
        ("--no-raw", "zrange", "board", "0", "-1", "withscores"),
        ("--csv", "lrange", "queue", "0", "-1"),
        ("--json", "hgetall", "user:1"),
        ("-3", "--no-raw", "hgetall", "user:1"),
        ("-n", "3", "set", "in", "three"),
        ("-r", "5", "incr", "one"),
        ("-x", "set", "long"),
        ("-e", "lpush", "one", "x"),
    ],
    ids=" ".join,
)
def test_a_single_command_prints_the_same(words: tuple[str, ...], both: tuple[int, int]) -> None:
    def printed(port: int) -> tuple[int, bytes, bytes]:
        done = cli(port, *words, given=b"standard input")
        return done.returncode, done.stdout, done.stderr

    same(both, printed)


def test_pipe_loads_a_hundred_thousand_requests(both: tuple[int, int]) -> None:
    def piped(port: int) -> list[bytes]:
        sets = b"".join(in_resp("SET", f"key:{n}", f"value {n}") for n in range(MANY))
        loaded = cli(port, "--pipe", given=in_resp("FLUSHALL") + sets)
        assert b"errors: 0, replies: 100001\n" in loaded.stdout
        return [loaded.stdout, cli(port, "dbsize").stdout, cli(port, "get", "key:99999").stdout]

    same(both, piped)


def test_pipe_loads_a_hundred_thousand_inline_lines(ports: Ports, redis_port: int) -> None:
    """On the listener that speaks RESP only: elsewhere a line begins the text dialect."""

    def piped(port: int) -> list[bytes]:
        sets = b"".join(b'SET line:%d "value %d"\r\n' % (n, n) for n in range(MANY))
        loaded = cli(port, "--pipe", given=b"FLUSHALL\r\n" + sets)
        assert b"errors: 0, replies: 100001\n" in loaded.stdout
        return [loaded.stdout, cli(port, "dbsize").stdout, cli(port, "get", "line:99999").stdout]

    same((ports.resp, redis_port), piped)


def test_pipe_counts_the_errors(both: tuple[int, int]) -> None:
    def piped(port: int) -> tuple[int, bytes, bytes]:
        requests = in_resp("SET", "k", "text") + in_resp("INCR", "k") * 10 + in_resp("NOSUCH")
        done = cli(port, "--pipe", given=requests)
        return done.returncode, done.stdout, done.stderr

    same(both, piped)


def test_monitor_shows_what_others_ask(both: tuple[int, int]) -> None:
    def monitored(port: int) -> list[str]:
        with running_cli(port, "monitor") as lines:
            assert lines(1) == ["OK\n"]
            cli(port, "set", "k", 'two words, a "quote" and a \n')
            cli(port, "-n", "3", "nosuch", "command")
            cli(port, "-n", "3", "get", "k")
            seen = lines(4)
        return [re.sub(r"^\d+\.\d{6} \[(\d+) 127\.0\.0\.1:\d+\]", r"[\1]", line) for line in seen]

    same(both, monitored)


@pytest.mark.parametrize("flags", [(), ("-3",)], ids=["RESP2", "RESP3"])
def test_subscribe_prints_the_messages(flags: tuple[str, ...], both: tuple[int, int]) -> None:
    def subscribed(port: int) -> list[str]:
        with running_cli(port, *flags, "--no-raw", "subscribe", "news", "other") as lines:
            confirmed = lines(7)
            assert cli(port, "publish", "news", "hello").stdout == b"1\n"
            messages = lines(3)
        with running_cli(port, *flags, "--no-raw", "psubscribe", "n*s") as lines:
            confirmed += lines(4)
            assert cli(port, "publish", "news", "hello").stdout == b"1\n"
            return confirmed + messages + lines(4)

    same(both, subscribed)


def test_latency_is_measured(port: int) -> None:
    least, most, average, samples = cli(port, "--latency", "-i", "1").stdout.split()
    assert int(least) <= float(average) <= int(most)
    assert int(samples) > 1


def benchmark(port: int, *flags: str) -> list[str]:
    """Run ``redis-benchmark -q``; gives the names of what it measured, in order."""
    command = [tool("redis-benchmark", "redis-tools"), "-h", HOST, "-p", str(port), "-q", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "ERR" not in done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return re.findall(r"(?m)(?:^|\r)(?! )([^\r\n]+): [\d.]+ requests per second", done.stdout)


@pytest.mark.parametrize(
    "flags",
    [(), ("-P", "16"), ("-3",), ("--dbnum", "3"), ("-r", "1000", "-d", "100", "-c", "200")],
    ids=" ".join,
)
def test_the_whole_benchmark_runs_through(
    flags: tuple[str, ...], ports: Ports, redis_port: int
) -> None:
    """On the listener that speaks RESP only: its first test sends inline lines."""
    same((ports.resp, redis_port), lambda port: benchmark(port, "-n", "2000", *flags))


def test_the_benchmark_runs_on_the_port_for_everyone(ports: Ports) -> None:
    assert benchmark(ports.main, "-n", "2000", "-t", "ping_mbulk,set,get,lrange_100,mset")
