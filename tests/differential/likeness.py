"""Where Redis promises no order or no exact value, what it does promise.

``LIKENESS`` is the table: for such a command a rule, which is asked whether two replies that are
not the same are as good as the same. All other commands, and all errors, are compared byte by
byte. A rule is as strict as it can be without knowing what is in the database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from differential.grammar.atoms import FAR, FAR_SPAN
from differential.resp import Argv, Reply, command_name

Rule = Callable[[Argv, Reply, Reply], bool]


def likeness(argv: Argv) -> Rule | None:
    """The rule for the replies to a command, if it has one."""
    return LIKENESS.get(command_name(argv))


def same_form(_: Argv, one: Reply, other: Reply) -> bool:
    """The same types throughout, and as many of each; whatever they say."""
    return (
        one.kind == other.kind
        and (one.text is None) == (other.text is None)
        and len(one.items) == len(other.items)
        and all(same_form((), *pair) for pair in zip(one.items, other.items, strict=True))
    )


def same_kind(_: Argv, one: Reply, other: Reply) -> bool:
    """The same type at the top: the rest is the server's own affair."""
    return one.kind == other.kind and (one.text is None) == (other.text is None)


def unordered(_: Argv, one: Reply, other: Reply) -> bool:
    """The same elements in any order."""
    return _of_a_size(one, other) and Counter(one.items) == Counter(other.items)


def unordered_pairs(_: Argv, one: Reply, other: Reply) -> bool:
    """The same pairs in any order, in a map or a flat array."""
    return _of_a_size(one, other) and Counter(_pairs(one)) == Counter(_pairs(other))


def chosen(argv: Argv, one: Reply, other: Reply) -> bool:
    """As many members, which the servers chose; where each is chosen once, none of them twice."""
    if not same_form(argv, one, other):
        return False
    repeats = len(argv) > 2 and argv[2].startswith(b"-")
    members = one.items, other.items
    if len(argv) > 3 and one.items and not one.items[0].items:  # flat pairs of RESP2
        members = one.items[::2], other.items[::2]
    return repeats or all(len(set(each)) == len(each) for each in members)


def scanned(argv: Argv, one: Reply, other: Reply) -> bool:
    """One step of an iteration. If both are through with it, they have come upon the same."""
    if not all(_is_step(each) for each in (one, other)):
        return False
    if argv[1 if argv[0].upper() == b"SCAN" else 2] != b"0":
        return True
    (one_next, one_found), (other_next, other_found) = one.items, other.items
    if not one_next.text == other_next.text == b"0":
        return True
    if argv[0].upper() in (b"HSCAN", b"ZSCAN"):
        return set(_pairs(one_found)) == set(_pairs(other_found))
    return set(one_found.items) == set(other_found.items)


def sorted_by(argv: Argv, one: Reply, other: Reply) -> bool:
    """SORT: in any order if there is nothing to sort by, or where texts may be equal to strcoll.

    Those are what BY finds for ALPHA, and elements that go on after a NUL.
    """
    words = [word.upper() for word in argv]
    if b"STORE" in words:
        return False
    by = argv[words.index(b"BY") + 1] if b"BY" in words else None
    if b"ALPHA" in words:
        is_open = by is not None or any(b"\0" in (item.text or b"") for item in one.items)
    else:
        is_open = by is not None and b"*" not in by
    if b"LIMIT" in words:
        return is_open and same_kind(argv, one, other) and len(one.items) == len(other.items)
    return is_open and unordered(argv, one, other)


def found_near(argv: Argv, one: Reply, other: Reply) -> bool:
    """A search by place: in any order if none is asked for, and with ANY, which are found is open.

    COUNT without ANY asks for the nearest first.
    """
    words = {word.upper() for word in argv}
    if b"ANY" in words:
        return same_form(argv, one, other)
    ordered = words & {b"ASC", b"DESC", b"COUNT"}
    return not ordered and unordered(argv, one, other)


def within(tolerance: int) -> Rule:
    """Two numbers, about the same; exactly the same if that is a deadline of the grammar's."""

    def alike(_: Argv, one: Reply, other: Reply) -> bool:
        if not one.kind == other.kind == b":":
            return False
        values = int(one.text or b""), int(other.text or b"")
        exact = any(
            FAR * unit <= value <= (FAR + FAR_SPAN) * unit or value < 0
            for unit in (1, 1000)
            for value in values
        )
        return not exact and abs(values[0] - values[1]) <= tolerance

    return alike


