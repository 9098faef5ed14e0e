"""The commands of Redis 7.0 that memdbd does not have, and rules about them in a file of users.

Redis writes to its ACL file rules that it has made up itself: of ``+@read -@dangerous`` it makes
``+@string … -migrate +function|load``. What a rule says of a command that is not here has no
effect; so such rules are left out of a file that Redis has written, and of no other place.

May import: nothing of memdbd.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

# Of redis-server 7.0.15 (COMMAND), those that are not in our table.
_NAMES = """
    asking cluster cluster|addslots cluster|addslotsrange cluster|bumpepoch
    cluster|count-failure-reports cluster|countkeysinslot cluster|delslots cluster|delslotsrange
    cluster|failover cluster|flushslots cluster|forget cluster|getkeysinslot cluster|help
    cluster|info cluster|keyslot cluster|links cluster|meet cluster|myid cluster|nodes
    cluster|replicas cluster|replicate cluster|reset cluster|saveconfig cluster|set-config-epoch
    cluster|setslot cluster|shards cluster|slaves cluster|slots eval eval_ro evalsha_ro failover
    fcall fcall_ro function|delete function|dump function|kill function|load function|restore
    function|stats migrate module module|help module|list module|load module|loadex
    module|unload pfdebug pfselftest psync readonly readwrite replconf restore-asking
    script|debug script|kill script|load sync xack xadd xautoclaim xclaim xdel xgroup
    xgroup|create xgroup|createconsumer xgroup|delconsumer xgroup|destroy xgroup|help
    xgroup|setid xinfo xinfo|consumers xinfo|groups xinfo|help xinfo|stream xlen xpending xrange
    xread xreadgroup xrevrange xsetid xtrim
"""
FOREIGN = frozenset(_NAMES.split())  # full names, of containers too

_ALONE = FOREIGN - {name.partition("|")[0] for name in FOREIGN if "|" in name}

_RULE = re.compile(rb"(\(?)([+-])([^\s()]+)(\)?)")


def without_foreign(words: Iterable[bytes], left_out: Callable[[str], object]) -> list[bytes]:
    """The words of a user's rules, without those about commands that only Redis has.
    ``left_out(rule)`` is called with each of these."""
    found: list[bytes] = []
    for word in words:
        match = _RULE.fullmatch(word)
        if match is None or not _is_foreign(match[3], allows=match[2] == b"+"):
            found.append(word)
            continue
        left_out((match[2] + match[3]).decode())
        around = match[1] + match[4]  # it may be the first or the last of a selector
        if around:
            found.append(around)
    return found


def _is_foreign(raw: bytes, *, allows: bool) -> bool:
    try:
        name = raw.decode("ascii").lower()
    except UnicodeDecodeError:
        return False
    if name in FOREIGN:
        return True
    # A command that has no subcommands may be allowed for one first argument.
    command, _, argument = name.partition("|")
    return allows and bool(argument) and "|" not in argument and command in _ALONE
