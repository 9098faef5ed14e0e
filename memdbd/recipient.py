"""The part of a connection that is about messages: what it gets that it has not asked for.

Theory of operation. A message that is delivered while a request is answered goes in front of the
reply or behind it, as the dialect wants it; one that comes while a long reply is sent goes behind
it. Messages for many are collected elsewhere (``fanout.py``) and taken at the end of a turn. If
that has been committed, they leave at once where nothing is in the way, by the session's lane.
Whatever comes in its way closes the lane, and it is opened again when, at some later message or
request, nothing is.

What waits for a peer that does not read is counted, and bounded: see ``sending.py``.

May import: fanout, sending and what is above.
"""

from __future__ import annotations

from twisted.logger import Logger

from memdbd.fanout import Run
from memdbd.replies import Message, Push, Status
from memdbd.sending import LINGER, Sender, exceeds


class Recipient(Sender):
    """A connection as far as it gets messages; the whole of it is a
    :class:`~memdbd.protocol.MemDBProtocol`."""

    _log = Logger()

    def deliver(self, message: Message) -> None:
        """Push a message that was published just now, maybe by a request of its own."""
        if self._ending:
            return
        line = self._dialect.message(message)
        if self._dialect.messages_first and self._answering:
            self._outbox.lines.append(line)  # in front of the reply, with which it is counted
        else:
            self._deliver(line)

    def take(self, run: Run, at_once: bool) -> None:
        """Push what others have published in this turn; ``at_once`` if that is committed."""
        if self._ending:
            return
        try:
            line = run.line(self.session.resp, self._dialect.message)
            if self._answering:
                self._outbox.lines.append(line)  # in front of whatever is not answered yet
            elif at_once and self._opens_lane():
                self.factory.bytes_out += len(line)
                self._hand_over(line)
            else:
                self._deliver(line)
                if at_once:
                    self.flush()
        except Exception:
            # One connection's failure must not keep the messages of the others.
            self._log.failure("a defect of memdbd: a connection is ended")
            self.fail()

    def take_rest(self, rest: bytes) -> None:
        try:
            super().take_rest(rest)
        except Exception:
            # Nor the rest of a message that is on its way to others.
            self._log.failure("a defect of memdbd: a connection is ended")
            self.fail()

    def push(self, push: Push | Status) -> None:
        """Push something else that was not asked for."""
        if not self._ending:
            self._deliver(self._dialect.push(push))

    def end(self, *, drain: bool = False, grace: float = LINGER) -> None:
        if not self._ending:
            self.session.catch_up()
        super().end(drain=drain, grace=grace)

    def _deliver(self, line: bytes) -> None:
        if self._answering:
            self._own.append(line)
            return
        self.lane.idle = False  # until that is sent
        if self._stream is None:
            self._put(line)
        else:
            self._own.append(line)
            self._held += len(line)
        # One that reads gets all of this at the end of the turn.
        if self._full:
            if exceeds(self.unsent, self.factory.limits.subscriber_buffer):
                self._cut("subscriber_buffer")
            else:
                self._mind()

    def _opens_lane(self) -> bool:
        """Open the lane, if nothing is in the way of what may leave at once; gives whether it is
        clear. What was collected before it is sent by then, unless the peer does not read."""
        if self.lane.is_clear:
            return True
        if self.lane.send is None or self._full or self._ending or self._stream is not None:
            return False
        transport = self.transport
        if transport.dataBuffer or transport._tempDataBuffer:
            return False
        self.session.open_lane(self.lane)
        return True

    def _obstructed(self) -> None:
        self.session.close_lane()
