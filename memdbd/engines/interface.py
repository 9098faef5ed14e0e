"""What every engine can do, so that nothing in front of it knows which one it is.

May import: commands and what they may import.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Interface

from memdbd.commands.context import Context
from memdbd.commands.spec import Command
from memdbd.replies import Replies, Reply
from memdbd.session import Session


class IEngine(Interface):
    """Runs commands over some keyspace."""

    def context(session: Session) -> Context:
        """What the commands of this session will work on."""

    def permit(context: Context, command: Command, argv: Sequence[bytes]) -> None:
        """Raise CommandError for a request that its client may not make."""

    def execute(context: Context, command: Command, argv: Sequence[bytes]) -> Reply:
        """Run a request and give its reply, or a Pending that will have it.

        ``command`` is the record for the session's dialect. Raises CommandError for what the
        client did wrong.
        """

    def execute_many(context: Context, command: Command, run: Sequence[Sequence[bytes]]) -> Replies:
        """Run the first of several requests of one command, those that are usual, and give their
        replies; none where they are to be executed one by one. Raises nothing."""

    def close(session: Session) -> None:
        """Forget a session that is gone."""
