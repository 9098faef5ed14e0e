"""memdbd: an in-memory key-value database with publish/subscribe, as a Twisted daemon.

A map of the rooms, in the order of their imports (a module imports only from rooms above it;
``tests/test_imports.py`` enforces it):

* pure, no Twisted and no I/O: :mod:`memdbd.errors`, :mod:`memdbd.replies`,
  :mod:`memdbd.structs`, :mod:`memdbd.keyspace`, :mod:`memdbd.pubsub`, :mod:`memdbd.session`,
  :mod:`memdbd.commands` (what can be asked), :mod:`memdbd.dialects` (how it is said);
* on disk: :mod:`memdbd.persistence`;
* running a command: :mod:`memdbd.engines`, :mod:`memdbd.dispatch`;
* on the network: :mod:`memdbd.protocol`, :mod:`memdbd.services`, :mod:`memdbd.config`,
  :mod:`memdbd.client`;
* :mod:`memdbd.assembly`, which puts the daemon together, and :mod:`memdbd.tap`, which makes it the
  process's.

``docs/design.md`` follows a request through them.
"""

__version__ = "0.1.0"
REDIS_VERSION = "7.0.15"  # whose commands and replies these are
