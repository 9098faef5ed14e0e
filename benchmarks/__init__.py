"""The benchmarks: what memdbd costs, side by side with redis-server in the same run.

Each script is run from the top of the repository, prints its table and changes nothing::

    python -m benchmarks.text_pipeline   commands a second, and CPU a command, at depth 1, 16, 100
    python -m benchmarks.read_cache      what the read cache saves, by size and kind of value
    python -m benchmarks.memory          what max_memory counts, against the process's growth
    python -m benchmarks.loop_hold       how long the loop is held by the worst we know
    python -m benchmarks.snapshot        save and load of a million keys
    python -m benchmarks.durability      SET by the policies of the journal
    python -m benchmarks.compaction      what the compactor takes
    python -m benchmarks.pause           how late the loop is while a snapshot is made
    python -m benchmarks.loading         how long a start takes
    python -m benchmarks.connections     memory a connection; one message to many subscribers

They need Linux (/proc, sched_setaffinity), two cores (the server gets the first, who loads it the
second) and, all but read_cache and memory, redis-server on the PATH. ``docs/benchmarks.md`` has
the figures, and says how far to trust them.
"""
