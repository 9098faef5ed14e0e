// node-redis: `NODE_PATH=… node node_redis.mjs HOST PORT PROTOCOL`. First the STEPS on one
// connection, then what takes more than a call: one function each. Lua and streams are left out.

import { createRequire } from "node:module";
import { about, add, attempt, blocked, Inbox, kind, run, unordered } from "./canonical.mjs";

const require = createRequire(import.meta.url); // which, as import does not, looks in NODE_PATH
const { createClient, createClientPool, RESP_TYPES } = require("redis");

const [host, port, protocol] = process.argv.slice(2);
const OPTIONS = { socket: { host, port: Number(port) }, RESP: Number(protocol) };
const MANY = 300; // members: more than a small collection of Redis's keeps in one piece

const scanned = (field) => (reply) => [reply.cursor, unordered(reply[field])];

const CENTRE = { longitude: 15, latitude: 37 };
const NEAR = { radius: 200, unit: "km" };

const STEPS = [
  ["flushAll", []],
  ["ping", []],
  ["echo", ["hello"]],
  ["set", ["s", "value"]],
  ["set", ["s", "other", { condition: "NX" }]],
  ["set", ["s", "other", { expiration: { type: "EX", value: 100 }, condition: "XX", GET: true }]],
  ["ttl", ["s"], about(100, 5)],
  ["pTTL", ["s"], about(100000, 5000)],
  ["get", ["s"]],
  ["get", ["absent"]],
  ["getEx", ["s", { type: "PERSIST" }]],
  ["getDel", ["s"]],
  ["mSet", [{ a: "1", b: "two" }]],
  ["mGet", [["a", "absent", "b"]]],
  ["mSetNX", [{ a: "1", c: "3" }]],
  ["setNX", ["c", "3"]],
  ["setEx", ["e", 100, "x"]],
  ["append", ["b", " more"]],
  ["strLen", ["b"]],
  ["getRange", ["b", 0, 2]],
  ["setRange", ["b", 4, "MORE"]],
  ["incr", ["n"]],
  ["incrBy", ["n", 10]],
  ["incrByFloat", ["n", 0.5]],
  ["decr", ["m"]],
  ["decrBy", ["m", 4]],
  ["lcsLen", ["a", "c"]],
  ["lcsIdx", ["b", "b"]],
  ["setBit", ["bits", 7, 1]],
  ["getBit", ["bits", 7]],
  ["bitCount", ["bits"]],
  ["bitPos", ["bits", 1]],
  ["bitOp", ["NOT", "inverse", "bits"]],
  ["bitField", ["bits", [{ operation: "GET", encoding: "u8", offset: 0 }]]],
  ["exists", [["a", "b", "absent"]]],
  ["type", ["a"]],
  ["keys", ["*"], unordered],
  ["scan", ["0", { MATCH: "[ab]", COUNT: 1000 }], scanned("keys")],
  ["dbSize", []],
  ["rename", ["a", "a2"]],
  ["rename", ["a", "a3"]],
  ["renameNX", ["a2", "b"]],
  ["copy", ["a2", "a3"]],
  ["expire", ["a2", 100]],
  ["expire", ["a2", 50, "GT"]],
  ["expireAt", ["a2", 4000000000]],
  ["expireTime", ["a2"]],
  ["pExpireTime", ["a2"]],
  ["persist", ["a2"]],
  ["touch", ["a2"]],
  ["objectRefCount", ["a2"], kind],
  ["objectEncoding", ["absent"]],
  ["dump", ["a2"], kind],
  ["move", ["a2", 1]],
  ["del", [["b", "absent"]]],
  ["unlink", ["c"]],
  ["rPush", ["l", ["1", "3", "2"]]],
  ["lPush", ["l", "9"]],
  ["lPushX", ["absent", "x"]],
  ["lLen", ["l"]],
  ["lRange", ["l", 0, -1]],
  ["lIndex", ["l", 0]],
  ["lSet", ["l", 0, "8"]],
  ["lSet", ["l", 10, "8"]],
  ["lInsert", ["l", "BEFORE", "3", "0"]],
  ["lPos", ["l", "2"]],
  ["sort", ["l", { DIRECTION: "DESC", LIMIT: { offset: 0, count: 2 } }]],
  ["sortStore", ["l", "sorted"]],
  ["lRem", ["l", 0, "8"]],
  ["lTrim", ["l", 0, 2]],
  ["lMove", ["l", "l2", "LEFT", "RIGHT"]],
  ["lmPop", [["absent", "sorted"], "LEFT", { COUNT: 2 }]],
  ["lPop", ["l"]],
  ["rPopCount", ["l", 5]],
  ["rPop", ["l"]],
  ["blPop", [["absent", "sorted"], 1]],
  ["blmPop", [1, "sorted", "RIGHT"]],
  ["brPop", ["absent", 0.01]],
  ["sAdd", ["s1", ["a", "b", "c"]]],
  ["sAdd", ["s2", ["b", "c", "d"]]],
  ["sCard", ["s1"]],
  ["sMembers", ["s1"], unordered],
  ["sIsMember", ["s1", "a"]],
  ["smIsMember", ["s1", ["a", "z"]]],
  ["sInter", [["s1", "s2"]], unordered],
  ["sUnion", [["s1", "s2"]], unordered],
  ["sDiff", [["s1", "s2"]], unordered],
  ["sInterStore", ["s3", ["s1", "s2"]]],
  ["sDiffStore", ["s5", ["s1", "s2"]]],
  ["sInterCard", [["s1", "s2"], 1]],
  ["sMove", ["s1", "s2", "a"]],
  ["sRem", ["s2", ["a", "absent"]]],
  ["sRandMember", ["s5"]],
  ["sScan", ["s3", "0"], scanned("members")],
  ["sPop", ["s3"], kind],
  ["hSet", ["h", { f: "1", g: "2", i: "three" }]],
  ["hSetNX", ["h", "f", "2"]],
  ["hGet", ["h", "f"]],
  ["hmGet", ["h", ["f", "absent"]]],
  ["hGetAll", ["h"]],
  ["hGetAll", ["absent"]],
  ["hKeys", ["h"], unordered],
  ["hVals", ["h"], unordered],
  ["hLen", ["h"]],
  ["hExists", ["h", "g"]],
  ["hStrLen", ["h", "i"]],
  ["hIncrBy", ["h", "f", 10]],
  ["hIncrByFloat", ["h", "f", 0.5]],
  ["hDel", ["h", ["f", "g"]]],
  ["hRandField", ["h"]],
  ["hRandFieldCountWithValues", ["h", 1]],
  ["hScan", ["h", "0"], scanned("entries")],
  ["zAdd", ["z", [{ score: 1, value: "a" }, { score: 2.5, value: "b" }]]],
  ["zAdd", ["z", { score: 3, value: "c" }]],
  ["zAdd", ["z", { score: Infinity, value: "most" }]],
  ["zAdd", ["z", { score: 2, value: "a" }, { condition: "XX", comparison: "GT", CH: true }]],
  ["zCard", ["z"]],
  ["zScore", ["z", "b"]],
  ["zScore", ["z", "most"]],
  ["zScore", ["z", "absent"]],
  ["zmScore", ["z", ["b", "absent"]]],
  ["zIncrBy", ["z", 0.5, "b"]],
  ["zRank", ["z", "c"]],
  ["zRevRank", ["z", "c"]],
  ["zRange", ["z", 0, -1]],
  ["zRangeWithScores", ["z", 0, -1]],
  ["zRange", ["z", "(2", "+inf", { BY: "SCORE", LIMIT: { offset: 0, count: 1 } }]],
  ["zRangeByScoreWithScores", ["z", "-inf", 3]],
  ["zRangeByLex", ["z", "-", "+"]],
  ["zCount", ["z", 2, 3]],
  ["zLexCount", ["z", "-", "+"]],
  ["zRangeStore", ["z2", "z", 0, 1]],
  ["zUnionWithScores", [["z", "z2"]]],
  ["zInterWithScores", [["z", "z2"]]],
  ["zDiff", [["z", "z2"]]],
  ["zUnionStore", ["zu", ["z", "z2"]]],
  ["zInterCard", [["z", "z2"]]],
  ["zPopMin", ["zu"]],
  ["zPopMaxCount", ["zu", 1]],
  ["zmPop", ["zu", "MIN"]],
  ["bzPopMin", [["absent", "z2"], 1]],
  ["bzmPop", [1, "z2", "MAX"]],
  ["bzPopMin", ["absent", 0.01]],
  ["zRandMemberCountWithScores", ["zu", 1]],
  ["zScan", ["z", "0"], scanned("members")],
  ["zRemRangeByRank", ["z", 0, 0]],
  ["zRemRangeByScore", ["z", "-inf", "+inf"]],
  ["pfAdd", ["hll", ["a", "b", "c"]]],
  ["pfCount", ["hll"]],
  ["pfMerge", ["hll2", "hll"]],
  ["geoAdd", ["geo", { longitude: 13.361389, latitude: 38.115556, member: "Palermo" }]],
  ["geoAdd", ["geo", { longitude: 15.087269, latitude: 37.502669, member: "Catania" }]],
  ["geoDist", ["geo", "Palermo", "Catania", "km"]],
  ["geoPos", ["geo", ["Palermo", "absent"]]],
  ["geoHash", ["geo", "Palermo"]],
  ["geoSearch", ["geo", CENTRE, NEAR, { SORT: "ASC" }]],
  ["geoSearchWith", ["geo", "Palermo", NEAR, ["WITHDIST", "WITHCOORD"], { SORT: "ASC" }]],
  ["time", [], kind],
  ["role", []],
  ["sendCommand", [["SAVE"]]],
  ["lastSave", [], kind],
  ["configSet", ["hash-max-listpack-entries", "64"]],
  ["configGet", ["hash-max-listpack-entries"]],
  ["configSet", ["hash-max-listpack-entries", "512"]],
  ["clientId", [], kind],
  ["clientSetName", ["interop"]],
  ["clientGetName", []],
  ["clientInfo", [], (info) => [info.name, info.db, info.user, info.resp]],
  ["clientTrackingInfo", []],
  ["commandCount", [], kind],
  ["commandGetKeys", [["SET", "k", "v"]]],
  ["memoryUsage", ["geo"], kind],
  ["memoryStats", [], kind],
  ["latencyLatest", []],
  ["publish", ["nobody", "hears"]],
  ["pubSubNumSub", [["nobody"]]],
  ["wait", [0, 0]],
  ["scriptFlush", []],
  ["functionFlush", []],
  ["set", ["text", "text"]],
  ["lPush", ["text", "x"]],
  ["incr", ["text"]],
  ["hGet", ["text", "f"]],
  ["expire", ["text", Number.MAX_SAFE_INTEGER]],
  ["sendCommand", [["NOSUCH", "argument"]]],
  ["sendCommand", [["GET"]]],
  ["sendCommand", [["HELLO", "9"]]],
  ["select", [99]],
  ["select", [1]],
  ["keys", ["*"], unordered],
  ["select", [0]],
];

