"""What memdbd keeps on disk, and how it comes back.

* :mod:`~memdbd.persistence.fs`: every file operation, as one object;
* :mod:`~memdbd.persistence.lock`: one daemon for a data directory;
* :mod:`~memdbd.persistence.legacy`: the plain JSON files of other small databases;
* :mod:`~memdbd.persistence.snapshot`: the format of ``persistence.json``, and its writer;
* :mod:`~memdbd.persistence.loading`: its reader.

Nothing here imports Twisted: when to save, and in which thread, is for the services to say.
"""
