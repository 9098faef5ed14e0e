"""Rules of users and requests of clients, made up at random for tests of permissions.

A request is written as a line in which ``K`` is a key, ``C`` a channel and ``P`` a pattern of
channels; each stands for another of the few that there are, so that rules and requests meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from memdbd.commands.categories import CATEGORIES
from memdbd.commands.table import COMMANDS, CONTAINERS

# All commands that Redis has too, and of those whose keys move, each way that they can go.
REQUESTS = """
append K v
auth u p
bgrewriteaof
bgsave
bitcount K
bitcount K 0 -1 BIT
bitfield K
bitfield K GET u8 0
bitfield K GET u8 0 get i4 #1
bitfield K SET u8 0 1
bitfield K GET u8 0 INCRBY u8 0 1
bitfield K OVERFLOW SAT GET u8 0
bitfield_ro K GET u8 0
bitop AND K K
bitop NOT K K
bitop XOR K K K K
bitpos K 1
blmove K K LEFT RIGHT 0
blmpop 1 1 K LEFT
blmpop 1 2 K K RIGHT COUNT 2
blpop K 1
blpop K K K 1
brpop K K 1
brpoplpush K K 1
bzmpop 1 2 K K MIN
bzpopmax K K 1
bzpopmin K 1
client getname
client id
client info
client kill ID 1
client list
client no-evict on
client pause 1
client reply on
client setname x
client tracking on
client unblock 1
client unpause
command
command count
command docs
command getkeys get K
command getkeysandflags get K
command info get
command list
config get K
config resetstat
config rewrite
config set K v
copy K K
copy K K REPLACE
dbsize
debug sleep 0
decr K
decrby K 1
del K
del K K K
discard
dump K
echo K
evalsha abc 0 K
evalsha abc 1 K K
evalsha abc 2 K K K
exec
exists K
exists K K
expire K 1
expireat K 1 NX
expiretime K
flushall
flushdb async
function flush
function list
geoadd K 1 2 m
geodist K a b
geohash K a
geopos K a
georadius K 1 2 3 km
georadius K 1 2 3 km STORE K
georadius K 1 2 3 km STOREDIST K
georadius K 1 2 3 km COUNT 1 ASC STORE K
georadius K 1 2 3 km STORE K STOREDIST K
georadius_ro K 1 2 3 km
georadiusbymember K a 3 km
georadiusbymember K a 3 km WITHCOORD
georadiusbymember K a 3 km STORE K
georadiusbymember K a 3 km asc storedist K
georadiusbymember_ro K a 3 km
geosearch K FROMMEMBER a BYRADIUS 1 km
geosearchstore K K FROMMEMBER a BYRADIUS 1 km
get K
getbit K 1
getdel K
getex K
getex K EX 1
getex K PERSIST
getrange K 0 1
getset K v
hdel K f
hello
hello 3 AUTH u p
hexists K f
hget K f
hgetall K
hincrby K f 1
hincrbyfloat K f 1
hkeys K
hlen K
hmget K f g
hmset K f v
hrandfield K
hscan K 0
hset K f v
hsetnx K f v
hstrlen K f
hvals K
incr K
incrby K 1
incrbyfloat K 1
info
info memory
keys K
lastsave
latency doctor
latency graph x
latency histogram
latency history x
latency latest
latency reset
lcs K K
lcs K K LEN
lindex K 0
linsert K BEFORE a b
llen K
lmove K K LEFT LEFT
lmpop 1 K LEFT
lmpop 3 K K K RIGHT
lolwut
lpop K
lpop K 2
lpos K a
lpush K a b
lpushx K a
lrange K 0 1
lrem K 0 a
lset K 0 a
ltrim K 0 1
memory doctor
memory malloc-stats
memory purge
memory stats
memory usage K
memory usage K SAMPLES 1
mget K
mget K K K
monitor
move K 1
mset K v
mset K v K v
msetnx K v K v
multi
object encoding K
object freq K
object help
object idletime K
object refcount K
persist K
pexpire K 1
pexpireat K 1
pexpiretime K
pfadd K a
pfcount K
pfcount K K
pfmerge K
pfmerge K K K
ping
ping x
psetex K 1 v
psubscribe P
psubscribe P P
psubscribe C
pttl K
publish C x
pubsub channels
pubsub channels P
pubsub help
pubsub numpat
pubsub numsub C
pubsub shardchannels
pubsub shardnumsub C
punsubscribe
punsubscribe P
quit
randomkey
rename K K
renamenx K K
replicaof no one
reset
restore K 0 x
role
rpop K
rpoplpush K K
rpush K a
rpushx K a
sadd K a
save
scan 0
scan 0 MATCH K
scard K
script exists x
script flush
sdiff K K
sdiffstore K K
sdiffstore K K K
select 0
select 1
set K v
set K v NX
set K v EX 1
set K v GET
set K v EX 1 GET
set K v get
set K GET
setbit K 1 1
setex K 1 v
setnx K v
setrange K 1 v
shutdown
sinter K
sinter K K
sintercard 1 K
sintercard 2 K K LIMIT 1
sinterstore K K K
sismember K a
slaveof no one
slowlog get
slowlog get 1
slowlog len
slowlog reset
smembers K
smismember K a b
smove K K a
sort K
sort K ALPHA
sort K BY x*
sort K LIMIT 0 1 STORE K
sort K STORE K
sort K STORE K STORE K
sort K BY K GET K
sort K BY K GET K STORE K
sort K BY STORE GET STORE
sort K BY STORE STORE K
sort_ro K
sort_ro K BY K GET K
spop K
spop K 1
spublish C x
srandmember K
srandmember K 2
srem K a
sscan K 0
ssubscribe C
ssubscribe C C
strlen K
subscribe C
subscribe C C
substr K 0 1
sunion K K
sunionstore K K
sunsubscribe C
swapdb 0 1
time
touch K
touch K K
ttl K
type K
unlink K
unlink K K
unsubscribe
unsubscribe C
unwatch
wait 0 0
watch K
watch K K
zadd K 1 a
zadd K GT CH 1 a
zcard K
zcount K 0 1
zdiff 2 K K
zdiff 1 K WITHSCORES
zdiffstore K 2 K K
zincrby K 1 a
zinter 2 K K
zintercard 2 K K
zinterstore K 1 K
zinterstore K 2 K K WEIGHTS 1 2
zlexcount K - +
zmpop 1 K MIN
zmpop 2 K K MAX COUNT 2
zmscore K a
zpopmax K
zpopmin K 2
zrandmember K
zrange K 0 1
zrange K 0 1 REV WITHSCORES
zrangebylex K - +
zrangebyscore K 0 1
zrangestore K K 0 1
zrank K a
zrem K a
zremrangebylex K - +
zremrangebyrank K 0 1
zremrangebyscore K 0 1
zrevrange K 0 1
zrevrangebylex K + -
zrevrangebyscore K 1 0
zrevrank K a
zscan K 0
zscore K a
zunion 1 K
zunion 3 K K K
zunionstore K 2 K K
zunionstore K 1 K AGGREGATE MIN
acl cat
acl deluser u
acl dryrun u get K
acl genpass
acl getuser u
acl help
acl list
acl log
acl setuser u
acl users
acl whoami
client caching yes
client getredir
client help
client trackinginfo
command help
config help
function help
latency help
memory help
script help
slowlog help
acl load
acl save
""".strip().splitlines()

_WITH_CHANNELS = [line for line in REQUESTS if not {"C", "P"}.isdisjoint(line.split(" "))]

KEYS = ("a", "b", "ab", "abc", "a:1", "b:1", "a:1:x", "", "*", "a*", "x]")
CHANNELS = ("news", "news.a", "news.b", "n", "")
PATTERNS = ("news.*", "*", "n*", "news", "?")
_KEY_PATTERNS = (
    "a", "b", "a*", "b*", "ab", "a:*", "*:1", "?", "??", "[ab]", "[^a]*", "a:?:x", "*b*", "**",
    "\\*", "\\a*", "x]", "",
)  # fmt: skip
_CHANNEL_PATTERNS = ("news", "news.*", "n*", "*.a", "?", "[mn]*", "**", "")
_LETTERS = ("~", "~", "~", "%R~", "%W~", "%RW~", "%wr~", "%r~")

# What Redis 7.0 has not.
OURS = {
    "client|no-touch", "client|setinfo", "delete", "exit", "help", "list_channels",
    "list_subscribers", "set_with_ttl", "stats",
}  # fmt: skip
ALONE = sorted(name.decode() for name in COMMANDS if name.decode() not in OURS)
CONTAINER_NAMES = sorted(name.decode() for name in CONTAINERS)


def request(rng: Random, line: str) -> list[bytes]:
    """A request of the kind that a line describes, now and then in upper case."""
    named = {"K": KEYS, "C": CHANNELS, "P": PATTERNS}
    return [
        (rng.choice(named[word]) if word in named else _cased(rng, word)).encode()
        for word in line.split(" ")
    ]


def requests(rng: Random, rules: Sequence[bytes], count: int) -> list[list[bytes]]:
    """Requests, about half of which begin with a word that the rules have."""
    words = {rule.decode().strip("()+-").partition("|")[0].lower() for rule in rules}
    named = [line for line in REQUESTS if line.partition(" ")[0] in words] or REQUESTS
    sources = rng.choices((REQUESTS, named, _WITH_CHANNELS), (10, 10, 3), k=count)
    return [request(rng, rng.choice(lines)) for lines in sources]


def rules(rng: Random) -> list[bytes]:
    """Rules for a user in an order that matters, all of which are right."""
    found = [[rule] for rule in _of_selector(rng, rng.choice((1, 2, 4, 8, 12)))]
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
        inside = _of_selector(rng, rng.choice((1, 2, 3, 6)))
        selector = b"(" + b" ".join(inside) + b")"
        apart = rng.random() < 0.3  # its words by themselves
        found.insert(rng.randint(0, len(found)), selector.split(b" ") if apart else [selector])
    if rng.random() < 0.05:
        found.insert(rng.randint(0, len(found)), [b"clearselectors"])
    return [rule for each in found for rule in each]


def _of_selector(rng: Random, count: int) -> list[bytes]:
    found: list[str] = []
    all_keys = all_channels = False
    for _ in range(count):
        kind = rng.choices(
            ("command", "subcommand", "first", "category", "all", "key", "channel", "reset"),
            (8, 3, 2, 5, 3, 8, 3, 2),
        )[0]
        sign = rng.choice("++-")
        match kind:
            case "command":
                found.append(_cased(rng, sign + rng.choice(ALONE + CONTAINER_NAMES)))
            case "subcommand":
                container = rng.choice(CONTAINER_NAMES)
                second = rng.choice([*CONTAINERS[container.encode()].subcommands]).decode()
                if f"{container}|{second}" not in OURS:
                    found.append(_cased(rng, f"{sign}{container}|{second}"))
            case "first":
                line = rng.choice(REQUESTS)
                name = line.partition(" ")[0]
                if name in ALONE:
                    words = request(rng, line)
                    first = (words[1:] or [b"x"])[0].decode() or "x"
                    if "|" not in first and ")" not in first:
                        found.append(f"+{name}|{first}")
            case "category":
                found.append(_cased(rng, f"{sign}@{rng.choice(CATEGORIES)}"))
            case "all":
                found.append(rng.choice(("+@all", "-@all", "allcommands", "nocommands", "+@ALL")))
            case "key":
                if rng.random() < 0.12:
                    found.append(rng.choice(("~*", "allkeys")))
                    all_keys = True
                elif not all_keys:
                    pattern = rng.choice(("*", *_KEY_PATTERNS))
                    letters = rng.choice(_LETTERS)
                    all_keys = letters + pattern == "~*"
                    found.append(letters + pattern)
            case "channel":
                if rng.random() < 0.2:
                    found.append(rng.choice(("&*", "allchannels")))
                    all_channels = True
                elif not all_channels:
                    found.append("&" + rng.choice(_CHANNEL_PATTERNS))
            case "reset":
                if rng.random() < 0.5:
                    found.append("resetkeys")
                    all_keys = False
                else:
                    found.append("resetchannels")
                    all_channels = False
    return [rule.encode() for rule in found]


def _cased(rng: Random, word: str) -> str:
    return word.upper() if rng.random() < 0.1 else word
