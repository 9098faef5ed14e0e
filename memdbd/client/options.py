"""The command line of ``memdb``: its options, what ``--help`` says, and where the daemon is.

Strategy: the parsing is Twisted's; what it says about a mistake is said again in words that help.
May import: exits, protocol (for its default), Twisted.
"""

from __future__ import annotations

import difflib
import getopt
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, NoReturn

from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python import usage

from memdbd import __version__
from memdbd.client import exits
from memdbd.client.protocol import DEFAULT_ENDPOINT

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

At the prompt and in lines, words are separated by blanks; "..." (with
\\n \\r \\t \\" \\\\ \\xHH) and '...' keep blanks in a word. In set, set_with_ttl
and publish, text without quotes may have blanks.
A line may also be a JSON array of strings: ["set", "key", "two\\nlines"].

At the prompt: help lists the commands; exit, quit, Ctrl-D, and Ctrl-C at an
empty line leave; Ctrl-C at any other line clears it, and while a reply is
awaited stops waiting, and connects anew. A lost connection is retried; its
database and its subscriptions are those of the new one.

One command prints its reply as at the prompt if standard output is a
terminal, otherwise as JSON. In JSON, data that is not UTF-8 is base64 and a
field "encoding" says so.

ENDPOINT is host:port, or a Twisted client endpoint, such as
tcp:127.0.0.1:65432, unix:/run/memdbd.sock or
tls:db.example:65433:trustRoots=DIR, where DIR has only .pem certificates.

Exit status:
    0  done; also when you leave the prompt, or end memdb subscribe with Ctrl-C
    1  the server answered with an error (standard input: to any of the lines);
       check: damaged; other tools: it was refused, or has failed
    2  no connection, a connection lost, or no reply in time
    3  check: the last write is not complete; a daemon would start without it
   64  the command line is wrong
   70  a mistake of ours, with a traceback; please report it
   74  standard output was closed, or could not be written
  128+ ended by a signal, such as 130 for Ctrl-C
"""


# They are no commands of a server. Their options are in tooloptions.
TOOLS = frozenset({b"check", b"repair", b"export", b"import"})

# Each kind of endpoint that is followed by an address; others come from plugins of Twisted's.
KINDS = ("tcp", "tls", "ssl", "unix")


def seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise ValueError(f"--timeout must be a number of seconds, not {text!r}; 0 is no limit")


seconds.coerceDoc = ""  # type: ignore[attr-defined]  # usage.Options prints it behind the text


class PlainOptions(usage.Options):
    """Options whose mistakes are told in words that help."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as problem:
            raise usage.UsageError(self.plainly(problem.__context__ or problem)) from None

    opt_h = usage.Options.opt_help

    def opt_version(self) -> NoReturn:
        """Show the version of memdb and exit."""
        print(f"memdb {__version__}")
        raise SystemExit(exits.OK)

    def plainly(self, cause: BaseException) -> str:
        """What is wrong, from the error around which Twisted puts words of its own."""
        if isinstance(cause, getopt.GetoptError) and cause.msg.endswith("not recognized"):
            given = "--" + cause.opt if len(cause.opt) > 1 else "-" + cause.opt
            names = [name.rstrip("=") for name in self.longOpt]
            near = difflib.get_close_matches(cause.opt, names, n=1)
            return f"there is no option {given}" + (f"; did you mean --{near[0]}?" if near else "")
        return str(cause)


class Options(PlainOptions):
    """The command line: options first, then the words of a command, which may start with ``-``."""

    longdesc = ""
    synopsis = "Usage: memdb [options] [command [argument ...]]"
    optParameters: ClassVar[list[list[Any]]] = [
        ["connect", "c", DEFAULT_ENDPOINT, "Where the daemon is: ENDPOINT, see below."],
        [
            "timeout", "t", 30.0,
            "Seconds to wait for a connection and for a reply, 0 for no limit.", seconds,
        ],
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.words: list[bytes] = []

    def parseArgs(self, *words: str) -> None:
        # Python made text of the bytes in argv, with surrogates where they are not UTF-8.
        self.words = [os.fsencode(word) for word in words]

    @property
    def names_tool(self) -> bool:
        """Whether the first word is the name of a tool."""
        return bool(self.words) and self.words[0] in TOOLS

    def getUsage(self, width: int | None = None) -> str:
        return super().getUsage(width) + MANUAL


def client_endpoint(reactor: Any, text: str) -> IStreamClientEndpoint:
    """The endpoint that the value of ``--connect`` describes; ``host:port`` is one of TCP.

    Raises UsageError for what describes none.
    """
    host, _, port = text.rpartition(":")
    if host and ":" not in host and host not in KINDS and port.isdecimal():
        text = f"tcp:{text}"
    try:
        endpoint: IStreamClientEndpoint = clientFromString(reactor, text)
        return endpoint
    except (LookupError, TypeError, ValueError):  # in words about Twisted's code
        raise usage.UsageError(
            "--connect must be an endpoint, such as tcp:127.0.0.1:65432 or"
            f" unix:/run/memdbd.sock, not {text!r}"
        ) from None
    except Exception:  # a file that it names, or what is in it
        raise usage.UsageError(
            f"--connect {text}: trustRoots must be a directory with only .pem certificates,"
            " certificate and privateKey a .pem file each"
        ) from None
