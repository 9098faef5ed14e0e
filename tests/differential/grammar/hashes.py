"""Hashes."""

from __future__ import annotations

from differential.grammar.group import Group, lines

HASHES = Group(
    "hashes",
    fill=lines("""
        HSET hash {field value}
        HSET hash {field int}
    """),
    lines=lines("""
        HSET hash {field value}
        HMSET hash {field value}
        HSETNX hash field value
        HGET hash field
        HMGET hash {field}
        HGETALL hash
        HKEYS hash
        HVALS hash
        HLEN hash
        HSTRLEN hash field
        HEXISTS hash field
        HDEL hash {field}
        HINCRBY hash field int
        HINCRBY hash digit int
        HINCRBYFLOAT hash field float
        HINCRBYFLOAT hash digit float
        HRANDFIELD hash [negative [WITHVALUES]]
        HRANDFIELD hash huge [WITHVALUES]
        HSCAN hash cursor COUNT huge [MATCH memberpattern]
        HSCAN hash cursor [MATCH memberpattern] [COUNT count]
        HSCAN hash anycursor
        DEL hash
    """),
)
