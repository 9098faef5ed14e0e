"""Where the log goes and how it looks: an observer of Twisted's logger, made of the settings.

Imports Twisted only.
"""

from __future__ import annotations

from typing import IO, Any

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    jsonFileLogObserver,
    textFileLogObserver,
)


def observer(stream: IO[Any], level: str, form: str) -> ILogObserver:
    """An observer that writes to ``stream`` what is at least of ``level``, as text or JSON."""
    write = (
        jsonFileLogObserver(stream, recordSeparator="")
        if form == "json"
        else textFileLogObserver(stream)
    )
    least = LogLevelFilterPredicate(defaultLogLevel=LogLevel.levelWithName(level))
    return FilteringLogObserver(write, [least])