def greeting(argv: Argv, one: Reply, other: Reply) -> bool:
    """HELLO: the same fields with the same values, but for those that say who the server is."""
    if not same_form(argv, one, other):
        return False
    own = (b"id", b"version")
    pairs = zip(_pairs(one), _pairs(other), strict=True)
    return all(
        ours == theirs or (ours[0] == theirs[0] and ours[0].text in own) for ours, theirs in pairs
    )


def described(argv: Argv, one: Reply, other: Reply) -> bool:
    """COMMAND INFO: name, arity, first key, last key, step; of all commands, which are in no order,
    nothing. The flags are compared by tests/commands/test_against_redis.py."""
    if len(argv) == 2:
        return same_kind(argv, one, other)
    if one.kind != other.kind or len(one.items) != len(other.items):
        return False
    return all(map(_same_command, one.items, other.items))


def tracking(_: Argv, one: Reply, other: Reply) -> bool:
    """CLIENT TRACKINGINFO: flags and prefixes in any order, and a client of the server's own."""
    return same_form((), one, other) and all(
        ours.raw == theirs.raw or ours.kind == b":" or unordered((), ours, theirs)
        for ours, theirs in zip(one.items, other.items, strict=True)
    )


def _of_a_size(one: Reply, other: Reply) -> bool:
    return one.kind == other.kind and one.text == other.text


def _pairs(reply: Reply) -> Sequence[tuple[Reply, Reply]]:
    return list(zip(reply.items[::2], reply.items[1::2], strict=False))


def _is_step(reply: Reply) -> bool:
    """A cursor and an array."""
    return (
        reply.kind == b"*"
        and [item.kind for item in reply.items] == [b"$", b"*"]
        and (reply.items[0].text or b"").isdigit()
    )


def _same_command(one: Reply, other: Reply) -> bool:
    if one.raw == other.raw or not one.items or not other.items:
        return one.raw == other.raw
    return all(one.items[at].raw == other.items[at].raw for at in (0, 1, 3, 4, 5))


LIKENESS: Mapping[bytes, Rule] = {
    # No order
    b"SMEMBERS": unordered,
    b"SINTER": unordered,
    b"SUNION": unordered,
    b"SDIFF": unordered,
    b"HKEYS": unordered,
    b"HVALS": unordered,
    b"HGETALL": unordered_pairs,
    b"KEYS": unordered,
    b"CONFIG GET": unordered_pairs,
    b"PUBSUB CHANNELS": unordered,
    b"PUBSUB SHARDCHANNELS": unordered,
    b"SORT": sorted_by,
    b"SORT_RO": sorted_by,
    b"GEOSEARCH": found_near,
    b"GEORADIUS": found_near,
    b"GEORADIUS_RO": found_near,
    b"GEORADIUSBYMEMBER": found_near,
    b"GEORADIUSBYMEMBER_RO": found_near,
    # The server's choice
    b"SPOP": chosen,
    b"SRANDMEMBER": chosen,
    b"HRANDFIELD": chosen,
    b"ZRANDMEMBER": chosen,
    b"RANDOMKEY": same_form,
    b"SCAN": scanned,
    b"SSCAN": scanned,
    b"HSCAN": scanned,
    b"ZSCAN": scanned,
    # Time goes by between two servers
    b"TTL": within(1),
    b"PTTL": within(1500),
    b"EXPIRETIME": within(1),
    b"PEXPIRETIME": within(1500),
    b"OBJECT IDLETIME": within(60),  # as long as a machine may be busy with something else
    b"LASTSAVE": same_form,
    b"TIME": same_form,
    # Who the server and its clients are
    b"HELLO": greeting,
    b"CLIENT ID": same_form,
    b"CLIENT INFO": same_form,
    b"CLIENT LIST": same_form,
    b"CLIENT GETREDIR": same_form,
    b"CLIENT TRACKINGINFO": tracking,
    b"COMMAND": same_kind,
    b"COMMAND LIST": same_kind,
    b"COMMAND COUNT": same_form,
    b"COMMAND INFO": described,
    b"DUMP": same_form,
    b"INFO": same_form,
    b"LATENCY LATEST": same_kind,
    b"LATENCY HISTORY": same_kind,
    b"LOLWUT": same_form,
    b"MEMORY DOCTOR": same_form,
    b"MEMORY USAGE": same_form,
    b"OBJECT ENCODING": same_form,
    b"OBJECT FREQ": same_form,
    b"OBJECT REFCOUNT": same_form,
    b"SLOWLOG GET": same_kind,
}
