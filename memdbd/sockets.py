"""What is set of a connection's socket, below whatever lies between. Imports nothing of memdbd."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import ITCPTransport

PROBES = 3  # without an answer, after which a peer is gone


def below(transport: Any) -> Any:
    """The transport that has the socket: TLS lies above it, and what a proxy says (haproxy:)."""
    while (lower := getattr(transport, "transport", None)) is not None:
        transport = lower
    return transport


def prepare(transport: Any, keepalive: int) -> None:
    """Send at once whatever is sent. Have a peer that has been silent for ``keepalive`` seconds
    asked whether it is there, and lost when it does not answer; 0: never.

    The times between two questions are Redis's (``anetKeepAlive``).
    """
    transport = below(transport)  # with TLS, a UNIX socket looks like TCP
    if not ITCPTransport.providedBy(transport):
        return
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(bool(keepalive))
    handle = getattr(transport, "getHandle", None)
    if handle is None or not keepalive:
        return
    for name, value in (
        ("TCP_KEEPIDLE", keepalive),
        ("TCP_KEEPALIVE", keepalive),  # the same, on macOS
        ("TCP_KEEPINTVL", max(keepalive // PROBES, 1)),
        ("TCP_KEEPCNT", PROBES),
    ):
        if hasattr(socket, name):
            with suppress(OSError):  # the connection may be lost already
                handle().setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
