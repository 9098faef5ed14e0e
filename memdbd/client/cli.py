"""The ``memdb`` command: the choice among its three modes, signals, the exit status.

Words after the options are one command (:mod:`~memdbd.client.oneshot`), or name a tool
(:mod:`~memdbd.client.toolbox`); without, a terminal gets a prompt
(:mod:`~memdbd.client.interactive`) and anything else is read line by line
(:mod:`~memdbd.client.pipe`). The only module of the client that imports the reactor, and only
when it is run. May import: all of the client, Twisted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.defer import ensureDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.stdio import StandardIO
from twisted.python import usage
from twisted.python.failure import Failure

from memdbd.client import exits
from memdbd.client.access import Access, access
from memdbd.client.descriptors import (
    blocking_restored,
    occupy_standard_descriptors,
    own_terminals,
)
from memdbd.client.ending import end_on_signals
from memdbd.client.interactive import Conversation
from memdbd.client.link import Link, status_of, why
from memdbd.client.login import logged_in
from memdbd.client.oneshot import run_words
from memdbd.client.options import Options
from memdbd.client.pipe import Pipe
from memdbd.client.protocol import Client, connect
from memdbd.client.terminal import Terminal, key_mode
from memdbd.client.typed import listens

if TYPE_CHECKING:
    from memdbd.client import toolbox


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

    def until_finished(self) -> None:
        """Run the reactor, with our signal handlers in place of its own."""
        self._reactor.run(installSignalHandlers=False)

    def show(self, line: bytes) -> None:
        """Print a line, at once. Without a reader, or room, the run ends."""
        try:
            with open(1, "wb", closefd=False) as stdout:
                stdout.write(line + b"\n")
        except OSError:
            self.finish(exits.OUTPUT)

    def complain(self, sentence: str) -> None:
        """Print to standard error, unless the run has ended already: then it is about the end."""
        if self.status is None:
            complain(sentence)

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
    occupy_standard_descriptors()
    options = Options()
    try:
        options.parseOptions(argv)
        if options.names_tool:
            # Not above: it would be an eighth of the time that any memdb takes to start.
            from memdbd.client import toolbox

            _run_tool(toolbox.Tool(options, complain))
        from twisted.internet import reactor

        # While a password is asked for, no reactor hears of signals.
        end_on_signals()
        server = access(reactor, options, os.environ, _reads_terminal, complain)
    except KeyboardInterrupt:
        raise SystemExit(exits.SIGNAL + signal.SIGINT) from None
    except usage.UsageError as problem:
        name = options.words[0].decode() + " " if options.names_tool else ""
        complain(f"memdb: {problem}\nTry memdb {name}--help.")
        raise SystemExit(exits.USAGE) from None
    run = Run(reactor)
    run.take_signals()
    with ExitStack() as restore:
        restore.enter_context(blocking_restored())
        _start(reactor, run, options, server, restore)
        run.until_finished()
    raise SystemExit(run.status)


def _run_tool(tool: toolbox.Tool) -> NoReturn:
    """Run a tool, and exit. Raises UsageError."""
    end_on_signals()
    if not tool.needs_server:
        raise SystemExit(tool.run())
    from twisted.internet import reactor

    server = access(reactor, tool.options, os.environ, _reads_terminal, complain)
    with blocking_restored(), tool.opened():
        run = Run(reactor)
        run.take_signals()
        running = ensureDeferred(tool.talk(reactor, server, run.complain))
        running.addCallback(run.finish).addErrback(run.failed)
        run.until_finished()
    raise SystemExit(run.status)


def _start(reactor: Any, run: Run, options: Options, server: Access, restore: ExitStack) -> None:
    """Set up the mode that the options and the terminal ask for."""
    timeout: float | None = options["timeout"] or None
    if options.words:
        if listens(options.words):
            # Ctrl-C is how it is meant to end.
            run.on_signal = lambda status: run.finish(
                exits.OK if status == exits.SIGNAL + signal.SIGINT else status
            )
        running = ensureDeferred(
            run_words(
                reactor,
                server,
                options.words,
                columns=_columns() if os.isatty(1) else None,
                show=run.show,
                complain=run.complain,
                timeout=timeout,
            )
        )
        running.addCallback(run.finish).addErrback(run.failed)
    elif _can_prompt():
        _converse(reactor, run, server, timeout, restore, asks=not options["yes"])
    else:
        _run_lines(reactor, run, server, timeout)


def _converse(
    reactor: Any,
    run: Run,
    server: Access,
    timeout: float | None,
    restore: ExitStack,
    *,
    asks: bool,
) -> None:
    terminal = Terminal(_columns, restore.enter_context(key_mode(0)))
    talk = Conversation(reactor, terminal, done=run.finish, timeout=timeout, asks=asks)
    run.on_signal = talk.leave
    link = Link(
        reactor,
        server.endpoint,
        server.name,
        tell=talk.tell,
        on_message=talk.show_message,
        on_push=talk.show_push,
        login=server.login,
        timeout=timeout,
    )
    StandardIO(terminal, reactor=reactor, **own_terminals())
    talk.start(link)


def _run_lines(reactor: Any, run: Run, server: Access, timeout: float | None) -> None:
    def connected(client: Client) -> None:
        pipe = Pipe(reactor, client, done=run.finish, complain=run.complain, timeout=timeout)
        StandardIO(pipe, reactor=reactor, **own_terminals())

    def failed(failure: Failure) -> None:
        run.complain(f"Connecting to {server.name} failed: {why(failure.value)}")
        run.finish(status_of(failure.value))

    connecting = connect(reactor, server.endpoint, **logged_in(server.login), timeout=timeout)
    connecting.addCallbacks(connected, failed).addErrback(run.failed)


def _can_prompt() -> bool:
    """Whether both ends are a terminal whose cursor can be moved."""
    try:
        import termios  # noqa: F401
    except ImportError:  # Windows
        return False
    return os.isatty(0) and os.isatty(1) and os.environ.get("TERM", "dumb") != "dumb"


def _reads_terminal() -> bool:
    return os.isatty(0)


def _columns() -> int:
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


if __name__ == "__main__":
    main()
