// ioredis: `NODE_PATH=… node ioredis.mjs HOST PORT`. First the STEPS on one connection, then what
// takes more than a call: one function each. Its `defineCommand` is Lua, and left out.

import { createRequire } from "node:module";
import { about, add, attempt, blocked, Inbox, kind, run, unordered } from "./canonical.mjs";

const require = createRequire(import.meta.url); // which, as import does not, looks in NODE_PATH
const { Redis } = require("ioredis");

const [host, port] = process.argv.slice(2);
const MANY = 300; // members: more than a small collection of Redis's keeps in one piece

const scanned = ([cursor, found]) => [cursor, unordered(found)];

const STEPS = [
  ["flushall", []],
  ["ping", []],
  ["echo", ["hello"]],
  ["set", ["s", "value"]],
  ["set", ["s", "other", "NX"]],
  ["set", ["s", "other", "EX", 100, "XX", "GET"]],
  ["ttl", ["s"], about(100, 5)],
  ["get", ["s"]],
  ["getBuffer", ["s"]],
  ["get", ["absent"]],
  ["getdel", ["s"]],
  ["getex", ["absent", "PERSIST"]],
  ["mset", [{ a: "1", b: "two" }]],
  ["mget", ["a", "absent", "b"]],
  ["msetnx", ["a", "1", "c", "3"]],
  ["setnx", ["c", "3"]],
  ["setex", ["e", 100, "x"]],
  ["psetex", ["e", 100000, "x"]],
  ["pttl", ["e"], about(100000, 5000)],
  ["append", ["b", " more"]],
  ["strlen", ["b"]],
  ["getrange", ["b", 0, 2]],
  ["setrange", ["b", 4, "MORE"]],
  ["incr", ["n"]],
  ["incrby", ["n", 10]],
  ["incrbyfloat", ["n", 0.5]],
  ["decr", ["m"]],
  ["decrby", ["m", 4]],
  ["setbit", ["bits", 7, 1]],
  ["getbit", ["bits", 7]],
  ["bitcount", ["bits"]],
  ["bitpos", ["bits", 1]],
  ["bitop", ["NOT", "inverse", "bits"]],
  ["getBuffer", ["inverse"]],
  ["bitfield", ["bits", "INCRBY", "u8", 0, 254, "GET", "i4", 4]],
  ["lcs", ["a", "c"]],
  ["exists", ["a", "b", "absent"]],
  ["type", ["a"]],
  ["keys", ["*"], unordered],
  ["scan", [0, "MATCH", "[ab]", "COUNT", 1000], scanned],
  ["dbsize", []],
  ["rename", ["a", "a2"]],
  ["rename", ["a", "a3"]],
  ["renamenx", ["a2", "b"]],
  ["copy", ["a2", "a3"]],
  ["expire", ["a2", 100]],
  ["expire", ["a2", 50, "GT"]],
  ["expireat", ["a2", 4000000000]],
  ["expiretime", ["a2"]],
  ["pexpiretime", ["a2"]],
  ["persist", ["a2"]],
  ["touch", ["a2", "absent"]],
  ["object", ["REFCOUNT", "a2"], kind],
  ["dumpBuffer", ["a2"], kind],
  ["move", ["a2", 1]],
  ["del", ["b", "absent"]],
  ["unlink", ["c"]],
  ["rpush", ["l", "1", "3", "2"]],
  ["lpush", ["l", "9"]],
  ["lpushx", ["absent", "x"]],
  ["llen", ["l"]],
  ["lrange", ["l", 0, -1]],
  ["lindex", ["l", 0]],
  ["lset", ["l", 0, "8"]],
  ["lset", ["l", 10, "8"]],
  ["linsert", ["l", "BEFORE", "3", "0"]],
  ["lpos", ["l", "2"]],
  ["sort", ["l", "DESC", "LIMIT", 0, 2]],
  ["sort", ["l", "STORE", "sorted"]],
  ["lrem", ["l", 0, "8"]],
  ["ltrim", ["l", 0, 2]],
  ["lmove", ["l", "l2", "LEFT", "RIGHT"]],
  ["lmpop", [2, "absent", "sorted", "LEFT", "COUNT", 2]],
  ["lpop", ["l"]],
  ["rpop", ["l", 5]],
  ["rpop", ["l"]],
  ["blpop", ["absent", "sorted", 1]],
  ["blmpop", [1, 1, "sorted", "RIGHT"]],
  ["brpop", ["absent", 0.01]],
  ["sadd", ["s1", "a", "b", "c"]],
  ["sadd", ["s2", ["b", "c", "d"]]],
  ["scard", ["s1"]],
  ["smembers", ["s1"], unordered],
  ["sismember", ["s1", "a"]],
  ["smismember", ["s1", "a", "z"]],
  ["sinter", ["s1", "s2"], unordered],
  ["sunion", ["s1", "s2"], unordered],
  ["sdiff", ["s1", "s2"], unordered],
  ["sinterstore", ["s3", "s1", "s2"]],
  ["sdiffstore", ["s5", "s1", "s2"]],
  ["sintercard", [2, "s1", "s2", "LIMIT", 1]],
  ["smove", ["s1", "s2", "a"]],
  ["srem", ["s2", "a", "absent"]],
  ["srandmember", ["s5"]],
  ["spop", ["s5"]],
  ["sscan", ["s3", 0], scanned],
  ["hset", ["h", "f", "1", "g", "2"]],
  ["hset", ["h", { i: "three" }]],
  ["hsetnx", ["h", "f", "2"]],
  ["hget", ["h", "f"]],
  ["hmget", ["h", "f", "absent"]],
  ["hgetall", ["h"]],
  ["hgetall", ["absent"]],
  ["hkeys", ["h"], unordered],
  ["hvals", ["h"], unordered],
  ["hlen", ["h"]],
  ["hexists", ["h", "g"]],
  ["hstrlen", ["h", "i"]],
  ["hincrby", ["h", "f", 10]],
  ["hincrbyfloat", ["h", "f", 0.5]],
  ["hdel", ["h", "f", "g"]],
  ["hrandfield", ["h", 1, "WITHVALUES"]],
  ["hscan", ["h", 0]],
  ["zadd", ["z", 1, "a", 2.5, "b", 3, "c"]],
  ["zadd", ["z", "XX", "CH", "GT", 2, "a"]],
  ["zcard", ["z"]],
  ["zscore", ["z", "b"]],
  ["zmscore", ["z", "b", "absent"]],
  ["zincrby", ["z", 0.5, "b"]],
  ["zrank", ["z", "c"]],
  ["zrevrank", ["z", "c"]],
  ["zrange", ["z", 0, -1, "WITHSCORES"]],
  ["zrange", ["z", "(2", "+inf", "BYSCORE", "LIMIT", 0, 1]],
  ["zrevrange", ["z", 0, 1]],
  ["zrangebyscore", ["z", "-inf", 3, "WITHSCORES"]],
  ["zrangebylex", ["z", "-", "+"]],
  ["zcount", ["z", 2, 3]],
  ["zlexcount", ["z", "-", "+"]],
  ["zrangestore", ["z2", "z", 0, 1]],
  ["zunion", [2, "z", "z2", "WITHSCORES"]],
  ["zinter", [2, "z", "z2", "WEIGHTS", 1, 2]],
  ["zdiff", [2, "z", "z2"]],
  ["zunionstore", ["zu", 2, "z", "z2"]],
  ["zintercard", [2, "z", "z2"]],
  ["zpopmin", ["zu"]],
  ["zpopmax", ["zu", 1]],
  ["zmpop", [1, "zu", "MIN"]],
  ["bzpopmin", ["absent", "z2", 1]],
  ["zrandmember", ["z2"]],
  ["zscan", ["z", 0]],
  ["zremrangebyrank", ["z", 0, 0]],
  ["zremrangebyscore", ["z", "-inf", "+inf"]],
  ["pfadd", ["hll", "a", "b", "c"]],
  ["pfcount", ["hll"]],
  ["pfmerge", ["hll2", "hll"]],
  ["geoadd", ["geo", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"]],
  ["geodist", ["geo", "Palermo", "Catania", "km"]],
  ["geopos", ["geo", "Palermo", "absent"]],
  ["geohash", ["geo", "Palermo"]],
  ["geosearch", ["geo", "FROMLONLAT", 15, 37, "BYRADIUS", 200, "km", "ASC", "WITHDIST"]],
  ["time", [], kind],
  ["role", []],
  ["save", []],
  ["config", ["GET", "hash-max-listpack-entries"]],
  ["client", ["SETNAME", "interop"]],
  ["client", ["GETNAME"]],
  ["client", ["ID"], kind],
  ["command", ["GETKEYS", "SET", "k", "v"]],
  ["memory", ["USAGE", "geo"], kind],
  ["slowlog", ["RESET"]],
  ["publish", ["nobody", "hears"]],
  ["pubsub", ["NUMSUB", "nobody"]],
  ["wait", [0, 0]],
  ["set", ["text", "text"]],
  ["lpush", ["text", "x"]],
  ["incr", ["text"]],
  ["hget", ["text", "f"]],
  ["expire", ["text", "4611686018427387904"]],
  ["call", ["NOSUCH", "argument"]],
  ["call", ["GET"]],
  ["call", ["HELLO", "9"]],
  ["select", [99]],
  ["select", [1]],
  ["keys", ["*"], unordered],
  ["select", [0]],
];

async function pipelines(redis) {
  const pipeline = redis.pipeline().set("p", 1).incr("p").lpush("p", "x").get("p").hgetall("h");
  add("pipeline", await pipeline.exec());
  const many = redis.pipeline();
  for (let number = 0; number < 10000; number++) many.set(`many:${number}`, number);
  add("pipeline of 10,000", (await many.exec()).every(([error, reply]) => reply === "OK"));
  const automatic = new Redis({ host, port, enableAutoPipelining: true });
  const together = [];
  for (let number = 0; number < 100; number++) together.push(automatic.incr("counted"));
  add("a hundred at once", await Promise.all(together));
  await automatic.quit();
}

async function transactions(redis, other) {
  add("multi", await redis.multi().set("t", 1).incr("t").lpush("t", "x").hgetall("h").exec());
  add("multi, one by one", await redis.multi({ pipeline: false }));
  add("queued", await redis.incr("t"));
  add("exec", await redis.exec());
  add("refused", await attempt(redis.multi().incr("t").call("NOSUCH").exec()));
  add("after the refusal", await redis.get("t"));
  await redis.watch("t");
  await other.set("t", 100);
  add("exec, disturbed", await redis.multi().incr("t").exec());
  await redis.watch("t");
  add("exec, undisturbed", await redis.multi().incr("t").exec());
  add("exec without multi", await attempt(redis.exec()));
}

async function pubsub(redis) {
  const subscriber = new Redis({ host, port });
  const inbox = new Inbox();
  subscriber.on("message", inbox.put);
  subscriber.on("pmessageBuffer", inbox.put);
  subscriber.on("smessage", inbox.put);
  add("subscribe", await subscriber.subscribe("news", "other"));
  add("psubscribe", await subscriber.psubscribe("n*s"));
  add("channels", await redis.pubsub("CHANNELS"), unordered);
  add("publish", await redis.publish("news", "hello"));
  add("messages", await inbox.take(2), unordered);
  add("ping while subscribed", await subscriber.ping());
  add("get while subscribed", await attempt(subscriber.get("s")));
  add("unsubscribe", await subscriber.unsubscribe("news", "other"));
  add("punsubscribe", await subscriber.punsubscribe("n*s"));
  add("ssubscribe", await subscriber.ssubscribe("shard"));
  add("spublish", await redis.spublish("shard", "piece"));
  add("smessage", await inbox.take(1));
  add("sunsubscribe", await subscriber.sunsubscribe("shard"));
  add("get again", await subscriber.get("absent"));
  await subscriber.quit();
}

// RESP2's way to hear what was changed: invalidations go to a subscriber.
async function tracking(redis, other) {
  const subscriber = new Redis({ host, port });
  const inbox = new Inbox();
  subscriber.on("message", inbox.put);
  const id = await subscriber.client("ID");
  await subscriber.subscribe("__redis__:invalidate");
  add("tracking", await redis.client("TRACKING", "ON", "REDIRECT", id));
  await redis.get("tracked");
  await other.set("tracked", "changed");
  add("invalidated", await inbox.take(1));
  add("tracking off", await redis.client("TRACKING", "OFF"));
  await subscriber.quit();
}

async function streams(redis) {
  await redis.flushdb();
  const numbers = Array.from({ length: MANY }, (_, number) => number);
  await redis.mset(...numbers.flatMap((number) => [`key:${number}`, number]));
  await redis.sadd("set", numbers);
  await redis.hset("hash", Object.fromEntries(numbers.map((number) => [`f${number}`, number])));
  await redis.zadd("zset", ...numbers.flatMap((number) => [number, `m${number}`]));
  const found = async (stream, size) => {
    const items = new Set();
    for await (const page of stream) {
      for (let at = 0; at < page.length; at += size) items.add(page.slice(at, at + size).join(" "));
    }
    return items;
  };
  add("scanStream", await found(redis.scanStream({ match: "key:1*", count: 7 }), 1));
  add("sscanStream", await found(redis.sscanStream("set"), 1));
  add("hscanStream", await found(redis.hscanStream("hash"), 2));
  add("zscanStream", await found(redis.zscanStream("zset", { match: "m2*" }), 2));
}

async function blocking(redis, other) {
  const waiting = redis.blpop("q1", "q2", 0);
  await blocked(() => other.info("clients"));
  add("push", await other.rpush("q2", "a", "b"));
  add("blpop waits", await waiting);
  const moved = redis.blmove("q3", "q4", "LEFT", "RIGHT", 0);
  await blocked(() => other.info("clients"));
  add("push", await other.rpush("q3", "moved"));
  add("blmove waits", await moved);
}

async function monitor(redis) {
  const monitor = await redis.monitor();
  const inbox = new Inbox();
  monitor.on("monitor", (time, args, source, database) => inbox.put(args, database));
  await redis.set("monitored", "a b");
  add("monitor", await inbox.take(1));
  await monitor.disconnect();
}

async function settings(redis) {
  const prefixed = new Redis({ host, port, keyPrefix: "app:", db: 2, stringNumbers: true });
  add("prefixed", [await prefixed.set("k", 1), await prefixed.incr("k"), await prefixed.keys("*")]);
  await prefixed.quit();
  const lazy = new Redis(`redis://${host}:${port}/2`, { lazyConnect: true });
  await lazy.connect();
  add("lazy", await lazy.get("app:k"));
  add("client kill", await redis.client("KILL", "ID", await lazy.client("ID")));
  add("connected again, in its database", await lazy.get("app:k"));
  add("quit", await lazy.quit());
}

const redis = new Redis({ host, port });
const other = new Redis({ host, port });
await run(redis, STEPS);
await pipelines(redis);
await transactions(redis, other);
await pubsub(redis);
await tracking(redis, other);
await streams(redis);
await blocking(redis, other);
await monitor(redis);
await settings(redis);
await redis.quit();
await other.quit();
