"""Requests through the dispatcher: one reply each, in order, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from harness import House
from twisted.logger import capturedLogs, formatEvent

from memdbd.commands.context import Context
from memdbd.commands.spec import KEY, Command, Flag, Param, Request, command
from memdbd.dialects.batch import Batch
from memdbd.dialects.interface import Table
from memdbd.dialects.streams import Stream
from memdbd.dispatch import Dispatcher, Stop
from memdbd.engines.local import LocalEngine
from memdbd.errors import CommandError, ProtocolError
from memdbd.limits import Alarms, Limits
from memdbd.replies import OK, Message, Pending, Push, Replies, Reply, Status
from memdbd.session import Session

INTERNAL = "CommandError('internal error, the server's log has the details')"


def shown(reply: Reply) -> bytes:
    """An encoder that says what it was given."""
    if isinstance(reply, Stream):
        return reply  # type: ignore[return-value] # as encoders of long replies do
    if isinstance(reply, Exception):
        return f"{type(reply).__name__}('{reply}')".encode()
    return repr(reply).encode()


@command("say", Param("what"), summary="Give it back")
def say(ctx: Context, what: bytes) -> bytes:
    return what


@say.in_text()
def say_in_text(ctx: Context, what: bytes) -> str:
    return what.decode()


@command("refuse", summary="Raise what a handler may raise")
def refuse(ctx: Context) -> Reply:
    raise CommandError("not today", "tomorrow")


@command("break", summary="Raise what no handler should")
def break_(ctx: Context) -> Reply:
    raise ZeroDivisionError("by nothing")


@command("wait", summary="Reply later")
def wait(ctx: Context) -> Reply:
    return Pending()


@command("end", flags=Flag.ENDS, summary="Be the last")
def end(ctx: Context) -> Reply:
    return OK


@command("publish", Param("channel"), Param("message"), summary="Publish")
def publish(ctx: Context, channel: bytes, message: bytes) -> int:
    return ctx.channels.publish(channel, message)


@command("shout", Param("message"), summary="Publish, then fail")
def shout(ctx: Context, message: bytes) -> int:
    ctx.channels.publish(b"ch", message)
    raise CommandError("hoarse")


@command("write", KEY, Param("value"), flags=Flag.WRITE, summary="Set a key")
def write(ctx: Context, key: bytes, value: bytes) -> Reply:
    ctx.db.set(key, value)
    return OK


@command("stream", summary="Reply at length")
def stream(ctx: Context) -> Reply:
    return Stream(iter([b"a", b"b"]), 2)


class Idle:
    """One who attends and does nothing."""

    def admit(self, *request: object) -> None: ...
    def saw(self, *request: object, nested: bool) -> None: ...


TABLE: dict[bytes, Command] = {
    record.name.encode(): record
    for record in (say, refuse, break_, wait, end, publish, shout, write, stream)
}


class Shown:
    """A dialect that says what it was given."""

    messages_first = False
    met = ""
    unasked = bytearray()
    has_begun = False
    missing = 0
    usual: dict[bytes, int] | None = None

    def __init__(self, *, text: bool, encode: Callable[[Reply], bytes]) -> None:
        table = {name: record.text for name, record in TABLE.items()} if text else TABLE
        self.commands: Table = table | {name.upper(): record for name, record in table.items()}
        self.encode = encode
        self.together: Table = {}

    def encode_many(self, replies: Replies) -> bytes | None:
        return None

    def encode_each(self, replies: Replies) -> list[bytes]:
        raise NotImplementedError

    def encode_shares(self, replies: Replies, counts: Sequence[int]) -> list[bytes]:
        raise NotImplementedError

    def read(self, data: bytes) -> list[Request] | None:
        raise NotImplementedError

    def feed(self, data: bytes) -> Batch:
        raise NotImplementedError

    def be_wary(self, allowance: int | None) -> None:
        raise NotImplementedError

    def message(self, message: Message) -> bytes:
        raise NotImplementedError

    def push(self, push: Push | Status) -> bytes:
        raise NotImplementedError


class Conversation:
    """A session whose requests go straight to the dispatcher."""

    def __init__(self) -> None:
        self.now = 0.0
        self.warnings: list[str] = []
        self.limits = Limits()
        house = House()
        self.engine: LocalEngine = house.engine
        alarms = Alarms(lambda: self.now, self.warnings.append)
        self.dispatcher = Dispatcher(
            self.engine, TABLE, {}, house.server.suggestions, lambda: self.now, self.limits, alarms
        )
        self.behind: list[bytes] = []
        self.session = Session(1, house.channels, self._deliver, self._push)
        self.context = self.engine.context(self.session)
        self.output: list[bytes] = []
        self.left: list[Request] = []

    def asks(
        self,
        *requests: Request,
        text: bool = False,
        encode: Callable[[Reply], bytes] = shown,
    ) -> tuple[list[str], Stop]:
        """The replies, and why there are no more."""
        self.output = []
        batch = Batch(list(requests))
        dialect = Shown(text=text, encode=encode)
        stop, self.pending = self.dispatcher.run(
            self.context, batch, dialect, self.output, self.behind
        )
        self.left = list(batch)
        return [line.decode() for line in self.output], stop

    def _deliver(self, message: Message) -> None:
        self.behind.append(b"pushed " + message.payload)

    def _push(self, push: Push | Status) -> None:
        raise NotImplementedError


@pytest.fixture
def talk() -> Conversation:
    return Conversation()


def test_each_request_has_its_reply_in_order(talk: Conversation) -> None:
    assert talk.asks([b"say", b"a"], [b"write", b"k", b"v"], [b"say", b"b"]) == (
        ["b'a'", "Status('OK')", "b'b'"],
        Stop.EXHAUSTED,
    )
    assert talk.engine.databases[0].values == {b"k": b"v"}


def test_no_requests_have_no_replies(talk: Conversation) -> None:
    assert talk.asks() == ([], Stop.EXHAUSTED)


@pytest.mark.parametrize("name", [b"say", b"SAY", b"Say", b"sAY"])
def test_names_are_known_in_any_case(talk: Conversation, name: bytes) -> None:
    assert talk.asks([name, b"a"]) == (["b'a'"], Stop.EXHAUSTED)
    assert talk.dispatcher.tallies[say].calls == 1


def test_the_text_dialect_has_handlers_of_its_own(talk: Conversation) -> None:
    assert talk.asks([b"say", b"a"], text=True) == (["'a'"], Stop.EXHAUSTED)
    assert talk.asks([b"say", b"a"], text=False) == (["b'a'"], Stop.EXHAUSTED)


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ([b"refuse"], "CommandError('not today')"),
        ([b"say"], "CommandError('wrong number of arguments for 'say' command')"),
        ([b"say", b"a", b"b"], "CommandError('wrong number of arguments for 'say' command')"),
        ([b"gte"], "CommandError('unknown command 'gte', did you mean 'get'?')"),
        ([b""], "CommandError('unknown command '', try 'help'')"),
        (CommandError("cannot be read"), "CommandError('cannot be read')"),
    ],
)
def test_an_error_is_the_reply_in_its_place(
    talk: Conversation, request_: Request, reply: str
) -> None:
    assert talk.asks([b"say", b"a"], request_, [b"say", b"b"]) == (
        ["b'a'", reply, "b'b'"],
        Stop.EXHAUSTED,
    )


def test_a_defect_of_a_handler_is_one_error_reply_and_one_log_event(talk: Conversation) -> None:
    with capturedLogs() as events:
        replies = talk.asks([b"say", b"a"], [b"break"], [b"say", b"b"])
    assert replies == (["b'a'", INTERNAL, "b'b'"], Stop.EXHAUSTED)
    assert [event["log_failure"].type for event in events] == [ZeroDivisionError]
    assert talk.dispatcher.stats() == {"commands": 3, "errors": 0, "internal_errors": 1}


def test_a_reply_that_cannot_be_encoded_is_one_error_reply(talk: Conversation) -> None:
    def fragile(reply: Reply) -> bytes:
        if reply == b"bad":
            raise TypeError("not a reply")
        return shown(reply)

    with capturedLogs() as events:
        replies = talk.asks([b"say", b"bad"], [b"say", b"b"], encode=fragile)
    assert replies == ([INTERNAL, "b'b'"], Stop.EXHAUSTED)
    assert len(events) == 1


def test_the_log_of_a_defect_keeps_the_values_to_itself(talk: Conversation) -> None:
    def broken(reply: Reply) -> bytes:
        if isinstance(reply, Exception):
            return shown(reply)
        raise TypeError

    with capturedLogs() as events:
        talk.asks([b"write", b"k", b"a secret"], encode=broken)
    assert formatEvent(events[0]) == "a defect of memdbd: b'write' failed"
    assert "secret" not in repr(events[0])


def test_what_no_dialect_can_read_ends_the_connection(talk: Conversation) -> None:
    assert talk.asks([b"say", b"a"], ProtocolError("line is too long"), [b"say", b"b"]) == (
        ["b'a'", "ProtocolError('line is too long')"],
        Stop.BROKEN,
    )


def test_nothing_is_answered_after_a_command_that_ends(talk: Conversation) -> None:
    assert talk.asks([b"end"], [b"write", b"k", b"v"]) == (["Status('OK')"], Stop.END)
    assert talk.engine.databases[0].values == {}


def test_an_end_with_wrong_arguments_does_not_end(talk: Conversation) -> None:
    replies, stop = talk.asks([b"end", b"now"], [b"say", b"b"])
    assert (len(replies), stop) == (2, Stop.EXHAUSTED)


def test_a_pending_reply_stops_the_batch_and_leaves_the_rest(talk: Conversation) -> None:
    assert talk.asks([b"say", b"a"], [b"wait"], [b"say", b"b"]) == (["b'a'"], Stop.WAIT)
    assert isinstance(talk.pending, Pending)
    assert talk.left == [[b"say", b"b"]]


def test_a_slice_ends_after_so_many_requests(talk: Conversation) -> None:
    talk.dispatcher.SLICE_REQUESTS = 2
    batch: list[Request] = [[b"say", b"%d" % number] for number in range(5)]
    assert talk.asks(*batch) == (["b'0'", "b'1'"], Stop.SLICE)
    assert talk.left == batch[2:]


def test_errors_count_towards_a_slice(talk: Conversation) -> None:
    talk.dispatcher.SLICE_REQUESTS = 2
    assert talk.asks([b"refuse"], [b"gte"], [b"say", b"b"])[1] is Stop.SLICE
    assert talk.left == [[b"say", b"b"]]


def test_a_slice_ends_after_so_many_bytes_of_replies(talk: Conversation) -> None:
    talk.dispatcher.SLICE_OUTPUT = 1000
    batch: list[Request] = [[b"say", b"x" * 400]] * 5
    replies, stop = talk.asks(*batch)
    assert (len(replies), stop, len(talk.left)) == (3, Stop.SLICE, 2)


def test_a_slice_is_at_least_one_reply_however_long(talk: Conversation) -> None:
    replies, stop = talk.asks([b"say", b"x" * Dispatcher.SLICE_OUTPUT], [b"say", b"b"])
    assert (len(replies), stop, len(talk.left)) == (1, Stop.SLICE, 1)


def test_a_message_to_oneself_comes_behind_the_reply_that_tells_of_it(talk: Conversation) -> None:
    talk.session.subscribe(b"ch")
    assert talk.asks([b"publish", b"ch", b"1"], [b"publish", b"ch", b"2"]) == (
        ["1", "pushed 1", "1", "pushed 2"],
        Stop.EXHAUSTED,
    )
    assert talk.behind == []


def test_a_message_to_oneself_comes_behind_an_error_too(talk: Conversation) -> None:
    talk.session.subscribe(b"ch")
    assert talk.asks([b"shout", b"1"]) == (["CommandError('hoarse')", "pushed 1"], Stop.EXHAUSTED)


def test_stats_count_what_was_run_and_what_was_refused(talk: Conversation) -> None:
    talk.asks([b"say", b"a"], [b"SAY", b"b"], [b"refuse"], [b"gte"], [b"say"])
    assert talk.dispatcher.stats() == {"commands": 3, "errors": 3, "internal_errors": 0}
    calls = {record.name: tally.calls for record, tally in talk.dispatcher.tallies.items()}
    assert {name: count for name, count in calls.items() if count} == {"say": 2, "refuse": 1}
    mishaps = {name: counts for name, counts in talk.dispatcher.mishaps().items() if any(counts)}
    assert mishaps == {"say": (1, 0), "refuse": (0, 1)}


def calls(talk: Conversation) -> dict[str, int]:
    """How often each command was run."""
    return {name: calls for name, (calls, _) in talk.dispatcher.counts().items() if calls}


def test_what_is_queued_is_counted_when_it_is_run(talk: Conversation) -> None:
    context = talk.dispatcher.context(talk.session)
    talk.session.queue = []
    talk.session.settle()
    talk.asks([b"say", b"a"], [b"refuse"])
    assert calls(talk) == {}
    queue = talk.session.queue
    talk.session.end_transaction()
    for queued, argv in queue:
        with suppress(CommandError):
            context.execute(context, queued, argv)
    assert calls(talk) == {"say": 1, "refuse": 1}


@pytest.mark.parametrize("name", [b"say", b"wait", b"end", b"refuse", b"break", b"stream"])
@pytest.mark.parametrize("special", [False, True])
def test_whatever_comes_of_a_request_it_is_timed_and_counted_once(
    talk: Conversation, name: bytes, special: bool
) -> None:
    slow = list[tuple[str, float]]()
    talk.dispatcher.observer = lambda _, command, argv, took: slow.append((command.name, took))
    talk.dispatcher.observed_from = 1
    if special:
        talk.dispatcher.attendants.join(Idle())

    def seconds() -> float:
        talk.now += 1
        return talk.now

    talk.dispatcher._seconds = seconds
    with capturedLogs():
        talk.asks([name, b"x"] if name == b"say" else [name])
    assert calls(talk) == {name.decode(): 1}
    assert slow == [(name.decode(), 1)]


@pytest.mark.parametrize("line", [[b"POST", b"/", b"HTTP/1.1"], [b"Host:", b"localhost:65432"]])
def test_http_ends_the_connection_before_a_body_gives_commands(
    talk: Conversation, line: list[bytes]
) -> None:
    replies, stop = talk.asks([b"say", b"a"], line, [b"write", b"k", b"v"])
    assert replies[1:] == ["ProtocolError('this is not an HTTP server: the connection is closed')"]
    assert stop is Stop.BROKEN
    assert talk.engine.databases[0].values == {}
    assert ["web page" in warning for warning in talk.warnings] == [True]


def test_http_is_logged_once_a_minute(talk: Conversation) -> None:
    for moment in (0.0, 59.9, 60.0, 119.9, 120.0):
        talk.now = moment
        talk.asks([b"post"])
    assert len(talk.warnings) == 3


def test_a_slice_ends_when_its_time_is_over(talk: Conversation) -> None:
    def slow(reply: Reply) -> bytes:
        talk.now += Dispatcher.SLICE_SECONDS / 2
        return shown(reply)

    requests = [[b"say", b"%d" % number] for number in range(5)]
    assert talk.asks(*requests, encode=slow) == (["b'0'", "b'1'"], Stop.SLICE)
    assert talk.left == requests[2:]
