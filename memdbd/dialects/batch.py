"""What one read of a socket has brought: requests in their order, and how far they are answered.

May import: core, commands.spec.
"""

from __future__ import annotations

from collections.abc import Iterator

from memdbd import core
from memdbd.commands.spec import Request

NO_MORE: Iterator[list[Request]] = iter(())


class Batch:
    """``requests`` are those at hand, of which the first ``at`` have been answered; ``more`` makes
    those behind them as they are asked for, some at a time.

    Iterating gives those that are left, one by one, and leaves what is not taken.
    """

    __slots__ = ("at", "more", "requests")

    def __init__(self, requests: list[Request], more: Iterator[list[Request]] = NO_MORE) -> None:
        self.requests = requests
        self.at = 0
        self.more = more

    def goes_on(self) -> bool:
        """Have more requests at hand, where all of those are answered; False: there are none."""
        for requests in self.more:
            if requests:
                self.requests, self.at = requests, 0
                return True
        return False

    def run(self, most: int) -> list[list[bytes]]:
        """The next requests that name the same command in the same letters, and have as many words,
        up to ``most``; none where the next one is an error."""
        at = self.at
        end = at + core.alike(self.requests, at, most)
        if at == 0 and end == len(self.requests):
            return self.requests  # type: ignore[return-value] # with no errors
        return self.requests[at:end]  # type: ignore[return-value]

    def __iter__(self) -> Iterator[Request]:
        while self.at < len(self.requests) or self.goes_on():
            self.at += 1
            yield self.requests[self.at - 1]


def one_by_one(requests: Iterator[Request]) -> Batch:
    """A batch of requests that are not made before they are asked for."""
    return Batch([], ([request] for request in requests))
