"""Requests that are no arrays of bulk strings: inline commands, and what is none of either."""

from __future__ import annotations

from differential.grammar.atoms import pick
from differential.grammar.group import Group, lines

_INLINE = pick(
    b"PING\r\n",
    b"PING\n",
    b"ping  hello \r\n",
    b"\tGET\ts1 \r\n",
    b'SET s1 "a b"\r\n',
    b"SET s1 'it\\'s'\r\n",
    b'SET s1 "\\x41\\n\\t\\"\\q"\r\n',
    b"SET s1 \xff\xfe\r\n",
    b'SET s1 ""\r\n',
    b"\r\n",
    b"  \r\n",
    b"NOSUCH 'a b' c\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"*1\r\n$0\r\n\r\n",
)
# After these a server says what is wrong, and closes. None says that more bytes follow than do.
_BROKEN = pick(
    b'SET s1 "not closed\r\n',
    b"SET s1 'not closed\r\n",
    b'SET s1 "closed"badly\r\n',
    b"*x\r\n",
    b"*\r\n",
    b"* 1\r\n",
    b"*+1\r\n",
    b"*01\r\n",
    b"*1048577\r\n",
    b"*99999999999999999999\r\n",
    b"*1\r\n+PING\r\n",
    b"*1\r\n*1\r\n$4\r\nPING\r\n",
    b"*1\r\nPING\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$x\r\nPING\r\n",
    b"*1\r\n$\r\nPING\r\n",
    b"*1\r\n$ 4\r\nPING\r\n",
    b"*1\r\n$04\r\nPING\r\n",
    b"*1\r\n$536870913\r\n",
    b"*2\r\n$3\r\nGET\r\n:1\r\n",
)

PROTOCOL = Group(
    "protocol",
    lines=lines(
        """
        !RAW inline
        !RAW inline
        !RAW inline
        !RAW inline
        !RAW inline
        !RAW inline
        !RAW broken
        SET str value
        GET str
        ECHO value
        """,
        inline=_INLINE,
        broken=_BROKEN,
    ),
)
