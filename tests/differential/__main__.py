"""The long run: ``PYTHONPATH=.:tests python -m differential --commands 200000``."""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
from collections.abc import Callable

from differential.campaign import Campaign, Report
from differential.coverage import Coverage, documented
from differential.grammar import GROUPS
from differential.players import Player
from differential.servers import Target, memdbd, redis_server

PROGRESS_EVERY = 10_000  # commands


def main() -> int:
    """Run a campaign; gives 1 if it found a difference."""
    options = _options()
    names = options.groups.split(",") if options.groups else list(GROUPS)
    versions = (2, 3) if options.resp == "both" else (int(options.resp),)
    seed = options.seed if options.seed is not None else random.randrange(2**32)
    with contextlib.ExitStack() as stack:
        redis = options.redis or stack.enter_context(redis_server())
        other = options.memdbd or stack.enter_context(
            redis_server("redis again", tcp=True) if options.redis_twice else memdbd()
        )
        coverage = Coverage(documented(Player(redis))) if options.coverage else None
        campaign = Campaign(redis, other, coverage.witness if coverage else None)
        stack.callback(campaign.close)
        print(f"seed {seed}: {options.commands} commands to {redis.name} and {other.name}")
        report = campaign.run(
            [GROUPS[name] for name in names],
            versions,
            options.commands,
            seed,
            _teller(),
            options.most,
        )
    for name, count in report.commands.items():
        print(f"{name:16} {count:8} commands")
    for reason, times in report.deliberate.most_common():
        print(f"{times:8} times deliberate: {reason}")
    if coverage is not None:
        print("\n".join(coverage.lines()))
    print(
        f"{report.total} commands in {report.seconds:.1f} s, {len(report.findings)} differences, "
        f"{report.deliberate.total()} deliberate ones; seed {seed}"
    )
    return 1 if report.findings else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m differential", description=__doc__)
    parser.add_argument("--commands", type=int, default=200_000, help="how many to send")
    parser.add_argument("--seed", type=int, help="which sequences; one that is drawn, if not given")
    parser.add_argument("--groups", help=f"some of {','.join(GROUPS)}; all, if not given")
    parser.add_argument("--resp", choices=("2", "3", "both"), default="both")
    parser.add_argument("--most", type=int, default=50, help="differences after which to stop")
    parser.add_argument("--coverage", action="store_true", help="what has been reached, at the end")
    where = "HOST:PORT, or a socket's path, of one that runs; FLUSHALL is what it gets first"
    parser.add_argument("--redis", type=lambda text: Target.parse("redis", text), help=where)
    parser.add_argument("--memdbd", type=lambda text: Target.parse("memdbd", text), help=where)
    parser.add_argument(
        "--redis-twice", action="store_true", help="two redis-servers: the machine tests itself"
    )
    return parser.parse_args()


def _teller() -> Callable[[Report], None]:
    """Tells what is found when it is, and from time to time how far the campaign is."""
    told, shown = 0, 0

    def tell(report: Report) -> None:
        nonlocal told, shown
        for finding in report.findings[told:]:
            print(f"\n{finding}\n", flush=True)
        told = len(report.findings)
        if report.total // PROGRESS_EVERY > shown:
            shown = report.total // PROGRESS_EVERY
            print(f"{report.total} commands, {report.total / report.seconds:.0f}/s", flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())
