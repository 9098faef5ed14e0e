"""The client: a Deferred-based API for Twisted programs, and the ``memdb`` command on top of it.

The API is what this module exports; start with :func:`connect`::

    client = await connect(reactor, "tcp:127.0.0.1:65432")
    await client.execute("set", "greeting", b"two\\nlines")
    reply = await client.execute("get", "greeting")
    reply["result"]  # b"two\\nlines"
    await client.subscribe("notifications", lambda channel, message: print(message))

A map of the rooms, each importing only from those above it:

* :mod:`~memdbd.client.wire`: requests to lines, lines to replies; pure;
* :mod:`~memdbd.client.login` (who logs in), :mod:`~memdbd.client.tlsfaults` and
  :mod:`~memdbd.client.tls` (whether it is the right server, and that nobody reads along);
* :mod:`~memdbd.client.protocol`: :class:`Client`, one connection;
* the ``memdb`` command: :mod:`~memdbd.client.render` (replies for people),
  :mod:`~memdbd.client.typed` (what a line means to the server), :mod:`~memdbd.client.editor` and
  :mod:`~memdbd.client.layout` (a line being typed), all pure;
  :mod:`~memdbd.client.options` (the command line), :mod:`~memdbd.client.asking` (passwords),
  :mod:`~memdbd.client.access` (from these to a server);
  :mod:`~memdbd.client.terminal` (a screen with a prompt), :mod:`~memdbd.client.standing`
  (what the server keeps for a connection), :mod:`~memdbd.client.link` (a connection that comes
  back); its three modes :mod:`~memdbd.client.oneshot`,
  :mod:`~memdbd.client.pipe` and :mod:`~memdbd.client.interactive`;
  :mod:`~memdbd.client.descriptors` (standard input and output);
* its tools: :mod:`~memdbd.client.words` (that they share), :mod:`~memdbd.client.progress` (a bar),
  :mod:`~memdbd.client.resp` (a connection to anything that speaks it),
  :mod:`~memdbd.client.rdb` and :mod:`~memdbd.client.records` (what can be imported),
  :mod:`~memdbd.client.exporting`, :mod:`~memdbd.client.importing`,
  :mod:`~memdbd.client.tooloptions` (their command lines),
  :mod:`~memdbd.client.tools` (check and repair, in words), :mod:`~memdbd.client.transfer` (export
  and import, in words), :mod:`~memdbd.client.passwd` (a new password),
  :mod:`~memdbd.client.toolbox` (which of them is meant);
* and :mod:`~memdbd.client.cli`, which chooses a mode and is the only one to
  import the reactor.
"""

from __future__ import annotations

from memdbd.client.login import LoginRefused
from memdbd.client.protocol import DEFAULT_ENDPOINT, Client, connect
from memdbd.client.tls import TLS
from memdbd.client.tlsfaults import TLSFault
from memdbd.client.wire import ErrorReply, Message, Push, Reply, SpeaksTLS

__all__ = [
    "DEFAULT_ENDPOINT",
    "TLS",
    "Client",
    "ErrorReply",
    "LoginRefused",
    "Message",
    "Push",
    "Reply",
    "SpeaksTLS",
    "TLSFault",
    "connect",
]
