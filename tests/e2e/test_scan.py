"""SCAN and its kin over sockets: who iterates misses nothing that stays, whatever others change."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import pytest
from harness import Caller, Daemon

pytestmark = pytest.mark.slow

SIZE = 100_000  # every other one of them stays
BATCH = 1000  # requests that are sent at once

# How a member is added and removed, and how the next page is asked for.
KINDS = {
    "keys": ("set %s v", "del %s", "scan %s count 100"),
    "a set": ("sadd k %s", "srem k %s", "sscan k %s count 100"),
    "a hash": ("hset k %s v", "hdel k %s", "hscan k %s count 100"),
    "a sorted set": ("zadd k 1 %s", "zrem k %s", "zscan k %s count 100"),
}


def members(first: int, step: int = 1) -> list[str]:
    return [f"member:{number}" for number in range(first, SIZE, step)]


def send(caller: Caller, requests: list[str]) -> None:
    """Send requests, a batch at a time, and read their replies."""
    for at in range(0, len(requests), BATCH):
        batch = requests[at : at + BATCH]
        caller.sends("".join(f"{request}\n" for request in batch).encode())
        assert not [line for line in caller.lines(len(batch)) if b'"error"' in line]


def scanned(caller: Caller, form: str) -> tuple[set[str], int]:
    """The names that a whole scan returned; and how many pages it took."""
    cursor, found, pages = "0", set[str](), 0
    while cursor != "0" or not pages:
        page = json.loads(caller.asks((form % cursor).encode()))["result"]
        cursor = page["cursor"]
        found.update(each["member"] if isinstance(each, dict) else each for each in page["found"])
        pages += 1
    return found, pages


class Changes(threading.Thread):
    """Lets members come and go until it is stopped; ``made`` is how many did."""

    def __init__(self, caller: Caller, add: str, remove: str) -> None:
        super().__init__()
        self.made = 0
        self._caller = caller
        self._add, self._remove = add, remove
        self._stopping = threading.Event()

    def run(self) -> None:
        choice, passing = random.Random(1), members(1, 2)
        while not self._stopping.is_set():
            requests = [self._remove % each for each in choice.sample(passing, BATCH // 4)]
            requests += [self._add % each for each in choice.sample(passing, BATCH // 4)]
            requests += [self._add % f"new:{self.made + number}" for number in range(BATCH // 4)]
            send(self._caller, requests)
            self.made += len(requests)

    def stop(self) -> None:
        self._stopping.set()
        self.join()


@pytest.mark.parametrize("kind", KINDS)
def test_what_stays_is_returned_while_another_client_changes_the_rest(
    tmp_path: Path, kind: str
) -> None:
    add, remove, form = KINDS[kind]
    with Daemon(tmp_path / "data") as daemon, daemon.connect() as one, daemon.connect() as other:
        send(one, [add % each for each in members(0)])
        changes = Changes(other, add, remove)
        changes.start()
        try:
            found, pages = scanned(one, form)
        finally:
            changes.stop()
    assert set(members(0, 2)) <= found
    assert pages > 100
    assert changes.made > SIZE / 100
