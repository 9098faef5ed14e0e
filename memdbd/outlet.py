"""What a connection hands to its transport: at once on the socket, where nothing waits there.

Theory of operation. ``write`` of a transport has the reactor ask for room first, of which there
nearly always is enough. So a piece goes straight to the socket, as long as the transport has
nothing that waits to be sent, and what is left of it to the transport; large lines go as they lie
in memory. Where the socket is not ours (TLS), all goes to the transport. What is to be sent, and
when, is for ``sending.py`` to say, which also has the lane lead to the socket.

May import: core, limits, turn.
"""

from __future__ import annotations

import typing
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol

from memdbd.core import Lane
from memdbd.limits import Alarms, Limits
from memdbd.turn import Turn

SCATTERED = 32 * 1024  # bytes from which lines are not copied together, up to so many of them
MOST_LINES = 512


class Office(typing.Protocol):
    """What sending needs of the factory that made the connection."""

    @property
    def reactor(self) -> IReactorTime: ...
    @property
    def turn(self) -> Turn: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def alarms(self) -> Alarms: ...

    # Counted by the connections.
    cut: int
    bytes_out: int


class Outlet(Protocol):
    """A connection as far as it hands bytes to its transport; the whole of it is a
    :class:`~memdbd.protocol.MemDBProtocol`."""

    factory: Office
    transport: Any  # ITransport is less than what every transport of Twisted's can do
    lane: Lane
    _socket: Any  # the transport below, which has the socket

    def _obstructed(self) -> None:
        """Something has come in the way of what is sent."""
        raise NotImplementedError

    def _scatter(self, lines: list[bytes], size: int) -> bool:
        """Send lines of so many bytes as they lie in memory; False where that cannot be. To copy
        values of 64 KiB first takes a GET from 32 us of CPU to 61."""
        transport = self.transport
        if self.lane.send is None or transport.dataBuffer or transport._tempDataBuffer:
            return False
        if len(lines) > MOST_LINES or not hasattr(transport.socket, "sendmsg"):
            return False
        try:
            sent = transport.socket.sendmsg(lines)
        except OSError:
            return False
        if sent < size:
            self._hand_over(b"".join(lines)[sent:])
        return True

    def _hand_over(self, piece: bytes) -> None:
        """Give a piece to the transport.

        ``write`` would have the reactor ask for room first, of which there nearly always is enough;
        to send at once where nothing waits to be sent takes a request at depth 1 from 22.5 to
        16.5 us of CPU.
        """
        transport, send = self.transport, self.lane.send
        # What waits there is in these two.
        if send is not None and not (transport.dataBuffer or transport._tempDataBuffer):
            try:
                sent = send(piece)
            except OSError:  # there is no room now, or the reactor will find what is the matter
                sent = 0
            if sent == len(piece):
                return
            if sent:
                piece = piece[sent:]
        self._obstructed()
        # How much may wait there is also by how much it reads at once, which is another matter.
        below = self._socket
        read_by, below.bufferSize = below.bufferSize, self._pause_from
        transport.write(piece)
        below.bufferSize = read_by

    @property
    def _pause_from(self) -> int:
        """Bytes above which what the transport has to send is too much."""
        return self.factory.limits.pause_output
