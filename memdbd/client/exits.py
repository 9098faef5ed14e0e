"""The exit statuses of ``memdb``, which its ``--help`` documents. Imports nothing."""

OK = 0
ERROR_REPLY = 1  # the server answered with an error
FAILED = 1  # a tool: refused, or failed; check: damaged
NO_CONNECTION = 2  # not connected, connection lost, or no reply in time
TORN = 3  # check: a daemon would start, and cut off a write that was not completed
USAGE = 64  # as sysexits.h has it
INTERNAL = 70
OUTPUT = 74  # standard output was closed, or could not be written
SIGNAL = 128  # plus the number of the signal
