"""Where the log goes and how it looks: an observer of Twisted's logger that follows the settings.

Imports Twisted only.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import IO, Any

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    textFileLogObserver,
)
from zope.interface import implementer


@implementer(ILogObserver)
class Observer:
    """Writes to ``stream`` what is at least of ``level``, as text or JSON."""

    def __init__(self, stream: IO[Any], level: str, form: str) -> None:
        self._stream = stream
        self.follow(level, form)

    def follow(self, level: str, form: str) -> None:
        """Have another level and form from now on."""
        stream = self._stream
        write = FileLogObserver(stream, _as_json) if form == "json" else textFileLogObserver(stream)
        least = LogLevelFilterPredicate(defaultLogLevel=LogLevel.levelWithName(level))
        self._observe = FilteringLogObserver(write, [least])

    def __call__(self, event: LogEvent) -> None:
        self._observe(event)


def _as_json(event: LogEvent) -> str:
    """One line: time, level, who says it and what; a traceback is part of the message.

    Twisted's own JSON has the event's raw fields and no text that could be read or searched.
    """
    moment = datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds")
    level = event.get("log_level")
    line = {
        "time": moment.replace("+00:00", "Z"),
        "level": level.name if level is not None else "info",
        "logger": event.get("log_namespace", "-"),
        "message": eventAsText(event, includeTimestamp=False, includeSystem=False),
    }
    return json.dumps(line) + "\n"
