"""SIGHUP: the settings, the users and the certificates read anew, and nobody is sent away for it.

Strategy: all is read and checked first, and then applied within one turn of the reactor; where
anything is wrong, nothing changes, and the log says what it was. What cannot change while the
daemon runs is named, and stays what it is. A setting of which the file says what it said before is
left alone: it may have been set with CONFIG SET since. Of a password nothing is kept but its hash,
which is made in a thread, while all goes on.

May import: commands.secrets, config, daemon, dialects, engines, errors, factory, gate, hashing,
limits, listeners, passwords, services, storage, tls, tuning, useradmin, Twisted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from memdbd import passwords
from memdbd.commands.secrets import REDACTED
from memdbd.config import SECRET, SETTINGS, Config, Source
from memdbd.daemon import Daemon
from memdbd.dialects.text_replies import TextEncoder
from memdbd.engines.local import LocalEngine
from memdbd.errors import ConfigError
from memdbd.factory import MemDBFactory
from memdbd.gate import Gate
from memdbd.hashing import InThread
from memdbd.limits import Limits
from memdbd.listeners import Listeners
from memdbd.services import Sweeper
from memdbd.storage import Storage
from memdbd.tls import Credentials
from memdbd.tuning import tell_limits
from memdbd.useradmin import Prepared, UserAdmin

TLS = ("tls_cert", "tls_key", "tls_ca", "tls_clients", "tls_user")

# Takes the new values of those of its settings that have changed.
Follow = Callable[[Mapping[str, Any]], object]


class Reloader(Service):
    """Reads again, while it runs, what the daemon was started with.

    ``settings`` are those in force, without secrets. ``source`` is where they come from; without
    one, only the users and the certificates are read. ``credentials`` is None where there is no
    listener with TLS. ``began()`` and ``ended(outcome)`` are called around each reload.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Config,
        gate: Gate,
        useradmin: UserAdmin,
        listeners: Listeners,
        credentials: Credentials | None,
        in_thread: InThread,
    ) -> None:
        self.settings = settings
        self.source: Source | None = None
        self.began: Callable[[], object] = lambda: None
        self.ended: Callable[[str], object] = lambda outcome: None
        self._gate = gate
        self._useradmin = useradmin
        self._listeners = listeners
        self._credentials = credentials
        self._in_thread = in_thread
        # The hash of the password that is a setting. CONFIG SET may have given the users another.
        self._password = useradmin.password
        self._follow: list[tuple[frozenset[str], Follow]] = []
        self._busy = self._again = False
        self.on(self._expose, "allow_open")
        if credentials is not None:
            self.on(lambda changed: None, *TLS)  # they are followed with their files

    def startService(self) -> None:
        super().startService()
        self._look_who_may_read()

    def on(self, follow: Follow, *names: str) -> None:
        """Have ``follow`` called when some of these settings have changed. Of a secret it is told
        whether there is one."""
        self._follow.append((frozenset(names), follow))

    def reload(self) -> None:
        """Read all anew, soon. Before the daemon serves, and when it stops, there is nothing to be
        done. Never raises."""
        if not self.running:
            return
        if self._busy:
            self._again = True  # what is read now may be older than the wish
            return
        self._busy = True
        self._tell(self.began)
        ensureDeferred(self._reload()).addErrback(self._failed).addCallback(self._end)

    async def _reload(self) -> str:
        source = self.source
        wanted = self.settings if source is None else source.load()
        password = self._password
        if source is not None and not source.kept.intersection(SECRET):
            if wanted.password:
                hashed = partial(_hashed, wanted.password, password, self._useradmin.hashed)
                password = await self._in_thread(hashed)
            else:
                password = None
        if not self.running:
            return "not reloaded, since it stops"
        return self._apply(wanted.without_secrets(), password)

    def _apply(self, wanted: Config, said: str | None) -> str:
        """Check all, then follow all; gives what there is to be told. ``said`` is the hash of the
        password that is a setting now. Raises ConfigError, and has changed nothing then."""
        before = self.settings
        changed = {
            name: getattr(wanted, name)
            for name in SETTINGS
            if getattr(wanted, name) != getattr(before, name)
        }
        followed = frozenset[str]().union(*(names for names, _ in self._follow))
        late = [name for name in changed if name not in followed]
        now = {name: value for name, value in changed.items() if name in followed}
        settings = replace(before, **now)

        use = None if self._credentials is None else self._credentials.prepare(settings)
        is_new = said != self._password
        password = said if is_new else self._useradmin.password
        users = None
        if is_new or self._useradmin.file is not None:
            users = self._useradmin.prepare(password)
        self._check_open(settings, users)

        if is_new:
            now["password"] = said is not None  # whether there is one, and not which
        told = [*now]
        if users is not None:
            if self._gate.users.unsaved and users.is_read and self._useradmin.file is not None:
                self._log.warn(
                    "the users are those of {path} again; what was changed since it was read, and "
                    "not saved with ACL SAVE, is gone",
                    path=self._useradmin.file.path,
                )
            users.take()
        if users is not None and users.is_read:
            told.append(f"users ({users.count})")
        if use is not None and self._credentials is not None:
            use()
            expires = self._credentials.info()["tls_certificate_expires"]
            told.append(f"certificates (until {expires})")
        failed = self._all_follow(now)
        if "password" not in failed:
            self._password = said
        # What has not been followed is new again, the next time.
        old = {name: getattr(before, name) for name in failed}
        self.settings = replace(settings, **old)
        if late:
            self._log.warn("needs a restart: {names}", names=", ".join(late))
        told = [name for name in told if name not in failed]
        outcome = f"reloaded: {', '.join(told) or 'nothing has changed'}"
        if failed:
            outcome += f"; not followed: {', '.join(failed)}"
        self._log.info("{outcome}", outcome=outcome)
        self._look_who_may_read()
        return outcome

    def _all_follow(self, now: Mapping[str, Any]) -> list[str]:
        """Have all follow what has changed; gives what somebody could not follow."""
        failed: dict[str, None] = {}
        for names, follow in self._follow:
            theirs = {name: value for name, value in now.items() if name in names}
            if theirs:
                try:
                    follow(theirs)
                except Exception:  # of one; what the others have done is not undone
                    failed |= dict.fromkeys(theirs)
                    self._log.failure(
                        "a defect of memdbd: not followed: {names}", names=", ".join(theirs)
                    )
        return [*failed]

    def _look_who_may_read(self) -> None:
        """Warn of passwords, and of hashes, in files that are there for all to read.

        Not of a group's: it is how a daemon is given a file that is not its own, and what the mask
        of an access control list looks like, which systemd's credentials have.
        """
        file = self._useradmin.file
        paths = [
            None if file is None else file.path,
            None if self.source is None else self.source.secret_file(),
        ]
        for path in filter(None, paths):
            with suppress(OSError):
                if os.name == "posix" and os.stat(path).st_mode & stat.S_IROTH:
                    self._log.warn(
                        "{path} has passwords or their hashes, and all users of this machine can "
                        "read it: chmod o= {path}",
                        path=path,
                    )

    def _check_open(self, settings: Config, users: Prepared | None) -> None:
        """Raise ConfigError where a reload would let everybody in, as a start would refuse to."""
        is_open = self._gate.is_open if users is None else users.is_open
        if not is_open or settings.allow_open:
            return
        before, gate = self.settings, self._gate
        if gate.is_open and not before.allow_open and before.tls_clients == settings.tls_clients:
            return  # an ACL command has opened it, and no reload
        exposed = self._listeners.exposed(certificates=settings.tls_clients == "required")
        if exposed:
            raise ConfigError(self._listeners.refusal(", ".join(exposed)))

    def _expose(self, changed: Mapping[str, Any]) -> None:
        self._listeners.allow_open = changed["allow_open"]

    def _failed(self, failure: Failure) -> str:
        if not failure.check(ConfigError):
            self._log.failure("a defect of memdbd: the reload failed", failure)
            return "not reloaded, for a defect of memdbd: the log has the details"
        outcome = f"not reloaded, and nothing has changed: {failure.value}"
        self._log.error("{outcome}", outcome=outcome)
        return outcome

    def _end(self, outcome: str) -> None:
        self._busy = False
        self._tell(partial(self.ended, outcome))
        if self._again:
            self._again = False
            self.reload()

    def _tell(self, who: Callable[[], object]) -> None:
        try:
            who()
        except Exception:  # a reload does not depend on who waits for it
            self._log.failure("a defect of memdbd: it cannot be told of the reload")


