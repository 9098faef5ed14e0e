"""Replies and messages as a person reads them; pure.

Strategy: a reply is shown as the Python dict it would be, by ``repr``, which also keeps control
characters of other people's data from reaching the terminal; whatever is shown outside of such a
dict goes through :func:`as_text` for the same reason. Only where a dict would say less than a
sentence (subscriptions, ``set_with_ttl``, ``help``) is there a sentence.

May import: wire.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from memdbd.client.wire import Message, Push, Reply, parse_object, unpack

# In help, a usage stands left of its summary if it is no longer than this and leaves the summary
# so many columns; otherwise above.
USAGE_WIDTH = 36
SUMMARY_WIDTH = 30

# What is told of each action, and of what it is the action.
_SUBSCRIPTIONS = {
    "subscribe": ("Subscribed to", "channel"),
    "unsubscribe": ("Unsubscribed from", "channel"),
    "psubscribe": ("Subscribed to", "pattern"),
    "punsubscribe": ("Unsubscribed from", "pattern"),
    "ssubscribe": ("Subscribed to", "shard channel"),
    "sunsubscribe": ("Unsubscribed from", "shard channel"),
}


def as_text(data: str | bytes) -> str:
    """``data`` on one line, safe for a terminal: UTF-8 as it is, what cannot be printed escaped."""
    if isinstance(data, bytes):
        try:
            data = data.decode()
        except UnicodeDecodeError:
            return repr(data)
    if data.isprintable():
        return data
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in data)


def as_python(line: bytes) -> str:
    """A reply's line as a Python dict; what came as base64 is shown as bytes."""
    fields = parse_object(line)
    for name, encoding_name in (
        ("result", "encoding"),
        ("push", "encoding"),
        ("channel", "channel_encoding"),
    ):
        if name in fields and (encoding := fields.pop(encoding_name, None)) is not None:
            fields[name] = unpack(fields[name], encoding, own=str)
    return repr(fields)


def reply_for_people(reply: Reply, words: Sequence[bytes] = (), columns: int = 80) -> str:
    """The line or lines that show a reply at the prompt of a screen so many columns wide.

    ``words`` are those of the request; without them there is no sentence that repeats them.
    """
    if (sentences := _SUBSCRIPTIONS.get(reply.get("action", ""))) is not None:
        return _subscription(reply, *sentences)
    command = words[0].lower() if words else b""
    if command == b"help":
        return _help(reply, columns)
    shown = as_python(reply.line)
    if command == b"set_with_ttl" and "ttl_set" in reply and len(words) >= 3:
        key, value = as_text(words[1]), as_text(words[2])
        return f"Setting {key} = {value} with TTL of {reply['ttl_set']} seconds\n{shown}"
    return shown


def message_for_people(message: Message) -> str:
    """The line that shows a published message."""
    pattern = "" if message.pattern is None else f" (pattern {_quoted(message.pattern)})"
    return f"Message from {_quoted(message.channel)}{pattern}: {as_text(message.message)}"


def push_for_people(push: Push) -> str:
    """The line that shows what else came unasked: one of MONITOR as it is."""
    return as_text(push.content) if isinstance(push.content, bytes) else as_python(push.line)


def _quoted(name: bytes) -> str:
    try:
        return repr(name.decode())
    except UnicodeDecodeError:
        return repr(name)


def _subscription(reply: Reply, sentence: str, kind: str) -> str:
    names = reply.get("channel")
    if not isinstance(names, list):
        names = [names]
    if not names:
        return f"Not subscribed to any {kind}"
    return "\n".join(f"{sentence} {kind}: {as_text(name)}" for name in names)


def _help(reply: Reply, columns: int) -> str:
    result = reply.get("result")
    if not isinstance(result, dict):
        return as_python(reply.line)
    entries = [(as_text(usage), as_text(summary)) for usage, summary in result.items()]
    left = max((len(usage) for usage, _ in entries if len(usage) <= USAGE_WIDTH), default=0)
    if columns - left - 2 < SUMMARY_WIDTH:
        left = 2
    lines: list[str] = []
    for usage, summary in entries:
        if len(usage) <= left:
            lines += _wrapped(summary, columns, f"{usage:<{left}}  ", left + 2)
        else:
            lines += _wrapped(usage, columns, "", 4)
            lines += _wrapped(summary, columns, " " * (left + 2), left + 2)
    return "\n".join(lines)


def _wrapped(text: str, columns: int, before: str, indent: int) -> list[str]:
    """The lines of ``text``, whole words each, the first behind ``before``."""
    lines = textwrap.wrap(
        text,
        max(columns, indent + 1),
        initial_indent=before,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )
    return lines or [before.rstrip()]
