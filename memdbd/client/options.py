"""The command line of ``memdb``: its options, and what ``--help`` says.

Strategy: the parsing is Twisted's; what it says about a mistake is said again in words that help.
What stands in the words of a command is read by all users of the machine, so a password among them
is refused before anybody asks for one.

May import: exits, typed, protocol (for its default), Twisted.
"""

from __future__ import annotations

import difflib
import getopt
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, NoReturn

from twisted.python import usage

from memdbd import __version__
from memdbd.client import exits
from memdbd.client.protocol import DEFAULT_ENDPOINT
from memdbd.client.typed import secrets_in

MANUAL = """
Without a command: on a terminal a prompt, with line editing and history;
otherwise each line of standard input is run as a command, and each reply
printed as a line of JSON, in order.

  memdb                          a prompt
  memdb get username             one command; the words are sent as they are
  memdb subscribe notifications  prints messages until Ctrl-C; so do
                                 psubscribe, ssubscribe and monitor
  memdb < commands.txt           many commands; ends after the last reply, or
                                 at exit or quit

Tools, each with a --help of its own:

  memdb export backup.jsonl      all keys of a server, or --from DIR, as lines
                                 of JSON; of a redis-server as well
  memdb import backup.jsonl      such lines, a snapshot, or a Redis RDB file,
                                 into a server, or --into DIR
  memdb check DIR                what is in a data directory, and what of it is
                                 damaged
  memdb repair DIR               make a damaged one such that a daemon starts
  memdb passwd [USER]            the hash of a password, for a file of users

At the prompt and in lines, words are separated by blanks; "..." (with
\\n \\r \\t \\" \\\\ \\xHH) and '...' keep blanks in a word. In set, set_with_ttl
and publish, text without quotes may have blanks.
A line may also be a JSON array of strings: ["set", "key", "two\\nlines"].

At the prompt: help lists the commands; exit, quit, Ctrl-D, and Ctrl-C at an
empty line leave; Ctrl-C at any other line clears it, and while a reply is
awaited stops waiting, and connects anew. A lost connection is retried; its
user, its database and its subscriptions are those of the new one. Before
flushall, flushdb, shutdown, debug, acl deluser, acl setuser default nopass,
acl setuser ... off of yourself, and config set of a path or a password, you
are asked; --yes turns that off. In lines and for one command there is nobody
to ask.

One command prints its reply as at the prompt if standard output is a
terminal, otherwise as JSON. In JSON, data that is not UTF-8 is base64 and a
field "encoding" says so.

ENDPOINT is host:port, or a Twisted client endpoint, such as
tcp:127.0.0.1:65432 or unix:/run/memdbd.sock.

A password is taken from the first line of --password-file, from the variable
MEMDB_PASSWORD, from REDISCLI_AUTH, or asked for (--ask; also where --user
stands alone and standard input is a terminal). Without --user it is that of
the user default. It is never an argument, since all users of a machine can
read those: memdb auth, hello ... auth, acl setuser with a password and config
set requirepass are refused as words of the shell. Type them at the prompt, or
send them as lines.

With --tls the server's certificate must be from a CA of the system, or of
--cacert, and for the host of ENDPOINT, or for --sni. Nothing is sent before
that is certain, and nothing is ever sent in plain text instead.

Exit status:
    0  done; also when you leave the prompt, or end memdb subscribe with Ctrl-C
    1  the server answered with an error (standard input: to any of the lines),
       or refused the login; check: damaged; other tools: it was refused, or
       has failed
    2  no connection, no server that is trusted, a connection lost, or no reply
       in time
    3  check: the last write is not complete; a daemon would start without it
   64  the command line is wrong
   70  a mistake of ours, with a traceback; please report it
   74  standard output was closed, or could not be written
  128+ ended by a signal, such as 130 for Ctrl-C
"""


# They are no commands of a server. Their options are in tooloptions.
TOOLS = frozenset({b"check", b"repair", b"export", b"import", b"passwd"})


def seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise ValueError(f"--timeout must be a number of seconds, not {text!r}; 0 is no limit")


seconds.coerceDoc = ""  # type: ignore[attr-defined]  # usage.Options prints it behind the text


# What a server asks for that is not only for this machine; of the tools as well.
LOGIN_FLAGS: list[Sequence[Any]] = [
    ["ask", None, "Ask for the password, at the terminal."],
    ["tls", None, "Speak TLS, and nothing else."],
]
LOGIN_PARAMETERS: list[Sequence[Any]] = [
    ["user", "u", None, "The user to log in as."],
    ["password-file", None, None, "The file whose first line is the password."],
    ["cacert", None, None, "The CAs whose servers are trusted, as a PEM file; else the system's."],
    ["cert", None, None, "A certificate to show to the server, as a PEM file."],
    ["key", None, None, "The key of --cert, as a PEM file."],
    ["sni", None, None, "The name in the server's certificate, if it is not that of ENDPOINT."],
]

