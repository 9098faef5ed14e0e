"""ACL: the users, what they may do, and what was refused to them.

Strategy: the words and shapes are those of Redis 7.0; the gate makes the changes, since open
connections follow them, and passwords among the rules are hashed elsewhere first.

May import: context, spec and what they may import, categories, permissions, rules, users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from memdbd.commands.arguments import INT64_MIN, integer
from memdbd.commands.categories import CATEGORIES, categories
from memdbd.commands.context import Context
from memdbd.commands.spec import ADMIN, Command, Flag, Param, Tail, command
from memdbd.denials import MAX_OBJECT, Denial
from memdbd.errors import CommandError, ConfigError, shown
from memdbd.permissions import Denied
from memdbd.replies import OK, Fields, Members, Reply, Status
from memdbd.rules import SelectorDraft, is_password, told_channels, told_keys
from memdbd.users import DEFAULT

USERNAME = Param("username")
USUAL_BITS, MOST_BITS = 256, 4096  # of a password that is made up
USUAL_COUNT = 10  # entries of the log


def _raw(text: str) -> bytes:
    """Names and patterns are bytes, whatever they are in."""
    return text.encode("utf-8", "surrogateescape")


@command(
    "acl setuser",
    USERNAME,
    Tail("[<rule> …]"),
    flags=ADMIN | Flag.SECRET,
    summary="Change a user by rules, or make one, who may do nothing but for them",
    complexity="O(n), n being the rules; and that of scrypt for each password, in a thread",
    differs="A rule >password or <password is not possible inside a transaction. Errors do not "
    "repeat passwords. A name or a pattern that could not be read back from the file is refused.",
)
def acl_setuser(ctx: Context, name: bytes, *rules: bytes) -> Reply:
    if not ctx.may_wait and any(map(is_password, rules)):
        raise CommandError(
            "a password cannot be hashed inside a transaction",
            "`memdb passwd` gives its hash, for the rule #<hash>",
        )
    return ctx.server.useradmin.set_user(ctx.session, name, rules)


@command(
    "acl getuser",
    USERNAME,
    flags=ADMIN,
    summary="Show a user, by the rules that it has come to",
    complexity="O(n), n being the rules",
    differs="Hashes of passwords are scrypt's. Of rules about commands, those are shown that were "
    "given and still mean something, as in Redis 7.2; Redis 7.0 guesses others that do the same.",
)
def acl_getuser(ctx: Context, name: bytes) -> dict[str, Reply] | None:
    user = ctx.server.gate.users.get(name)
    if user is None:
        return None
    root, *others = user.selectors
    flags = ["on" if user.enabled else "off", *(["nopass"] if user.nopass else [])]
    return {
        "flags": Members(flags),
        "passwords": list(user.hashes),
        **_described(root),
        "selectors": [_described(each) for each in others],
    }


def _described(draft: SelectorDraft) -> dict[str, Reply]:
    return {
        "commands": _raw(" ".join(draft.told)),
        "keys": _raw(told_keys(draft.keys)),
        "channels": _raw(told_channels(draft.channels)),
    }


@command(
    "acl deluser",
    Param("username", many=True),
    flags=ADMIN,
    summary="Delete users and end their connections; gives how many there were",
    complexity="O(n), n being the clients",
)
def acl_deluser(ctx: Context, *names: bytes) -> int:
    return ctx.server.useradmin.delete_users(ctx.session, names)


@command(
    "acl list",
    flags=ADMIN,
    summary="Show all users, as the lines of the users file",
    complexity="O(n), n being the users",
    differs="Hashes and rules are shown as by ACL GETUSER.",
)
def acl_list(ctx: Context) -> list[bytes]:
    return [_raw(user.told()) for user in ctx.server.gate.users]


@command(
    "acl users",
    flags=ADMIN,
    summary="List the names of the users",
    complexity="O(n), n being the users",
)
def acl_users(ctx: Context) -> list[bytes]:
    return [user.name for user in ctx.server.gate.users]


@command(
    "acl whoami",
    flags=Flag.SERVER,
    summary="Tell the name of this connection's user",
    complexity="O(1)",
)
def acl_whoami(ctx: Context) -> bytes:
    return DEFAULT if ctx.session.user is None else ctx.session.user.name


@command(
    "acl cat",
    Param("category", optional=True),
    flags=Flag.SERVER,
    summary="List the categories of commands, or the commands of one",
    complexity="O(n), n being the commands there are",
)
def acl_cat(ctx: Context, category: bytes | None = None) -> list[str]:
    if category is None:
        return list(CATEGORIES)
    name = category.lower().decode("latin-1")
    if name not in CATEGORIES:
        raise CommandError(f"Unknown category '{shown(category[:128])}'")
    return [each for each, its in _categorised(ctx) if name in its]


def _categorised(ctx: Context) -> Iterator[tuple[str, list[str]]]:
    """All commands by their full names, with their categories."""
    server = ctx.server
    for each in server.commands.values():
        yield each.full_name, categories(each)
    for container in server.containers.values():
        # A first word that is no command by itself is none for Redis either, but a slow one.
        if container.alone is None:
            yield container.name, ["slow"]
        for each in container.commands():
            yield each.full_name, categories(each)


@command(
    "acl dryrun",
    USERNAME,
    Param("command"),
    Tail("[<argument> …]"),
    flags=ADMIN,
    summary="Tell whether a user may make a request, which is not run",
    complexity="O(n), n being the user's rules",
    differs="Of a request that does not say how many keys it has, it is told what is wrong with "
    "it; Redis calls it allowed. Where such a request is sent, and its user may not have every "
    "key, it is refused in other words than Redis's.",
)
def acl_dryrun(ctx: Context, name: bytes, *argv: bytes) -> Status | bytes:
    denied = _denied(ctx, name, argv)
    return OK if denied is None else _raw(denied.dry)


@acl_dryrun.in_text()
def acl_dryrun_in_text(ctx: Context, name: bytes, *argv: bytes) -> Fields:
    denied = _denied(ctx, name, argv)
    return Fields(True, {}) if denied is None else Fields(False, {"reason": _raw(denied.dry)})


def _denied(ctx: Context, name: bytes, argv: Sequence[bytes]) -> Denied | None:
    user = ctx.server.gate.users.get(name)
    if user is None:
        raise CommandError(f"User '{shown(name)}' not found")
    asked = _command(ctx, argv)
    asked.check(argv)
    if user.permissions is None:
        return None
    try:
        user.permissions.check(asked, argv)
    except Denied as denied:
        return denied
    return None


def _command(ctx: Context, argv: Sequence[bytes]) -> Command:
    """The command of a whole request. Raises CommandError where there is none."""
    name, second = argv[0].lower(), argv[1].lower() if len(argv) > 1 else None
    container = ctx.server.containers.get(name)
    if container is None:
        found = ctx.server.commands.get(name)
    elif second is None or second in container.subcommands:
        return container.find(argv)
    else:
        found = None
    if found is None:
        raise CommandError(f"Command '{shown(argv[0])}' not found")
    return found


@command(
    "acl genpass",
    Param("bits", integer, optional=True),
    flags=Flag.SERVER,
    summary="Make up a password of so many random bits, in hexadecimal digits",
    complexity="O(1)",
)
def acl_genpass(ctx: Context, bits: int = USUAL_BITS) -> str:
    if not 0 < bits <= MOST_BITS:
        raise CommandError(
            "ACL GENPASS argument must be the number of bits for the output password, a positive "
            f"number up to {MOST_BITS}"
        )
    return ctx.server.useradmin.generated(bits)


def _count_or_reset(raw: bytes) -> int:
    return _RESET if raw.upper() == b"RESET" else max(0, integer(raw))


_RESET = INT64_MIN


@command(
    "acl log",
    Param("count|RESET", _count_or_reset, optional=True),
    flags=ADMIN,
    summary="Show what was refused of late for lack of permission, and log-ins that failed; or "
    "forget it",
    complexity="O(n), n being the entries shown",
    differs=f"Of keys, channels and user names, at most {MAX_OBJECT} bytes are kept; the object of "
    "a log-in is AUTH, however it was written.",
)
def acl_log(ctx: Context, count: int = USUAL_COUNT) -> list[Reply] | Status:
    denials = ctx.server.gate.denials
    if count == _RESET:
        denials.clear()
        return OK
    now = denials.seconds()
    return [_logged(each, now) for each, _ in zip(denials, range(count), strict=False)]


def _logged(denial: Denial, now: float) -> dict[str, Reply]:
    return {
        "count": denial.count,
        "reason": denial.reason,
        "context": denial.context,
        "object": denial.object,
        "username": denial.username,
        "age-seconds": round(max(0.0, now - denial.when), 3),
        "client-info": _raw(denial.client),
    }


@command(
    "acl save",
    flags=ADMIN,
    summary="Write the users to the users file",
    complexity="O(n), n being the users",
    differs="Says itself why the file cannot be written.",
)
def acl_save(ctx: Context) -> Status:
    return _done(ctx.server.useradmin.save)


@command(
    "acl load",
    flags=ADMIN,
    summary="Read the users file again; if anything in it is wrong, nothing changes",
    complexity="O(n), n being the users",
    differs="Tells of the first line that is wrong. Users who are the same as before keep their "
    "connections. Rules about commands that only Redis has are left out, and the log says so.",
)
def acl_load(ctx: Context) -> Status:
    return _done(lambda: ctx.server.useradmin.load(ctx.session))


def _done(work: Callable[[], object]) -> Status:
    try:
        work()
    except ConfigError as error:
        raise CommandError(str(error)) from None
    return OK


COMMANDS = (
    acl_setuser,
    acl_getuser,
    acl_deluser,
    acl_list,
    acl_users,
    acl_whoami,
    acl_cat,
    acl_dryrun,
    acl_genpass,
    acl_log,
    acl_save,
    acl_load,
)
