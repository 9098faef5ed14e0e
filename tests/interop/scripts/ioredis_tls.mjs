// ioredis over TLS: `NODE_PATH=… node ioredis_tls.mjs HOST PORT CA [CERT KEY]`. Prints one line of
// JSON: what a few commands gave, or the error.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url); // which, as import does not, looks in NODE_PATH
const { Redis } = require("ioredis");

const [host, port, ca, cert, key] = process.argv.slice(2);
const VALUE = "x".repeat(300_000);

const options = {
  host,
  port: Number(port),
  tls: {
    ca: readFileSync(ca),
    ...(cert ? { cert: readFileSync(cert), key: readFileSync(key) } : {}),
  },
  retryStrategy: null,
  maxRetriesPerRequest: 0,
  lazyConnect: true,
};

async function talk() {
  const client = new Redis(options);
  const listening = new Redis(options);
  const errors = [];
  for (const each of [client, listening]) each.on("error", (error) => errors.push(error.message));
  // Who is refused behind the handshake of TLS 1.3 may hear of nothing but the end.
  const ended = new Promise((_, refuse) => client.on("end", () => refuse(new Error("ended"))));
  ended.catch(() => {});
  try {
    await Promise.race([client.connect(), ended]);
    const told = [await client.ping(), await client.set("k", VALUE)];
    told.push((await client.get("k")) === VALUE);
    const pipe = client.multi();
    for (let count = 0; count < 100; count++) pipe.incr("n");
    told.push((await pipe.exec()).at(-1)[1]);
    await listening.connect();
    await listening.subscribe("ch");
    const heard = new Promise((resolve) => listening.on("message", (_, text) => resolve(text)));
    await client.publish("ch", "hello");
    told.push(await heard);
    return { told };
  } catch (error) {
    return { error: [...errors, error.message].join("; ") };
  } finally {
    client.disconnect();
    listening.disconnect();
  }
}

console.log(JSON.stringify(await talk()));
