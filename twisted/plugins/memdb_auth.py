"""Tells ``--auth`` of any twistd plugin about ``users:PATH``; all else is in
:mod:`memdbd.checker`."""

from memdbd.checker import UsersFactory

users = UsersFactory()
