"""What one read of a socket has brought: requests in their order, and how far they are answered.

May import: commands.spec.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from memdbd.commands.spec import Request

_NAME = itemgetter(0)

NO_MORE: Iterator[list[Request]] = iter(())


class Batch:
    """``requests`` are those at hand, of which the first ``at`` have been answered; ``more`` makes
    those behind them as they are asked for, some at a time.

    Iterating gives those that are left, one by one, and leaves what is not taken.
    """

    __slots__ = ("_names", "at", "more", "requests")

    def __init__(self, requests: list[Request], more: Iterator[list[Request]] = NO_MORE) -> None:
        self.requests = requests
        self.at = 0
        self.more = more
        self._names: list[bytes | None] | None = None  # of the requests at hand, if need be

    def goes_on(self) -> bool:
        """Have more requests at hand, where all of those are answered; False: there are none."""
        for requests in self.more:
            if requests:
                self.requests, self.at = requests, 0
                self._names = None
                return True
        return False

    def run(self, most: int) -> list[list[bytes]]:
        """The next requests that name the same command in the same letters, up to ``most``; none
        where the next one is an error."""
        at, names = self.at, self._names
        if names is None:
            names = self._names = _names(self.requests)
        name = names[at]
        if name is None:
            return []
        if at == 0 and names.count(name) == len(names):
            end = len(names)
        else:
            end = at + 1
            while end < len(names) and names[end] == name:
                end += 1
        return self.requests[at : min(end, at + most)]  # type: ignore[return-value] # no errors

    def __iter__(self) -> Iterator[Request]:
        while self.at < len(self.requests) or self.goes_on():
            self.at += 1
            yield self.requests[self.at - 1]


def _names(requests: list[Request]) -> list[bytes | None]:
    try:
        return list(map(_NAME, requests))  # type: ignore[arg-type] # an error has no words
    except TypeError:
        return [each[0] if isinstance(each, list) else None for each in requests]


def one_by_one(requests: Iterator[Request]) -> Batch:
    """A batch of requests that are not made before they are asked for."""
    return Batch([], ([request] for request in requests))
