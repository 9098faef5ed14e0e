// What a Node client was answered, as lines that two servers can be compared by: canonical.py's
// counterpart, with the same names for the same views.

export function plain(value) {
  if (value === null || value === undefined) return null;
  if (Buffer.isBuffer(value)) return `Buffer ${value.toString("hex")}`;
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (value instanceof Set) return { set: unordered(value) };
  if (value instanceof Map) return { map: unordered(value) };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object") return { object: unordered(Object.entries(value)) };
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (typeof value === "bigint") return `${value}n`;
  return value;
}

// The elements in an order of our own, for replies in which it means nothing.
export function unordered(value) {
  const texts = [...value].map((item) => JSON.stringify(plain(item)));
  return texts.sort().map((text) => JSON.parse(text));
}

// The types, for values that are a server's own: times, ids, sizes.
export function kind(value) {
  if (Array.isArray(value)) return value.map(kind);
  return value?.constructor?.name ?? typeof value; // some objects have no constructor
}

// The time left, which is a little less than was asked for when the reply comes.
export const about = (expected, slack) => (left) =>
  left <= expected && left >= expected - slack ? `about ${expected}` : plain(left);

// One line; printed as it comes, so that a script that hangs has told where.
export function add(command, reply, view = plain) {
  console.log(JSON.stringify({ command, reply: view(reply) }));
}

// The reply of a call, or the error that the server or the client made of it.
export async function attempt(reply) {
  try {
    return await reply;
  } catch (error) {
    return error;
  }
}

// The steps, one after the other: [method's name, arguments, view of the reply].
export async function run(client, steps) {
  for (const [name, args, view] of steps) {
    const reply = await attempt(client[name](...args));
    add(`${name} ${JSON.stringify(args)}`, reply, reply instanceof Error ? plain : view);
  }
}

// Events as they come, to be waited for.
export class Inbox {
  #events = [];
  #waiting = [];

  put = (...event) => {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(event);
    else this.#events.push(event);
  };

  async take(count) {
    const taken = [];
    while (taken.length < count) taken.push(this.#events.shift() ?? (await this.#next()));
    return taken;
  }

  #next() {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

// Until a client waits in a blocking command.
export async function blocked(info) {
  while ((await info()).includes("blocked_clients:0"));
}
