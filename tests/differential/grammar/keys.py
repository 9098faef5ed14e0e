"""Keys, whatever they hold: deadlines, names, databases, iteration; SORT."""

from __future__ import annotations

from differential.grammar.group import Group, lines

KEYS = Group(
    "keys",
    fill=lines("""
        SET key value
        RPUSH list {member}
        SADD set {member}
        HSET hash {field value}
        ZADD zset {score member}
        SET num int EX seconds
    """),
    lines=lines("""
        DEL {key}
        UNLINK {key}
        EXISTS {key}
        TOUCH {key}
        TYPE key
        RENAME key key
        RENAMENX key key
        RENAMENX key missing
        COPY key key [DB db] [REPLACE]
        COPY key key DB otherdb [REPLACE]
        MOVE key db
        MOVE key otherdb
        KEYS pattern
        SCAN cursor COUNT huge [MATCH pattern] [TYPE typename]
        SCAN cursor [COUNT count] [MATCH pattern]
        SCAN anycursor
        RANDOMKEY
        DBSIZE
        SELECT db
        SELECT otherdb
        SWAPDB db db
        SWAPDB otherdb otherdb
        FLUSHDB [SYNC|ASYNC]
        EXPIRE key seconds [NX|XX|GT|LT]
        PEXPIRE key milliseconds [NX|XX|GT|LT]
        EXPIREAT key at [NX|XX|GT|LT]
        PEXPIREAT key atms [NX|XX|GT|LT]
        PEXPIRE key milliseconds (NX|XX|GT|LT)
        EXPIREAT key at (NX|XX|GT|LT)
        PEXPIREAT key atms (NX|XX|GT|LT)
        EXPIRE key seconds [NX] [XX] [GT] [LT]
        PERSIST key
        TTL key
        PTTL key
        EXPIRETIME key
        PEXPIRETIME key
        OBJECT (ENCODING|REFCOUNT|IDLETIME|FREQ) key
        OBJECT (ENCODING|REFCOUNT|IDLETIME|FREQ) missing
        DUMP key
        DUMP missing
        RESTORE key (milliseconds|0) badpayload [REPLACE] [ABSTTL] [IDLETIME count] [FREQ count]
        RESTORE missing atms badpayload ABSTTL
        SET key value [EX seconds|EXAT at]
        GET key
        WAIT 0 0
        !WAIT 1 10
        !WAIT ('x|1.5|-1) 0
        !WAIT 0 ('x|-1)
    """),
)

SORT = Group(
    "sort",
    fill=lines("""
        RPUSH sortlist {digit}
        RPUSH sortlist {digit}
        SADD sortset {digit}
        ZADD sortzset {score digit}
        SET weight digit
        HSET weighthash 'f digit
        HSET weighthash 'f digit 'g value
    """),
    lines=lines("""
        SORT sortable [BY weightpattern] [LIMIT index index] [{GET getpattern}] [ASC|DESC] [ALPHA]
        SORT sortable [BY nosort] [LIMIT index index] [{GET getpattern}] [ASC|DESC] [ALPHA]
        SORT sortable [ASC|DESC] [ALPHA] [STORE sorted] [LIMIT index index]
        SORT sortable [BY weightpattern] [{GET getpattern}] [ASC|DESC] [STORE sorted]
        SORT sortable BY nosort STORE sorted [{GET getpattern}] [ASC|DESC] [LIMIT index index]
        SORT sortable [LIMIT 0 2]
        SORT_RO sortable [BY weightpattern] [LIMIT index index]
            [{GET getpattern}] [ASC|DESC] [ALPHA]
        SORT_RO sortable [LIMIT 0 2] [STORE sorted]
        SORT (key|missing) [ALPHA] [DESC]
        RPUSH sortlist value
        LRANGE sorted 0 -1
        DEL sortable
        DEL weight
        RPUSH sortlist float
        ZADD sortzset score digit
    """),
)
