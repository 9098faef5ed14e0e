"""Sets."""

from __future__ import annotations

from differential.grammar.group import Group, lines

SETS = Group(
    "sets",
    fill=lines("""
        SADD set {member}
        SADD set {member member}
        SADD set {digit}
    """),
    lines=lines("""
        SADD set {member}
        SREM set {member}
        SREM set {digit}
        SCARD set
        SISMEMBER set member
        SMISMEMBER set {member}
        SMEMBERS set
        SMOVE set set member
        SPOP set huge
        SPOP set [count]
        SRANDMEMBER set [negative]
        SRANDMEMBER set huge
        SINTER {set}
        SUNION {set}
        SDIFF {set}
        SINTERSTORE set {set}
        SUNIONSTORE set {set}
        SDIFFSTORE set {set}
        SINTERCARD #{set} [LIMIT count]
        SINTERCARD count {set} [LIMIT count]
        SSCAN set cursor COUNT huge [MATCH memberpattern]
        SSCAN set cursor [MATCH memberpattern] [COUNT count]
        SSCAN set anycursor
        DEL set
    """),
)
