"""The language of rules; that it is Redis's, test_acl_against_redis shows."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdbd.commands.access import Access
from memdbd.commands.table import COMMANDS, CONTAINERS
from memdbd.errors import CommandError
from memdbd.rules import (
    Draft,
    Names,
    RuleError,
    is_password,
    is_secret,
    joined,
    told,
    told_channels,
    told_keys,
)

NAMES = Names(COMMANDS, CONTAINERS)
HASH = hashlib.sha256(b"secret").hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


def draft(rules: str) -> Draft:
    """What rules have come to; those between parentheses may have blanks."""
    found = Draft()
    found.apply(rules.encode().split(b" ") if rules else [], NAMES)
    return found


def refusal(*rules: bytes) -> str:
    with pytest.raises(CommandError) as refused:
        Draft().apply(rules, NAMES)
    assert refused.value.code == "ERR"
    return str(refused.value).removeprefix("Error in ACL SETUSER modifier ")


class TestLoggingIn:
    @pytest.mark.parametrize(
        ("rules", "enabled", "nopass", "hashes"),
        [
            ("", False, False, ()),
            ("on", True, False, ()),
            ("on OFF", False, False, ()),
            ("nopass", False, True, ()),
            (f"#{HASH}", False, False, (HASH,)),
            (f"nopass #{HASH}", False, False, (HASH,)),
            (f"#{HASH} nopass", False, True, ()),
            (f"#{HASH} #{HASH} #{OTHER}", False, False, (HASH, OTHER)),
            (f"#{HASH} #{OTHER} !{HASH}", False, False, (OTHER,)),
            (f"#{HASH} resetpass", False, False, ()),
            ("nopass resetpass", False, False, ()),
            (f"on #{HASH} reset", False, False, ()),
        ],
    )
    def test_the_last_rule_counts(
        self, rules: str, enabled: bool, nopass: bool, hashes: tuple[str, ...]
    ) -> None:
        found = draft(rules)
        assert (found.enabled, found.nopass, found.hashes) == (enabled, nopass, hashes)

    def test_a_hash_of_ours_is_one_too(self) -> None:
        text = "$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43
        assert draft(f"#{text}").hashes == (text,)
        assert draft(f"#{text} !{text}").hashes == ()

    def test_hashes_have_few_salts_so_that_a_try_takes_no_longer(self) -> None:
        salts = ["AAECAwQFBgcICQoLDA0O" + end for end in ("Aw", "Bw", "Cw", "Dw", "Ew")]
        hashes = [f"#$scrypt$ln=14,r=8,p=1${salt}${'A' * 43}" for salt in salts]
        alike = hashes[0][:-1] + "E"
        assert len(draft(" ".join([*hashes[:4], alike])).hashes) == 5
        assert len(draft(" ".join([*hashes[:3], f"#{HASH}", f"#{OTHER}"])).hashes) == 5
        for one_more in hashes[4], f"#{HASH}":
            assert "four salts at most" in refusal(*map(str.encode, [*hashes[:4], one_more]))

    @pytest.mark.parametrize("rule", [b"#", b"#x", b"!x", b"#" + HASH.upper().encode(), b"#\xff"])
    def test_what_is_no_hash_is_refused_and_not_repeated(self, rule: bytes) -> None:
        assert refusal(rule).startswith("'(redacted)': The password hash must be exactly 64")

    def test_so_is_a_hash_that_is_not_there(self) -> None:
        reason = "The password you are trying to remove from the user does not exist"
        assert refusal(b"!" + HASH.encode()) == f"'(redacted)': {reason}"

    @pytest.mark.parametrize("rule", [b">secret", b"<secret", b">"])
    def test_a_password_has_to_be_hashed_before(self, rule: bytes) -> None:
        assert refusal(rule).startswith("'(redacted)': a password in the clear")
        assert is_password(rule)
        assert is_secret(rule)

    def test_nor_is_one_repeated_from_where_there_can_be_none(self) -> None:
        assert refusal(b"(+get", b">secret)") == "'(redacted)': Syntax error"
        assert refusal(b"(>secret)") == "'(redacted)': Syntax error"
        assert refusal(b" >secret") == "'(redacted)': Syntax error"

    @pytest.mark.parametrize("rule", [b"~>x", b"on", b"", b"(~>x)"])
    def test_what_only_looks_like_one_is_none(self, rule: bytes) -> None:
        assert not is_password(rule)
        assert not is_secret(rule)


class TestCommands:
    @pytest.mark.parametrize(
        ("rules", "allowed", "denied"),
        [
            ("", "", "get config|get"),
            ("+get", "get", "set"),
            ("+GET -get", "", "get"),
            ("+@read", "get mget", "set"),
            ("+@read -get", "mget", "get"),
            ("-get +@read", "get mget", "set"),
            ("+@all -@read +get", "get set", "mget"),
            ("+@all -@READ", "set", "get"),
            ("allcommands", "get config|get", ""),
            ("allcommands nocommands", "", "get"),
            ("+config", "config|get config|set", "get"),
            ("+config|get", "config|get", "config|set"),
            ("+config -config|set", "config|get", "config|set"),
            ("-config|set +config", "config|get config|set", ""),
            ("+@all -config", "get", "config|get config|help"),
            ("+@slow -@fast", "config|get client|id", "get"),
            ("+command|count", "command|count", "command command|info"),
            ("+command", "command command|count", ""),
        ],
    )
    def test_the_order_matters(self, rules: str, allowed: str, denied: str) -> None:
        commands = draft(rules).root.commands
        assert {*allowed.split()} <= commands
        assert not {*denied.split()} & commands

    def test_first_arguments_are_allowed_of_what_is_not(self) -> None:
        assert draft("+select|0 +SELECT|1 +echo|Hi").root.first_arguments == {
            "select": {b"0", b"1"},
            "echo": {b"hi"},
        }

    @pytest.mark.parametrize(
        "rules", ["+select +select|0", "+select|0 +select", "+select|0 -select", "+select|0 -@fast"]
    )
    def test_and_forgotten_by_what_is_said_of_the_command(self, rules: str) -> None:
        assert draft(rules).root.first_arguments == {}

    @pytest.mark.parametrize(
        ("rule", "shown"),
        [
            ("+get", "-@all +get"),
            ("+get +get", "-@all +get"),
            ("+get -get", "-@all -get"),
            ("+get +set -get", "-@all +set -get"),
            ("+get +@read", "-@all +@read"),
            ("+@read +get", "-@all +@read +get"),
            ("+@read -get +@all", "+@all"),
            ("+@all -get +@write +set", "+@all -get +@write +set"),
            ("+config|get +config", "-@all +config"),
            ("+config -config|get", "-@all +config -config|get"),
            ("+config|get +config|set -config|get", "-@all +config|set -config|get"),
            ("+select|0 +select|1", "-@all +select|0 +select|1"),
            ("+select|0 +select|0", "-@all +select|0"),
            ("+select|0 -select", "-@all -select"),
            ("+select|0 +select", "-@all +select"),
            ("+select|é", "-@all +select|é"),
            ("nocommands", "-@all"),
        ],
    )
    def test_they_are_shown_as_far_as_they_still_mean_something(
        self, rule: str, shown: str
    ) -> None:
        assert " ".join(draft(rule).root.told) == shown

    @pytest.mark.parametrize("category", ["fast", "dangerous", "keyspace", "scripting"])
    def test_a_category_has_what_acl_cat_shows(self, category: str) -> None:
        assert NAMES.of_category(category)
        with pytest.raises(RuleError):
            NAMES.of_category(category + "x")


class TestPatterns:
    @pytest.mark.parametrize(
        ("rules", "shown"),
        [
            ("", ""),
            ("~a ~b*", "~a ~b*"),
            ("~a ~a", "~a"),
            ("%R~a %W~b %RW~c %wr~d", "%R~a %W~b ~c ~d"),
            ("%R~a %W~a", "~a"),
            ("%R~a ~a %R~a", "~a"),
            ("~*", "~*"),
            ("allkeys", "~*"),
            ("~a allkeys", "~*"),
            ("allkeys resetkeys ~a", "~a"),
            # Not the same: the empty key has no pattern.
            ("%RW~*", "%RW~*"),
            ("%R~* %W~* ~a", "%RW~* ~a"),
            ("~", "~"),
            ("%R~", "%R~"),
            ("~~a ~%R~a", "~~a ~%R~a"),
            ("~é", "~é"),
        ],
    )
    def test_keys(self, rules: str, shown: str) -> None:
        assert told_keys(draft(rules).root.keys) == shown

    @pytest.mark.parametrize(
        ("rules", "shown"),
        [
            ("", ""),
            ("&a &b &a", "&a &b"),
            ("&a allchannels", "&*"),
            ("&* resetchannels &a", "&a"),
            ("&", "&"),
        ],
    )
    def test_channels(self, rules: str, shown: str) -> None:
        assert told_channels(draft(rules).root.channels) == shown

    @pytest.mark.parametrize("blank", [b" ", b"\t", b"\n", b"\v", b"\f", b"\r", b"\0"])
    @pytest.mark.parametrize("before", [b"~a", b"&a", b"%R~", b"+echo|a"])
    def test_none_has_a_blank(self, before: bytes, blank: bytes) -> None:
        assert refusal(before + blank + b"b").endswith(": Syntax error")

    def test_all_other_bytes_are_as_good_as_letters(self) -> None:
        every = bytes(set(range(256)) - set(b" \t\n\v\f\r\0"))
        found = Draft()
        found.apply([b"~" + every, b"&" + every, b"+echo|" + every.replace(b"|", b"")], NAMES)
        assert found.root.keys is not None
        assert found.root.keys[0].text == every

    def test_one_that_is_too_long_is_refused(self) -> None:
        assert "too long" in refusal(b"~" + b"x" * 2000)

    def test_access_is_that_of_the_letters(self) -> None:
        keys = draft("%R~a %W~b ~c").root.keys
        assert keys is not None
        assert [key.access for key in keys] == [Access.READ, Access.WRITE, Access.BOTH]


class TestSelectors:
    def test_each_is_by_itself(self) -> None:
        found = draft("~a (+get ~b) +set (&c) ()")
        assert [told(each) for each in (found.root, *found.others)] == [
            "~a resetchannels -@all +set",
            "~b resetchannels -@all +get",
            "resetchannels &c -@all",
            "resetchannels -@all",
        ]

    def test_they_are_forgotten_on_demand(self) -> None:
        assert draft("(+get) clearselectors").others == ()
        assert draft("(+get) reset (+set)").others[0].commands == {"set"}
        assert len(draft("(+get) clearselectors").others) == 0

    @pytest.mark.parametrize(
        ("rules", "found"),
        [
            ([], []),
            ([b"on", b"(+get)", b"~a"], [b"on", b"(+get)", b"~a"]),
            ([b"(+get", b"~a)", b"on"], [b"(+get ~a)", b"on"]),
            ([b"(", b"+get", b")"], [b"( +get )"]),
            ([b"(+get ~a", b"~b)"], [b"(+get ~a ~b)"]),
            ([b")", b"a)"], [b")", b"a)"]),
            ([b"("b"a)"], [b"(a)"]),
        ],
    )  # fmt: skip
    def test_their_words_may_come_one_by_one(self, rules: list[bytes], found: list[bytes]) -> None:
        assert joined(rules) == found

    @pytest.mark.parametrize("rules", [[b"("], [b"(+get", b"~a"], [b"on", b"(a b"], [b"(a", b"(b"]])
    def test_one_that_is_not_closed_is_refused(self, rules: list[bytes]) -> None:
        start = next(rule for rule in rules if rule.startswith(b"(")).decode()
        assert refusal(*rules) == f"Unmatched parenthesis in acl selector starting at '{start}'."

    @pytest.mark.parametrize(
        "rule", [b"(on)", b"(>x)", b"(#x)", b"(reset)", b"((+get))", b"(~a) ~b)"]
    )
    def test_nothing_else_stands_in_one(self, rule: bytes) -> None:
        assert refusal(rule).endswith(": Syntax error")


def test_a_rule_that_is_wrong_leaves_all_as_it_was() -> None:
    found = draft("on ~a +get (+set)")
    before = told(found.root), found.others
    copy = found.copy()
    with pytest.raises(CommandError):
        copy.apply([b"~b", b"+set", b"off", b"(+del)", b"+nosuch"], NAMES)
    assert (told(found.root), found.others) == before
    assert found.enabled


_WORDS = st.sampled_from(
    [b"~", b"&", b"%R~", b"%", b"+", b"-", b"+@", b"(", b")", b"#", b"!", b">"]
)


@given(st.lists(st.builds(bytes.__add__, _WORDS | st.just(b""), st.binary(max_size=5)), max_size=6))
def test_whatever_the_rules_are_they_are_followed_or_refused(rules: list[bytes]) -> None:
    with suppress(CommandError):
        Draft().apply(rules, NAMES)
