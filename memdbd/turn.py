"""The end of a reactor turn, where everything that the turn did is made good at once.

Replies and messages are not sent as they arise but collected, each connection its own, until the
reactor has read from all sockets that were ready. Then one commit comes first, the journal's, and
each connection sends once. A commit may take a while, for the disk: what was collected is sealed
then, and what is collected meanwhile waits for the next one, since it may tell of what this turn
has changed. May import: core, errors, Twisted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from memdbd import core
from memdbd.core import Lane
from memdbd.errors import CommandError


class Connection(Protocol):
    """What takes part in a turn."""

    def flush(self) -> None:
        """Send what has been collected: it is committed."""

    def seal(self) -> None:
        """A commit has begun that covers what has been collected."""

    def release(self) -> None:
        """It is done: send what was sealed."""

    def withdraw(self, error: CommandError) -> None:
        """It has failed: what has been collected is not true. Tell the peer so, and end."""

    def take_rest(self, rest: bytes) -> None:
        """Send the rest of a line that is committed, and was too much for its lane."""

    def collect(self, line: bytes) -> None:
        """Collect a line after all, as nothing is committed yet."""

    def go_on(self) -> None:
        """Answer the next slice of requests that were left over."""

    def fail(self) -> None:
        """Something raised: end the connection."""


# Makes good what has been changed: True if that is done. If not, it will call ``committed`` or
# ``not_committed`` of the turn. Raises CommandError where it cannot be done.
Commit = Callable[[], bool]


class Mail(Protocol):
    """What is collected for many at once."""

    def spread(self, *, unless_little: bool = False) -> None:
        """Have each collect its own; unless it is little, and sent in a moment."""

    def send(self) -> None:
        """It is committed: send each its own."""


class _NoMail:
    def spread(self, *, unless_little: bool = False) -> None:
        """There is nothing."""

    def send(self) -> None:
        """There is nothing."""


class Turn:
    """Collects the connections that want something at the end of this turn of ``reactor``.

    ``seconds`` tells the time by which a turn is late. ``commit`` is called at the end of each turn
    unless one is under way. ``sent`` is how many bytes of answers have left by lanes.
    """

    # All connections' share of one turn. Without it each would have its slice in every turn, and
    # a hundred that send slow commands would keep all others waiting for a hundred slices.
    BUDGET = 0.010  # seconds

    # Bytes of requests that all of them may send while the disk is at work: what they do is kept
    # in memory until it is done, which may take as long as a disk can hang.
    CHOKED = 16 * 1024 * 1024

    _log = Logger()

    def __init__(self, reactor: IReactorTime, seconds: Callable[[], float]) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self.commit: Commit = lambda: True
        self.mail: Mail = _NoMail()
        self.gathered: Callable[[], object] = lambda: None  # runs what was left to the turn's end
        self.gathers = False  # requests may be left to it
        self.began: float | None = None  # this turn, by the reactor, where somebody has said so
        self._late_from: float | None = None  # set when the turn begins
        self._scheduled = False  # there will be an end of this turn
        self._is_due = False  # the reactor has been asked for one
        self.is_held = False  # a commit is under way, until which nothing is sent
        self._taken_in = 0
        # Dicts, for a connection may say so several times in a turn, and gets one flush and one
        # slice all the same.
        self._owing: dict[Connection, None] = {}
        # A line each, of connections for which nothing else is collected, as most have one.
        self._answers: list[tuple[list[Lane], list[bytes]]] = []
        self.sent = 0
        self._sealed: dict[Connection, None] = {}  # covered by the commit that is under way
        self._unfinished: dict[Connection, None] = {}

    def is_late(self) -> bool:
        """Whether this turn has had its time, and new requests should wait for the next."""
        if self._taken_in >= self.CHOKED:  # is_choked, without a call for each read of a socket
            return True
        now = self._seconds()
        if self._late_from is None:
            self._late_from = now + self.BUDGET
            self.schedule()
        return now >= self._late_from

    def owe(self, connection: Connection) -> None:
        """Let ``connection`` send at the end of this turn."""
        self._owing[connection] = None
        self.schedule()

    def answer(self, lanes: list[Lane], lines: list[bytes]) -> None:
        """Send a line by each lane at the end of this turn, in front of whatever is collected for
        its connection by then; by whoever ends the turn himself."""
        self._answers.append((lanes, lines))

    def unfinished(self, connection: Connection) -> None:
        """Let ``connection`` go on behind this turn."""
        self._unfinished[connection] = None
        self.schedule()

    def schedule(self) -> None:
        """Have an end of this turn, even if nobody is owed anything."""
        if not self._scheduled:
            self._scheduled = True
            if not self._is_due:
                self._is_due = True
                # What is due at once runs after the reads of this turn, before the next poll.
                self._reactor.callLater(0, self._come_due)

    def _come_due(self) -> None:
        # Of these there is one at a time, also where others have ended turns meanwhile: each has
        # its slices run, and asks for the next.
        self._is_due = False
        self.end()

    def begin(self) -> None:
        """Whoever calls this reads from sockets, and calls ``end`` behind them; what is read may
        wait for that, where it :attr:`gathers`."""
        self.gathers = not self.is_held
        self.began = self._reactor.seconds()
        self._scheduled = True

    def end(self) -> None:
        """End the turn now; the reactor calls it when all that was ready has been read."""
        try:
            if self.gathers:
                self.gathers = False
                self.gathered()
            self._scheduled = False
            if not self.is_held:
                self._commit()
        finally:
            self._scheduled = False
            self.began = self._late_from = None
            if self._unfinished:
                self._go_on()

    # The commit

    def took(self, size: int) -> None:
        """So many bytes of requests came in while a commit is under way."""
        self._taken_in += size

    @property
    def is_choked(self) -> bool:
        """Whether no more is to be done before that commit is."""
        return self._taken_in >= self.CHOKED

    def committed(self) -> None:
        """The commit that was under way is done. One for what came meanwhile follows at once."""
        self._over()
        sealed, self._sealed = self._sealed, {}
        self._each(sealed, lambda connection: connection.release())
        self._commit()

    def not_committed(self, error: CommandError) -> None:
        """The commit that was under way has failed, and with it all that came since."""
        self._over()
        told = self._sealed | self._collected()
        self._sealed = {}
        self._each(told, lambda connection: connection.withdraw(error))

    def _over(self) -> None:
        self.is_held = False
        self._taken_in = 0
        if self._unfinished:
            self.schedule()

    def _commit(self) -> None:
        try:
            done = self.commit()
        except CommandError as error:
            told = error.bare()
            self._each(self._collected(), lambda connection: connection.withdraw(told))
            return
        except Exception:
            for connection in self._collected():
                self._failed(connection)
            return
        if done:
            self.mail.spread(unless_little=True)
            if self._answers:
                self._send_answers()
            owing, self._owing = self._owing, {}
            for connection in owing:
                try:
                    connection.flush()
                except Exception:
                    self._failed(connection)
            # Behind the replies: who publishes can do so again while many are sent to.
            self.mail.send()
        else:
            self.is_held = True
            self._sealed = self._collected()
            self._each(self._sealed, lambda connection: connection.seal())

    def _send_answers(self) -> None:
        answers, self._answers = self._answers, []
        for lanes, lines in answers:
            self.sent += sum(map(len, lines))
            for lane, rest in core.send_each(lanes, lines):
                self.sent -= len(rest)  # it is counted by its connection
                try:
                    lane.connection.take_rest(rest)
                except Exception:
                    self._failed(lane.connection)

    def _collected(self) -> dict[Connection, None]:
        """Those for whom something is collected, what is for many included."""
        answers, self._answers = self._answers, []
        for lanes, lines in answers:
            for lane, line in zip(lanes, lines, strict=True):
                lane.connection.collect(line)
        self.mail.spread()
        owing, self._owing = self._owing, {}
        return owing

    def _each(self, connections: Iterable[Connection], act: Callable[[Connection], object]) -> None:
        for connection in connections:
            try:
                act(connection)
            except Exception:
                self._failed(connection)

    def _go_on(self) -> None:
        if self.is_choked:
            return
        unfinished, self._unfinished = self._unfinished, {}
        end = self._seconds() + self.BUDGET if unfinished else 0.0
        while unfinished and self._seconds() < end:
            connection = next(iter(unfinished))
            del unfinished[connection]
            try:
                connection.go_on()
            except Exception:
                self._failed(connection)
        # Who had no turn comes first in the next.
        self._unfinished = unfinished | self._unfinished
        if self._unfinished:
            self.schedule()

    def _failed(self, connection: Connection) -> None:
        # One connection's failure must not keep the others' replies.
        self._log.failure("a defect of memdbd: a connection is ended")
        connection.fail()
