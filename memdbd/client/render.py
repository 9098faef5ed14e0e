"""Replies and messages as a person reads them; pure.

Strategy: a reply is shown as the Python dict it would be, by ``repr``, which also keeps control
characters of other people's data from reaching the terminal; whatever is shown outside of such a
dict goes through :func:`as_text` for the same reason. Only where a dict would say less than a
sentence (subscriptions, ``set_with_ttl``, ``help``) is there a sentence.

May import: wire.
"""

from __future__ import annotations

from collections.abc import Sequence

from memdbd.client.wire import Message, Reply, parse_object, unpack

# Left of the summaries in help; a longer usage has a line of its own.
USAGE_WIDTH = 36


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
    for name, encoding_name in (("result", "encoding"), ("channel", "channel_encoding")):
        encoding = fields.pop(encoding_name, None)
        if encoding is not None:
            fields[name] = unpack(fields.get(name), encoding)
    return repr(fields)


def reply_for_people(reply: Reply, words: Sequence[bytes] = ()) -> str:
    """The line or lines that show a reply at the prompt.

    ``words`` are those of the request; without them there is no sentence that repeats them.
    """
    if reply.get("action") in ("subscribe", "unsubscribe"):
        return _subscription(reply)
    command = words[0].lower() if words else b""
    if command == b"help":
        return _help(reply)
    shown = as_python(reply.line)
    if command == b"set_with_ttl" and "ttl_set" in reply and len(words) >= 3:
        key, value = as_text(words[1]), as_text(words[2])
        return f"Setting {key} = {value} with TTL of {reply['ttl_set']} seconds\n{shown}"
    return shown


def message_for_people(message: Message) -> str:
    """The line that shows a published message."""
    try:
        channel = repr(message.channel.decode())
    except UnicodeDecodeError:
        channel = repr(message.channel)
    return f"Message from {channel}: {as_text(message.message)}"


def _subscription(reply: Reply) -> str:
    channels = reply.get("channel")
    if not isinstance(channels, list):
        channels = [channels]
    if not channels:
        return "Not subscribed to any channel"
    sentence = (
        "Subscribed to channel" if reply["action"] == "subscribe" else "Unsubscribed from channel"
    )
    return "\n".join(f"{sentence}: {as_text(channel)}" for channel in channels)


def _help(reply: Reply) -> str:
    result = reply.get("result")
    if not isinstance(result, dict):
        return as_python(reply.line)
    lines = []
    for raw_usage, summary in result.items():
        usage = as_text(raw_usage)
        if len(usage) > USAGE_WIDTH:
            lines.append(usage)
            usage = ""
        lines.append(f"{usage:<{USAGE_WIDTH}}  {as_text(summary)}")
    return "\n".join(lines)
