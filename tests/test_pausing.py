"""The pause of CLIENT PAUSE, where a conversation cannot show it; see commands/test_clients.py."""

from __future__ import annotations

from itertools import count

from twisted.internet.task import Clock

from memdbd.audience import Audience
from memdbd.pausing import Pause


def test_it_may_be_over_at_once_however_the_time_goes_on_meanwhile() -> None:
    reactor, attendants = Clock(), Audience[Pause]()
    time = count()  # each look at it is a millisecond later
    pause = Pause(lambda: next(time), reactor.callLater, attendants)
    pause.begin(0, only_writes=False)
    assert pause.is_on
    reactor.advance(0)
    assert not pause.is_on
    assert attendants.members == ()
