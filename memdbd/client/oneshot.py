"""One command from the shell's words: run it, show its reply, and give the exit status.

What subscribes, and ``monitor``, stays, and shows what comes until the connection is lost. The
words are sent exactly as they are, whatever blanks, quotes or bytes are in them.

May import: access, protocol, link (for its words), login, render, typed, exits, wire, Twisted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from memdbd.client.access import Access
from memdbd.client.exits import ERROR_REPLY, NO_CONNECTION, OK
from memdbd.client.link import status_of, why
from memdbd.client.login import HOW_TO_LOG_IN, is_login_wanted, logged_in
from memdbd.client.protocol import connect
from memdbd.client.render import (
    as_python,
    message_for_people,
    push_for_people,
    reply_for_people,
)
from memdbd.client.typed import listens, waits
from memdbd.client.wire import ErrorReply, Message, Push


async def run_words(
    reactor: IReactorTime,
    access: Access,
    words: Sequence[bytes],
    *,
    columns: int | None,
    show: Callable[[bytes], object],
    complain: Callable[[str], object],
    timeout: float | None = None,
) -> int:
    """Run ``words`` as one command on a daemon, and return the exit status.

    ``complain(sentence)`` is for standard error, ``show(line)`` for standard output. Replies look
    as at the prompt of a screen so many ``columns`` wide; with None they are the JSON that came.
    ``timeout``: seconds for the connection and for the reply, if that is not of a command that
    waits itself.
    """

    def show_message(message: Message) -> None:
        show(message.line if columns is None else message_for_people(message).encode())

    def show_push(push: Push) -> None:
        show(push.line if columns is None else push_for_people(push).encode())

    try:
        client = await connect(
            reactor,
            access.endpoint,
            **logged_in(access.login),
            on_message=show_message,
            on_push=show_push,
            timeout=timeout,
        )
    except Exception as problem:
        complain(f"Connecting to {access.name} failed: {why(problem)}")
        return status_of(problem)
    try:
        reply = await client.execute(*words, timeout=None if waits(words) else timeout)
    except ErrorReply as refusal:
        show(refusal.line if columns is None else as_python(refusal.line).encode())
        if is_login_wanted(str(refusal)):
            complain(HOW_TO_LOG_IN)
        return ERROR_REPLY
    except Exception as problem:
        complain(f"No reply from {access.name}: {why(problem, client)}")
        return NO_CONNECTION
    show(reply.line if columns is None else reply_for_people(reply, words, columns).encode())
    if not listens(words):
        return OK
    lost: Deferred[BaseException] = client.when_disconnected()
    complain(f"Connection to {access.name} lost: {why(await lost)}")
    return NO_CONNECTION
