"""The text dialect's requests: a line of words or of JSON. Its replies are in text_replies.

The rules of a line. Words are separated by blanks; ``"…"`` knows ``\\n \\r \\t \\" \\\\ \\xHH``,
``'…'`` nothing. From a parameter that is declared as rest, unquoted text to the end of the line
is one argument, quotes and all; where the command has one more parameter, a whole number at its
end is that. A line that starts with ``[`` is a JSON array of strings. An empty line is no request.

Strategy. ``feed`` splits its whole buffer once, not once a line; what is left of the last line
waits in a bytearray, so that a line sent byte by byte is not copied again for each. The core makes
requests of plain lines (nearly all): without quotes, and of a known command with no more words than
it usually has. From the first that is not plain, lines are looked at here: those of more words are
split again, and only those with quotes go word by word. Nothing here raises for anything that a
peer can send.

A stranger's lines are read one by one, as they are asked for: none is made that may not be answered
any more, and what is behind a log-in is read as that of whoever has logged in.

May import: core, errors, limits, commands.arguments, commands.spec, batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import orjson

from memdbd import core
from memdbd.commands.arguments import integer
from memdbd.commands.spec import Command, Request
from memdbd.dialects.batch import Batch, one_by_one
from memdbd.errors import CommandError, ProtocolError
from memdbd.limits import Limits

# Lines of which requests are made at once. 64 KiB of tiny lines would otherwise hold the loop for
# 47 to 160 ms, whatever slices the dispatcher makes; so it is under 4.
BLOCK = 256
# Bytes in which they are looked for: as many as that take, as a rule.
CHUNK = 16 * 1024

_BLANKS = b" \t\r\v\f"
_QUOTES = b"\"'"
# A word, and the blanks behind it: between double quotes, between single ones, or bare.
_WORD = re.compile(
    rb"""(?: "( [^"\\]*+ (?: \\. [^"\\]*+ )*+ )" (?= [ \t\r\v\f] | \Z )
           | '( [^']*+ )' (?= [ \t\r\v\f] | \Z )
           | ( [^ \t\r\v\f"'][^ \t\r\v\f]*+ )
         ) [ \t\r\v\f]*+
    """,
    re.VERBOSE | re.DOTALL,
)
_DOUBLE = 1  # which of them it was
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_DIGITS = "0123456789abcdefABCDEF"
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b'"': b'"', b"\\": b"\\"} | {
    f"x{high}{low}".encode(): bytes.fromhex(high + low) for high in _DIGITS for low in _DIGITS
}
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_ONLY_STRINGS = {str}
_IAC = 0xFF  # with which all begins that a telnet client sends beside the text
# What it sends for an interrupt, and the options that it wants to talk of: more than there are of
# these is nonsense, and not to be answered.
_TELNET = re.compile(rb"(?:\xff(?:[\xfb-\xfe].|[\xf0-\xfa])){1,64}+", re.DOTALL)
_WILL, _WONT, _DONT = b"\xfb", b"\xfc", b"\xfe"
_NEGOTIATION = re.compile(rb"\xff([\xfb\xfd])(.)", re.DOTALL)


_ANY_NUMBER = 1 << 30
_USUAL = Limits()  # where nobody has set them


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
    """Makes requests of the bytes of one connection.

    ``met`` is the limit that one has met, if one has. Where the peer is no stranger any more,
    ``feed_warily``, once it has been called, goes on as ``feed``.
    """

    __slots__ = ("_allowance", "_limits", "_rules", "_seen", "_tail", "_usual", "met", "refusals")

    def __init__(self, rules: LineRules, limits: Limits = _USUAL) -> None:
        self._rules = rules
        self._usual = rules.usual
        self._limits = limits
        self._tail = bytearray()
        self._seen = 0  # lines of a stranger
        self._allowance: int | None = None
        self.met = ""
        # What is to be sent to a telnet client that wants to talk of options: its interrupt
        # (Ctrl-C) asks for one, and it shows nothing more before it has an answer.
        self.refusals = bytearray()

    def be_wary(self, allowance: int | None) -> None:
        """The peer is a stranger, of whom a line may have so many bytes; or, with None, not."""
        self._allowance = allowance

    @property
    def has_begun(self) -> bool:
        """Whether a part of a line has come."""
        return bool(self._tail)

    def read(self, data: bytes) -> list[Request] | None:
        """The requests that ``data`` is, where it is nothing but plain ones, and not many; None,
        with nothing read, where it is to be fed."""
        limits, size = self._limits, len(data)
        if self._tail or not size <= limits.max_line:
            return None
        if not (size <= limits.max_value and size <= limits.max_request):
            return None
        requests, end = core.lines(data, self._usual, BLOCK)
        return requests if end == size else None  # type: ignore[return-value] # more than it gives

    def feed(self, data: bytes) -> Batch:
        """The requests that ``data`` completes.

        A line over its limit gives a ProtocolError as the last; nothing may be fed after it.
        """
        if self._tail:
            self._tail += data
            if b"\n" not in data:
                data = b""
            else:
                data = bytes(self._tail)
                self._tail.clear()
        limits, size = self._limits, len(data)
        requests: list[Request] = []
        end = 0
        if size <= limits.max_line and size <= limits.max_value and size <= limits.max_request:
            requests, end = core.lines(data, self._usual, BLOCK)  # type: ignore[assignment]
            if end == size and not self._tail:
                return Batch(requests)
        whole = data.rfind(b"\n") + 1
        self._tail += data[whole:]
        if self._may_be_overlong(data):
            return self._bounded(requests, data[end:whole])
        if data.count(b"\n", end) <= BLOCK:
            return Batch(requests + self._requests(data[end:whole]))
        return Batch(requests, self._blocks(data[end:whole]))

    def _may_be_overlong(self, data: bytes) -> bool:
        """Whether there may be a line over a limit in ``data``, or in the tail."""
        limits = self._limits
        least = min(limits.max_line, limits.max_json_line, limits.max_request, limits.max_value)
        if len(data) <= least:
            return len(self._tail) > least
        # There is none, if there is a line end in each half of so many bytes: that is quicker than
        # to look at each line, and true of nearly all that is read at once.
        half = max(least // 2, 1)
        halves = range(0, len(data) - half + 1, half)
        return any(data.find(b"\n", at, at + half) < 0 for at in halves)

    def _bounded(self, requests: list[Request], data: bytes) -> Batch:
        """Requests, and those of lines of which one may be over a limit, up to that one."""
        lines = list(filter(None, data.split(b"\n")))
        overlong = self._cut_overlong(lines)
        made = chain.from_iterable(self._blocks(b"\n".join(lines)))
        last = [] if overlong is None else [overlong]
        return one_by_one(chain(requests, self._no_longer(made), last))

    def _requests(self, data: bytes) -> list[Request]:
        """The requests of whole lines of any kind."""
        lines = data.split(b"\n")
        return self._plain(lines) if _is_plain(data) else self._careful(lines)

    def _blocks(self, data: bytes) -> Iterator[list[Request]]:
        """The requests of many whole lines, made as they are asked for."""
        at = 0
        while at < len(data):
            requests, end = core.lines(data[at : at + CHUNK], self._usual, BLOCK)
            if not end:
                break
            yield requests  # type: ignore[misc]
            at += end
        lines = data[at:].split(b"\n")
        make = self._plain if _is_plain(data) else self._careful
        for at in range(0, len(lines), BLOCK):
            yield make(lines[at : at + BLOCK])

    def feed_warily(self, data: bytes) -> Batch:
        """The same for a stranger, who may send less, and not often."""
        if data.startswith(b"\xff") and not self._tail:
            # At once: the others may be looked at later.
            data = self._without_telnet(data)
        return one_by_one(self._one_by_one(data))

    def _one_by_one(self, data: bytes) -> Iterator[Request]:
        limits, at = self._limits, 0
        while (most := self._allowance) is not None:
            end = data.find(b"\n", at)
            self._tail += data[at : end if end >= 0 else None]
            if len(self._tail) > most and self._tail[0] == _IAC:
                self._tail[:] = self._without_telnet(bytes(self._tail))  # which is no part of it
            if len(self._tail) > most:
                yield self._fault("unauthenticated_buffer", f"a line has at most {most} bytes")
                return
            if end < 0:
                return
            at = end + 1
            self._seen += 1
            if self._seen > limits.unauthenticated_requests:
                most = limits.unauthenticated_requests
                yield self._fault("unauthenticated_requests", f"{most} requests are enough")
                return
            request = self._of_stranger()
            if request is not None:
                yield request
            if self.met:
                return
        yield from self.feed(data[at:])

    def _of_stranger(self) -> Request | None:
        """The request of the line that is in the tail now, if it is one."""
        line = self._without_telnet(bytes(self._tail).lstrip(_BLANKS)).lstrip(_BLANKS)
        self._tail.clear()
        if not line:
            return None
        most = self._limits.unauthenticated_arguments
        longest = self._limits.unauthenticated_argument
        if line.startswith(b"["):
            words = _json_request(line)
        else:
            words = self._words(line, most, longest)
        if isinstance(words, Exception):
            return words
        if len(words) > most:
            return self._fault("unauthenticated_arguments", f"a request has at most {most} words")
        if max(map(len, words)) > longest:
            return self._fault("unauthenticated_argument", f"a word has at most {longest} bytes")
        return words

    def _fault(self, limit: str, rule: str) -> ProtocolError:
        """What a stranger is told who has met a limit."""
        self.met = limit
        return ProtocolError(f"before a log-in, {rule}")

    def _overlong(self, line: bytes | bytearray) -> ProtocolError | None:
        """The error for a line over its limit."""
        name = "max_json_line" if line.startswith(b"[") else "max_line"
        limit: int = getattr(self._limits, name)
        if limit > self._limits.max_request:
            name, limit = "max_request", self._limits.max_request
        if len(line) <= limit:
            return None
        self.met = name
        return ProtocolError(f"line is too long: at most {limit} bytes are allowed")

    def _cut_overlong(self, lines: list[bytes]) -> ProtocolError | None:
        """The error for the first line over its limit, which is taken out with all behind it; or
        for the one that has begun."""
        limits = self._limits
        least = min(limits.max_line, limits.max_json_line, limits.max_request)
        for at, line in enumerate(lines):
            if len(line) > least and (error := self._overlong(line)) is not None:
                del lines[at:]
                return error
        return self._overlong(self._tail)

    def _no_longer(self, requests: Iterator[Request]) -> Iterator[Request]:
        """These requests, up to one with a word over the limit."""
        for request in requests:
            limit = self._limits.max_value
            if isinstance(request, list) and max(map(len, request)) > limit:
                self.met = "max_value"
                yield ProtocolError(f"word is too long: at most {limit} bytes are allowed")
                return
            yield request

    def _without_telnet(self, line: bytes) -> bytes:
        """A line without what a telnet client has put in front of it, which is answered."""
        telnet = _TELNET.match(line)
        if telnet is None:
            return line
        self.refusals += _refusals(telnet[0])
        return line[telnet.end() :]

    def _plain(self, lines: Iterable[bytes]) -> list[Request]:
        """The requests of lines that have neither quotes nor brackets: 0.15 µs a line, not 0.7."""
        requests: list[Request] = []
        usual = self._usual.get
        for line in lines:
            words = line.split()
            if words:
                if len(words) > usual(words[0], 0):
                    requests.append(self._with_rest(line, words))
                else:
                    requests.append(words)
        return requests

    def _careful(self, lines: Iterable[bytes]) -> list[Request]:
        """The requests of any lines."""
        requests: list[Request] = []
        for line in lines:
            line = line.strip(_BLANKS)
            if line.startswith(b"\xff"):
                line = self._without_telnet(line).lstrip(_BLANKS)
            if line.startswith(b"["):
                requests.append(_json_request(line))
            elif b'"' in line or b"'" in line:
                requests.append(self._words(line))
            elif line:
                requests.append(self._with_rest(line, line.split()))
        return requests

    def _with_rest(self, line: bytes, words: list[bytes]) -> list[bytes]:
        """The words of a line without quotes, of which these are all; some may be one argument."""
        at, number_follows = self._rules.rest_of(words[0])
        if not 0 < at < len(words):
            return words
        words = line.rstrip(_BLANKS).split(None, at)
        rest = words.pop()
        return words + _rest(rest, number_follows)

    def _words(self, line: bytes, most: int = _ANY_NUMBER, longest: int = _ANY_NUMBER) -> Request:
        """The words of a line; those behind ``most`` or behind one longer than ``longest`` may be
        missing."""
        words: list[bytes] = []
        rest_at, number_follows = -1, False
        line = line.strip(_BLANKS)
        at, end = 0, len(line)
        while at < end:
            if len(words) == rest_at and line[at] not in _QUOTES:
                return words + _rest(line[at:], number_follows)
            found = _WORD.match(line, at)
            if found is None:
                return CommandError(
                    f"unbalanced quotes in word {len(words) + 1}",
                    "a word that starts with a quote ends with the same quote and a blank",
                )
            word = found[found.lastindex or 0]
            if len(word) > longest:  # and its escapes are not worth the time
                return [*words, word]
            if found.lastindex == _DOUBLE and b"\\" in word:
                unescaped = _unescape(word)
                if unescaped is None:
                    return CommandError(
                        f"unknown escape in word {len(words) + 1}",
                        r"in double quotes, \n \r \t \" \\ and \xHH are known",
                    )
                word = unescaped
            words.append(word)
            if len(words) > most:
                return words
            if len(words) == 1:
                rest_at, number_follows = self._rules.rest_of(word)
            at = found.end()
        return words


def _refusals(negotiation: bytes) -> bytes:
    """WONT for each DO, and DONT for each WILL (RFC 854)."""
    return b"".join(
        b"\xff%b%b" % (_DONT if verb == _WILL else _WONT, option)
        for verb, option in _NEGOTIATION.findall(negotiation)
    )


def _is_plain(lines: bytes) -> bool:
    return not (b'"' in lines or b"'" in lines or b"[" in lines or b"\xff" in lines)


def _rest(text: bytes, number_follows: bool) -> list[bytes]:
    if number_follows:
        words = text.rsplit(None, 1)
        if len(words) == 2 and _NUMBER.fullmatch(words[1]):
            return words
    return [text]


def _unescape(quoted: bytes) -> bytes | None:
    """What stands between double quotes, its escapes replaced; None where one is unknown."""
    try:
        return _ESCAPE.sub(lambda escape: _ESCAPES[escape[1]], quoted)
    except KeyError:
        return None


def _json_request(line: bytes) -> Request:
    try:
        words = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return CommandError(
            f"not a line of JSON: {error}", 'a request is like ["set", "key", "value"]'
        )
    if set(map(type, words)) != _ONLY_STRINGS:
        return CommandError(
            "a JSON request is an array of one or more strings",
            'a request is like ["set", "key", "value"]',
        )
    return list(map(str.encode, words))
