"""A screen with a prompt: lines are typed at its end, and text comes out above what is typed.

Strategy: while a prompt is shown, whatever is printed first erases the rows of the prompt, and
draws them again below with what is typed and the cursor in its place. While a reply is awaited
there is no prompt, and the keys wait. The terminal is in cbreak mode without signals: we see each
key, Ctrl-C too, but newlines in the output still do what they do elsewhere. A question is a prompt
whose line goes to who has asked. A line with a secret in it leaves the screen when it is entered,
and is not remembered.

May import: editor, layout, Twisted; termios only when asked for the mode, as Windows has none.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.client.editor import Editor, Keys
from memdbd.client.layout import Place, place, visible

# From the start of a row. Not all at once: what is erased from the first place of the screen, tmux
# takes for a screen that is done with, and keeps for scrolling back.
_ERASE_BELOW = "\x1b[K\x1b[1C\x1b[J\r"
_CLEAR_SCREEN = "\x1b[H\x1b[2J"
_BELL = "\a"


@contextmanager
def key_mode(fd: int) -> Iterator[Callable[[], None]]:
    """Have the terminal ``fd`` give keys instead of lines, and restore it whatever happens.

    Yields a function that stops the process group as Ctrl-Z does, with the terminal restored, and
    returns when it is continued.
    """
    import termios

    before = termios.tcgetattr(fd)

    def enter() -> None:
        mode = termios.tcgetattr(fd)
        mode[0] &= ~(termios.ICRNL | termios.INLCR | termios.IXON)
        mode[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(fd, termios.TCSADRAIN, mode)

    def leave() -> None:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)

    def suspend() -> None:
        leave()
        # If it could not be opened once more, Twisted made the one that the shell has non-blocking.
        blocking = os.get_blocking(fd)
        os.set_blocking(fd, True)
        os.kill(0, signal.SIGTSTP)
        os.set_blocking(fd, blocking)
        enter()

    enter()
    try:
        yield suspend
    finally:
        leave()


@implementer(IHalfCloseableProtocol)
class Terminal(Protocol):
    """The protocol on the keyboard and the screen.

    ``columns()`` is the width of the screen now, ``suspend()`` stops the process until it is
    continued. The owner sets the callbacks: ``on_line(text)`` for each line entered, after which
    there is no prompt until :meth:`prompt`; ``on_interrupt()`` for Ctrl-C with no prompt;
    ``on_leave()`` for Ctrl-C or Ctrl-D at an empty line and for the end of the terminal. It may set
    ``lead``, the text of the prompt, which counts when that is drawn again; and ``veil(text)``,
    which gives what is left on the screen of a line with a secret, and None for any other.
    """

    def __init__(self, columns: Callable[[], int], suspend: Callable[[], None]) -> None:
        self._columns = columns
        self._suspend = suspend
        self._keys = Keys()
        self._typed: deque[str] = deque()
        self._editor = Editor()
        self._prompting = False
        self._working = False
        self.lead = "> "  # what stands before what is typed
        self._drawn = ""  # what stands on the screen between the prompt's start and the cursor
        self._question = ""  # stands in the place of the lead, while there is one
        self._answered: Callable[[str | None], Any] | None = None
        self.veil: Callable[[str], str | None] = lambda line: None
        self.on_line: Callable[[str], Any] = lambda line: None
        self.on_interrupt: Callable[[], Any] = lambda: None
        self.on_leave: Callable[[], Any] = lambda: None
        self._closed: Deferred[None] = Deferred()

    # -- what comes out --

    def prompt(self) -> None:
        """Show the prompt, and go on with what was typed meanwhile."""
        if not self._prompting:
            self._prompting = True
            self._draw()
            if self._typed:
                self._work()
                if self._prompting:
                    self._redraw()

    def ask(self, question: str, answered: Callable[[str | None], Any]) -> None:
        """Show a question for a prompt. ``answered(text)`` is called once, with what is entered, or
        None for Ctrl-C and Ctrl-D; then there is no prompt until :meth:`prompt`."""
        self._question, self._answered = question, answered
        self.prompt()

    def say(self, text: str) -> None:
        """Print a block of text and an empty line, above the prompt if there is one."""
        self._write(self._erasure() + text + "\n\n")
        if self._prompting:
            self._draw()

    def close(self) -> Deferred[None]:
        """Leave the screen, the cursor below all that was printed; fires when that is written."""
        if self._prompting:
            self._finish_line(self._editor.text)
        self._typed.clear()
        cast(ITransport, self.transport).loseConnection()
        return self._closed

    # -- what comes in --

    def dataReceived(self, data: bytes) -> None:
        for key in self._keys.feed(data):
            if key == "interrupt" and not self._prompting:
                # What was typed ahead goes with what it was typed after, as in a shell.
                self._typed.clear()
                self._write("^C\n")
                self.on_interrupt()
            else:
                self._typed.append(key)
                # A Ctrl-C later in the same bytes has to find the line before it running.
                self._work()
        if self._prompting:
            self._redraw()

    def readConnectionLost(self) -> None:
        self.on_leave()

    def writeConnectionLost(self) -> None:
        self.on_leave()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closed.callback(None)
        self.on_leave()

    # -- in between --

    def _work(self) -> None:
        """Press the keys that wait, as long as there is a prompt to press them at."""
        if self._working:  # on_line() answered at once, and prompts from within this loop
            return
        self._working = True
        try:
            while self._typed and self._prompting:
                self._press(self._typed.popleft())
        finally:
            self._working = False

    def _press(self, key: str) -> None:
        editor = self._editor
        if self._answered is not None and self._press_at_question(key):
            return
        if key == "enter":
            veiled = self.veil(editor.text)
            line = editor.take(remember=veiled is None)
            self._finish_line(line if veiled is None else veiled)
            self.on_line(line)
        elif key == "interrupt":
            if editor.text:
                self._interrupt_line()
                self.prompt()
            else:
                self.on_leave()
        elif key == "end of input" and not editor.text:
            self.on_leave()
        elif key == "clear screen":
            self._drawn = ""
            self._write(_CLEAR_SCREEN)
            self._draw()
        elif key == "suspend":
            self._write(self._erasure())
            self._suspend()
            self._draw()
        elif not editor.press("delete" if key == "end of input" else key):
            self._write(_BELL)

    def _press_at_question(self, key: str) -> bool:
        """Do what a key says there and nowhere else; False if it is as at the prompt."""
        if key in ("up", "down"):
            self._write(_BELL)  # no earlier line is an answer
        elif key == "enter":
            answer = self._editor.take(remember=False)
            self._finish_line(answer)
            self._answer(answer)
        elif key == "interrupt" or (key == "end of input" and not self._editor.text):
            self._interrupt_line()
            self._answer(None)
        else:
            return False
        return True

    def _answer(self, text: str | None) -> None:
        answered, self._answered, self._question = self._answered, None, ""
        if answered is not None:
            answered(text)

    def _interrupt_line(self) -> None:
        self._finish_line(f"{self._editor.text}^C")
        self._editor.clear()

    def _finish_line(self, text: str) -> None:
        """End the prompt, with this as what was typed there."""
        self._write(self._erasure() + self._lead() + "".join(map(visible, text)) + "\n")
        self._prompting = False

    def _lead(self) -> str:
        return self._question or self.lead

    def _redraw(self) -> None:
        self._write(self._erasure())
        self._draw()

    def _erasure(self) -> str:
        """What takes the prompt and what is typed off the screen."""
        if not self._drawn:
            return ""
        up = place(self._drawn, self.width).row
        self._drawn = ""
        return (f"\x1b[{up}A" if up else "") + "\r" + _ERASE_BELOW

    def _draw(self) -> None:
        columns, cursor = self.width, self._editor.cursor
        before = self._lead() + "".join(map(visible, self._editor.text[:cursor]))
        whole = before + "".join(map(visible, self._editor.text[cursor:]))
        end, here = place(whole, columns), place(before, columns)
        out = whole
        if end.column == 0 and end.row:
            out += "\n"  # the terminal waits at the last column for one more character
        out += _moves(end, here)
        self._drawn = before
        self._write(out)

    @property
    def width(self) -> int:
        """Columns of the screen now."""
        return max(self._columns(), 2)  # a wide character needs two

    def _write(self, text: str) -> None:
        if text:
            transport = cast(ITransport, self.transport)
            transport.write(text.encode("utf-8", "backslashreplace"))


def _moves(start: Place, end: Place) -> str:
    if start == end:
        return ""
    up = start.row - end.row
    return (f"\x1b[{up}A" if up else "") + "\r" + (f"\x1b[{end.column}C" if end.column else "")
