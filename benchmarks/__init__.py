"""The benchmarks: what memdbd costs, side by side with redis-server in the same run.

One command makes the comparison that ``docs/benchmarks.md`` begins with, its tables and plots::

    python -m benchmarks.compare [--quick] [--only SECTION …]

compare      the command line, and the list of sections
cells        redis-benchmark's tests; text_dialect, fanout, memory_use, starting, scaling: the rest
lab          rounds, in which the peers take turns; what fails is noted and the rest goes on
peers        who is compared; servers starts and stops them; fake_server is fakeredis's
load         requests made beforehand; redis_benchmark runs redis-benchmark; filling, what it finds
figures      what was measured, as JSON; report, floors, plots and machine make the document of it

Each of the other scripts answers a single question, prints its table and changes nothing::

    python -m benchmarks.read_cache      what the read cache saves, by size and kind of value
    python -m benchmarks.memory          what max_memory counts, against the process's growth
    python -m benchmarks.loop_hold       how long the loop is held by the worst we know
    python -m benchmarks.snapshot        save and load of a million keys
    python -m benchmarks.durability      SET by the policies of the journal
    python -m benchmarks.compaction      what the compactor takes
    python -m benchmarks.pause           how late the loop is while a snapshot is made
    python -m benchmarks.loading         how long a start takes
    python -m benchmarks.huge_values     one value of a million items
    python -m benchmarks.permissions     what permissions cost
    python -m benchmarks.guessing        what guessing passwords costs, and what it finds out

All need Linux (/proc, sched_setaffinity), two cores (the server gets the first, who loads it the
second) and, all but read_cache and memory, redis-server on the PATH. ``docs/benchmarks.md`` has
the figures, and says how far to trust them.
"""
