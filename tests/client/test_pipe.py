"""Lines from a pipe: what is sent when, what is printed, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from memdbd.client.pipe import WINDOW, WINDOW_BYTES, Pipe
from memdbd.client.protocol import Client

OK = b'{"result": "OK"}'


class Stdio(StringTransport):
    """Standard input and output."""

    def loseConnection(self) -> None:
        assert self.producer is None  # Twisted would wait for it for ever
        super().loseConnection()


class Pipeline:
    """``memdb`` between someone's output, a server, and someone's input."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.client = Client(self.clock)
        self.server = StringTransport()
        self.client.makeConnection(self.server)
        self.stdio = Stdio()
        self.done: list[int] = []
        self.complaints: list[str] = []
        self.pipe = Pipe(
            self.clock,
            self.client,
            done=self.done.append,
            complain=self.complaints.append,
            timeout=30,
        )
        self.pipe.makeConnection(self.stdio)

    def gives(self, data: bytes) -> None:
        self.pipe.dataReceived(data)

    def ends(self) -> None:
        self.pipe.readConnectionLost()

    def says(self, *lines: bytes) -> None:
        self.client.dataReceived(b"".join(line + b"\n" for line in lines))

    def sent(self) -> bytes:
        sent: bytes = self.server.value()
        self.server.clear()
        return sent

    def printed(self) -> bytes:
        printed: bytes = self.stdio.value()
        self.stdio.clear()
        return printed

    def written(self, reason: Exception | None = None) -> None:
        """Standard output has taken all, or was lost with a reason."""
        self.pipe.connectionLost(Failure(reason or ConnectionDone()))


@pytest.fixture
def line() -> Pipeline:
    return Pipeline()


def test_lines_are_sent_as_they_come_and_replies_printed_as_they_come(line: Pipeline) -> None:
    line.gives(b"set a 1\nget a\nge")
    assert line.sent() == b"set a 1\nget a\n"
    line.gives(b"t b\n")
    assert line.sent() == b"get b\n"
    line.says(OK, b'{"result": "1", "ttl_remaining": null}')
    assert line.printed() == OK + b'\n{"result": "1", "ttl_remaining": null}\n'


def test_the_end_of_input_waits_for_the_last_reply(line: Pipeline) -> None:
    line.gives(b"set a 1\nget a")
    line.ends()
    assert line.sent() == b"set a 1\nget a\n"
    line.says(OK)
    assert not line.stdio.disconnecting
    line.says(OK)
    assert line.printed() == OK + b"\n" + OK + b"\n"
    assert line.stdio.disconnecting
    assert line.done == []
    line.written()
    assert line.done == [0]
    assert line.complaints == []


def test_blank_lines_are_skipped(line: Pipeline) -> None:
    line.gives(b"\n  \r\n\t\nping\r\n\n")
    assert line.sent() == b"ping\n"
    line.says(OK)
    line.ends()
    line.written()
    assert line.done == [0]


def test_one_error_reply_among_many_is_the_exit_status(line: Pipeline) -> None:
    line.gives(b"gte a\nping\n")
    line.ends()
    line.says(b'{"error": "no"}', OK)
    line.written()
    assert line.printed() == b'{"error": "no"}\n' + OK + b"\n"
    assert line.done == [1]


def test_nothing_is_run_after_quit(line: Pipeline) -> None:
    line.gives(b"ping\nquit\nset a 1\n")
    line.gives(b"set b 1\n")
    assert line.sent() == b"ping\nquit\n"
    line.says(OK, OK)
    line.client.connectionLost(Failure(ConnectionDone()))
    line.written()
    assert (line.done, line.complaints) == ([0], [])


def test_so_many_requests_are_under_way_and_no_more_are_read(line: Pipeline) -> None:
    line.gives(b"ping\n" * (WINDOW + 10))
    assert line.sent() == b"ping\n" * WINDOW
    assert line.stdio.producerState == "paused"
    line.says(*[OK] * 9)
    assert line.sent() == b"ping\n" * 9
    assert line.stdio.producerState == "paused"
    line.says(OK)
    assert line.sent() == b"ping\n"
    assert line.stdio.producerState == "producing"


