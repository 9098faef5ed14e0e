"""Who changes the users: what follows of it, and what the log is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import House
from parties import Party
from twisted.logger import capturedLogs, formatEvent

from memdbd import passwords
from memdbd.useradmin import MOST_TOLD

OPEN = (
    "warn: the user default is open now: whoever connects may do {may}, and needs no password"
)  # fmt: skip
NOBODY = (
    "warn: nobody who is on may run ACL SETUSER now: the users can only be changed by the "
    "settings, or their file, and a reload or a restart"
)


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes for a fraction of the time."""
    monkeypatch.setattr(passwords, "COST", 10)


@contextmanager
def logged() -> Iterator[list[str]]:
    """What is logged meanwhile, each with its level."""
    lines: list[str] = []
    with capturedLogs() as events:
        yield lines
    lines += [f"{each['log_level'].name}: {formatEvent(each)}" for each in events]


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text(
        "user default off\nuser ada on nopass ~* &* +@all\nuser bob on nopass ~* +get +acl\n"
    )
    return path


def party_of(users: Path) -> Party:
    """Clients of a daemon with this file; ``admin`` has logged in as ada, ``bob`` as bob."""
    party = Party()
    party.house = House(auth=(f"users:{users}",))
    party.says("admin", "AUTH ada x")
    party.says("bob", "AUTH bob x")
    return party


@pytest.fixture
def party(users: Path) -> Party:
    return party_of(users)


def told(party: Party, line: str, who: str = "admin") -> list[str]:
    """What is logged of a request."""
    with logged() as lines:
        party.says(who, line)
    return lines


class TestTheLog:
    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("ACL SETUSER bob off", "user 'bob' changed by 'ada': 1 connection ended"),
            ("ACL SETUSER bob +set", "user 'bob' changed by 'ada': 0 connections ended"),
            ("ACL SETUSER new on >secret", "user 'new' changed by 'ada': 0 connections ended"),
            ("ACL DELUSER bob new", "users deleted: 'bob'; by 'ada': 1 connection ended"),
            (
                "CONFIG SET requirepass secret",
                "user 'default' changed by CONFIG SET requirepass: 0 connections ended",
            ),
        ],
    )
    def test_is_told_who_changed_whom(self, party: Party, line: str, says: str) -> None:
        assert told(party, line) == [f"info: {says}"]

    @pytest.mark.parametrize(
        "line", ["ACL SETUSER bob >secret +nosuch", "ACL DELUSER nobody", "ACL DELUSER default bob"]
    )
    def test_is_told_nothing_of_what_changes_nobody(self, party: Party, line: str) -> None:
        assert told(party, line) == []

    def test_has_names_as_what_can_be_printed(self, party: Party) -> None:
        assert told(party, "ACL SETUSER a\x1b") == [
            r"info: user 'a\x1b' changed by 'ada': 0 connections ended"
        ]

    def test_is_told_of_a_file_that_is_read(self, party: Party, users: Path) -> None:
        users.write_text("user default off\nuser ada on nopass ~* &* +@all\n")
        assert told(party, "ACL LOAD") == [
            f"info: 2 users read from {users} by 'ada': 1 connection ended"
        ]


class TestWhatHasToBeKnown:
    @pytest.mark.parametrize(
        ("line", "may"),
        [
            ("ACL SETUSER default on nopass", "whatever it may"),
            ("ACL SETUSER default on nopass +@all ~* &*", "everything"),
        ],
    )
    def test_that_default_has_been_opened(self, party: Party, line: str, may: str) -> None:
        assert told(party, line)[1:] == [OPEN.format(may=may)]
        assert told(party, line)[1:] == []  # it is not news

    def test_also_by_requirepass_and_by_load(self, users: Path) -> None:
        users.write_text(
            "user default on #" + "0" * 64 + " ~* &* +@all\nuser ada on nopass +@all\n"
        )
        party = party_of(users)
        open_ = OPEN.format(may="everything")
        assert told(party, 'CONFIG SET requirepass ""')[1:] == [open_]
        assert told(party, "ACL LOAD")[1:] == []
        users.write_text("user default on nopass ~* &* +@all\nuser ada on nopass +@all\n")
        assert told(party, "ACL LOAD")[1:] == [open_]

    def test_that_nobody_may_change_the_users(self, party: Party, users: Path) -> None:
        assert told(party, "ACL SETUSER ada -@all +acl")[1:] == []
        assert told(party, "ACL SETUSER bob off")[1:] == []
        assert told(party, "ACL SETUSER ada -acl|setuser")[1:] == [NOBODY]

    def test_and_that_once(self, party: Party, users: Path) -> None:
        users.write_text("user default off\nuser ada on nopass +acl -acl|setuser\n")
        assert told(party, "ACL LOAD")[1:] == [NOBODY]
        assert told(party, "ACL LOAD")[1:] == []

    def test_not_where_one_takes_the_place_of_another(self, party: Party, users: Path) -> None:
        users.write_text("user default off\nuser zoe on nopass +acl\n")
        assert told(party, "ACL LOAD")[1:] == []

    def test_rules_that_only_redis_can_follow_once_for_each_reading(self, users: Path) -> None:
        users.write_text(
            "# by Redis\nuser ada on nopass ~* &* +@all -migrate -xinfo|help\nuser b +xadd\n"
        )
        with logged() as lines:
            party = party_of(users)
        says = (
            f"warn: {users}, line 2: rules about commands that Redis has, and memdbd has not, are "
            "left out: -migrate -xinfo|help; and some of line 3"
        )
        assert [each for each in lines if each.startswith("warn")] == [says]
        assert told(party, "ACL LOAD")[1:] == [says]

    def test_and_no_more_of_them_than_a_line_has_room_for(self, users: Path) -> None:
        users.write_text("user ada on nopass ~* &* +@all" + " -xadd" * (MOST_TOLD + 2))
        with logged() as lines:
            party_of(users)
        (line,) = (each for each in lines if "left out" in each)
        assert line.endswith("left out:" + " -xadd" * MOST_TOLD + " and 2 more")

    def test_in_acl_setuser_they_are_none(self, party: Party) -> None:
        (reply,) = party.says("admin", "ACL SETUSER bob -xadd")
        assert "Unknown command or category name in ACL" in reply
