"""Tells twistd about ``twistd memdb``; all else is in :mod:`memdbd.tap`."""

from twisted.application.service import ServiceMaker

memdb = ServiceMaker(
    "memdbd", "memdbd.tap", "An in-memory key-value database with publish/subscribe.", "memdb"
)
