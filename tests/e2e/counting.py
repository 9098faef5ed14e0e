"""A load: clients that count in one key, each by WATCH, GET, MULTI, SET and EXEC.

``python counting.py PORT CLIENTS SECONDS`` writes, as JSON, how many of their transactions were
done and how many were not.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

KEY = b"counter"


def request(*words: bytes) -> bytes:
    bulks = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%b" % (len(words), bulks)


class Client:
    """One that counts; ``done`` and ``refused`` are its transactions."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.done = self.refused = 0

    async def count(self) -> None:
        """Add one to the key, or find that somebody else has."""
        assert await self._ask(b"WATCH", KEY) == b"+OK"
        assert (await self._ask(b"GET", KEY)).startswith(b"$")
        value = int(await self._line())
        assert await self._ask(b"MULTI") == b"+OK"
        assert await self._ask(b"SET", KEY, b"%d" % (value + 1)) == b"+QUEUED"
        if await self._ask(b"EXEC") == b"*-1":
            self.refused += 1
        else:
            assert await self._line() == b"+OK"
            self.done += 1

    async def _ask(self, *words: bytes) -> bytes:
        self._writer.write(request(*words))
        return await self._line()

    async def _line(self) -> bytes:
        return (await self._reader.readuntil(b"\r\n"))[:-2]


async def load(port: int, clients: int, seconds: float) -> dict[str, int]:
    until = time.monotonic() + seconds
    counting = [Client(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(clients)]

    async def go_on(client: Client) -> None:
        while time.monotonic() < until:
            await client.count()

    await asyncio.gather(*map(go_on, counting))
    return {
        "done": sum(client.done for client in counting),
        "refused": sum(client.refused for client in counting),
    }


if __name__ == "__main__":
    port, clients, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(load(int(port), int(clients), float(seconds)))))
