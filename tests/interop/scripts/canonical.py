"""What a Python client was answered, as lines that two servers can be compared by.

A :class:`Step` is one call of a client's method and the view of its reply that is printed; a
:class:`Transcript` prints one line of JSON for each. A view leaves out only what a server is free
to choose: :func:`plain` nothing but the order in sets and dicts, :func:`unordered` the order in
lists, :func:`kind` all but types, :func:`has` all but the presence of names, and :func:`about`
the time since a deadline was set.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PATIENCE = 30.0  # seconds after which a script gives up
MANY = 300  # members: more than a small collection of Redis's keeps in one piece

View = Callable[[Any], Any]


def plain(value: Any) -> Any:
    """The whole value as JSON; bytes and what JSON lacks as Python writes them."""
    match value:
        case None | bool() | int() | str():
            return value
        case list() | tuple():
            return [plain(item) for item in value]
        case set() | frozenset():
            return {"set": unordered(value)}
        case Mapping():
            return {"dict": unordered([list(item) for item in value.items()])}
        case Exception():
            return f"{type(value).__name__}: {value}"
        case _:
            return repr(value)


def unordered(value: Iterable[Any]) -> list[Any]:
    """The elements in an order of our own, for replies in which it means nothing."""
    return sorted((plain(item) for item in value), key=json.dumps)


def kind(value: Any) -> Any:
    """The types, for values that are a server's own: times, ids, sizes."""
    match value:
        case list() | tuple():
            return [kind(item) for item in value]
        case _:
            return type(value).__name__


def has(*names: str | bytes) -> View:
    """Which of the names a reply of fields, or a list of names, has."""
    return lambda value: {str(name): name in value for name in names}


def about(expected: int, slack: int) -> View:
    """The time left, which is a little less than was asked for when the reply comes."""
    return lambda left: f"about {expected}" if expected - slack <= left <= expected else plain(left)


@dataclass(frozen=True)
class Step:
    """A call of the method ``name``."""

    name: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    view: View

    @property
    def label(self) -> str:
        """The command with its arguments, as the transcript has it."""
        name = () if self.name == "execute_command" else (self.name,)
        options = [f"{option}={value}" for option, value in self.options.items()]
        return " ".join(str(word) for word in (*name, *self.arguments, *options))


def step(name: str, *arguments: Any, view: View = plain, **options: Any) -> Step:
    return Step(name, arguments, options, view)


class Transcript:
    """The lines, printed as they come: a script that hangs has told where."""

    def add(self, command: str, reply: Any, view: View = plain) -> None:
        """One command and what it was answered; an exception is an error reply."""
        if isinstance(reply, Exception):
            answer = {"error": plain(reply)}
        else:
            answer = {"reply": view(reply)}
        print(json.dumps({"command": command, **answer}, sort_keys=True), flush=True)
