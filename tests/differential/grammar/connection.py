"""The connection's own commands, and the command line of the server."""

from __future__ import annotations

from differential.grammar.group import Group, lines

CONNECTION = Group(
    "connection",
    lines=lines("""
        PING [value]
        ECHO value
        HELLO [2|3]
        HELLO (2|3) [SETNAME clientname] [AUTH 'other value]
        HELLO (1|4|'x) [SETNAME clientname]
        SELECT db
        CLIENT SETNAME clientname
        CLIENT GETNAME
        CLIENT ID
        CLIENT INFO
        CLIENT LIST [TYPE (NORMAL|MASTER|REPLICA|SLAVE|PUBSUB|'other)]
        CLIENT LIST ID {(99999999|'x|0)}
        !CLIENT KILL ID 99999999
        !CLIENT KILL (ID|TYPE|USER|ADDR|LADDR|SKIPME) 'other
        !CLIENT KILL ADDR 1.2.3.4:5 [SKIPME YES|SKIPME NO] [ID 99999999]
        !CLIENT KILL TYPE NORMAL ID 99999999
        !CLIENT KILL LADDR 1.2.3.4:5 [USER 'default]
        !CLIENT KILL (TYPE (MASTER|REPLICA|SLAVE|PUBSUB)|1.2.3.4:5)
        !CLIENT KILL ID 99999999 SKIPME ('x|'yes|'no)
        CLIENT NO-EVICT (ON|OFF|'x)
        CLIENT GETREDIR
        CLIENT TRACKINGINFO
        CLIENT CACHING (YES|NO|'x)
        CLIENT TRACKING (OFF|'x)
        CLIENT TRACKING ON OPTIN OPTOUT
        CLIENT TRACKING ON PREFIX value
        CLIENT TRACKING ON BCAST PREFIX 'a PREFIX 'ab
        CLIENT TRACKING ON REDIRECT (99999999|'x)
        CLIENT UNBLOCK (99999999|'x) [TIMEOUT|ERROR]
        CLIENT REPLY ('x|ON)
        !CLIENT PAUSE (0|1|'x|-1|1.5|'x|-1|1.5) [WRITE|ALL]
        !CLIENT PAUSE 0 'x
        CLIENT UNPAUSE
        CLIENT
        CLIENT NOSUCH value
        AUTH value
        AUTH 'nobody value
        AUTH 'other value
        RESET
        !QUIT
        NOSUCHCOMMAND {value}
        GET
        PING value value
        SET str value
        GET str
    """),
)
