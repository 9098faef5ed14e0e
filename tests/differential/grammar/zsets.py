"""Sorted sets: one group by score and rank, one by member, where all scores are the same."""

from __future__ import annotations

from differential.grammar.group import Group, lines

ZSETS = Group(
    "zsets",
    fill=lines("""
        ZADD zset {score member}
        ZADD zset {score member score member}
        ZADD zset {digit member digit member}
        SADD set {member}
    """),
    lines=lines("""
        ZADD zset [NX|XX] [GT|LT] [CH] [INCR] {score member}
        ZADD zset [XX] [GT|LT] [CH] {score member}
        ZADD zset [NX|XX] INCR score member
        ZADD zset {score member}
        ZINCRBY zset score member
        ZINCRBY zset ('inf|'-inf) member
        ZREM zset {member}
        ZCARD zset
        ZSCORE zset member
        ZMSCORE zset {member}
        ZRANK zset member
        ZREVRANK zset member
        ZCOUNT zset bound bound
        ZRANGE zset index index [REV] [WITHSCORES]
        ZRANGE zset 0 -1 WITHSCORES
        ZRANGE zset bound bound BYSCORE [REV] [LIMIT index index] [WITHSCORES]
        ZRANGE zset ('-inf|1|0) ('+inf|5) BYSCORE [LIMIT 0 index] [WITHSCORES]
        ZRANGE zset index index [BYSCORE|BYLEX] [REV] [LIMIT index index] [WITHSCORES]
        ZRANGESTORE zset zset index index [REV]
        ZRANGESTORE zset zset bound bound BYSCORE [REV] [LIMIT index index]
        ZREVRANGE zset index index [WITHSCORES]
        ZRANGEBYSCORE zset bound bound [WITHSCORES] [LIMIT index index]
        ZREVRANGEBYSCORE zset bound bound [WITHSCORES] [LIMIT index index]
        ZREMRANGEBYRANK zset index index
        ZREMRANGEBYSCORE zset bound bound
        ZPOPMIN zset [count]
        ZPOPMAX zset [count]
        ZMPOP #{zset} (MIN|MAX) [COUNT count]
        BZPOPMIN {zset} wait
        BZPOPMAX {zset} wait
        BZMPOP wait #{zset} (MIN|MAX) [COUNT count]
        ZRANDMEMBER zset [negative [WITHSCORES]]
        ZRANDMEMBER zset huge [WITHSCORES]
        ZSCAN zset cursor COUNT huge [MATCH memberpattern]
        ZSCAN zset cursor [MATCH memberpattern] [COUNT count]
        ZSCAN zset anycursor
        DEL zset
    """),
)

COMBINED = Group(
    "combined",
    fill=ZSETS.fill,
    lines=lines("""
        ZUNION #{zsets} [WEIGHTS ={float}] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]
        ZINTER #{zsets} [WEIGHTS ={float}] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]
        ZINTER #{zset} WITHSCORES
        ZDIFF #{zsets} [WITHSCORES]
        ZINTERCARD #{zsets} [LIMIT count]
        ZUNIONSTORE zset #{zsets} [WEIGHTS ={float}] [AGGREGATE (SUM|MIN|MAX)]
        ZINTERSTORE zset #{zsets} [WEIGHTS ={float}] [AGGREGATE (SUM|MIN|MAX)]
        ZDIFFSTORE zset #{zsets}
        ZUNION count {zsets} [WEIGHTS {float}] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]
        ZADD zset {score member}
        SADD set {member}
        ZRANGE zset 0 -1 WITHSCORES
        DEL zset
    """),
)

LEX = Group(
    "lex",
    fill=lines("""
        ZADD lexes {samescore member}
        ZADD lexes {samescore member samescore member}
        SET notlex value
    """),
    lines=lines("""
        !ZADD lexes {samescore member}
        ZLEXCOUNT lex lexical lexical
        ZRANGEBYLEX lex lexical lexical [LIMIT index index]
        ZREVRANGEBYLEX lex lexical lexical [LIMIT index index]
        ZRANGE lex lexical lexical BYLEX [REV] [LIMIT index index]
        ZRANGE lex lexical lexical BYLEX [REV] [WITHSCORES]
        ZRANGE lex - + BYLEX [LIMIT 0 index]
        ZRANGEBYLEX lex - + [LIMIT 0 index]
        !ZRANGESTORE lexes lex lexical lexical BYLEX [REV] [LIMIT index index]
        ZREMRANGEBYLEX lex lexical lexical
        ZREM lexes {member}
        DEL lexes
    """),
)
