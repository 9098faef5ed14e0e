"""The grammar: what can be asked, group by group. ``GROUPS`` is the table of them."""

from __future__ import annotations

from collections.abc import Mapping

from differential.grammar.bits import BITS
from differential.grammar.clients import CLIENTS, DUMPED, NOTIFICATIONS, PUBSUB, SWAPPED, TRACKING
from differential.grammar.connection import CONNECTION
from differential.grammar.group import Group
from differential.grammar.hashes import HASHES
from differential.grammar.keys import KEYS, SORT
from differential.grammar.lists import LISTS
from differential.grammar.protocol import PROTOCOL
from differential.grammar.server import SERVER
from differential.grammar.sets import SETS
from differential.grammar.sketches import GEO, HYPERLOGLOG
from differential.grammar.strings import STRINGS
from differential.grammar.transactions import CROSSED, TRANSACTIONS
from differential.grammar.zsets import COMBINED, LEX, ZSETS

GROUPS: Mapping[str, Group] = {
    group.name: group
    for group in (
        *(STRINGS, BITS, KEYS, SORT, LISTS, SETS, HASHES, ZSETS, COMBINED, LEX),
        *(HYPERLOGLOG, GEO, TRANSACTIONS, CROSSED, CONNECTION, SERVER, PROTOCOL),
        *(PUBSUB, CLIENTS, DUMPED, SWAPPED, TRACKING, NOTIFICATIONS),
    )
}
