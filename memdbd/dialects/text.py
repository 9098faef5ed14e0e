"""The text dialect's requests: a line of words or of JSON. Its replies are in text_replies.

The rules of a line. Words are separated by blanks; ``"…"`` knows ``\\n \\r \\t \\" \\\\ \\xHH``,
``'…'`` nothing. From a parameter that is declared as rest, unquoted text to the end of the line
is one argument, quotes and all; where the command has one more parameter, a whole number at its
end is that. A line that starts with ``[`` is a JSON array of strings. An empty line is no request.

Strategy. ``feed`` splits its whole buffer once, not once a line; what is left of the last line
waits in a bytearray, so that a line sent byte by byte is not copied again for each. A buffer
without quotes and brackets (nearly all) is split on blanks; only a line of more words than its
command usually has, and lines of other buffers, go word by word. Nothing here raises for anything
that a peer can send.

May import: errors, commands.arguments, commands.spec.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import orjson

from memdbd.commands.arguments import integer
from memdbd.commands.spec import Command, Request
from memdbd.errors import CommandError, ProtocolError

MAX_LINE = 64 * 1024  # bytes of a line of words
MAX_JSON_LINE = 1024 * 1024  # bytes of a line of JSON

# Lines of which requests are made at once. 64 KiB of tiny lines would otherwise hold the loop for
# 47 to 160 ms, whatever slices the dispatcher makes; so it is under 4.
BLOCK = 256

_BLANKS = b" \t\r\v\f"
_QUOTES = b"\"'"
_WORD = re.compile(
    rb"""  "(?P<double>(?:[^"\\]|\\.)*+)" (?=[ \t\r\v\f]|\Z)
         | '(?P<single>[^']*+)'          (?=[ \t\r\v\f]|\Z)
         | (?P<bare>[^ \t\r\v\f"'][^ \t\r\v\f]*+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b'"': b'"', b"\\": b"\\"}
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
# What a telnet client sends for an interrupt, and the options that it wants to talk of.
_TELNET = re.compile(rb"(?:\xff(?:[\xfb-\xfe].|[\xf0-\xfa]))+", re.DOTALL)
_WILL, _WONT, _DONT = b"\xfb", b"\xfc", b"\xfe"
_NEGOTIATION = re.compile(rb"\xff([\xfb\xfd])(.)", re.DOTALL)


_ANY_NUMBER = 1 << 30


class LineRules:
    """Which commands take the rest of a line as one argument, by their records."""

    __slots__ = ("_rest", "usual")

    def __init__(self, commands: Mapping[bytes, Command]) -> None:
        # name -> (position of the rest in argv, whether a number may follow it)
        self._rest: dict[bytes, tuple[int, bool]] = {}
        # Up to so many words a plain line needs no second look. A name in mixed case is not
        # here, and gets one.
        self.usual: dict[bytes, int] = {}
        for name, command in commands.items():
            words = _ANY_NUMBER
            for at, param in enumerate(command.params, 1):
                if param.rest:
                    behind = command.params[at : at + 1]
                    self._rest[name] = (at, bool(behind) and behind[0].convert is integer)
                    words = at + 1
            self.usual[name] = self.usual[name.upper()] = words

    def rest_of(self, name: bytes) -> tuple[int, bool]:
        """Where the rest of the line starts (never: -1), and whether a number may follow it."""
        return self._rest.get(name.lower(), (-1, False))


class TextParser:
    """Makes requests of the bytes of one connection."""

    __slots__ = ("_rules", "_tail", "refusals")

    def __init__(self, rules: LineRules) -> None:
        self._rules = rules
        self._tail = bytearray()
        # What is to be sent to a telnet client that wants to talk of options: its interrupt
        # (Ctrl-C) asks for one, and it shows nothing more before it has an answer.
        self.refusals = bytearray()

    def feed(self, data: bytes) -> Iterator[Request]:
        """The requests that ``data`` completes.

        A line over its limit gives a ProtocolError as the last; nothing may be fed after it.
        """
        head, newline, tail = data.rpartition(b"\n")
        lines: list[bytes] = []
        if newline:
            if self._tail:
                head = bytes(self._tail) + head
                self._tail.clear()
            lines = list(filter(None, head.split(b"\n")))
        self._tail += tail
        overlong = _cut_overlong(lines) if len(head) > MAX_LINE else None
        if overlong is None and len(self._tail) > MAX_LINE:
            overlong = _overlong(self._tail)
        make = self._plain if _is_plain(head) else self._careful
        if len(lines) <= BLOCK and overlong is None:
            return iter(make(lines))
        return _blocks(make, lines, overlong)

    def _plain(self, lines: Iterable[bytes]) -> list[Request]:
        """The requests of lines that have neither quotes nor brackets: 0.3 µs a line, not 3."""
        requests: list[Request] = []
        usual = self._rules.usual.get
        for line in lines:
            words = line.split()
            if words:
                if len(words) > usual(words[0], 0):
                    requests.append(self._words(line))
                else:
                    requests.append(words)
        return requests

    def _careful(self, lines: Iterable[bytes]) -> list[Request]:
        """The requests of any lines."""
        requests: list[Request] = []
        for line in lines:
            line = line.lstrip(_BLANKS)
            if telnet := _TELNET.match(line):
                self.refusals += _refusals(telnet[0])
                line = line[telnet.end() :].lstrip(_BLANKS)
            if line.startswith(b"["):
                requests.append(_json_request(line))
            elif line:
                requests.append(self._words(line))
        return requests

    def _words(self, line: bytes) -> Request:
        words: list[bytes] = []
        rest_at, number_follows = -1, False
        line = line.strip(_BLANKS)
        at = 0
        while at < len(line):
            if len(words) == rest_at and line[at] not in _QUOTES:
                return words + _rest(line[at:], number_follows)
            found = _WORD.match(line, at)
            if found is None:
                return CommandError(
                    f"unbalanced quotes in word {len(words) + 1}",
                    "a word that starts with a quote ends with the same quote and a blank",
                )
            if found["double"] is not None:
                word = _unescape(found["double"])
                if word is None:
                    return CommandError(
                        f"unknown escape in word {len(words) + 1}",
                        r"in double quotes, \n \r \t \" \\ and \xHH are known",
                    )
            else:
                word = found["bare"] if found["single"] is None else found["single"]
            words.append(word)
            if len(words) == 1:
                rest_at, number_follows = self._rules.rest_of(word)
            at = found.end()
            while at < len(line) and line[at] in _BLANKS:
                at += 1
        return words


def _refusals(negotiation: bytes) -> bytes:
    """WONT for each DO, and DONT for each WILL (RFC 854)."""
    return b"".join(
        b"\xff%b%b" % (_DONT if verb == _WILL else _WONT, option)
        for verb, option in _NEGOTIATION.findall(negotiation)
    )


def _is_plain(lines: bytes) -> bool:
    return not (b'"' in lines or b"'" in lines or b"[" in lines or b"\xff" in lines)


def _overlong(line: bytes | bytearray) -> ProtocolError | None:
    """The error for a line over its limit."""
    limit = MAX_JSON_LINE if line.startswith(b"[") else MAX_LINE
    if len(line) <= limit:
        return None
    return ProtocolError(f"line is too long: at most {limit} bytes are allowed")


def _cut_overlong(lines: list[bytes]) -> ProtocolError | None:
    """The error for the first line over its limit, which is taken out with all behind it."""
    for at, line in enumerate(lines):
        if len(line) > MAX_LINE and (error := _overlong(line)) is not None:
            del lines[at:]
            return error
    return None


def _blocks(
    make: Callable[[list[bytes]], list[Request]], lines: list[bytes], last: Request | None
) -> Iterator[Request]:
    """The requests of many lines, made as they are asked for, and then the last."""
    for at in range(0, len(lines), BLOCK):
        yield from make(lines[at : at + BLOCK])
    if last is not None:
        yield last


def _rest(text: bytes, number_follows: bool) -> list[bytes]:
    if number_follows:
        words = text.rsplit(None, 1)
        if len(words) == 2 and _NUMBER.fullmatch(words[1]):
            return words
    return [text]


def _unescape(quoted: bytes) -> bytes | None:
    """What stands between double quotes, its escapes replaced; None where one is unknown."""
    if b"\\" not in quoted:
        return quoted
    try:
        return _ESCAPE.sub(
            lambda escape: (
                bytes.fromhex(escape[1][1:].decode())
                if len(escape[1]) == 3
                else _ESCAPES[escape[1]]
            ),
            quoted,
        )
    except KeyError:
        return None


def _json_request(line: bytes) -> Request:
    try:
        words = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return CommandError(
            f"not a line of JSON: {error}", 'a request is like ["set", "key", "value"]'
        )
    if not words or not all(isinstance(word, str) for word in words):
        return CommandError(
            "a JSON request is an array of one or more strings",
            'a request is like ["set", "key", "value"]',
        )
    return [word.encode() for word in words]
