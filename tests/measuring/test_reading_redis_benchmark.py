"""What redis-benchmark prints."""

from __future__ import annotations

import pytest

from benchmarks.redis_benchmark import parse, share

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
