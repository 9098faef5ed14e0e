"""What the read cache of the text dialect saves: CPU for a ``get``, with it and without.

python -m benchmarks.read_cache [--rounds 5] [--tree DIR]

Values of four kinds: ASCII; UTF-8 with other letters; text that JSON has to escape (quotes and
newlines); bytes that are not UTF-8 and go out as base64. First the encoder alone, in this process:
each of 50 values is encoded in turn, so a cached reply is not the one that the processor has just
seen; ``missed`` is with a cache of 10 entries, in which none is ever found. Values of any size are
kept here. Then over a socket, with those kept that the dialect keeps, against two daemons
(``--cache-capacity`` 100 and 0) that take turns; medians over the rounds. ``gain`` is the CPU
without the cache over that with it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import thread_time

from benchmarks import load
from benchmarks.servers import ROOT, Server, memdbd, pin_load, table

SIZES = tuple(64 * 4**step for step in range(7))  # 64 bytes … 256 KiB
VALUES = 50
DEPTH = 10

# Kind -> what a value is made of, again and again.
KINDS: dict[str, bytes] = {
    "ascii": b"The quick brown fox jumps over the lazy dog. ",
    "utf8": "Größe, naïve Straße: Ελλάδα, Привет, 日本語. ".encode(),
    "escapes": b'{"name": "fox",\n "says": "\\"hi\\""}\n',
    "binary": bytes(range(256)),
}


def value_of(kind: str, size: int, number: int) -> bytes:
    """One of the values: ``size`` bytes, cut where a letter ends."""
    pattern = KINDS[kind]
    value = (b"%04d " % number + pattern * (size // len(pattern) + 1))[:size]
    if kind == "utf8":
        value = value.decode(errors="ignore").encode()
    return value


# The encoder alone


def per_call(function: Callable[[], object], least: float = 0.05) -> float:
    """Microseconds of CPU for a call."""
    count = 1
    while True:
        start = thread_time()
        for _ in range(count):
            function()
        used = thread_time() - start
        if used >= least:
            return used / count * 1e6
        count *= 4


def encoder_alone(rounds: int) -> str:
    from memdbd.dialects.text_replies import TextEncoder
    from memdbd.replies import Found

    class Always(TextEncoder):
        """One that keeps the replies of values of any size."""

        __slots__ = ()
        CACHED_FROM = 0

    rows: list[list[object]] = [["kind", "bytes", "off µs", "on µs", "gain", "missed µs"]]
    for kind in KINDS:
        for size in SIZES:
            values = [value_of(kind, size, number) for number in range(VALUES)]
            replies = [Found(b"key%d" % at, value, None) for at, value in enumerate(values)]

            def encode_all(encoder: TextEncoder, replies: list[Found] = replies) -> None:
                for reply in replies:
                    encoder.encode(reply)

            on, off = Always(100), TextEncoder(0)
            costs = []
            for _ in range(rounds):
                without = per_call(lambda e=off: encode_all(e)) / VALUES  # type: ignore[misc]
                with_it = per_call(lambda e=on: encode_all(e)) / VALUES  # type: ignore[misc]
                costs.append((without, with_it))
            few = Always(10)
            missed = per_call(lambda e=few: encode_all(e)) / VALUES  # type: ignore[misc]
            rows.append([kind, size, *summary(costs), f"{missed:.2f}"])
    return table(rows)


# Over a socket


def over_a_socket(rounds: int, seconds: float, tree: Path) -> str:
    rows: list[list[object]] = [["kind", "bytes", "off µs", "on µs", "gain"]]
    with (
        memdbd("--cache-capacity", "0", tree=tree) as off,
        memdbd("--cache-capacity", "100", tree=tree) as on,
    ):
        for kind in KINDS:
            for size in SIZES:
                costs: dict[Server, list[float]] = {off: [], on: []}
                for server in (off, on):
                    fill(server, kind, size)
                for _ in range(rounds):
                    for server in random.sample([off, on], 2):
                        costs[server].append(get_all(server, seconds))
                rows.append([kind, size, *summary(list(zip(costs[off], costs[on], strict=True)))])
    return table(rows)


def fill(server: Server, kind: str, size: int) -> None:
    """Set all values; what is not UTF-8 in pieces, since a line of words has its limit."""
    with server.connect() as connection:
        for number in range(VALUES):
            value = value_of(kind, size, number)
            if kind != "binary":
                line = json.dumps(["set", f"key{number}", value.decode()], ensure_ascii=False)
                load.exchange(connection, line.encode() + b"\n", 1)
                continue
            load.exchange(connection, b"delete key%d\n" % number, 1)
            for at in range(0, size, 8192):
                piece = b"".join(b"\\x%02x" % byte for byte in value[at : at + 8192])
                load.exchange(connection, b'append key%d "%s"\n' % (number, piece), 1)


def get_all(server: Server, seconds: float) -> float:
    """Microseconds of the server's CPU for a get."""
    gets = [b"get key%d\n" % number for number in range(VALUES)]
    batches = load.in_batches(gets, DEPTH)
    with server.connect() as connection:
        outcome = load.run(
            server, [connection], batches, depth=DEPTH, newlines=DEPTH, seconds=seconds
        )
    return outcome.cost


def summary(costs: list[tuple[float, float]]) -> list[str]:
    """Medians of the cost without and with the cache, and of the rounds' ratios."""
    without, with_it = zip(*costs, strict=True)
    gain = median(one / two for one, two in costs)
    return [f"{median(without):.2f}", f"{median(with_it):.2f}", f"{gain:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--tree", type=Path, default=ROOT)
    options = parser.parse_args()
    sys.path.insert(0, str(options.tree))
    pin_load()
    print("The encoder alone\n")
    print(encoder_alone(options.rounds))
    print("\nOver a socket\n")
    print(over_a_socket(options.rounds, options.seconds, options.tree))


if __name__ == "__main__":
    main()