async function pipelines(client) {
  const together = [];
  for (let number = 0; number < 1000; number++) together.push(client.incr("counted"));
  add("a thousand at once", (await Promise.all(together)).every((reply, at) => reply === at + 1));
  const pipeline = client.multi().set("p", 1).incr("p").get("p").hGetAll("h");
  add("pipeline", await pipeline.zRangeWithScores("z", 0, 1).execAsPipeline());
  const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  add("set bytes", await buffers.set("bytes", Buffer.from("00ff", "hex")));
  add("get bytes", await buffers.get("bytes"));
}

async function transactions(client, other) {
  add("multi", await client.multi().set("t", 1).incr("t").hGetAll("h").sMembers("s5").exec());
  const failing = await attempt(client.multi().incr("t").lPush("t", "x").incr("t").exec());
  add("multi with an error", [failing, failing.replies]);
  add("refused", await attempt(client.multi().incr("t").addCommand(["NOSUCH"]).exec()));
  add("after the refusal", await client.get("t"));
  add("watch", await client.watch("t"));
  await other.set("t", 100);
  add("exec, disturbed", await attempt(client.multi().incr("t").exec()));
  add("watch", await client.watch("t"));
  add("exec, undisturbed", await client.multi().incr("t").exec());
  await client.watch("t");
  add("unwatch", await client.unwatch());
}

