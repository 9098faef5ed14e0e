"""The same commands to redis-server and to memdbd, and their replies compared byte by byte.

The rooms, from the top down:

* ``resp``: requests to bytes, bytes to replies.
* ``grammar``: what is asked. A table of lines for each group of commands, in a small language
  whose words are Redis's own (``SET str value [NX|XX] [GET]``); ``sequences`` draws from it.
* ``servers``: the two servers, and connections to them.
* ``players``: play one sequence on one server, down one pipe or step by step from several clients.
* ``likeness``: where Redis promises no order or no exact value, what it does promise.
* ``differences``: where memdbd differs on purpose.
* ``compare``: two performances of a sequence; gives what differs.
* ``shrink``: the shortest sequence that shows the same difference.
* ``campaign``: many sequences, and the report; ``coverage``: what they have reached.

``PYTHONPATH=.:tests python -m differential --commands 200000`` is the long run.
"""
