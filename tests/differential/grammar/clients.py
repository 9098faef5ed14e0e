"""Several clients at once: published messages, waiting, watching, tracking, keyspace events.

Played step by step. ``@id0`` to ``@id2`` stand for the clients' identifiers, ``@payload`` for what
DUMP gave last: the servers have their own.
"""

from __future__ import annotations

from differential.grammar.group import Group, lines
from differential.grammar.keys import KEYS
from differential.grammar.transactions import DATA

PUBSUB = Group(
    "pubsub",
    clients=3,
    lines=lines("""
        SUBSCRIBE {channel}
        SUBSCRIBE {channel}
        PSUBSCRIBE {pattern}
        PSUBSCRIBE (*|'news*)
        SSUBSCRIBE {channel}
        UNSUBSCRIBE {channel}
        PUNSUBSCRIBE {pattern}
        SUNSUBSCRIBE {channel}
        UNSUBSCRIBE
        PUNSUBSCRIBE
        SUNSUBSCRIBE
        PUBLISH channel value
        PUBLISH channel value
        PUBLISH channel value
        SPUBLISH channel value
        PUBSUB CHANNELS [pattern]
        PUBSUB NUMSUB {channel}
        PUBSUB NUMSUB
        PUBSUB NUMPAT
        PUBSUB SHARDCHANNELS [pattern]
        PUBSUB SHARDNUMSUB {channel}
        PUBSUB SHARDNUMSUB
        PING [value]
        RESET
        SET str value
        QUIT
    """),
)

CLIENTS = Group(
    "clients",
    clients=3,
    fill=lines("""
        RPUSH list {member}
        SET str value
        ZADD zset {score member}
    """),
    lines=lines("""
        WATCH {(str|list|zset)}
        MULTI
        MULTI
        EXEC
        EXEC
        DISCARD
        UNWATCH
        SET str value
        GET str
        DEL (str|list|zset)
        RPUSH list {member}
        LPUSH list {member}
        LMOVE list list LEFT RIGHT
        RENAME (list|zset) (list|zset)
        ZADD zset {score member}
        SORT list ALPHA STORE list
        COPY list list REPLACE
        FLUSHALL
        FLUSHDB
        TOUCH str
        EXPIRE str -1
        !BLPOP {list} 0
        !BRPOP {list} 100
        !BLMOVE list list (LEFT|RIGHT) (LEFT|RIGHT) 0
        !BRPOPLPUSH list list 0
        !BLMPOP 0 #{list} (LEFT|RIGHT) [COUNT 2]
        !BZPOPMIN {zset} 0
        !BZPOPMAX {zset} 100
        !BZMPOP 0 #{zset} (MIN|MAX) [COUNT 2]
        !CLIENT UNBLOCK ('@id0|'@id1|'@id2) [TIMEOUT|ERROR]
        !CLIENT KILL ID ('@id0|'@id1|'@id2) [SKIPME NO]
        SUBSCRIBE channel
        PUBLISH channel value
        CLIENT REPLY (ON|OFF|SKIP)
        RESET
        PING
    """),
)

DUMPED = Group(
    "dumped",
    clients=1,
    fill=KEYS.fill,
    lines=lines("""
        DUMP key
        DUMP key
        RESTORE key 0 '@payload [REPLACE]
        RESTORE missing milliseconds '@payload [REPLACE]
        RESTORE missing atms '@payload ABSTTL REPLACE [IDLETIME count] [FREQ count]
        EXPIREAT key at
        TYPE missing
        DEL missing
    """),
)

# SWAPDB makes many keys ready at once, in no order: all wait for the same one.
SWAPPED = Group(
    "swapped",
    clients=3,
    fill=CLIENTS.fill,
    lines=lines("""
        SWAPDB 0 1
        SWAPDB otherdb otherdb
        SELECT (0|1)
        MOVE (list|zset) 1
        COPY list list DB 1
        !BLPOP 'l1 0
        !BLMOVE 'l1 list RIGHT LEFT 0
        !BZPOPMAX 'l1 0
        RPUSH list member
        RPUSH 'l1 member
        ZADD 'l1 score member
        DEL (list|zset)
        WATCH (list|zset)
        MULTI
        EXEC
        FLUSHDB
    """),
)

TRACKING = Group(
    "tracking",
    clients=3,
    fill=CLIENTS.fill,
    lines=lines("""
        CLIENT TRACKING ON
        CLIENT TRACKING ON (OPTIN|OPTOUT)
        CLIENT TRACKING ON (OPTIN|OPTOUT)
        !CLIENT TRACKING ON [OPTIN] [OPTOUT] [NOLOOP] [REDIRECT ('@id0|'@id1|'@id2)]
        !CLIENT TRACKING ON BCAST [PREFIX 's] [PREFIX 'l] [NOLOOP] [REDIRECT ('@id0|'@id1|'@id2)]
        CLIENT TRACKING OFF
        CLIENT TRACKINGINFO
        CLIENT GETREDIR
        CLIENT CACHING (YES|NO)
        CLIENT CACHING (YES|NO)
        SUBSCRIBE '__redis__:invalidate
        GET str
        GET str
        GET str
        MGET {str}
        LRANGE list 0 -1
        SET str value
        SET str value
        MSET {str value}
        RPUSH list member
        DEL {(str|list)}
        RENAME str str
        EXPIRE str -1
        MULTI
        EXEC
        FLUSHALL
        FLUSHDB
        RESET
    """),
)

NOTIFICATIONS = Group(
    "notifications",
    clients=2,
    opening=((b"PSUBSCRIBE", b"__key*__:*"),),
    before=((b"CONFIG", b"SET", b"notify-keyspace-events", b"KEAn"),),
    after=((b"CONFIG", b"SET", b"notify-keyspace-events", b""),),
    lines=lines("""
        SELECT otherdb
        MULTI
        EXEC
    """),
    borrow=DATA,
    share=0.95,
)
