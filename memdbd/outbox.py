"""What a connection is going to send, and how far each byte of it has come. Pure.

Lines are collected in ``lines`` while requests are answered. They leave only when what they tell of
has been committed: ``seal`` says that a commit has begun which covers them, and ``release`` that it
is done; what is collected between the two waits for the next one. What is released goes to the
transport piece by piece, as the peer reads; ``withdraw`` takes back all that is not released.

Imports nothing.
"""

from __future__ import annotations


class Outbox:
    """``size`` is the bytes of all that is here, ``waiting`` those that are not released.

    Whoever appends to ``lines`` adds their bytes with ``count``.
    """

    __slots__ = ("_released", "_released_size", "_sealed", "_sealed_size", "_size", "lines")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._size = 0  # bytes in lines
        self._sealed: list[bytes] = []
        self._sealed_size = 0
        self._released: list[bytes] = []
        self._released_size = 0

    def put(self, line: bytes) -> None:
        self.lines.append(line)
        self._size += len(line)

    def count(self, size: int) -> None:
        """Lines with so many bytes were appended."""
        self._size += size

    @property
    def waiting(self) -> int:
        return self._size + self._sealed_size

    @property
    def size(self) -> int:
        return self._size + self._sealed_size + self._released_size

    def seal(self) -> None:
        """The commit that has just begun covers what is here."""
        self._sealed += self.lines
        self._sealed_size += self._size
        self.lines.clear()
        self._size = 0

    def take_all(self, limit: int) -> list[bytes] | None:
        """All that is here, line by line, as if it had been released and taken: a commit covers it,
        and is done. None where that is more than ``limit`` bytes, or something older waits.

        As nearly always; so it takes 0.2 us where the two take 0.7.
        """
        lines = self.lines
        if self._released or self._sealed or self._size > limit or not lines:
            return None
        self.lines = []
        self._size = 0
        return lines

    def release_all(self) -> None:
        """All that is here may leave: a commit covers it, and is done."""
        if self._sealed:
            self.seal()
            self.release()
        elif self._released:
            self._released += self.lines
            self._released_size += self._size
            self.lines.clear()
            self._size = 0
        else:
            self.lines, self._released = self._released, self.lines
            self._released_size, self._size = self._size, 0

    def release(self) -> None:
        """What was sealed may leave."""
        self._released += self._sealed
        self._released_size += self._sealed_size
        self._sealed.clear()
        self._sealed_size = 0

    def withdraw(self) -> None:
        """Forget what is not released."""
        self.lines.clear()
        self._sealed.clear()
        self._size = self._sealed_size = 0

    def clear(self) -> None:
        """Forget everything."""
        self.withdraw()
        self._released.clear()
        self._released_size = 0

    @property
    def has_released(self) -> bool:
        """Whether there is anything that may leave."""
        return bool(self._released)

    def take(self, limit: int) -> bytes:
        """The next piece that may leave: all of it up to ``limit`` bytes, or a little more than
        that, in whole lines."""
        released = self._released
        if self._released_size <= limit:
            piece = released[0] if len(released) == 1 else b"".join(released)
            released.clear()
            self._released_size = 0
            return piece
        size = count = 0
        while size < limit:
            size += len(released[count])
            count += 1
        piece = b"".join(released[:count])
        del released[:count]
        self._released_size -= size
        return piece
