"""Where the log goes and how it looks."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, LogPublisher
from twisted.python import log as log_of_old
from twisted.python.failure import Failure
from zope.interface import implementer

from memdbd.config import FORMATS, LEVELS
from memdbd.logs import Observer

MOMENT = 1_700_000_000.25  # the time of all events


@implementer(ILogObserver)
class Log:
    """A log in memory: ``logger`` writes to it, ``text`` is what was written."""

    def __init__(self, level: str = "debug", form: str = "json") -> None:
        self._stream = io.StringIO()
        self.observer = Observer(self._stream, level, form)
        self.logger = Logger("memdbd.test", observer=self)

    def __call__(self, event: LogEvent) -> None:
        self.observer(event | {"log_time": MOMENT})

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


class TestJSON:
    def test_a_line_tells_when_who_how_bad_and_what(self) -> None:
        log = Log()
        log.logger.warn("{count} keys lost", count=3)
        assert log.text.endswith("\n")
        assert log.lines == [
            {
                "time": "2023-11-14T22:13:20.250Z",
                "level": "warn",
                "logger": "memdbd.test",
                "message": "3 keys lost",
            }
        ]

    @pytest.mark.parametrize("said", ["two\nlines", "a\r\nb", 'a "quote"', "\x00", "ü", "\u2028"])
    def test_each_event_is_one_line_whatever_it_says(self, said: str) -> None:
        log = Log()
        log.logger.info("{said}", said=said)
        log.logger.info("next")
        assert [line["message"] for line in log.lines] == [said, "next"]
        assert log.text.count("\n") == 2

    def test_a_traceback_is_part_of_the_message(self) -> None:
        log = Log()
        try:
            raise ValueError("out of cheese")
        except ValueError:
            log.logger.failure("it broke", Failure())
        (line,) = log.lines
        assert line["level"] == "critical"
        assert line["message"].startswith("it broke\nTraceback")
        assert "ValueError: out of cheese" in line["message"]

    def test_an_event_that_cannot_be_formatted_is_still_a_line(self) -> None:
        log = Log()
        log.logger.info("{missing}")
        assert "missing" in log.lines[0]["message"]

    def test_what_an_older_part_of_twisted_says_is_a_line_too(self) -> None:
        log = Log(level="info")
        # Its annotations know no publisher but the default.
        publisher: Any = LogPublisher(log.observer)
        older = log_of_old.LogPublisher(publishPublisher=publisher)
        older.msg("hello", system="twisted.application")
        (line,) = log.lines
        assert (line["level"], line["message"]) == ("info", "hello")


class TestText:
    def test_a_line_tells_who_how_bad_and_what(self) -> None:
        log = Log(form="text")
        log.logger.error("{count} keys lost", count=3)
        assert log.text.endswith(" [memdbd.test#error] 3 keys lost\n")

    def test_what_an_event_says_starts_no_line_of_its_own(self) -> None:
        log = Log(form="text")
        log.logger.info("{said}", said="one\n2023-11-14 [-] forged")
        log.logger.info("next")
        assert log.text.splitlines()[1] == "\t2023-11-14 [-] forged"


def test_another_level_and_form_are_followed_from_the_next_event_on() -> None:
    log = Log("warn", "text")
    log.logger.info("one")
    log.observer.follow("info", "json")
    log.logger.info("two")
    assert [line["message"] for line in log.lines] == ["two"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("level", LEVELS)
def test_what_is_below_the_level_is_left_out(level: str, form: str) -> None:
    log = Log(level, form)
    for each in LEVELS:
        log.logger.emit(LogLevel.levelWithName(each), f"this is {each}")
    written = [each for each in LEVELS if f"this is {each}" in log.text]
    assert written == list(LEVELS[LEVELS.index(level) :])
