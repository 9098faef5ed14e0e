"""A line being typed: what the keys are, and what each does to it; pure.

Strategy: :class:`Keys` makes the bytes of a terminal into keys, each a string: a character stands
for itself, anything else has a name longer than one character. :class:`Editor` holds the text, the
cursor and the history, and knows nothing of how they are drawn. The keys are those of Emacs, as in
every shell. Imports nothing of memdbd.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

# The longest line that the server takes in words; a person who pastes more is told by a bell.
MAX_TYPED = 64 * 1024
MAX_HISTORY = 1000

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^\[O\x1b])", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")
_SEQUENCES = {
    "\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left",
    "\x1bOA": "up", "\x1bOB": "down", "\x1bOC": "right", "\x1bOD": "left",
    "\x1b[H": "home", "\x1bOH": "home", "\x1b[1~": "home", "\x1b[7~": "home",
    "\x1b[F": "end", "\x1bOF": "end", "\x1b[4~": "end", "\x1b[8~": "end",
    "\x1b[3~": "delete",
    "\x1b[1;5C": "word right", "\x1bf": "word right",
    "\x1b[1;5D": "word left", "\x1bb": "word left",
    "\x1b\x7f": "erase word",
}  # fmt: skip
_CONTROLS = {
    "\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace",
    "\x01": "home", "\x02": "left", "\x03": "interrupt", "\x04": "end of input", "\x05": "end",
    "\x06": "right", "\x0b": "erase right", "\x0c": "clear screen", "\x0e": "down", "\x10": "up",
    "\x15": "erase left", "\x17": "erase word", "\x1a": "suspend",
}  # fmt: skip


class Keys:
    """Makes keys of bytes; what is cut in the middle of a key waits for its end."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """The keys that ``data`` completes; sequences without a meaning here are none."""
        text = self._rest + self._decoder.decode(data)
        self._rest = ""
        keys: list[str] = []
        at = 0
        while at < len(text):
            char = text[at]
            if char != "\x1b":
                at += 1
                if (key := _CONTROLS.get(char)) is not None:
                    keys.append(key)
                elif char == "\t" or not ("\x00" <= char < " " or "\x7f" <= char < "\xa0"):
                    keys.append(char)
                continue
            if (sequence := _SEQUENCE.match(text, at)) is not None:
                at = sequence.end()
                if (key := _SEQUENCES.get(sequence[0])) is not None:
                    keys.append(key)
            elif _UNFINISHED.match(text, at) is not None:
                self._rest = text[at:]
                break
            else:
                at += 1
        return keys


class Editor:
    """The text being typed, with the cursor before ``text[cursor]``, and what was typed before."""

    def __init__(self) -> None:
        self.text = ""
        self.cursor = 0
        self._history: list[str] = []
        self._at = 0  # which line of the history is shown; past its end, the one being typed
        self._typed = ""  # that one, kept while an older is shown

    def press(self, key: str) -> bool:
        """Do what a key says; False if it is none of an editor's, or could not be done."""
        if len(key) == 1:
            if len(self.text) >= MAX_TYPED:
                return False
            self.text = self.text[: self.cursor] + key + self.text[self.cursor :]
            self.cursor += 1
            return True
        action = _ACTIONS.get(key)
        if action is None:
            return False
        action(self)
        return True

    def take(self, *, remember: bool = True) -> str:
        """Give the line that is finished, remember it, if nothing speaks against it, and start an
        empty one."""
        line = self.text
        if remember and line.strip() and (not self._history or self._history[-1] != line):
            self._history.append(line)
            del self._history[:-MAX_HISTORY]
        self.clear()
        return line

    def clear(self) -> None:
        """Start an empty line, without remembering this one."""
        self.text, self.cursor = "", 0
        self._at, self._typed = len(self._history), ""

    def _move(self, step: int) -> None:
        self.cursor = min(max(self.cursor + step, 0), len(self.text))

    def _word_left(self) -> int:
        """Where the word to the left of the cursor starts."""
        before = self.text[: self.cursor].rstrip()
        return max(before.rfind(" "), before.rfind("\t")) + 1

    def _word_right(self) -> int:
        """Where the word to the right of the cursor ends."""
        word = re.compile(r"\s*\S*").match(self.text, self.cursor)
        return self.cursor if word is None else word.end()

    def _erase(self, start: int, end: int) -> None:
        self.text = self.text[:start] + self.text[end:]
        self.cursor = start

    def _older(self, step: int) -> None:
        if not 0 <= self._at + step <= len(self._history):
            return
        if self._at == len(self._history):
            self._typed = self.text
        self._at += step
        newest = self._at == len(self._history)
        self.text = self._typed if newest else self._history[self._at]
        self.cursor = len(self.text)

    def _go(self, cursor: int) -> None:
        self.cursor = cursor


_ACTIONS: dict[str, Callable[[Editor], None]] = {
    "left": lambda editor: editor._move(-1),
    "right": lambda editor: editor._move(1),
    "home": lambda editor: editor._go(0),
    "end": lambda editor: editor._go(len(editor.text)),
    "word left": lambda editor: editor._go(editor._word_left()),
    "word right": lambda editor: editor._go(editor._word_right()),
    "up": lambda editor: editor._older(-1),
    "down": lambda editor: editor._older(1),
    "backspace": lambda editor: editor._erase(max(editor.cursor - 1, 0), editor.cursor),
    "delete": lambda editor: editor._erase(editor.cursor, editor.cursor + 1),
    "erase left": lambda editor: editor._erase(0, editor.cursor),
    "erase right": lambda editor: editor._erase(editor.cursor, len(editor.text)),
    "erase word": lambda editor: editor._erase(editor._word_left(), editor.cursor),
}
