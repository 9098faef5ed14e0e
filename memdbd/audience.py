"""Those who are told of something, and may come and go while others are being told.

Strategy: a tuple that is replaced and never changed, so that whoever goes through it misses nobody;
to go through none costs next to nothing. Imports nothing.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Member = TypeVar("Member")


class Audience(Generic[Member]):
    """``members`` are told in the order in which they came."""

    __slots__ = ("members",)

    def __init__(self) -> None:
        self.members: tuple[Member, ...] = ()

    def __contains__(self, member: object) -> bool:
        return member in self.members

    def join(self, member: Member) -> None:
        """Be told from the next time on; twice is once."""
        if member not in self.members:
            self.members += (member,)

    def leave(self, member: Member) -> None:
        """Be told no more; not being told is no error."""
        self.members = tuple(each for each in self.members if each != member)