# What others have for a password, and where it is to be found here.
_PASSWORD = ("-a", "--password", "--pass")
NEVER_AN_ARGUMENT = (
    "all users of this machine can read the arguments of a process (ps): it belongs in a file, for"
    " --password-file, or in the variable MEMDB_PASSWORD, or is asked for with --ask"
)

# What redis-cli has for it.
_SERVER = ("p", "port", "host", "hostname")
_WHERE = "the server is named with -c HOST:PORT"

_NEVER_A_WORD = (
    f"{NEVER_AN_ARGUMENT}; one of another user is typed at the prompt, or sent as a line of"
    " standard input"
)

Parse = Callable[..., tuple[list[tuple[str, str]], list[str]]]


class PlainOptions(usage.Options):
    """Options whose mistakes are told in words that help."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        self.scan(getopt.getopt, sys.argv[1:] if options is None else options)
        try:
            super().parseOptions(options)
        except usage.UsageError as problem:
            raise usage.UsageError(self.plainly(problem.__context__ or problem)) from None

    def scan(self, parse: Parse, options: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
        """The options and the words of a command line. Raises UsageError, for a password too:
        ``--pass`` would else be taken for the beginning of ``--password-file``."""
        refused = _PASSWORD if "password-file=" in self.longOpt else ()
        short = "".join(f"{name[1]}:" for name in refused if not name.startswith("--"))
        long = [f"{name[2:]}=" for name in refused if name.startswith("--")]
        try:
            found, words = parse(list(options), self.shortOpt + short, [*self.longOpt, *long])
        except getopt.GetoptError as problem:
            raise usage.UsageError(self.plainly(problem)) from None
        for name, _ in found:
            if name in refused:
                raise usage.UsageError(f"a password is no option: {NEVER_AN_ARGUMENT}")
        return found, words

    opt_h = usage.Options.opt_help

    def opt_version(self) -> NoReturn:
        """Show the version of memdb and exit."""
        print(f"memdb {__version__}")
        raise SystemExit(exits.OK)

    def plainly(self, cause: BaseException) -> str:
        """What is wrong, from the error around which Twisted puts words of its own."""
        if isinstance(cause, getopt.GetoptError) and cause.msg.endswith("not recognized"):
            given = "--" + cause.opt if len(cause.opt) > 1 else "-" + cause.opt
            if cause.opt in _SERVER and "connect=" in self.longOpt:
                return f"there is no option {given}; {_WHERE}"
            names = [name.rstrip("=") for name in self.longOpt]
            near = difflib.get_close_matches(cause.opt, names, n=1)
            return f"there is no option {given}" + (f"; did you mean --{near[0]}?" if near else "")
        return str(cause)


class Options(PlainOptions):
    """The command line: options first, then the words of a command, which may start with ``-``."""

    longdesc = ""
    synopsis = "Usage: memdb [options] [command [argument ...]]"
    optFlags: ClassVar[list[Sequence[Any]]] = [
        *LOGIN_FLAGS,
        ["yes", "y", "Do not ask at the prompt before what cannot be undone."],
    ]
    optParameters: ClassVar[list[Sequence[Any]]] = [
        ["connect", "c", DEFAULT_ENDPOINT, "Where the daemon is: ENDPOINT, see below."],
        [
            "timeout", "t", 30.0,
            "Seconds to wait for a connection and for a reply, 0 for no limit.", seconds,
        ],
        *LOGIN_PARAMETERS,
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.words: list[bytes] = []

    def parseArgs(self, *words: str) -> None:
        # Python made text of the bytes in argv, with surrogates where they are not UTF-8.
        self.words = [os.fsencode(word) for word in words]
        if secrets_in(self.words):
            raise usage.UsageError(f"a password is no word of a command: {_NEVER_A_WORD}")

    def scan(self, parse: Parse, options: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
        found, words = super().scan(parse, options)
        if words and any(name == "-h" for name, _ in found):
            # As it is for redis-cli: -h HOST, and a script would take our help for its reply.
            raise usage.UsageError(f"{_WHERE}; -h alone is for help")
        return found, words

    @property
    def names_tool(self) -> bool:
        """Whether the first word is the name of a tool."""
        return bool(self.words) and self.words[0] in TOOLS

    def getUsage(self, width: int | None = None) -> str:
        return super().getUsage(width) + MANUAL
