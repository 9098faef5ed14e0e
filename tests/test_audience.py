"""Those who are told, and who come and go meanwhile."""

from __future__ import annotations

from memdbd.audience import Audience


def test_they_are_told_in_the_order_in_which_they_came_and_each_once() -> None:
    audience = Audience[str]()
    for name in ("b", "a", "b"):
        audience.join(name)
    assert audience.members == ("b", "a")
    assert "a" in audience


def test_who_has_left_is_told_no_more_and_may_leave_again() -> None:
    audience = Audience[str]()
    audience.join("a")
    audience.leave("a")
    audience.leave("a")
    assert audience.members == ()
    assert "a" not in audience


def test_one_who_leaves_while_all_are_told_keeps_nobody_from_being_told() -> None:
    audience, told = Audience[str](), list[str]()
    for name in "abc":
        audience.join(name)
    for name in audience.members:
        audience.leave("a")
        told.append(name)
    assert told == ["a", "b", "c"]
