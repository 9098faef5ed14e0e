"""Addresses of Twisted's, shown to people and to Redis's tools. Imports nothing of memdbd."""

from __future__ import annotations

import os
from ipaddress import ip_address

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress


def is_loopback(host: str) -> bool:
    """Whether an address, with or without its zone, is this machine's own."""
    address = ip_address(host.partition("%")[0])
    # ::ffff:127.0.0.1 is 127.0.0.1 on a socket of both kinds.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def shown(address: IAddress) -> str:
    """An address as a person writes it: ``127.0.0.1:65432``, ``[::1]:65432``, ``unix:/path``."""
    match address:
        case IPv4Address():
            return f"{address.host}:{address.port}"
        case IPv6Address():
            return f"[{address.host}]:{address.port}"
        case UNIXAddress():
            return f"unix:{os.fsdecode(address.name or b'')}"
        case _:
            return str(address)


def shown_to_redis(address: IAddress, host: IAddress) -> str:
    """The same in Redis's words, where both ends of a UNIX socket are its path; ``host`` is where
    the connection is listened for."""
    if isinstance(host, UNIXAddress):
        return f"{os.fsdecode(host.name or b'')}:0"
    return shown(address)
