"""A redis-server of our own, for the structures that promise to do exactly as it does."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hiredis
from harness import PATIENCE, tool

Command = tuple[bytes | str | float, ...]


class Redis:
    """A connection, down which commands are sent all at once."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))

    def ask(self, *words: bytes | str | float) -> Any:
        """The reply to one command."""
        (reply,) = self.ask_all([words])
        return reply

    def ask_all(self, commands: list[Command]) -> list[Any]:
        """The replies to all; an error among them is raised."""
        replies = self.hear_all(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def hear_all(self, commands: list[Command]) -> list[Any]:
        """The replies to all, errors among them."""
        requests = b"".join(hiredis.pack_command(words) for words in commands)  # type: ignore[arg-type]
        self.socket.sendall(requests)
        reader = hiredis.Reader()
        replies: list[Any] = []
        while len(replies) < len(commands):
            reply = reader.gets()
            if reply is False:
                data = self.socket.recv(1 << 20)
                assert data, "redis-server is gone"
                reader.feed(data)
            else:
                replies.append(reply)
        return replies


@contextlib.contextmanager
def redis_server(directory: Path, *options: str) -> Iterator[Redis]:
    """A server that keeps nothing, and a connection to it; skips the test where there is none."""
    path = directory / "socket"
    command = [tool("redis-server"), "--port", "0", "--unixsocket", str(path), "--save", ""]
    command += options
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            assert any("eady to accept connections" in line for line in server.stdout)
            # Whatever else it says must not fill the pipe: it would wait for a reader.
            threading.Thread(target=server.stdout.read, daemon=True).start()
            redis = Redis(path)
            with redis.socket:
                yield redis
        finally:
            server.terminate()
