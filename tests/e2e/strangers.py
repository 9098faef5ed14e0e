"""Sockets of those who attack: what they send, and when they are cut; and crowds of them."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from e2e.attacking import MIB, PASSWORD, Watched, request
from harness import PATIENCE
from pki import Keys

_CUT = (ConnectionError, ssl.SSLError)
_GONE = select.POLLHUP | select.POLLERR | select.POLLRDHUP | select.POLLNVAL


def close(them: Iterable[socket.socket]) -> None:
    """Close them all."""
    for each in them:
        each.close()


def vanish(sock: socket.socket) -> None:
    """Close it as who is gone does, with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def send(sock: socket.socket, data: bytes, size: int = 0) -> bool:
    """Send it, in pieces of ``size`` if that is given; False where the connection was cut."""
    try:
        for at in range(0, len(data), size or len(data) or 1):
            sock.sendall(data[at : at + size] if size else data)
    except _CUT:
        return False
    return True


def send_what_it_takes(sock: socket.socket, data: bytes) -> int:
    """Send as much of it as is taken at once; gives how much that was."""
    sock.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError, *_CUT):
        while sent < len(data):
            sent += sock.send(data[sent:])
    return sent


def rest(sock: socket.socket) -> bytes:
    """All that comes until the end, which may be a reset."""
    sock.settimeout(PATIENCE)
    found = bytearray()
    with contextlib.suppress(*_CUT):
        while data := sock.recv(MIB):
            found += data
    return bytes(found)


def ready(sock: socket.socket) -> bytes:
    """What has come, and may be nothing."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError, *_CUT):
        return sock.recv(MIB)
    return b""


def is_gone(sock: socket.socket) -> bool:
    """Whether the other end has closed, whatever of it is not read."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def ends(
    them: Mapping[Any, socket.socket], meanwhile: Callable[[], object] = lambda: None
) -> dict[Any, float]:
    """Wait until all of them are closed by the other end; gives the seconds that each took, of
    those that are.

    ``meanwhile`` is called ten times a second.
    """
    poll = select.poll()
    names = {}
    for name, sock in them.items():
        poll.register(sock, select.POLLRDHUP)
        names[sock.fileno()] = name
    begun = time.monotonic()
    found: dict[Any, float] = {}
    due = begun
    while len(found) < len(them) and (now := time.monotonic()) < begun + PATIENCE:
        if now >= due:
            meanwhile()
            due += 0.1
        for descriptor, events in poll.poll(max(due - now, 0) * 1000):
            if events & _GONE:
                poll.unregister(descriptor)
                found[names[descriptor]] = time.monotonic() - begun
    return found


_SILENT = """
import itertools, selectors, socket, sys
port, count, many = map(int, sys.argv[1:])
ready = selectors.DefaultSelector()
numbers = itertools.count()

def come():
    number = next(numbers)
    sock = socket.socket()
    if many:
        sock.bind((f"127.{1 + number // 62500 % 250}.{number // 250 % 250}.{number % 250 + 1}", 0))
    try:
        sock.connect(("127.0.0.1", port))
    except OSError:
        sys.exit()
    ready.register(sock, selectors.EVENT_READ)

for _ in range(count):
    come()
while True:
    for key, _ in ready.select():
        ready.unregister(key.fileobj)
        key.fileobj.close()
        come()
"""


@contextlib.contextmanager
def silence(port: int, count: int, *, many: bool) -> Iterator[None]:
    """A process with so many connections that say nothing, each of which comes back as soon as it
    is cut; ``many``: each from another address."""
    arguments = [str(port), str(count), str(int(many))]
    with subprocess.Popen([sys.executable, "-c", _SILENT, *arguments]) as process:
        try:
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def guessing(daemon: Watched, count: int, host: str) -> Iterator[list[bytes]]:
    """So many who guess passwords from ``host``, in a thread each; gives the replies they get."""
    over = threading.Event()
    replies: list[bytes] = []

    def guess(number: int) -> None:
        for at in itertools.count():
            if over.is_set():
                return
            with contextlib.suppress(OSError), socket.socket() as sock:
                sock.settimeout(PATIENCE)
                sock.bind((host, 0))
                sock.connect(("127.0.0.1", daemon.port))
                for word in range(3):
                    sock.sendall(request(b"AUTH", b"%d-%d-%d" % (number, at, word)))
                    replies.append(sock.recv(1000))

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield replies
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)


# TLS


def hello(keys: Keys) -> bytes:
    """The first message of a client's handshake."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=str(keys.ca_path))
    half = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        half.do_handshake()
    return outgoing.read()


# Those who wait


class Patient:
    """Connections that are ended after a time that is no setting, or by its default: half a minute,
    while other tests go on."""

    def __init__(self, daemon: Watched) -> None:
        self.daemon = daemon
        daemon.tells(b"setrange big 32000000 x")
        names = ["silent", "over output_limit", "QUIT", "BROKEN"]
        theirs = dict(zip(names, daemon.strangers(len(names), small=True), strict=True))
        (theirs["TLS, silent"],) = daemon.strangers(1, tls=True)
        # A message that it hears forty times waits for it when the request behind it ends the
        # connection; one before it has filled most of the system's buffers.
        login = request(b"HELLO", b"3", b"AUTH", b"default", PASSWORD.encode())
        listen = request(b"PSUBSCRIBE", *[b"m" + b"*" * at for at in range(1, 41)])
        to_itself = request(b"PUBLISH", b"me", bytes(50_000))
        for name in "QUIT", "BROKEN":
            send(theirs[name], login + listen)
            daemon.until(lambda: daemon.tells(b"stats")["patterns"] == 40, "it listens")
            send(theirs[name], to_itself)
            daemon.settle()
            send(theirs[name], to_itself + (request(b"QUIT") if name == "QUIT" else b"*x\r\n"))
            daemon.until(lambda: daemon.tells(b"stats")["patterns"] == 0, "it ends")
        send(theirs["over output_limit"], login + request(b"GET", b"big"))
        self._seconds: dict[str, float] = {}
        self._waiting = threading.Thread(target=lambda: self._seconds.update(ends(theirs)))
        self._waiting.start()

    def seconds(self) -> dict[str, float]:
        """Until each was ended; waits for that."""
        self._waiting.join(PATIENCE)
        return self._seconds
