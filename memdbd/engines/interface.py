"""What every engine can do, so that nothing in front of it knows which one it is.

May import: commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import Interface

from memdbd.commands.spec import Command, Context, Handler
from memdbd.replies import Reply
from memdbd.session import Session


class IEngine(Interface):
    """Runs commands over some keyspace."""

    def context(session: Session) -> Context:
        """What the commands of this session will work on."""

    def execute(
        context: Context, command: Command, handler: Handler, arguments: Sequence[Any]
    ) -> Reply:
        """Run a command and give its reply, or a Pending that will have it.

        ``handler`` is the command's own or the one for the session's dialect. Raises CommandError
        for what the client did wrong.
        """