async function pubsub(client) {
  const subscriber = await client.duplicate().connect();
  const inbox = new Inbox();
  add("subscribe", await subscriber.subscribe(["news", "other"], inbox.put));
  add("subscribe, bytes", await subscriber.subscribe("news", inbox.put, true));
  add("pSubscribe", await subscriber.pSubscribe("n*s", inbox.put));
  add("channels", await client.pubSubChannels(), unordered);
  add("numpat", await client.pubSubNumPat());
  add("publish", await client.publish("news", "hello"));
  add("messages", await inbox.take(3), unordered);
  add("ping while subscribed", await subscriber.ping());
  add("unsubscribe", await subscriber.unsubscribe(["news", "other"]));
  add("pUnsubscribe", await subscriber.pUnsubscribe("n*s"));
  add("sSubscribe", await subscriber.sSubscribe("shard", inbox.put));
  add("shard channels", await client.pubSubShardChannels());
  add("sPublish", await client.sPublish("shard", "piece"));
  add("smessage", await inbox.take(1));
  add("sUnsubscribe", await subscriber.sUnsubscribe("shard"));
  add("get again", await subscriber.get("absent"));
  await subscriber.close();
}

// RESP3: a subscribed connection goes on, and invalidations are pushed to it.
async function pushes(client) {
  const inbox = new Inbox();
  const subscriber = await client.duplicate().connect();
  await subscriber.subscribe("news", inbox.put);
  add("set while subscribed", await subscriber.set("while", "subscribed"));
  add("publish to oneself", await subscriber.publish("news", "hello"));
  add("message", await inbox.take(1));
  await subscriber.close();

  const caching = createClient({ ...OPTIONS, clientSideCache: { ttl: 0, maxEntries: 0 } });
  await caching.connect();
  await client.set("cached", "before");
  add("cached", [await caching.get("cached"), await caching.get("cached")]);
  await client.set("cached", "after");
  await caching.ping(); // its reply comes behind the invalidation
  add("invalidated", await caching.get("cached"));
  await caching.close();

  const tracking = await client.duplicate({ emitInvalidate: true }).connect();
  tracking.on("invalidate", inbox.put);
  await tracking.get("cached");
  await client.del("cached");
  add("invalidate", await inbox.take(1));
  await tracking.get("cached");
  await client.flushDb();
  add("invalidate all", await inbox.take(1));
  await tracking.close();
}

