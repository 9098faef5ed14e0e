"""How a command is declared, and what follows from its declaration."""

from __future__ import annotations

import pytest

from memdbd.commands.access import (
    ASKED,
    MADE,
    NO_KEYS,
    WRITTEN,
    Access,
    Accesses,
    FindAccess,
    FindKeys,
    KeyRange,
    counted_keys,
)
from memdbd.commands.arguments import integer
from memdbd.commands.context import Context
from memdbd.commands.spec import KEY, VALUE, Command, Container, Flag, Param, Tail, command
from memdbd.errors import CommandError


def declared(
    *params: Param | Tail,
    flags: Flag = Flag.NONE,
    name: str = "try",
    keys: FindKeys | None = None,
    access: Accesses | FindAccess | None = None,
    channels: FindKeys | None = None,
) -> Command:
    @command(
        name,
        *params,
        flags=flags,
        summary="Try it",
        keys=keys,
        access=access,
        channels=channels,
        differs="A little.",
    )
    def try_(ctx: Context, *arguments: object) -> None: ...

    return try_


NUMBER = Param("number", integer)
OPTIONAL = Param("option", optional=True)
KEYS = Param("key", is_key=True, many=True)
MAYBE_MANY = Param("channel", many=True, optional=True)


class TestUsage:
    @pytest.mark.parametrize(
        ("params", "usage"),
        [
            ((), "try"),
            ((KEY,), "try <key>"),
            ((KEY, VALUE), "try <key> <value…>"),
            ((KEY, VALUE, Param("ttl", integer, optional=True)), "try <key> <value…> [<ttl>]"),
            ((KEYS,), "try <key> …"),
            ((MAYBE_MANY,), "try [<channel> …]"),
            ((Param("message", rest=True, optional=True),), "try [<message…>]"),
            ((KEY, Tail("[NX|XX] <score> …", least=2)), "try <key> [NX|XX] <score> …"),
        ],
    )
    def test_it_shows_each_parameter(self, params: tuple[Param | Tail, ...], usage: str) -> None:
        assert declared(*params).usage == usage


class TestArity:
    @pytest.mark.parametrize(
        ("params", "right", "wrong"),
        [
            ((), [0], [1, 2]),
            ((KEY,), [1], [0, 2]),
            ((KEY, VALUE), [2], [0, 1, 3]),
            ((KEY, OPTIONAL), [1, 2], [0, 3]),
            ((KEYS,), [1, 2, 100], [0]),
            ((MAYBE_MANY,), [0, 1, 100], []),
            ((KEY, KEYS), [2, 3, 100], [0, 1]),
            ((KEY, Tail("[NX|XX] <score> …", least=2)), [3, 4, 100], [0, 1, 2]),
            ((KEY, Tail("[NX|XX]")), [1, 2, 100], [0]),
        ],
    )
    def test_as_many_arguments_are_taken_as_are_declared(
        self, params: tuple[Param | Tail, ...], right: list[int], wrong: list[int]
    ) -> None:
        one = declared(*params)
        for count in right:
            assert one.arguments([b"try", *[b"x"] * count]) == [b"x"] * count
        for count in wrong:
            with pytest.raises(CommandError):
                one.arguments([b"try", *[b"x"] * count])

    def test_a_wrong_number_says_how_it_is_used(self) -> None:
        with pytest.raises(CommandError) as refused:
            declared(KEY, VALUE).arguments([b"TRY", b"k"])
        assert str(refused.value) == "wrong number of arguments for 'try' command"
        assert refused.value.hint == "usage: try <key> <value…>; a value with blanks goes in quotes"

    def test_of_a_subcommand_it_names_the_word_as_it_was_said(self) -> None:
        one = declared(OPTIONAL, name="try hard")
        with pytest.raises(CommandError) as refused:
            one.arguments([b"try", b"Hard", b"a", b"b"])
        assert str(refused.value) == (
            "unknown subcommand or wrong number of arguments for 'Hard'. Try TRY HELP."
        )
        assert refused.value.hint == "usage: try hard [<option>]"
        with pytest.raises(CommandError, match=r"for 'try\|hard' command"):
            declared(KEY, name="try hard").arguments([b"try", b"Hard", b"a", b"b"])

    @pytest.mark.parametrize(
        ("params", "right", "wrong"),
        [((KEY,), [1], [0, 2]), ((KEY, OPTIONAL), [1, 2, 3], [0]), ((KEYS,), [1, 100], [0])],
    )
    def test_that_many_may_be_queued_whatever_is_found_when_it_is_run(
        self, params: tuple[Param | Tail, ...], right: list[int], wrong: list[int]
    ) -> None:
        one = declared(*params)
        for count in right:
            one.check([b"try", *[b"x"] * count])
        for count in wrong:
            with pytest.raises(CommandError):
                one.check([b"try", *[b"x"] * count])


