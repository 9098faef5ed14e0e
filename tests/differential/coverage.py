"""What a campaign has reached: how often each command and each of its options got a reply that is
no error, as ``COMMAND DOCS`` of redis-server lists them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from random import Random

from differential.grammar import GROUPS
from differential.players import Player
from differential.resp import Reply, Request, split

# Redis's groups whose commands the grammar has, and what of them it leaves out.
COVERED = frozenset(
    (
        *("generic", "string", "list", "set", "hash", "sorted-set", "pubsub", "transactions"),
        *("hyperloglog", "geo", "bitmap", "connection", "server"),
    )
)
LEFT_OUT: Mapping[str, str] = {
    "MIGRATE": "needs a second server",
    "PFDEBUG": "shows how Redis keeps its registers",
    "PFSELFTEST": "tests Redis itself",
    "ACL": "users come later",
    "BGREWRITEAOF": "persistence is each server's own affair",
    "BGSAVE": "persistence",
    "SAVE": "persistence",
    "CONFIG REWRITE": "persistence",
    "SHUTDOWN": "ends the server",
    "DEBUG": "how Redis is inside",
    "COMMAND DOCS": "texts of Redis's",
    "FAILOVER": "replication",
    "PSYNC": "replication",
    "SYNC": "replication",
    "REPLCONF": "replication",
    "REPLICAOF": "replication",
    "SLAVEOF": "replication",
    "RESTORE-ASKING": "cluster",
    "MODULE": "modules",
    "MONITOR": "shows other clients' commands with their time",
    "LATENCY DOCTOR": "how Redis is inside",
    "LATENCY GRAPH": "how Redis is inside",
    "LATENCY HISTOGRAM": "how long Redis takes",
    "MEMORY MALLOC-STATS": "how Redis is inside",
    "MEMORY PURGE": "how Redis is inside",
    "MEMORY STATS": "how Redis is inside",
}

DRAWS = 100  # of each line, when it is asked what the grammar has

Documented = Mapping[str, frozenset[str]]  # a command to the words of its options


def documented(player: Player) -> Documented:
    """The commands that the grammar is to have, of a redis-server."""
    replies, _ = split(player.tell([(b"COMMAND", b"DOCS")]))
    return {
        name: words
        for name, words in _commands(replies[0])
        if not name.endswith(" HELP") and not any(name.startswith(left) for left in _left_out(name))
    }


def _left_out(name: str) -> Iterator[str]:
    return (left for left in LEFT_OUT if name == left or name.startswith(f"{left} "))


def _commands(listed: Reply) -> Iterator[tuple[str, frozenset[str]]]:
    for name, about in _fields(listed).items():
        fields = _fields(about)
        full = name.replace("|", " ").upper()
        group = fields.get("group")
        if group is not None and (group.text or b"").decode() not in COVERED:
            continue
        if "subcommands" in fields:
            yield from _commands(fields["subcommands"])
        else:
            yield full, frozenset(_words(fields.get("arguments")))


def _words(arguments: Reply | None) -> Iterator[str]:
    for argument in arguments.items if arguments else ():
        fields = _fields(argument)
        if "token" in fields and (token := (fields["token"].text or b"").decode()):
            yield token.upper()
        yield from _words(fields.get("arguments"))


def _fields(reply: Reply) -> dict[str, Reply]:
    pairs = zip(reply.items[::2], reply.items[1::2], strict=True)
    return {(name.text or b"").decode(): value for name, value in pairs}


def generated(rng: Random) -> Documented:
    """The commands that the grammar has, with what it draws for them."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for group in GROUPS.values():
        for line in (*group.lines, *group.fill):
            for _ in range(DRAWS):
                words = [word.upper().decode("latin-1") for word in line.draw(rng)]
                found[words[0]].update(words)
                found[" ".join(words[:2])].update(words)
    return {name: frozenset(words) for name, words in found.items()}


class Coverage:
    """Counts what redis-server replied."""

    def __init__(self, docs: Documented) -> None:
        self._docs = docs
        self._calls: Counter[str] = Counter()
        self._successes: Counter[str] = Counter()
        self._options: Counter[tuple[str, str]] = Counter()

    def witness(self, request: Request, reply: Reply) -> None:
        """Take note of a reply."""
        words = [word.upper().decode("latin-1") for word in request.argv]
        if not words or reply.raw == b"+QUEUED\r\n":
            return
        name = next((name for name in (" ".join(words[:2]), words[0]) if name in self._docs), "")
        if not name:
            return
        self._calls[name] += 1
        if not reply.is_error:
            self._successes[name] += 1
            for word in self._docs[name].intersection(words):
                self._options[name, word] += 1

    def lines(self) -> Iterator[str]:
        """A table: each command, how often it was called and with success, and so its options."""
        for name, words in sorted(self._docs.items()):
            options = "  ".join(f"{word} {self._options[name, word]}" for word in sorted(words))
            yield f"{name:24} {self._calls[name]:7} {self._successes[name]:7}  {options}"
