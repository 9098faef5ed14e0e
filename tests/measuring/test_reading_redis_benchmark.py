"""What redis-benchmark prints, and what is done before it begins."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.redis_benchmark import Load, parse, run, share
from benchmarks.servers import Server

# As 7.0.15 prints it, carriage returns and all that they overwrite left out.
PRINTED = """\
====== SET ======
  50000 requests completed in 0.05 seconds
  50 parallel clients
  3 bytes payload

Latency by percentile distribution:
0.000% <= 0.143 milliseconds (cumulative count 160)
50.000% <= 0.583 milliseconds (cumulative count 25568)
99.219% <= 3.119 milliseconds (cumulative count 49616)
99.805% <= 3.207 milliseconds (cumulative count 49920)
99.902% <= 3.215 milliseconds (cumulative count 49952)
100.000% <= 3.231 milliseconds (cumulative count 50000)

Cumulative distribution of latencies:
99.999% <= 3.103 milliseconds (cumulative count 49552)
100.000% <= 4.103 milliseconds (cumulative count 50000)

Summary:
  throughput summary: 1063829.88 requests per second
  latency summary (msec):
          avg       min       p50       p95       p99       max
        0.653     0.136     0.584     1.151     2.799     3.231
"""


def test_throughput_and_percentiles_are_read() -> None:
    assert parse(PRINTED) == (1063829.88, 0.584, 2.799, 3.215)


def test_the_highest_percentile_is_the_last_line_where_there_are_few_requests() -> None:
    few = "\n".join(line for line in PRINTED.splitlines() if not line.startswith("99."))
    assert parse(few).p999 == 3.231


def test_a_run_of_less_than_a_millisecond_is_infinitely_fast() -> None:
    assert parse(PRINTED.replace("1063829.88", "inf")).rate == float("inf")


def test_what_took_no_time_has_had_all_of_its_core() -> None:
    assert share(0.01, 1000 / float("inf")) == 1.0
    assert share(0.01, 0.04) == 0.25
    assert share(0.05, 0.04) == 1.0  # it had begun before


def test_anything_else_is_an_error_that_shows_it() -> None:
    with pytest.raises(ValueError, match="no such test"):
        parse("no such test")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done, in order: all is written, the pages of a file are given up, the load runs."""
    done: list[str] = []

    def give_up(file: int, begin: int, length: int, advice: int) -> None:
        assert (begin, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        done.append(os.path.basename(os.readlink(f"/proc/self/fd/{file}")))

    def load(*command: object, **more: object) -> Any:
        done.append("load")
        return SimpleNamespace(stdout=PRINTED, stderr="")

    monkeypatch.setattr(os, "sync", lambda: done.append("sync"))
    monkeypatch.setattr(os, "posix_fadvise", give_up)
    monkeypatch.setattr(subprocess, "run", load)
    return done


class Still(Server):
    """A server that is none."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 1
        self.process = cast(Any, SimpleNamespace(pid=os.getpid()))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="the benchmarks need Linux")
def test_each_run_begins_with_all_written_and_no_file_in_memory(
    tmp_path: Path, calls: list[str]
) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "journal").write_bytes(b"x")
    (tmp_path / "appendonlydir" / "aof").write_bytes(b"x")
    (tmp_path / "gone").symlink_to("nowhere")
    server = Still(tmp_path)
    for _ in range(2):
        calls.clear()
        assert run(server, Load(("-t", "set")), 100)["p50"] == 0.584
        assert (calls[0], sorted(calls[1:-1]), calls[-1]) == ("sync", ["aof", "journal"], "load")
