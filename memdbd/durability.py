"""The policies of durability: when a write is on disk. Imports nothing.

* ``always``: before its reply, and before anybody else sees it;
* ``everysec``: a second later at the most, or two where the disk is slow;
* ``no``: whenever the system does it. It survives the end of the process all the same.
"""

from __future__ import annotations

from typing import Literal, get_args

Durability = Literal["always", "everysec", "no"]
DURABILITIES: tuple[Durability, ...] = get_args(Durability)
