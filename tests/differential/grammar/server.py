"""The server's own commands, as far as two servers can answer them alike."""

from __future__ import annotations

from differential.grammar.group import Group, lines
from differential.resp import Argv

# The parameters that lines set, and what they are to be again.
_DEFAULTS: tuple[tuple[bytes, bytes], ...] = (
    (b"hash-max-listpack-entries", b"128"),
    (b"set-max-intset-entries", b"512"),
    (b"zset-max-listpack-value", b"64"),
    (b"list-max-listpack-size", b"-2"),
    (b"maxmemory-policy", b"noeviction"),
    (b"maxmemory", b"0"),
    (b"timeout", b"0"),
    (b"slowlog-max-len", b"128"),
    (b"slowlog-log-slower-than", b"-1"),
    (b"latency-monitor-threshold", b"0"),
    (b"notify-keyspace-events", b""),
)
_RESET: tuple[Argv, ...] = tuple((b"CONFIG", b"SET", *pair) for pair in _DEFAULTS)

SERVER = Group(
    "server",
    before=(*_RESET, (b"SLOWLOG", b"RESET")),
    after=_RESET,
    lines=lines("""
        !CONFIG SET ('hash-max-listpack-entries|'set-max-intset-entries) (64|0|'1k|-1|'x|1.5)
        !CONFIG SET 'zset-max-listpack-value (64|32) ['list-max-listpack-size (-2|128)]
        !CONFIG SET 'list-max-listpack-size (-1|5|'x)
        !CONFIG SET 'maxmemory-policy ('allkeys-lru|'allkeys-lfu|NOEVICTION|'volatile-ttl|'other)
        !CONFIG SET 'maxmemory (0|'100gb|'1tb|'200000mb|'x|-1)
        !CONFIG SET 'timeout (0|300|-1|'x)
        !CONFIG SET 'slowlog-max-len (10|128)
        !CONFIG SET 'slowlog-log-slower-than (-1|'x)
        !CONFIG SET 'latency-monitor-threshold (0|'x)
        !CONFIG SET 'notify-keyspace-events (KEA|Elg|AK|Kx|'ex|'t|Q|Z)
        !CONFIG SET 'timeout 0 'timeout 1
        !CONFIG SET 'nosuch value
        !CONFIG SET 'timeout 0 'nosuch
        !CONFIG SET
        !CONFIG GET ('timeout|MAXMEMORY|'maxmemory-policy|'notify-keyspace-events|'nosuch)
        !CONFIG GET {('hash-max-listpack-entries|'timeout|'slowlog-max-len|'maxmemory)}
        !CONFIG GET ('zset-max-listpack-v*|'?ash-max-listpack-entries|'list-max-listpack-size)
        CONFIG RESETSTAT
        CONFIG NOSUCH
        COMMAND COUNT
        COMMAND INFO (GET|'set|SORT|'zadd|EVAL|'blpop|'nosuch|LPUSH|'xadd|'memory|'config|'bitfield)
        COMMAND INFO {('nosuch|GET)}
        COMMAND GETKEYS SET key value
        COMMAND GETKEYS MSET {key value}
        COMMAND GETKEYS (ZUNION #{key}|ZUNIONSTORE key #{key} [AGGREGATE MAX])
        COMMAND GETKEYS (LMPOP #{key} LEFT|BLMPOP 0 #{key} LEFT|BZMPOP 0 #{key} MIN)
        COMMAND GETKEYS SORT key [BY weightpattern] [STORE key]
        COMMAND GETKEYS GEORADIUS key 1 2 3 'km [STORE key] [STOREDIST key]
        COMMAND GETKEYS (PING|GET|'nosuch 'x|SUBSCRIBE channel|EVAL 'x 1 key value)
        COMMAND GETKEYS (BITOP AND key {key}|COPY key key DB 1|OBJECT ENCODING key|BLPOP {key} 0)
        COMMAND GETKEYSANDFLAGS (GET key|SET key value [GET]|RENAME key key|SPOP key|LMOVE key key
            LEFT RIGHT|ZUNIONSTORE key #{key}|SORT key STORE key|BITFIELD key GET 'u8 0)
        COMMAND LIST FILTERBY PATTERN ('nosuch*|'x)
        COMMAND LIST FILTERBY (MODULE|ACLCAT) 'nosuch
        COMMAND NOSUCH
        DBSIZE
        FLUSHALL [SYNC|ASYNC]
        FLUSHDB [SYNC|ASYNC]
        FLUSHALL 'x
        SWAPDB db db
        SELECT db
        SET key value
        GET key
        INFO ['server|'clients|'memory|'stats|'replication|'keyspace|'everything|'nosuch]
        LASTSAVE
        TIME
        ROLE
        LOLWUT [VERSION 5 1 1 1]
        MEMORY USAGE missing [SAMPLES count]
        MEMORY USAGE key [SAMPLES count]
        MEMORY (DOCTOR|NOSUCH)
        OBJECT FREQ key
        OBJECT NOSUCH key
        SLOWLOG LEN
        SLOWLOG RESET
        SLOWLOG GET [count]
        SLOWLOG NOSUCH
        LATENCY LATEST
        LATENCY HISTORY ('command|'nosuch)
        LATENCY RESET ['command]
        LATENCY NOSUCH
        SCRIPT FLUSH [SYNC|ASYNC]
        SCRIPT EXISTS {value}
        FUNCTION FLUSH [SYNC|ASYNC]
        PUBSUB NOSUCH
    """),
)