class TestConversion:
    def test_arguments_are_converted_as_declared_and_the_others_stay(self) -> None:
        one = declared(KEY, NUMBER, OPTIONAL)
        assert one.arguments([b"try", b"1", b"2", b"3"]) == [b"1", 2, b"3"]

    def test_an_optional_argument_that_is_left_out_is_not_converted(self) -> None:
        one = declared(KEY, Param("number", integer, optional=True))
        assert one.arguments([b"try", b"k"]) == [b"k"]

    def test_what_cannot_be_converted_is_refused_naming_the_parameter(self) -> None:
        with pytest.raises(CommandError) as refused:
            declared(KEY, NUMBER).arguments([b"try", b"k", b"many"])
        assert str(refused.value) == "value is not an integer or out of range"
        assert refused.value.hint == "look at <number> in: try <key> <number>"

    def test_the_request_itself_stays_as_it_was(self) -> None:
        request = [b"try", b"k", b"2"]
        declared(KEY, NUMBER).arguments(request)
        assert request == [b"try", b"k", b"2"]


class TestKeys:
    @pytest.mark.parametrize(
        ("params", "words", "keys", "found_at"),
        [
            ((), [], [], NO_KEYS),
            ((NUMBER,), [b"1"], [], NO_KEYS),
            ((KEY,), [b"a"], [b"a"], KeyRange(1, 1)),
            ((KEY, VALUE), [b"a", b"v"], [b"a"], KeyRange(1, 1)),
            ((KEY, Param("new", is_key=True)), [b"a", b"b"], [b"a", b"b"], KeyRange(1, 2)),
            ((NUMBER, KEY), [b"1", b"a"], [b"a"], KeyRange(2, 2)),
            ((KEYS,), [b"a", b"b", b"c"], [b"a", b"b", b"c"], KeyRange(1, -1)),
            ((KEY, KEYS), [b"a", b"b", b"c"], [b"a", b"b", b"c"], KeyRange(1, -1)),
            ((KEY, Param("other", is_key=True, optional=True)), [b"a"], [b"a"], KeyRange(1, 2)),
            ((KEY, Tail("…")), [b"a", b"b"], [b"a"], KeyRange(1, 1)),
        ],
    )
    def test_they_are_found_in_the_request(
        self,
        params: tuple[Param | Tail, ...],
        words: list[bytes],
        keys: list[bytes],
        found_at: KeyRange,
    ) -> None:
        one = declared(*params)
        assert list(one.keys_of([b"try", *words])) == keys
        assert one.key_range == found_at
        assert one.has_fixed_keys

    def test_those_of_a_subcommand_stand_behind_both_words(self) -> None:
        one = declared(KEY, name="try hard")
        assert list(one.keys_of([b"try", b"hard", b"a"])) == [b"a"]

    def test_every_other_word_may_be_one(self) -> None:
        one = declared(Tail("<key> <value> …", least=2), keys=KeyRange(1, -1, 2))
        assert list(one.keys_of([b"try", b"a", b"1", b"b", b"2"])) == [b"a", b"b"]

    def test_their_number_may_stand_in_front(self) -> None:
        one = declared(Tail("<numkeys> <key> …", least=2), keys=counted_keys(1))
        assert list(one.keys_of([b"try", b"2", b"a", b"b", b"x"])) == [b"a", b"b"]
        assert not one.has_fixed_keys
        another = declared(KEY, Tail("<numkeys> <key> …", least=2), keys=counted_keys(2, 1))
        assert list(another.keys_of([b"try", b"d", b"1", b"a"])) == [b"d", b"a"]

    def test_there_may_be_none_where_that_is_said(self) -> None:
        one = declared(Tail("<numkeys> [<key> …]", least=1), keys=counted_keys(1, least=0))
        assert list(one.keys_of([b"try", b"0"])) == list(one.keys_of([b"try", b"0", b"a"])) == []
        assert list(one.keys_of([b"try", b"1", b"a"])) == [b"a"]

    @pytest.mark.parametrize("words", [[], [b"1"], [b"0"]])
    def test_a_request_that_ends_before_them_is_refused(self, words: list[bytes]) -> None:
        one = declared(Tail("<numkeys> <key> …"), keys=counted_keys(1))
        with pytest.raises(CommandError):
            one.keys_of([b"try", *words])

    @pytest.mark.parametrize("count", [b"0", b"-1", b"4", b"x"])
    def test_a_number_that_is_none_of_theirs_is_refused(self, count: bytes) -> None:
        one = declared(Tail("<numkeys> <key> …", least=2), keys=counted_keys(1))
        with pytest.raises(CommandError):
            one.keys_of([b"try", count, b"a", b"b", b"c"])


