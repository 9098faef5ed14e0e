"""The ``memdb`` command: its options, the choice among its three modes, its exit status.

Words after the options are one command (:mod:`~memdbd.client.oneshot`); without, a terminal gets
a prompt (:mod:`~memdbd.client.interactive`) and anything else is read line by line
(:mod:`~memdbd.client.pipe`). The only module of the client that imports the reactor, and only
when it is run. May import: all of the client, Twisted.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, ClassVar, NoReturn

from twisted.internet.defer import ensureDeferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.stdio import StandardIO
from twisted.python import usage
from twisted.python.failure import Failure

from memdbd import __version__
from memdbd.client import exits
from memdbd.client.interactive import Conversation
from memdbd.client.link import Link, why
from memdbd.client.oneshot import run_words
from memdbd.client.pipe import Pipe
from memdbd.client.protocol import DEFAULT_ENDPOINT, Client, connect
from memdbd.client.terminal import Terminal, key_mode

MANUAL = """
Without a command: on a terminal a prompt, with line editing and history; otherwise each line of
standard input is run as a command, and each reply printed as a line of JSON, in order.

  memdb                          a prompt
  memdb get username             one command; the words are sent exactly as they are
  memdb subscribe notifications  prints messages until Ctrl-C
  memdb < commands.txt           many commands; ends after the last reply, or at exit or quit