def _hashed(password: str, known: str | None, make: Callable[[str], str]) -> str:
    """The hash of a password: the one that is known, if it is of this password. In a thread."""
    if known is not None and passwords.hashes_of(password.encode(), [known]):
        return known
    return make(password)


def follow(
    reloader: Reloader,
    *,
    daemon: Daemon,
    engine: LocalEngine,
    encoder: TextEncoder,
    factory: MemDBFactory,
    storage: Storage,
    sweeper: Sweeper,
) -> None:
    """Have each part follow its settings, and Redis's parameters tell what they are."""
    parameters = daemon.parameters

    def limit(changed: Mapping[str, Any]) -> None:
        for name, value in changed.items():
            setattr(factory.limits, name, value)
        tell_limits(parameters, factory)

    def bound(changed: Mapping[str, Any]) -> None:
        # The others as they are, which CONFIG SET may have changed.
        known_as = {"eviction": "policy"}
        news = {known_as.get(name, name): value for name, value in changed.items()}
        engine.bound(replace(engine.bounds, **news))
        bounds = engine.bounds
        parameters.tell(maxmemory=bounds.max_memory, maxmemory_policy=bounds.policy)

    def snapshot_every(seconds: float) -> None:
        storage.save_every(seconds)
        parameters.tell(save=f"{int(seconds)} 1" if int(seconds) else "")

    def default_ttl(seconds: int) -> None:
        daemon.default_ttl = seconds

    def debug(enabled: bool) -> None:
        parameters.tell(enable_debug_command="local" if enabled else "no")

    def password(is_there: bool) -> None:
        parameters.tell(requirepass=REDACTED.decode() if is_there else "")

    reloader.on(limit, *(field.name for field in fields(Limits)))
    reloader.on(bound, "max_keys", "max_memory", "eviction")
    alone: dict[str, Callable[[Any], object]] = {
        "durability": lambda policy: parameters.set([("appendfsync", policy)]),
        "snapshot_after": lambda size: parameters.set([("auto-aof-rewrite-min-size", str(size))]),
        "snapshot_interval": snapshot_every,
        "sweep_interval": sweeper.every,
        "default_ttl": default_ttl,
        "cache_capacity": encoder.cache,
        "enable_debug_command": debug,
        "password": password,
    }
    for name, action in alone.items():
        reloader.on(partial(_alone, name, action), name)


def _alone(name: str, action: Callable[[Any], object], changed: Mapping[str, Any]) -> None:
    """Follow a setting that goes with no other."""
    action(changed[name])
