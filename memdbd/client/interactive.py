"""The conversation at the prompt: typed lines to the server, replies and messages to the screen.

Strategy: one command at a time, as a person does it: from Enter until the reply there is no
prompt. A line is sent as it was typed, so that the server's rules of quoting are the only ones. The
prompt tells of what changes the meaning of a line: the user, the database, and an open transaction.
Before what cannot be undone, the person is asked.

May import: link, login, render, terminal, typed, exits, wire, Twisted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from memdbd.client.exits import OK
from memdbd.client.link import Link, NotConnectedError, status_of, why
from memdbd.client.login import DEFAULT_USER, LoginRefused
from memdbd.client.render import (
    as_python,
    as_text,
    message_for_people,
    push_for_people,
    reply_for_people,
)
from memdbd.client.terminal import Terminal
from memdbd.client.typed import ends_session, line_waits, question, veiled, words_of
from memdbd.client.wire import ErrorReply, Message, Push, Reply

# How long a terminal that takes no output may hold up leaving, in seconds.
LEAVING_GRACE = 1.0


class Conversation:
    """Ties a terminal to a link that was made with :meth:`tell`, :meth:`show_message` and
    :meth:`show_push`.

    ``done(status)`` is called once, when the screen has been left. ``timeout``: seconds for a
    reply, if it is not of a command that waits itself. ``asks``: before what cannot be undone.
    """

    def __init__(
        self,
        clock: IReactorTime,
        terminal: Terminal,
        *,
        done: Callable[[int], object],
        timeout: float | None = None,
        asks: bool = True,
    ) -> None:
        self._clock = clock
        self._terminal = terminal
        self._link: Link | None = None
        self._done = done
        self._timeout = timeout
        self._asks = asks
        self._asked: Deferred[None] | None = None
        self._leaving = False
        terminal.on_line = self._entered
        terminal.on_interrupt = self._interrupted
        terminal.on_leave = self.leave
        terminal.veil = _veiled

    def start(self, link: Link) -> None:
        """Connect, and show the prompt when that has succeeded or failed once; but leave where a
        login is refused, since all else would be done by somebody else."""
        self._link = link
        link.start().addCallbacks(lambda _: self._prompt(), self._refused)

    def tell(self, sentence: str) -> None:
        """Print what happened to the connection."""
        if not self._leaving:
            self._lead()
            self._terminal.say(sentence)

    def show_message(self, message: Message) -> None:
        """Print a published message."""
        self.tell(message_for_people(message))

    def show_push(self, push: Push) -> None:
        """Print what else the server sends unasked."""
        self.tell(push_for_people(push))

    def leave(self, status: int = OK) -> None:
        """End the conversation with an exit status."""
        if self._leaving:
            return
        self._leaving = True
        if self._link is not None:
            self._link.stop()
        late = self._clock.callLater(LEAVING_GRACE, self._done, status)

        def left(_: None) -> None:
            if late.active():
                late.cancel()
                self._done(status)

        self._terminal.close().addCallback(left)

    def _prompt(self) -> None:
        if not self._leaving:
            self._lead()
            self._terminal.prompt()

    def _refused(self, failure: Failure) -> None:
        failure.trap(LoginRefused)
        name = "the server" if self._link is None else self._link.name
        self.tell(f"Connecting to {name} failed: {why(failure.value)}")
        self.leave(status_of(failure.value))

    def _lead(self) -> None:
        """Have the prompt say by whom and where the next line is run."""
        if self._link is not None:
            standing = self._link.standing
            user = DEFAULT_USER if standing.login is None else as_text(standing.login.name)
            database = f"[{standing.database}]" if standing.database else ""
            transaction = "(tx)" if standing.in_transaction else ""
            self._terminal.lead = f"{'' if user == DEFAULT_USER else user}{database}{transaction}> "

    def _entered(self, text: str) -> None:
        line = text.encode("utf-8", "backslashreplace")
        if not line.strip():
            self._prompt()
        elif ends_session(line):
            self.leave()
        elif self._link is not None:
            standing = self._link.standing
            user = DEFAULT_USER if standing.login is None else standing.login.name
            name = user if isinstance(user, bytes) else user.encode()
            asked = question(words_of(line), standing.database, name) if self._asks else None
            if asked is None:
                self._run(line)
            else:
                self._terminal.ask(asked, partial(self._confirmed, line))

    def _confirmed(self, line: bytes, answer: str | None) -> None:
        if answer is not None and answer.strip().lower() in ("yes", "y"):
            self._run(line)
        else:
            self.tell("Nothing was done")
            self._prompt()

    def _run(self, line: bytes) -> None:
        if self._link is not None:
            timeout = None if line_waits(line) else self._timeout
            asked = self._link.send_line(line, timeout)
            self._asked = asked.addCallbacks(
                self._replied, self._failed, callbackArgs=(words_of(line),)
            ).addBoth(self._answered)

    def _interrupted(self) -> None:
        """Ctrl-C while there is no prompt: stop waiting, for a reply or the first connection."""
        if self._asked is None:
            self.leave()
        else:
            self._asked.cancel()

    def _answered(self, _: None) -> None:
        self._asked = None
        self._prompt()

    def _replied(self, reply: Reply, words: list[bytes]) -> None:
        shown = [reply_for_people(reply, words, self._terminal.width)]
        if reply.get("action") == "unsubscribe" and self._link is not None:
            # Who wants no more messages may wonder why those for patterns go on.
            patterns = self._link.standing.subscribed["psubscribe"]
            shown += [f"Still subscribed to pattern: {as_text(pattern)}" for pattern in patterns]
        self.tell("\n".join(shown))

    def _failed(self, failure: Failure) -> None:
        problem = failure.value
        if isinstance(problem, ErrorReply):
            self.tell(as_python(problem.line))
        elif isinstance(problem, NotConnectedError):
            self.tell(str(problem))
        elif isinstance(problem, CancelledError):
            self.tell("No longer waiting for the reply: the command may have been carried out")
        elif isinstance(problem, TimeoutError):
            self.tell(f"No reply within {self._timeout:g} s: the command may have been carried out")
        else:
            self.tell("No reply came: the command may have been carried out")


def _veiled(text: str) -> str | None:
    """What is left on the screen of a line with a secret in it; None for any other."""
    shown = veiled(text.encode("utf-8", "backslashreplace"))
    return None if shown is None else as_text(shown)
