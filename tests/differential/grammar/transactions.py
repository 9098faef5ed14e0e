"""MULTI and its kin on one connection, around commands of all kinds; and keys of the wrong type."""

from __future__ import annotations

from differential.grammar.group import Group, lines

DATA = (
    *("strings", "bits", "keys", "lists", "sets", "hashes", "zsets", "combined", "lex", "geo"),
    *("sort", "hyperloglog"),
)

TRANSACTIONS = Group(
    "transactions",
    lines=lines("""
        MULTI
        MULTI
        MULTI
        MULTI
        EXEC
        EXEC
        EXEC
        EXEC
        EXEC
        DISCARD
        DISCARD
        WATCH {key}
        WATCH {key}
        UNWATCH
        RESET
        PING
        SELECT otherdb
        NOSUCHCOMMAND value
        SET key value
        DEL key
    """),
    borrow=DATA,
    share=0.6,
    nearly=0.04,
)

# Commands on keys of any type.
CROSSED = Group("crossed", lines=(), borrow=DATA, share=1.0, strays=0.7)