At the prompt and in lines, words are separated by blanks; "..." (with \\n \\r \\t \\" \\\\ \\xHH)
and '...' keep blanks in a word. In set, set_with_ttl and publish, text without quotes may have
blanks.
A line may also be a JSON array of strings: ["set", "key", "two\\nlines"].

At the prompt: help lists the commands; exit, quit, Ctrl-D, and Ctrl-C at an empty line leave;
Ctrl-C at any other line clears it, and while a reply is awaited stops waiting. A lost connection
is retried, and its subscriptions are made again.

One command prints its reply as at the prompt if standard output is a terminal, otherwise as JSON.
In JSON, data that is not UTF-8 is base64 and a field "encoding" says so.

ENDPOINT is a Twisted client endpoint, such as tcp:127.0.0.1:65432, unix:/run/memdbd.sock or
tls:db.example:65433.

Exit status:
    0  done; also when you leave the prompt, or end memdb subscribe with Ctrl-C
    1  the server answered with an error (standard input: to any of the lines)
    2  no connection, a connection lost, or no reply in time
   64  the command line is wrong
   74  standard output was closed, or could not be written
  128+ ended by a signal, such as 130 for Ctrl-C
"""


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise ValueError(f"--timeout is a number of seconds, 0 for no limit, not {text!r}")


_seconds.coerceDoc = ""  # type: ignore[attr-defined]  # usage.Options prints it behind the text


class Options(usage.Options):
    """The command line: options first, then the words of a command, which may start with ``-``."""

    longdesc = ""
    synopsis = "Usage: memdb [options] [command [argument ...]]"
    optParameters: ClassVar[list[list[Any]]] = [
        ["connect", "c", DEFAULT_ENDPOINT, "Where the daemon is: ENDPOINT, see below."],
        [
            "timeout", "t", 30.0,
            "Seconds to wait for a connection and for a reply, 0 for no limit.", _seconds,
        ],
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.words: list[bytes] = []

    def parseArgs(self, *words: str) -> None:
        # Python made text of the bytes in argv, with surrogates where they are not UTF-8.
        self.words = [os.fsencode(word) for word in words]

    def opt_version(self) -> NoReturn:
        """Show the version of memdb and exit."""
        print(f"memdb {__version__}")
        raise SystemExit(exits.OK)

    def getUsage(self, width: int | None = None) -> str:
        return super().getUsage(width) + MANUAL


class Run:
    """One run of the reactor, and the exit status that it ends with: the first to be given."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.status: int | None = None
        # What a signal does, beyond ending with a status of its own.
        self.on_signal: Callable[[int], object] = self.finish

    def finish(self, status: int) -> None:
        """End the run. May be called more than once."""
        if self.status is None:
            self.status = status
            self._reactor.callWhenRunning(self._stop)

    def take_signals(self) -> None:
        """Have signals end the run orderly: the terminal is restored, the status tells."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):  # Windows has no SIGHUP
                signal.signal(getattr(signal, name), self._signalled)

    def show(self, line: bytes) -> None:
        """Print a line, at once. Without a reader, or room, the run ends."""
        try:
            with open(1, "wb", closefd=False) as stdout:
                stdout.write(line + b"\n")
        except OSError:
            self.finish(exits.OUTPUT)

    def failed(self, failure: Failure) -> None:
        """End the run for a mistake of ours, with its traceback."""
        complain(failure.getTraceback())
        self.finish(exits.INTERNAL)

    def _signalled(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self.on_signal, exits.SIGNAL + number)

    def _stop(self) -> None:
        with suppress(ReactorNotRunning):  # stopped already
            self._reactor.stop()


def complain(sentence: str) -> None:
    """Print to standard error."""
    with suppress(OSError, AttributeError):  # closed: nobody wants to know
        sys.stderr.write(sentence.rstrip("\n") + "\n")
        sys.stderr.flush()


def main(argv: list[str] | None = None) -> NoReturn:
    """Run ``memdb`` with the words after its name, and exit."""
    _occupy_standard_descriptors()
    options = Options()
    try:
        options.parseOptions(argv)
    except usage.UsageError as problem:
        _usage(str(problem))
    from twisted.internet import reactor

    try:
        endpoint = clientFromString(reactor, options["connect"])
    except Exception as problem:  # each kind of endpoint raises what it likes
        reason = str(problem) or type(problem).__name__
        _usage(
            f"--connect {options['connect']}: this is no endpoint ({reason}); right would be, for"
            " example, tcp:127.0.0.1:65432 or unix:/run/memdbd.sock"
        )
    run = Run(reactor)
    with ExitStack() as restore:
        restore.enter_context(_blocking_restored())
        _start(reactor, run, options, endpoint, restore)
        reactor.callWhenRunning(run.take_signals)
        reactor.run()
    # Without a status, a Ctrl-C came so early that Twisted's own handler took it.
    raise SystemExit(exits.SIGNAL + signal.SIGINT if run.status is None else run.status)


def _start(
    reactor: Any, run: Run, options: Options, endpoint: IStreamClientEndpoint, restore: ExitStack
) -> None:
    """Set up the mode that the options and the terminal ask for."""
    name: str = options["connect"]
    timeout: float | None = options["timeout"] or None
    if options.words:
        if options.words[0].lower() == b"subscribe":
            # Ctrl-C is how it is meant to end.
            run.on_signal = lambda status: run.finish(
                exits.OK if status == exits.SIGNAL + signal.SIGINT else status
            )
        running = ensureDeferred(
            run_words(
                reactor,
                endpoint,
                name,
                options.words,
                for_people=os.isatty(1),
                show=run.show,
                complain=complain,
                timeout=timeout,
            )
        )
        running.addCallback(run.finish).addErrback(run.failed)
    elif _can_prompt():
        _converse(reactor, run, endpoint, name, timeout, restore)
    else:
        _run_lines(reactor, run, endpoint, name, timeout)


def _converse(
    reactor: Any,
    run: Run,
    endpoint: IStreamClientEndpoint,
    name: str,
    timeout: float | None,
    restore: ExitStack,
) -> None:
    terminal = Terminal(_columns, restore.enter_context(key_mode(0)))
    talk = Conversation(reactor, terminal, done=run.finish, timeout=timeout)
    run.on_signal = talk.leave
    link = Link(
        reactor, endpoint, name, tell=talk.tell, on_message=talk.show_message, timeout=timeout
    )
    StandardIO(terminal, reactor=reactor)
    talk.start(link)


def _run_lines(
    reactor: Any, run: Run, endpoint: IStreamClientEndpoint, name: str, timeout: float | None
) -> None:
    def connected(client: Client) -> None:
        pipe = Pipe(reactor, client, done=run.finish, complain=complain, timeout=timeout)
        StandardIO(pipe, reactor=reactor)

    def failed(failure: Failure) -> None:
        complain(f"Connecting to {name} failed: {why(failure.value)}")
        run.finish(exits.NO_CONNECTION)

    connecting = connect(reactor, endpoint, timeout=timeout)
    connecting.addCallbacks(connected, failed).addErrback(run.failed)


def _can_prompt() -> bool:
    """Whether both ends are a terminal whose cursor can be moved."""
    try:
        import termios  # noqa: F401
    except ImportError:  # Windows
        return False
    return os.isatty(0) and os.isatty(1) and os.environ.get("TERM", "dumb") != "dumb"


def _columns() -> int:
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def _occupy_standard_descriptors() -> None:
    """Keep a closed standard stream's number from becoming that of a socket of ours.

    Read-only, so that standard input is empty and writing fails as it would have.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)


@contextmanager
def _blocking_restored() -> Iterator[None]:
    """Give standard input and output back as they were: Twisted makes them non-blocking, and
    whoever started us may go on using them."""
    before: dict[int, bool] = {}
    for fd in (0, 1, 2):
        with suppress(OSError):
            before[fd] = os.get_blocking(fd)
    try:
        yield
    finally:
        for fd, blocking in before.items():
            with suppress(OSError):
                os.set_blocking(fd, blocking)


def _usage(problem: str) -> NoReturn:
    complain(f"memdb: {problem}\nTry memdb --help.")
    raise SystemExit(exits.USAGE)


if __name__ == "__main__":
    main()
