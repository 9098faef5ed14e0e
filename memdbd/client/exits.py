"""The exit statuses of ``memdb``, which its ``--help`` documents. Imports nothing."""

OK = 0
ERROR_REPLY = 1  # the server answered with an error
NO_CONNECTION = 2  # not connected, connection lost, or no reply in time
USAGE = 64  # as sysexits.h has it
INTERNAL = 70
OUTPUT = 74  # standard output was closed, or could not be written
SIGNAL = 128  # plus the number of the signal
