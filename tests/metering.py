"""Counts what our own code does: its opcodes, the calls from it and of it, the bytes that it holds.

What is ours is told by a module's path. The interpreter tells of each opcode and each call; what
others do, Twisted, a test, the standard library, is not counted, but that they are called is. What
is compiled has no opcodes, and tells of no calls; its bytes are seen all the same.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any


class Meter:
    """Counts the opcodes of our own code, and the calls from it and of it."""

    def __init__(self, ours: str) -> None:
        self.opcodes = self.calls = 0
        self._ours = ours  # what the paths of its files start with
        self._known: dict[CodeType, bool] = {}

    def opcodes_of(self, act: Callable[[], object]) -> int:
        """How many opcodes of ours are run."""
        self.opcodes = 0
        with self._traced() if sys.version_info < (3, 12) else self._monitored():
            act()
        return self.opcodes

    def calls_of(self, act: Callable[[], object]) -> int:
        """How many calls are made by us, or of us."""
        self.calls = 0
        sys.setprofile(self._called)
        try:
            act()
        finally:
            sys.setprofile(None)
        return self.calls

    def _is_ours(self, code: CodeType) -> bool:
        known = self._known.get(code)
        if known is None:
            known = self._known[code] = code.co_filename.startswith(self._ours)
        return known

    @contextmanager
    def _traced(self) -> Iterator[None]:
        sys.settrace(self._entered)
        try:
            yield
        finally:
            sys.settrace(None)

    def _entered(self, frame: FrameType, event: str, _: object) -> Any:
        if not self._is_ours(frame.f_code):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            self.opcodes += 1
        return self._stepped

    @contextmanager
    def _monitored(self) -> Iterator[None]:
        # From 3.12 on: there, a trace misses the opcodes of what is run for the first time.
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        tool, event = monitoring.PROFILER_ID, monitoring.events.INSTRUCTION

        def step(code: CodeType, offset: int) -> Any:
            if not self._is_ours(code):
                return monitoring.DISABLE  # of no other opcode, until that is undone
            self.opcodes += 1
            return None

        monitoring.use_tool_id(tool, "memdbd")
        monitoring.register_callback(tool, event, step)
        monitoring.set_events(tool, event)
        try:
            yield
        finally:
            monitoring.set_events(tool, 0)
            monitoring.register_callback(tool, event, None)
            monitoring.free_tool_id(tool)
            monitoring.restart_events()

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if event == "c_call":  # made by this frame
            self.calls += self._is_ours(frame.f_code)
        elif event == "call":  # of this frame; or it goes on, if it is a generator's
            by = frame.f_back
            self.calls += self._is_ours(frame.f_code) or (
                by is not None and self._is_ours(by.f_code)
            )


def held(act: Callable[[], object]) -> int:
    """Bytes that are held at most at once while something is done; tracemalloc is on."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    act()
    return tracemalloc.get_traced_memory()[1] - before
