"""Strings."""

from __future__ import annotations

from differential.grammar.group import Group, lines

STRINGS = Group(
    "strings",
    fill=lines("""
        SET str value
        SET num int
        SET str value EX seconds
        MSET {str value}
        APPEND str value
    """),
    lines=lines("""
        SET str value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT at|PXAT atms|KEEPTTL]
        SET str value (EX seconds|PX milliseconds|EXAT at|PXAT atms) [NX|XX] [GET]
        SET (str|num) (value|int) [GET] [KEEPTTL]
        SET str value KEEPTTL
        SET key value GET
        SET num float
        GET str
        GET key
        GETSET str value
        GETDEL str
        GETEX str [EX seconds|PX milliseconds|EXAT at|PXAT atms|PERSIST]
        GETEX str (EX seconds|PX milliseconds|EXAT at|PXAT atms|PERSIST)
        MGET {key}
        MGET {str}
        MSET {str value}
        MSETNX {str value}
        MSETNX missing value
        SETNX str value
        SETEX str seconds value
        PSETEX str milliseconds value
        APPEND str value
        STRLEN str
        GETRANGE str index index
        SETRANGE str offset value
        SUBSTR str index index
        INCR num
        DECR num
        INCRBY num int
        DECRBY num int
        INCRBYFLOAT num float
        INCRBYFLOAT num float
        LCS str str [LEN] [IDX] [MINMATCHLEN count] [WITHMATCHLEN]
        LCS str str IDX [MINMATCHLEN count] [WITHMATCHLEN]
        TTL str
        PEXPIRETIME str
        DEL str
    """),
)
