"""CLIENT TRACKING and what belongs to it: client-side caching.

May import: clients, context, spec and what they may import.
"""

from __future__ import annotations

from collections.abc import Sequence

from memdbd.commands.arguments import Words, integer
from memdbd.commands.clients import on_or_off
from memdbd.commands.context import Context
from memdbd.commands.spec import Flag, Param, Tail, command
from memdbd.errors import CommandError, SyntaxFault, shown
from memdbd.replies import OK, Members, Reply, Status
from memdbd.session import Mode, Tracking

MODES = (b"BCAST", b"OPTIN", b"OPTOUT")
SWITCHING = (
    "before disabling tracking for this client, and then re-enabling it with a different mode."
)


def _options(ctx: Context, words: Words) -> tuple[Tracking, dict[bytes, None]]:
    """What is wanted, and its modes, whether they go together or not."""
    modes: dict[bytes, None] = {}
    tracking = Tracking()
    while words:
        option = words.option()
        if option in MODES:
            modes[option] = None
        elif option == b"NOLOOP":
            tracking.noloop = True
        elif option == b"PREFIX" and words:
            tracking.prefixes += (words.take(),)
        elif option == b"REDIRECT" and words:
            if tracking.redirect:
                raise CommandError("A client can only redirect to a single other client")
            tracking.redirect = words.take(integer)
            if ctx.server.clients.get(tracking.redirect) is None:
                raise CommandError("The client ID you want redirect to does not exist")
        else:
            raise SyntaxFault
    return tracking, modes


def _mode(modes: dict[bytes, None], wanted: Tracking, old: Tracking | None) -> Mode:
    """The mode to be. Raises CommandError where modes do not go together, or with the old one."""
    bcast, optin, optout = (mode in modes for mode in MODES)
    if wanted.prefixes and not bcast:
        raise CommandError("PREFIX option requires BCAST mode to be enabled")
    if old is not None and bcast != (old.mode == "bcast"):
        raise CommandError(f"You can't switch BCAST mode on/off {SWITCHING}")
    if bcast and (optin or optout):
        raise CommandError("OPTIN and OPTOUT are not compatible with BCAST")
    if optin and optout:
        raise CommandError("You can't specify both OPTIN mode and OPTOUT mode")
    if old is not None and ((optin and old.mode == "optout") or (optout and old.mode == "optin")):
        raise CommandError(f"You can't switch OPTIN/OPTOUT mode {SWITCHING}")
    return "bcast" if bcast else "optin" if optin else "optout" if optout else ""


def _check_prefixes(wanted: Sequence[bytes], existing: Sequence[bytes]) -> None:
    """Raise CommandError where a key could be told of twice."""
    for at, prefix in enumerate(wanted):
        for kind, others in (("an existing", existing), ("another provided", wanted[at + 1 :])):
            for other in others:
                if prefix.startswith(other) or other.startswith(prefix):
                    raise CommandError(
                        f"Prefix '{shown(prefix)}' overlaps with {kind} prefix '{shown(other)}'. "
                        "Prefixes for a single client must not overlap."
                    )


@command(
    "client tracking",
    Tail("ON|OFF [REDIRECT <id>] [PREFIX <prefix> …] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]", least=1),
    flags=Flag.CONNECTION,
    summary="Be told when keys change of which this client may keep copies",
    complexity="O(1)",
    differs="What a request has made invalid is told behind its reply, also where another client's "
    "is told; what a flush has, in the version of RESP of whoever is told.",
)
def client_tracking(ctx: Context, *words: bytes) -> Status:
    left = Words(words)
    switch = left.take()
    old = ctx.session.tracking
    tracking, modes = _options(ctx, left)
    if not on_or_off(switch):
        ctx.server.trackers.stop(ctx.session)
        return OK
    tracking.mode = _mode(modes, tracking, old)
    if tracking.mode == "bcast":
        _check_prefixes(tracking.prefixes, old.prefixes if old else ())
        tracking.prefixes = tracking.prefixes or (b"",)
    ctx.server.trackers.start(ctx.session, tracking)
    return OK


@command(
    "client trackinginfo",
    flags=Flag.CONNECTION,
    summary="How this client is told of changes",
    complexity="O(1)",
)
def client_trackinginfo(ctx: Context) -> dict[str, Reply]:
    tracking = ctx.session.tracking
    if tracking is None:
        return {"flags": Members(["off"]), "redirect": -1, "prefixes": []}
    flags = ["on"]
    if tracking.mode:
        flags.append(tracking.mode)
    if tracking.caching:
        flags.append("caching-yes" if tracking.mode == "optin" else "caching-no")
    if tracking.noloop:
        flags.append("noloop")
    if tracking.broken:
        flags.append("broken_redirect")
    return {
        "flags": Members(flags),
        "redirect": tracking.redirect,
        "prefixes": list(tracking.prefixes),
    }


@command(
    "client getredir",
    flags=Flag.CONNECTION,
    summary="The client that is told in place of this one: 0 if none is, -1 without tracking",
    complexity="O(1)",
)
def client_getredir(ctx: Context) -> int:
    tracking = ctx.session.tracking
    return -1 if tracking is None else tracking.redirect


@command(
    "client caching",
    Param("YES|NO"),
    flags=Flag.CONNECTION,
    summary="Say whether copies are kept of what the next command reads",
    complexity="O(1)",
)
def client_caching(ctx: Context, answer: bytes) -> Status:
    tracking = ctx.session.tracking
    if tracking is None:
        raise CommandError(
            "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or "
            "OPTOUT mode enabled"
        )
    needed = {b"YES": "optin", b"NO": "optout"}.get(answer.upper())
    if needed is None:
        raise SyntaxFault("it is YES or NO")
    if tracking.mode != needed:
        raise CommandError(
            f"CLIENT CACHING {answer.upper().decode()} is only valid when tracking is enabled in "
            f"{needed.upper()} mode."
        )
    tracking.caching = True
    return OK


COMMANDS = (client_tracking, client_trackinginfo, client_getredir, client_caching)