def test_so_many_bytes_are_under_way_and_no_more_are_read(line: Pipeline) -> None:
    long = b"set a " + b"x" * (WINDOW_BYTES // 2) + b"\n"
    line.gives(long * 5)
    assert line.sent() == long * 2
    line.says(OK, OK)
    assert line.sent() == long * 2


def test_a_slow_reader_holds_back_the_server_and_the_input(line: Pipeline) -> None:
    line.gives(b"ping\n")
    line.pipe.pauseProducing()
    assert (line.server.producerState, line.stdio.producerState) == ("paused", "paused")
    line.gives(b"ping\n")  # was read already
    assert line.sent() == b"ping\n"
    line.clock.advance(100)  # whose fault that the reply is not read?
    line.pipe.resumeProducing()
    assert line.sent() == b"ping\n"
    assert (line.server.producerState, line.stdio.producerState) == ("producing", "producing")
    assert line.done == []


def test_messages_are_printed_as_they_come(line: Pipeline) -> None:
    line.gives(b"subscribe c\nping\n")
    message = b'{"channel": "c", "message": "m"}'
    line.says(OK, message, OK)
    assert line.printed() == b"\n".join([OK, message, OK, b""])


def test_so_are_pushes(line: Pipeline) -> None:
    line.gives(b"monitor\nping\n")
    push = b'{"push": "1.5 [0 127.0.0.1:1] ping"}'
    line.says(OK, push, OK)
    assert line.printed() == b"\n".join([OK, push, OK, b""])


def test_a_shutdown_is_a_command_as_any_other(line: Pipeline) -> None:
    line.gives(b"shutdown nosave\nshutdown\n")
    line.ends()
    assert line.sent() == b"shutdown nosave\nshutdown\n"
    line.says(b'{"error": "no"}', OK)
    line.client.connectionLost(Failure(ConnectionDone()))
    line.written()
    assert (line.done, line.complaints) == ([1], [])


def test_a_lost_connection_ends_it_with_a_complaint(line: Pipeline) -> None:
    line.gives(b"ping\nping\n")
    line.says(OK)
    line.client.connectionLost(Failure(ConnectionLost("reset")))
    line.written()
    assert line.done == [2]
    assert line.printed() == OK + b"\n"
    assert len(line.complaints) == 1
    assert "reset" in line.complaints[0]


def test_so_does_one_that_is_lost_while_nothing_is_asked(line: Pipeline) -> None:
    line.client.connectionLost(Failure(ConnectionDone()))
    line.written()
    assert (line.done, line.complaints) == ([2], ["Connection lost: closed by the server"])


def test_a_server_that_falls_silent_is_given_up(line: Pipeline) -> None:
    line.gives(b"ping\nping\n")
    line.clock.advance(29)
    line.says(OK)
    line.clock.advance(29)
    assert not line.stdio.disconnecting
    line.clock.advance(1)
    line.written()
    assert (line.done, line.complaints) == ([2], ["No reply within 30 s"])


def test_one_that_is_silent_from_the_start_too(line: Pipeline) -> None:
    line.gives(b"ping\n")
    line.clock.advance(29)
    line.gives(b"ping\n")
    line.clock.advance(1)
    line.written()
    assert (line.done, line.complaints) == ([2], ["No reply within 30 s"])


def test_a_command_that_waits_itself_is_waited_for(line: Pipeline) -> None:
    line.gives(b"ping\nblpop q 0\nping\n")
    line.clock.advance(29)
    line.says(OK)
    line.clock.advance(1000)
    assert not line.stdio.disconnecting
    line.says(b'{"result": ["q", "a"]}')
    line.clock.advance(30)
    line.written()
    assert (line.done, line.complaints) == ([2], ["No reply within 30 s"])


def test_an_idle_input_is_waited_for(line: Pipeline) -> None:
    line.gives(b"ping\n")
    line.says(OK)
    line.clock.advance(1000)
    assert not line.stdio.disconnecting


@pytest.mark.parametrize("how", ["reader gone", "disk full at the end"])
def test_output_that_cannot_be_written_is_an_exit_status_of_its_own(
    line: Pipeline, how: str
) -> None:
    line.gives(b"ping\n")
    if how == "reader gone":
        line.pipe.writeConnectionLost()
    else:
        line.ends()
        line.says(OK)
        line.written(ConnectionLost())
    assert (line.done, line.complaints) == ([74], [])


def test_a_line_without_end_is_refused(line: Pipeline, monkeypatch: Any) -> None:
    monkeypatch.setattr(line.pipe._splitter, "_max_length", 10)
    line.gives(b"x" * 11)
    line.written()
    assert line.done == [1]
    assert line.complaints == ["Cannot run standard input: a line is longer than 10 bytes"]