async function iterators(client) {
  await client.flushDb();
  const numbers = Array.from({ length: MANY }, (_, number) => number);
  await client.mSet(Object.fromEntries(numbers.map((number) => [`key:${number}`, `${number}`])));
  await client.sAdd("set", numbers.map(String));
  await client.hSet("hash", Object.fromEntries(numbers.map((number) => [`f${number}`, number])));
  await client.zAdd("zset", numbers.map((score) => ({ score, value: `m${score}` })));
  const found = async (pages) => {
    const items = new Set();
    for await (const page of pages) for (const item of page) items.add(JSON.stringify(item));
    return items;
  };
  add("scanIterator", await found(client.scanIterator({ MATCH: "key:1*", COUNT: 7 })));
  add("scanIterator type", await found(client.scanIterator({ TYPE: "zset" })));
  add("sScanIterator", await found(client.sScanIterator("set")));
  add("hScanIterator", await found(client.hScanIterator("hash")));
  add("zScanIterator", await found(client.zScanIterator("zset", { MATCH: "m2*" })));
}

async function blocking(client, other) {
  const waiting = client.blPop(["q1", "q2"], 0);
  await blocked(() => other.info("clients"));
  add("push", await other.rPush("q2", ["a", "b"]));
  add("blPop waits", await waiting);
  const popped = client.bzPopMax("bz", 0);
  await blocked(() => other.info("clients"));
  add("zAdd", await other.zAdd("bz", { score: 1.5, value: "m" }));
  add("bzPopMax waits", await popped);
}

async function monitor(client) {
  const watching = await client.duplicate().connect();
  const inbox = new Inbox();
  await watching.monitor(inbox.put);
  await client.set("monitored", "a b");
  add("monitor", (await inbox.take(1))[0][0].split("]")[1]);
  await watching.reset();
  add("get after RESET", await watching.get("monitored"));
  await watching.close();
}

async function pools() {
  const pool = await createClientPool(OPTIONS, { minimum: 1, maximum: 3 }).connect();
  const together = [];
  for (let number = 0; number < 200; number++) together.push(pool.incr("pooled"));
  await Promise.all(together);
  add("two hundred on three connections", await pool.get("pooled"));
  await pool.close();
  const elsewhere = await createClient({ ...OPTIONS, database: 5, name: "elsewhere" }).connect();
  add("another database", [await elsewhere.set("here", 1), await elsewhere.clientGetName()]);
  add("swapDb", await elsewhere.swapDb(5, 6));
  add("dbSize", await elsewhere.dbSize());
  add("quit", await elsewhere.quit());
}

const client = await createClient(OPTIONS).connect();
const other = await client.duplicate().connect();
await run(client, STEPS);
await pipelines(client);
await transactions(client, other);
await pubsub(client);
if (OPTIONS.RESP === 3) await pushes(client);
await iterators(client);
await blocking(client, other);
await monitor(client);
await pools();
await client.close();
await other.close();
