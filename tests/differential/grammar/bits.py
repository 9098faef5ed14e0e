"""Strings as bits."""

from __future__ import annotations

from differential.grammar.group import Group, lines

BITS = Group(
    "bits",
    fill=lines("""
        SETBIT bits bitoffset bit
        SET bits value
        SETRANGE bits offset value
    """),
    lines=lines("""
        SETBIT bits bitoffset bit
        GETBIT bits bitoffset
        BITCOUNT bits [index index [BYTE|BIT]]
        BITPOS bits bit [index [index [BYTE|BIT]]]
        BITPOS bits (0|1) index index (BYTE|BIT)
        BITOP (AND|OR|XOR) bits {bits}
        BITOP NOT bits bits
        BITFIELD bits {GET encoding fieldoffset|[OVERFLOW (WRAP|SAT|FAIL)]
            (SET encoding fieldoffset int|INCRBY encoding fieldoffset int)}
        BITFIELD bits OVERFLOW (WRAP|SAT|FAIL) {INCRBY encoding fieldoffset int}
        BITFIELD bits {SET encoding fieldoffset int}
        BITFIELD bits
        BITFIELD_RO bits {GET encoding fieldoffset}
        BITFIELD_RO bits [GET encoding fieldoffset] [SET encoding fieldoffset int]
        GET bits
        STRLEN bits
        DEL bits
    """),
)
