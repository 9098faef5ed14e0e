"""The users and their file."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from acl_grammar import rules
from hypothesis import given
from hypothesis import strategies as st

from memdbd import passwords
from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.errors import CommandError, ConfigError
from memdbd.rules import Names, SelectorDraft
from memdbd.users import DEFAULT, User, Users, printable, read

NAMES = Names(COMMANDS, CONTAINERS)
HASH = hashlib.sha256(b"secret").hexdigest()


@pytest.fixture
def users() -> Users:
    return Users(NAMES)


def words(text: str) -> list[bytes]:
    return text.encode().split()


class Followed:
    """What was heard of changes."""

    def __init__(self, users: Users) -> None:
        self.heard: list[str] = []
        users.changed = lambda user, was_enabled: self.heard.append(
            f"{user.name.decode()} has changed"
        )
        users.gone = lambda user: self.heard.append(f"{user.name.decode()} is gone")

    def news(self) -> list[str]:
        heard, self.heard = self.heard, []
        return heard


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b"u", "'u'"),
        ("\u00e9".encode(), "'\u00e9'"),
        (b"a\r\nb\x1b", r"'a\r\nb\x1b'"),
        (b"\xff", r"'\\xff'"),
        (b"x" * 1000, f"'{'x' * 64}'"),
    ],
)
def test_a_name_is_one_line_of_a_log_at_most(name: bytes, told: str) -> None:
    assert printable(name) == told


class TestUsers:
    @pytest.mark.parametrize(
        ("rules", "can"),
        [
            ("on +@all", True),
            ("on +acl|setuser", True),
            ("on (+acl)", True),
            ("off +@all ~* &*", False),
            ("on +@all -acl", False),
            ("on +acl|getuser", False),
        ],
    )
    def test_can_be_changed_as_long_as_somebody_may(
        self, users: Users, rules: str, can: bool
    ) -> None:
        assert users.can_be_changed
        users.set(DEFAULT, [b"off"])
        users.set(b"u", words(rules))
        assert users.can_be_changed == can

    def test_there_is_one_who_may_do_everything(self, users: Users) -> None:
        (default,) = users
        assert (default.name, default.is_open, default.permissions) == (DEFAULT, True, None)
        assert not users.unsaved

    def test_a_new_one_may_do_nothing(self, users: Users) -> None:
        users.set(b"u", ())
        user = users.get(b"u")
        assert user is not None
        assert user.told() == "user u off resetchannels -@all"
        assert user.permissions is not None
        assert not user.is_open
        assert users.unsaved

    def test_they_come_in_the_order_of_their_names(self, users: Users) -> None:
        for name in b"z", b"a", b"\xff", b"x":
            users.set(name, ())
        assert [user.name for user in users] == [b"a", DEFAULT, b"x", b"z", b"\xff"]
        assert len(users) == 5

    @pytest.mark.parametrize(
        ("text", "everything"),
        [
            ("+@all ~* &*", True),
            ("(+@all ~* &*)", True),
            ("+@all ~*", False),
            ("+@all &*", False),
            ("+@all %RW~* &*", False),
            ("+@all -get ~* &*", False),
            ("+@all -get +get ~* &*", True),
        ],
    )
    def test_who_may_do_everything_is_asked_nothing(
        self, users: Users, text: str, everything: bool
    ) -> None:
        users.set(b"u", [text.encode()] if text.startswith("(") else words(text))
        user = users.get(b"u")
        assert user is not None
        assert (user.permissions is None) == everything

    def test_changes_are_told_when_they_are_made(self, users: Users) -> None:
        followed = Followed(users)
        users.set(b"u", [b"on"])
        assert followed.news() == [], "nobody can have been it"
        users.set(b"u", [b"off"])
        assert followed.news() == ["u has changed"]
        assert users.delete([b"u", b"v", b"u"]) == 1
        assert followed.news() == ["u is gone"]
        assert users.get(b"u") is None

    def test_a_change_is_made_as_a_whole_or_not_at_all(self, users: Users) -> None:
        users.set(b"u", words("on ~a +get"))
        followed = Followed(users)
        before, users.unsaved = users.text(), False
        for bad in "off +nosuch", "reset ~b ~*x (", "(+set) (on)":
            with pytest.raises(CommandError):
                users.set(b"u", words(bad))
            with pytest.raises(CommandError):
                users.set(b"new", words(bad))
        assert users.text() == before
        assert followed.news() == []
        assert not users.unsaved

    def test_the_default_one_cannot_be_deleted(self, users: Users) -> None:
        users.set(b"u", ())
        with pytest.raises(CommandError, match="The 'default' user cannot be removed"):
            users.delete([b"u", DEFAULT])
        assert users.get(b"u") is not None

    @pytest.mark.parametrize("name", [b"", b" ", b"a b", b"a\0", b"\n", b"a\tb", b"\r"])
    def test_a_name_has_no_blanks(self, users: Users, name: bytes) -> None:
        with pytest.raises(CommandError, match="Usernames can't contain spaces or null"):
            users.set(name, [b"on"])

    def test_a_better_hash_changes_nothing_else(
        self, users: Users, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(passwords, "COST", 10)
        better = passwords.make(b"secret", b"0123456789abcdef")
        users.set(b"u", words(f"on #{HASH} #{'0' * 64} ~a +get"))
        user = users.get(b"u")
        assert user is not None
        before = user.told()
        users.replace_hash(user, HASH, better)
        assert user.told() == before.replace(HASH, better)
        users.replace_hash(user, "0" * 64, better)
        assert user.hashes == (better,)

    def test_it_is_known_how_much_work_a_try_takes(
        self, users: Users, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(passwords, "COST", 10)
        one, other = (passwords.make(b"x", bytes([n]) * 16) for n in (1, 2))
        assert users.work() == 1
        users.set(b"u", words(f"#{one} #{other}"))
        assert users.work() == 2
        users.set(b"u", words(f"!{one}"))
        assert users.work() == 1
        users.set(b"u", words(f"#{HASH}"))
        assert users.work() == 2
        users.delete([b"u"])
        assert users.work() == 1


def comparable(user: User) -> Any:
    """All that a user is."""
    return (
        user.name, user.enabled, user.nopass, user.hashes,
        [selector(each) for each in user.selectors],
        user.permissions is None,
    )  # fmt: skip


def selector(draft: SelectorDraft) -> Any:
    made = draft.made()
    keys = made.keys and [(each.text, each.access) for each in made.keys]
    channels = made.channels and [each.text for each in made.channels]
    return made.commands, made.first_arguments, keys, channels


def read_again(users: Users) -> Users:
    again = Users(NAMES)
    again.take_over(read(users.text(), "file", NAMES))
    return again


_BYTES = st.binary(max_size=6)
_ODD = st.one_of(
    st.builds(bytes.__add__, st.sampled_from([b"~", b"&", b"%R~", b"%WR~", b"+echo|"]), _BYTES),
    st.builds(lambda raw: b"(~a" + raw + b")", _BYTES),
    st.builds(lambda raw: b"(+get|" + raw + b" &" + raw + b")", _BYTES),
    st.sampled_from([b"on", b"nopass", b"#" + HASH.encode(), b"#" + b"0" * 64, b"(", b")", b""]),
)


class TestRoundTrip:
    @given(st.randoms(use_true_random=False))
    def test_what_is_written_is_read_back_as_it_was(self, rng: Random) -> None:
        users = Users(NAMES)
        for name in b"a", b"default", b"b":
            with suppress(CommandError):
                users.set(name, rules(rng))
        again = read_again(users)
        assert list(map(comparable, again)) == list(map(comparable, users))
        assert again.text() == users.text()

    @given(st.lists(_ODD, max_size=6), st.binary(min_size=1, max_size=5))
    def test_whatever_is_in_its_names(self, given: list[bytes], name: bytes) -> None:
        users = Users(NAMES)
        with suppress(CommandError):
            users.set(name, given)
        again = read_again(users)
        assert list(map(comparable, again)) == list(map(comparable, users))


class TestFile:
    def test_comments_blank_lines_and_ends_of_lines_are_any(self, users: Users) -> None:
        text = (
            "# who comes in\r\n\n  \n\tuser  u\ton ~a +get \r\n#user v\n  # user w\nuser default on"
        )
        drafts = read(text, "file", NAMES)
        assert [*drafts] == [b"u", b"default"]
        users.take_over(drafts)
        assert users.text() == (
            "user default on resetchannels -@all\nuser u on ~a resetchannels -@all +get\n"
        )

    @pytest.mark.parametrize("text", ["", "\n", "# nobody", "\n\n"])
    def test_an_empty_one_has_nobody(self, text: str) -> None:
        assert read(text, "file", NAMES) == {}

    @pytest.mark.parametrize(
        ("line", "error"),
        [
            ("users u on", "a line is: user <name> <rules>"),
            ("user", "a line is: user <name> <rules>"),
            ("USER u", "a line is: user <name> <rules>"),
            ("\ufeffuser u", "a line is: user <name> <rules>"),
            ("user u +nosuch", "'+nosuch': Unknown command or category name in ACL"),
            ("user u (+get", "Unmatched parenthesis in acl selector starting at '(+get'."),
            ("user u ~* ~a", "'~a': Adding a pattern after the * pattern"),
            ("user a on", "there is another line for this user above"),
            ("user u >secret", "a password in the clear; `memdb passwd` gives the hash to be put"),
            ("user u <secret", "a password in the clear; `memdb passwd` gives the hash to be put"),
            ("user u #secret", "'(redacted)': The password hash must be exactly 64"),
            ("user u\0 on", "Usernames can't contain spaces or null characters"),
            ("user u ~\udcff\0", r"'~\xff': Syntax error"),
        ],
    )
    def test_what_is_wrong_in_one_is_named_with_its_line(self, line: str, error: str) -> None:
        with pytest.raises(ConfigError) as refused:
            read(f"# first\nuser a on\n{line}\nuser b +nosuch", "the/file", NAMES)
        text = str(refused.value)
        assert text.startswith(f"the/file, line 3: {error}")
        assert "secret" not in text
        text.encode()  # it can be shown

    def test_it_is_taken_over_as_a_whole(self, users: Users) -> None:
        for name in b"stays", b"changes", b"goes":
            users.set(name, [b"on", b"+get"])
        stays, followed = users.get(b"stays"), Followed(users)
        users.take_over(
            read("user stays on +get\nuser changes off\nuser default on\nuser comes", "f", NAMES)
        )
        assert followed.news() == [
            "stays has changed",
            "changes has changed",
            "default has changed",
            "goes is gone",
        ]
        assert users.get(b"stays") is stays
        assert [user.name for user in users] == [b"changes", b"comes", DEFAULT, b"stays"]
        assert not users.unsaved

    @given(
        st.binary(max_size=200)
        | st.text(alphabet="user \n#()~&+-@|%gt><!\0\r", max_size=200).map(str.encode)
    )
    def test_garbage_is_refused_or_read_never_more(self, raw: bytes) -> None:
        with suppress(ConfigError):
            read(raw.decode("utf-8", "surrogateescape"), "file", NAMES)

    def test_a_file_that_was_cut_is_refused_or_read(self) -> None:
        users = Users(NAMES)
        users.set(
            b"u", words(f"on #{HASH} ~a* %R~b (+get ~c) &news.* +@read -config|set +select|0")
        )
        text = users.text()
        outcomes: set[object] = set()
        for end in range(len(text)):
            try:
                outcomes.add(len(read(text[:end], "file", NAMES)))
            except ConfigError as error:
                outcomes.add(str(error)[:12])
        assert outcomes == {0, 1, 2, "file, line 1", "file, line 2"}
