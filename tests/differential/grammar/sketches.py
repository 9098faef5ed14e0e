"""HyperLogLog, and places on the Earth."""

from __future__ import annotations

from differential.grammar.group import Group, lines

HYPERLOGLOG = Group(
    "hyperloglog",
    fill=lines("""
        PFADD hll {member}
        PFADD hll {int int int}
        SADD set {member}
        SET str value
    """),
    lines=lines("""
        PFADD hll {member}
        PFADD hll {int int int}
        PFADD hll
        PFADD (str|set) {member}
        PFCOUNT {hll}
        PFCOUNT hll (str|set|missing)
        PFMERGE hll {hll}
        PFMERGE hll
        PFMERGE hll (str|set|missing)
        PFMERGE str hll
        TYPE hll
        EXPIRE hll seconds
        COPY hll hll REPLACE
        DEL hll
    """),
)

GEO = Group(
    "geo",
    fill=lines("""
        GEOADD geo {place}
        GEOADD geo {place place}
        GEOADD geo {place place place}
    """),
    lines=lines("""
        GEOADD geo [NX|XX] [CH] {place}
        GEOADD geo {place}
        GEODIST geo spot spot [unit]
        GEOHASH geo {spot}
        GEOPOS geo {spot}
        GEOSEARCH geo (FROMMEMBER spot|FROMLONLAT coordinates)
            (BYRADIUS distance unit|BYBOX distance distance unit)
            [ASC|DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]
        GEOSEARCH geo [FROMMEMBER spot] [FROMLONLAT coordinates] [BYRADIUS distance 'km]
            [BYBOX distance distance 'km] [ASC|DESC] [COUNT count [ANY]]
        GEOSEARCH geo FROMLONLAT 15 37 BYRADIUS distance KM (ASC|DESC) [WITHDIST] [WITHCOORD]
        GEOSEARCHSTORE geo geo (FROMMEMBER spot|FROMLONLAT coordinates)
            (BYRADIUS distance unit|BYBOX distance distance unit)
            [ASC|DESC] [COUNT count [ANY]]
        GEOSEARCHSTORE 'far geo (FROMMEMBER spot|FROMLONLAT coordinates)
            (BYRADIUS distance unit|BYBOX distance distance unit) [COUNT count] STOREDIST
        GEORADIUS geo coordinates distance unit
            [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC]
        GEORADIUS geo coordinates distance unit
            [STORE geo] [STOREDIST 'far] [COUNT count] [ASC|DESC]
        GEORADIUSBYMEMBER geo spot distance unit
            [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC]
        GEORADIUSBYMEMBER geo spot distance unit [STORE geo] [STOREDIST 'far] [COUNT count]
        GEORADIUS_RO geo coordinates distance unit
            [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC]
        GEORADIUSBYMEMBER_RO geo spot distance unit
            [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC] [STORE geo]
        ZRANGE 'far 0 -1 WITHSCORES
        ZSCORE geo spot
        ZREM geo spot
        DEL geo
    """),
)
