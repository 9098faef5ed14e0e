"""The embedded engine: the databases in this process, and the commands that run over them.

May import: all that is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from sys import getsizeof
from typing import Any
from weakref import WeakSet

from zope.interface import implementer

from memdbd.changes import Changes
from memdbd.clock import Clock
from memdbd.commands.access import NO_KEYS
from memdbd.commands.context import Context, Server
from memdbd.commands.dumping import payload_of
from memdbd.commands.spec import Command
from memdbd.commands.types import DataType
from memdbd.core import ahead
from memdbd.databases import Databases
from memdbd.effects import Effect
from memdbd.engines.interface import IEngine
from memdbd.errors import CommandError
from memdbd.eviction import BoundedKeyspace, Bounds, Eviction
from memdbd.keyspace import Contents, Keyspace
from memdbd.permissions import STRANGER, Denied
from memdbd.persistence.snapshot import Entry, entries
from memdbd.pubsub import Registry
from memdbd.replies import Replies, Reply, count_missing
from memdbd.session import Session
from memdbd.structs.graveyard import Graveyard
from memdbd.waiting import Place, Waiting

Guard = Callable[[Context, Command, Sequence[bytes]], None]
OnDenied = Callable[[Context, Denied], object]


@implementer(IEngine)
class LocalEngine:
    """Keys in memory, within ``bounds`` of all databases together.

    ``types`` are the types of value there are; ``graveyard`` gets what may take long to free.
    """

    def __init__(
        self,
        clock: Clock,
        channels: Registry,
        server: Server,
        types: Sequence[DataType[Any]],
        bounds: Bounds,
        graveyard: Graveyard,
    ) -> None:
        self.channels = channels
        self._clock = clock
        self._server = server
        self._bounds = bounds
        self._graveyard = graveyard
        self._types = {kind.python: kind for kind in types}
        self.waiting = Waiting(self._is_there, self._author)
        self.changes = Changes(channels, clock.wall_ms, self.waiting)
        self.databases = Databases(self._keyspace, self.changes)
        # Raises CommandError for a request that is not to be run now, while there are any.
        self._guard: Guard | None = None
        # Told of each request that is refused since its client may not make it.
        self.denied: OnDenied = _unheard
        self._contexts: WeakSet[Context] = WeakSet()
        self._eviction: Eviction | None = None
        self._bind()

    def _keyspace(self, number: int) -> Keyspace:
        changed = partial(self.changes.changed, number)
        bury = self._graveyard.bury
        payload = partial(payload_of, server=self._server)
        if not self._bounds:
            return Keyspace(self._clock.ms, changed, payload, bury, number)
        sizes = {kind.python: kind.size for kind in self._types.values()}
        policy = self._bounds.policy
        return BoundedKeyspace(self._clock.ms, changed, payload, policy, sizes, bury, number)

    @property
    def bounds(self) -> Bounds:
        """How many keys and bytes there may be, and what gives way."""
        return self._bounds

    def bound(self, bounds: Bounds) -> None:
        """Keep within these bounds from now on; what is beyond them is evicted at once, as far as
        that is possible.

        The first bound, or another policy, takes a look at all keys, for they are counted anew.
        """
        before, self._bounds = self._bounds, bounds
        if bool(before) != bool(bounds) or (bounds and before.policy != bounds.policy):
            self.databases.replace(self._keyspace)
            for context in self._contexts:
                context.select(context.session.database)
        self._bind()
        if self._eviction is not None:
            self._eviction.fit()

    def _bind(self) -> None:
        bounded = [each for each in self.databases if isinstance(each, BoundedKeyspace)]
        self._eviction = Eviction(bounded, self._bounds) if bounded else None

    def _is_there(self, place: Place) -> bool:
        database, key = place
        return self.databases[database].has(key)

    def _author(self, session: Session) -> None:
        self.changes.author = session

    def be_guarded(self, guard: Guard | None) -> None:
        """Have ``guard`` look at each request before it is run; None: none does."""
        self._guard = guard

    @property
    def dirty(self) -> int:
        """Changes since the start."""
        return self.changes.dirty

    def context(self, session: Session) -> Context:
        context = Context(
            session, self.databases, self.channels, self._server, self._run, self.permit
        )
        self._contexts.add(context)
        return context

    def execute(self, context: Context, command: Command, argv: Sequence[bytes]) -> Reply:
        self.changes.author = context.session
        try:
            return self._run(context, command, argv)
        finally:
            # Behind all of it: a transaction is not interrupted by those who wait for its keys.
            if self.waiting.is_ready:
                self.waiting.serve()

    def _run(self, context: Context, command: Command, argv: Sequence[bytes]) -> Reply:
        permissions = context.session.permissions
        try:
            arguments = command.arguments(argv)
        except CommandError:
            # Whether it is any of its business comes before what is wrong with an argument; but
            # for a stranger, not before whether there are enough of them.
            if permissions is not STRANGER:
                command.check(argv)
            self.permit(context, command, argv)
            raise
        if permissions is not None:
            check = permissions[command]
            if check is not None:
                # As in permit, whose call would be as much again as the check.
                try:
                    check(argv)
                except Denied as denied:
                    raise self._refused(context, denied) from None
        if self._guard is not None:
            self._guard(context, command, argv)
        if not command.writes:
            return command.handler(context, *arguments)
        if command.looks_up:
            if self._eviction is None:
                return command.handler(context, *arguments)
            return self._run_bounded(self._eviction, context, command, argv, arguments)
        if command.blocks:
            context.waits_in = command, argv
        keyspace = context.db
        hits, misses = keyspace.hits, keyspace.misses
        try:
            if self._eviction is None:
                return command.handler(context, *arguments)
            return self._run_bounded(self._eviction, context, command, argv, arguments)
        finally:
            # As in Redis, what is looked up only to be changed is neither a hit nor a miss.
            keyspace.hits, keyspace.misses = hits, misses

    def execute_many(
        self, context: Context, command: Command, run: Sequence[Sequence[bytes]]
    ) -> Replies:
        """See :class:`~memdbd.engines.interface.IEngine`. Only where there is nothing to be done
        for a single request but to run it."""
        many, db, changes = command.many, context.db, self.changes
        if many is None or self._guard is not None or self._eviction is not None:
            return ()
        if not command.min_words <= len(run[0]) <= command.most_together:
            return ()
        if not _are_allowed(context, command, run):
            return ()
        given: Any = context if command.many_in_context else db.values
        if command.find_keys is NO_KEYS:
            return many(given, run, [])
        ahead(db.values, run, 1, command.step_together)
        if not command.writes:
            if db.deadlines and _needs_deadlines(context, _keys_of(command, run)):
                return ()
            replies = many(given, run, [])
            if not command.counts_uses:
                return replies
            if command.tells_missing:
                missed = count_missing(replies)
            else:
                keys = map(_KEY, run[: len(replies)])
                missed = len(replies) - sum(map(db.values.__contains__, keys))
            db.hits += len(replies) - missed
            db.misses += missed
            return replies
        if not (changes.is_quiet and db.born is None):
            return ()
        if db.deadlines and not db.deadlines.keys().isdisjoint(_keys_of(command, run)):
            return ()
        effects: list[Effect] = []
        try:
            if not db.has_pool:
                return many(given, run, effects)
            with db.keeping_pool(_keys_of(command, run)):
                return many(given, run, effects)
        finally:
            changes.changed_quietly(db.index, effects)

    def permit(self, context: Context, command: Command, argv: Sequence[bytes]) -> None:
        """Raise CommandError for a request that its client may not make. Its number of words is
        right."""
        permissions = context.session.permissions
        if permissions is None:
            return
        try:
            permissions.check(command, argv)
        except Denied as denied:
            raise self._refused(context, denied) from None

    def _refused(self, context: Context, denied: Denied) -> CommandError:
        """Tell of a request that its client may not make; gives the error for the client."""
        self.denied(context, denied)
        return denied if context.may_wait else denied.within_transaction()

    def _run_bounded(
        self,
        eviction: Eviction,
        context: Context,
        command: Command,
        argv: Sequence[bytes],
        arguments: Sequence[Any],
    ) -> Reply:
        database = context.session.database
        if command.grows:
            keys = self._keys_of(command, argv)
            size = sum(map(getsizeof, argv[command.words :])) - sum(map(getsizeof, keys))
            eviction.make_room(database, keys, size, replaces=command.replaces)
            return command.handler(context, *arguments)
        reply = command.handler(context, *arguments)
        # A longer name, or a deadline: no reason to refuse the command.
        eviction.fit(database)
        return reply

    def _keys_of(self, command: Command, argv: Sequence[bytes]) -> Sequence[bytes]:
        try:
            return command.keys_of(argv)
        except CommandError:
            return ()  # the handler knows better what is wrong with the request

    def close(self, session: Session) -> None:
        session.unsubscribe_all()
        self.changes.unwatch(session)

    # From and to disk, where deadlines are the wall's

    def load(self, contents: Contents) -> None:
        """Take over what a snapshot held."""
        drift = self._clock.drift_ms()
        for number, (values, deadlines) in contents.items():
            if drift:
                deadlines = {key: deadline - drift for key, deadline in deadlines.items()}
            self.databases[number].load(values, deadlines)
        if self._eviction is not None:
            # Now, when nobody waits, and not all of it before the next command.
            self._eviction.fit()

    def entries(self) -> Iterator[Entry]:
        """All keys that there are, with their values themselves and the wall's deadlines. Keys may
        go meanwhile, but no container may be changed."""
        drift = self._clock.drift_ms()
        contents = {each.index: (each.values, each.deadlines) for each in self.databases}
        for database, key, value, deadline in entries(contents):
            yield database, key, value, None if deadline is None else deadline + drift

    def stats(self) -> dict[str, int]:
        """What the keyspaces and the channels have counted."""
        counted = {
            "keys": sum(map(len, self.databases)),
            "keys_with_deadline": sum(len(each.deadlines) for each in self.databases),
            "changes": self.dirty,
            "expired": sum(each.expired for each in self.databases),
            "key_hits": sum(each.hits for each in self.databases),
            "key_misses": sum(each.misses for each in self.databases),
            "evicted": sum(each.evicted for each in self.databases),
            "clients_waiting": len(self.waiting),
            "channels": len(self.channels.channels),
            "patterns": len(self.channels.patterns),
            "messages_published": self.channels.published,
            "messages_delivered": self.channels.delivered,
        }
        if self._eviction is not None:
            counted["memory_counted_bytes"] = self._eviction.memory
        return counted


_KEY = itemgetter(1)


def _keys_of(command: Command, run: Sequence[Sequence[bytes]]) -> Iterable[bytes]:
    """The keys of several requests that are run together."""
    if command.most_together == command.min_words:
        return map(_KEY, run)  # as nearly all have only one
    return chain.from_iterable(map(command.find_keys, run))


def _needs_deadlines(context: Context, keys: Iterable[bytes]) -> bool:
    """Whether the deadlines of some of these keys matter to who reads them: if one has passed, or
    if they are told, as in the text dialect."""
    if context.session.resp == 0:
        return not context.db.deadlines.keys().isdisjoint(keys)
    return context.db.has_expired(keys)


def _are_allowed(context: Context, command: Command, run: Sequence[Sequence[bytes]]) -> bool:
    """Whether their client may make all of these requests."""
    permissions = context.session.permissions
    check = None if permissions is None else permissions[command]
    if check is not None:
        try:
            for argv in run:
                check(argv)
        except CommandError:
            return False
    return True


def _unheard(context: Context, denied: Denied) -> None:
    """Where nobody is to be told."""
