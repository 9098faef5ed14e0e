"""Lists. What blocks here answers at once, or gives up within 10 ms; ``clients`` lets it wait."""

from __future__ import annotations

from differential.grammar.group import Group, lines

LISTS = Group(
    "lists",
    fill=lines("""
        RPUSH list {member}
        LPUSH list {member}
        RPUSH list {member member}
    """),
    lines=lines("""
        LPUSH list {member}
        RPUSH list {member}
        LPUSHX list {member}
        RPUSHX list {member}
        LPUSHX missing member
        LPOP list [count]
        RPOP list [count]
        LLEN list
        LRANGE list index index
        LRANGE list 0 -1
        LINDEX list index
        LSET list index member
        LINSERT list (BEFORE|AFTER) member member
        LREM list negative member
        LTRIM list index index
        LTRIM list 0 -2
        LPOS list member [RANK negative] [COUNT count] [MAXLEN count]
        LPOS list member [RANK negative] [COUNT 0]
        LMOVE list list (LEFT|RIGHT) (LEFT|RIGHT)
        RPOPLPUSH list list
        LMPOP #{list} (LEFT|RIGHT) [COUNT count]
        LMPOP count {list} (LEFT|RIGHT) [COUNT count]
        BLPOP {list} wait
        BRPOP {list} wait
        BLMOVE list list (LEFT|RIGHT) (LEFT|RIGHT) wait
        BRPOPLPUSH list list wait
        BLMPOP wait #{list} (LEFT|RIGHT) [COUNT count]
        BLPOP key wait
        EXPIRE list seconds
        TTL list
        DEL list
    """),
)