class TestAccess:
    @pytest.mark.parametrize(
        ("flags", "access"),
        [
            (Flag.READ, Access.READ),
            (Flag.WRITE, Access.BOTH),
            (Flag.READ | Flag.WRITE, Access.BOTH),
            (Flag.NONE, Access.BOTH),
        ],
    )
    def test_where_it_is_not_said_all_is_needed_but_of_what_only_reads(
        self, flags: Flag, access: Access
    ) -> None:
        assert declared(KEY, flags=flags).access_of([b"try", b"a"]) == (access,)

    @pytest.mark.parametrize("words", [[], [b"a"], [b"a", b"b"], [b"a", b"b", b"c", b"d"]])
    def test_the_last_is_that_of_all_further_keys(self, words: list[bytes]) -> None:
        one = declared(KEYS, access=MADE)
        expected = [Access.WRITE, *[Access.READ] * 3][: len(words)]
        assert list(one.access_of([b"try", *words])) == expected
        assert list(one.access_of([b"try"], words)) == expected  # the keys being known already

    def test_the_words_may_decide(self) -> None:
        one = declared(KEY, OPTIONAL, access=lambda argv: ASKED if len(argv) == 2 else WRITTEN)
        assert one.access_of([b"try", b"a"]) == (Access.NONE,)
        assert one.access_of([b"try", b"a", b"b"]) == (Access.WRITE,)

    def test_it_is_the_same_for_the_text_dialect(self) -> None:
        one = declared(KEY, access=WRITTEN, channels=KeyRange(1, -1))

        @one.in_text()
        def try_in_text(ctx: Context, key: bytes) -> None: ...

        assert one.text.access == WRITTEN
        assert one.text.find_channels == KeyRange(1, -1)

    def test_a_command_has_no_channels_unless_it_says_so(self) -> None:
        assert declared(MAYBE_MANY).find_channels is None
        find = declared(MAYBE_MANY, channels=KeyRange(1, -1)).find_channels
        assert find is not None
        assert find([b"try", b"a", b"b"]) == [b"a", b"b"]


class TestContainers:
    ONE = declared(KEY, name="try hard")
    ALONE = declared()

    def test_the_second_word_chooses_in_any_case(self) -> None:
        container = Container("try", {b"hard": self.ONE})
        assert container.find([b"TRY", b"Hard", b"k"]) is self.ONE
        assert self.ONE.arguments([b"try", b"hard", b"k"]) == [b"k"]
        assert (self.ONE.full_name, self.ONE.arity) == ("try|hard", 3)

    def test_one_that_is_not_there_is_refused_in_redis_words(self) -> None:
        with pytest.raises(CommandError) as refused:
            Container("try", {b"hard": self.ONE}).find([b"try", b"soft"])
        assert str(refused.value) == "unknown subcommand 'soft'. Try TRY HELP."

    def test_none_is_a_wrong_number_or_the_command_of_that_name(self) -> None:
        with pytest.raises(CommandError, match="wrong number of arguments for 'try' command"):
            Container("try", {b"hard": self.ONE}).find([b"try"])
        assert Container("try", {b"hard": self.ONE}, self.ALONE).find([b"try"]) is self.ALONE


class TestTheRecord:
    @pytest.mark.parametrize(
        "flag", [Flag.WRITE, Flag.GROWS, Flag.ENDS, Flag.BLOCKING, Flag.READ, Flag.NONE]
    )
    def test_it_tells_what_its_flags_mean(self, flag: Flag) -> None:
        one = declared(KEY, flags=flag)
        assert (one.writes, one.grows, one.ends, one.blocks) == (
            flag is Flag.WRITE,
            flag is Flag.GROWS,
            flag is Flag.ENDS,
            flag is Flag.BLOCKING,
        )

    def test_both_dialects_share_a_record_unless_one_is_given_for_text(self) -> None:
        one = declared(KEY)
        assert one.text is one

        @one.in_text()
        def try_in_text(ctx: Context, key: bytes) -> str:
            return "text"

        assert one.text is try_in_text
        assert (one.text.usage, one.text.summary) == (one.usage, one.summary)
        assert one.text.differs == one.differs == "A little."
        assert one.text.handler is not one.handler

    def test_the_text_dialect_may_have_other_parameters(self) -> None:
        one = declared(KEY)

        @one.in_text(KEY, OPTIONAL)
        def try_in_text(ctx: Context, *words: bytes) -> None: ...

        assert (one.max_words, one.text.max_words) == (2, 3)
        assert (one.arity, one.text.arity) == (2, -2)

    def test_it_shows_its_usage(self) -> None:
        assert repr(declared(KEY)) == "<Command try <key>>"
