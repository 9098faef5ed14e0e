"""What a connection is going to send, and when each byte of it may leave."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memdbd.outbox import Outbox

MANY = 1 << 20


def sent(outbox: Outbox, limit: int = MANY) -> list[bytes]:
    """All that may leave, piece by piece."""
    pieces = []
    while outbox.has_released:
        pieces.append(outbox.take(limit))
    return pieces


def test_nothing_leaves_before_it_is_released() -> None:
    outbox = Outbox()
    outbox.put(b"a")
    assert not outbox.has_released
    outbox.seal()
    assert not outbox.has_released
    outbox.release()
    assert sent(outbox) == [b"a"]


def test_what_comes_after_the_seal_waits_for_the_next() -> None:
    outbox = Outbox()
    outbox.put(b"a")
    outbox.seal()
    outbox.put(b"b")
    outbox.release()
    assert sent(outbox) == [b"a"]
    outbox.seal()
    outbox.release()
    assert sent(outbox) == [b"b"]


def test_all_of_it_leaves_in_order_where_all_is_committed() -> None:
    outbox = Outbox()
    for line in (b"a", b"b"):
        outbox.put(line)
        outbox.seal()
    outbox.put(b"c")
    outbox.release_all()
    outbox.put(b"d")
    outbox.release_all()
    assert sent(outbox) == [b"abcd"]


def test_what_is_withdrawn_is_only_what_was_not_released() -> None:
    outbox = Outbox()
    outbox.put(b"a")
    outbox.release_all()
    outbox.put(b"b")
    outbox.seal()
    outbox.put(b"c")
    outbox.withdraw()
    assert (outbox.waiting, outbox.size) == (0, 1)
    outbox.put(b"error")
    outbox.release_all()
    assert sent(outbox) == [b"aerror"]


def test_a_piece_is_whole_lines_up_to_a_limit_or_a_little_more() -> None:
    outbox = Outbox()
    for line in (b"aaa", b"bbb", b"ccc", b"d" * 9):
        outbox.put(line)
    outbox.release_all()
    assert sent(outbox, 5) == [b"aaabbb", b"cccddddddddd"]


def test_lines_that_were_appended_are_counted_when_it_is_told() -> None:
    outbox = Outbox()
    outbox.lines += [b"abc", b"d"]
    outbox.count(4)
    assert (outbox.waiting, outbox.size) == (4, 4)


def test_cleared_it_has_nothing() -> None:
    outbox = Outbox()
    for _ in range(3):
        outbox.put(b"a")
        outbox.seal()
        outbox.release()
        outbox.put(b"b")
        outbox.seal()
        outbox.put(b"c")
    outbox.clear()
    assert (outbox.waiting, outbox.size, outbox.has_released) == (0, 0, False)
    outbox.seal()
    outbox.release_all()
    assert sent(outbox) == []


STEPS = st.sampled_from(["seal", "release", "release_all", "withdraw"]) | st.integers(0, 40)


@given(st.lists(STEPS), st.integers(1, 50))
def test_whatever_happens_the_sizes_are_right_and_nothing_is_lost_or_out_of_order(
    steps: list[str | int], limit: int
) -> None:
    outbox, left = Outbox(), b""
    released, sealed, new = b"", b"", b""
    for number, step in enumerate(steps):
        if isinstance(step, int):
            line = bytes([number % 256]) * step + b"."
            outbox.put(line)
            new += line
        elif step == "seal":
            outbox.seal()
            sealed, new = sealed + new, b""
        elif step == "release":
            outbox.release()
            released, sealed = released + sealed, b""
        elif step == "release_all":
            outbox.release_all()
            released, sealed, new = released + sealed + new, b"", b""
        else:
            outbox.withdraw()
            sealed = new = b""
        if number % 3 == 2 and outbox.has_released:
            left += outbox.take(limit)
        assert outbox.waiting == len(sealed) + len(new)
        assert outbox.size == outbox.waiting + len(released) - len(left)
        assert outbox.has_released == (len(released) > len(left))
    assert left + b"".join(sent(outbox, limit)) == released
