"""The few reply types that Python lacks.

A handler returns None, int, bytes, list, dict or one of these; only dialects make bytes of
them. Imports nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Status:
    """A short word of success, such as ``OK``: not data, so it is no ``bytes``."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Status({self.text!r})"


OK = Status("OK")
PONG = Status("PONG")


class Fields:
    """A reply of the text dialect with named fields beside its ``result``.

    ``extra`` is what stands after the result: a dict from field name to reply.
    """

    __slots__ = ("extra", "result")

    def __init__(self, result: Reply, extra: dict[str, Reply]) -> None:
        self.result = result
        self.extra = extra


class Found:
    """What ``get`` found, for the text dialect: the value of ``key`` and its whole seconds left.

    Apart from :class:`Fields` for the read cache, which wants to know the key.
    """

    __slots__ = ("key", "ttl", "value")

    def __init__(self, key: bytes, value: bytes | None, ttl: int | None) -> None:
        self.key = key
        self.value = value
        self.ttl = ttl


class Message:
    """A published message on its way to subscribers.

    It keeps what each dialect made of it, so that it is encoded once, whoever listens.
    """

    __slots__ = ("channel", "encoded", "payload")

    def __init__(self, channel: bytes, payload: bytes) -> None:
        self.channel = channel
        self.payload = payload
        self.encoded: dict[object, bytes] = {}


class Pending:
    """A reply that is not there yet; the session answers nothing else before it comes.

    ``resolve(reply)`` may be called once, with a reply or a
    :class:`~memdbd.errors.CommandError`, before or after ``then``.
    """

    __slots__ = ("_reply", "_then")

    _UNSET = object()

    def __init__(self) -> None:
        self._reply: Any = self._UNSET
        self._then: Callable[[Any], None] | None = None

    def resolve(self, reply: Any) -> None:
        """Give the reply; whoever waits is called now."""
        self._reply = reply
        if self._then is not None:
            self._then(reply)

    def then(self, callback: Callable[[Any], None]) -> None:
        """Call ``callback(reply)`` as soon as there is one."""
        self._then = callback
        if self._reply is not self._UNSET:
            callback(self._reply)


# The neutral replies. Containers hold replies again, so it is as open as Python is.
Reply = Any
