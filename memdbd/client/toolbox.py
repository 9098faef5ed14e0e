"""Which tool the command line names, and how it is run: at once, or with a reactor and a server.

May import: tools, transfer, passwd, records, resp, access, link (for its words), tooloptions,
exits, errors, Twisted.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import TimeoutError
from twisted.internet.error import ConnectionDone, ConnectionLost

from memdbd.client import exits, resp
from memdbd.client.access import Access
from memdbd.client.link import status_of, why
from memdbd.client.options import Options
from memdbd.client.passwd import passwd
from memdbd.client.records import Source
from memdbd.client.tooloptions import (
    CheckOptions,
    ExportOptions,
    ImportOptions,
    PasswdOptions,
    RepairOptions,
    tool_options,
)
from memdbd.client.tools import check, repair
from memdbd.client.transfer import (
    export_directory,
    export_server,
    import_into_directory,
    import_into_server,
    opened_source,
)
from memdbd.errors import MemDBError


class _NoOutputError(Exception):
    """Standard output is closed."""


class Tool:
    """The tool that ``general`` names, whose options are behind it.

    ``complain(sentence)`` is for standard error. Raises UsageError.
    """

    def __init__(self, general: Options, complain: Callable[[str], object]) -> None:
        self.options = tool_options(general)
        self._complain = complain
        self._source: Source | None = None

    @property
    def needs_server(self) -> bool:
        """Whether it is for ``talk``, or else for ``run``."""
        options = self.options
        if isinstance(options, ExportOptions):
            return options["from"] is None
        return isinstance(options, ImportOptions) and options["into"] is None

    def run(self) -> int:
        """Run one that needs no server; gives the exit status."""
        options = self.options
        try:
            with self.opened():
                if isinstance(options, CheckOptions):
                    return check(options, _print, self._complain)
                if isinstance(options, RepairOptions):
                    return repair(options, _print, self._complain)
                if isinstance(options, PasswdOptions):
                    return passwd(options, _print, self._complain)
                if isinstance(options, ExportOptions):
                    return export_directory(options, self._complain)
                return import_into_directory(*self._import(), self._complain)
        except KeyboardInterrupt:
            return exits.SIGNAL + signal.SIGINT
        except _NoOutputError:
            return exits.OUTPUT

    async def talk(self, reactor: Any, server: Access, tell: Callable[[str], object]) -> int:
        """Run one that talks to a server; gives the exit status.

        ``tell(sentence)`` is for what becomes of the connection: where a signal has ended all, that
        is no news.
        """
        options = self.options
        try:
            client = await resp.connect(
                reactor,
                server.endpoint,
                timeout=options["timeout"] or None,
                login=server.login,
            )
        except Exception as problem:
            tell(f"Connecting to {server.name} failed: {why(problem)}")
            return status_of(problem)
        try:
            if isinstance(options, ExportOptions):
                return await export_server(client, options, self._complain)
            return await import_into_server(client, *self._import(), self._complain)
        except (ConnectionLost, ConnectionDone, TimeoutError, resp.NoServer) as problem:
            tell(f"No reply from {server.name}: {why(problem, client)}")
            return exits.NO_CONNECTION
        finally:
            client.close()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Have what is to be imported open, if anything is; ends the program where it cannot be
        read."""
        if not isinstance(self.options, ImportOptions):
            yield
            return
        try:
            with opened_source(self.options) as self._source:
                yield
                return
        except MemDBError as error:
            self._complain(f"memdb import: {error}")
        except OSError as error:
            name = error.filename or self.options.given
            self._complain(f"memdb import: {name}: {error.strerror}")
        except KeyboardInterrupt:
            raise SystemExit(exits.SIGNAL + signal.SIGINT) from None
        raise SystemExit(exits.FAILED)

    def _import(self) -> tuple[ImportOptions, Source]:
        assert isinstance(self.options, ImportOptions)  # noqa: S101
        assert self._source is not None  # noqa: S101
        return self.options, self._source


def _print(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except (OSError, AttributeError):
        raise _NoOutputError from None
