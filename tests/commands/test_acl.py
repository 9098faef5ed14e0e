"""ACL; that its words and shapes are Redis's, test_acl_against_redis shows."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from harness import House
from helpers_pure import World, conversation, refusal
from parties import Party, request, shown

from memdbd import passwords
from memdbd.replies import OK, Members

SHA256 = hashlib.sha256(b"secret").hexdigest()


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes for a fraction of the time."""
    monkeypatch.setattr(passwords, "COST", 10)


@pytest.fixture
def world() -> World:
    return World()


def acl(world: World, line: str) -> Any:
    return world.run(b"acl", *line.encode().split(b" "))


class TestSetuser:
    def test_makes_and_changes_a_user(self, world: World) -> None:
        assert acl(world, "setuser u on ~a +get") is OK
        assert acl(world, "setuser u ~b off") is OK
        assert acl(world, "list")[1] == b"user u off ~a ~b resetchannels -@all +get"

    def test_without_rules_it_makes_one_who_may_do_nothing(self, world: World) -> None:
        assert acl(world, "setuser u") is OK
        assert acl(world, "list")[1] == b"user u off resetchannels -@all"

    def test_changes_nothing_where_a_rule_is_wrong(self, world: World) -> None:
        acl(world, "setuser u on ~a")
        before = acl(world, "list")
        assert refusal(world, b"acl", b"setuser", b"u", b"off", b"+nosuch") == (
            "ERR Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL"
        )
        assert refusal(world, b"acl", b"setuser", b"v", b"on", b"~a b") == (
            "ERR Error in ACL SETUSER modifier '~a b': Syntax error"
        )
        assert acl(world, "list") == before

    @pytest.mark.parametrize("name", [b"", b"a b", b"a\0"])
    def test_a_name_has_no_blanks(self, world: World, name: bytes) -> None:
        assert refusal(world, b"acl", b"setuser", name, b"on") == (
            "ERR Usernames can't contain spaces or null characters"
        )

    def test_takes_hashes(self, world: World) -> None:
        assert acl(world, f"setuser u #{SHA256}") is OK
        assert acl(world, "getuser u")["passwords"] == [SHA256]


class TestPasswords:
    """They are hashed elsewhere, so the reply comes later."""

    @pytest.fixture
    def party(self) -> Party:
        return Party()

    def test_one_is_added_and_removed(self, party: Party) -> None:
        party.talk("""
            a> ACL SETUSER u on >secret >other +@all
            a: +OK
            b> AUTH u secret
            b: +OK
            c> AUTH u other
            c: +OK
            a> ACL SETUSER u <secret
            a: +OK
            b> AUTH u other
            b: +OK
            b> AUTH u secret
            b: -WRONGPASS invalid username-password pair or user is disabled.
            b> ACL WHOAMI
            b: "u"
        """)
        party.house.passes(1)
        party.talk("""
            a> ACL SETUSER u <secret
            a: -ERR Error in ACL SETUSER modifier '(redacted)': The password you are trying to remove from the user does not exist
        """)  # noqa: E501

    def test_all_of_a_user_have_one_salt(self, party: Party) -> None:
        party.says("a", "ACL SETUSER u >one >two")
        party.says("a", "ACL SETUSER u >three")
        user = party.house.server.gate.users.get(b"u")
        assert user is not None
        assert len(user.hashes) == 3
        assert user.work == 1

    def test_what_is_asked_meanwhile_is_answered_behind_it(self, party: Party) -> None:
        peer = party.peer("a")
        said = [(b"acl", b"setuser", b"u", b"on", b">x"), (b"acl", b"users"), (b"ping",)]
        peer.sends(b"".join(request(*words) for words in said))
        assert shown(peer.hears()) == ["+OK", '["default", "u"]', "+PONG"]

    def test_one_removed_that_the_same_request_has_added_is_gone(self, party: Party) -> None:
        party.talk("""
            a> ACL SETUSER u >one <one
            a: +OK
        """)
        user = party.house.server.gate.users.get(b"u")
        assert user is not None
        assert user.hashes == ()

    def test_a_rule_that_is_wrong_undoes_all(self, party: Party) -> None:
        party.talk("""
            a> ACL SETUSER u on >secret +nosuch
            a: -ERR Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL
            a> ACL USERS
            a: ["default"]
        """)

    def test_none_is_hashed_inside_a_transaction(self, party: Party) -> None:
        error = "a password cannot be hashed inside a transaction"
        party.talk(f"""
            a> MULTI
            a: +OK
            a> ACL SETUSER u on >secret
            a: +QUEUED
            a> ACL SETUSER v on #{SHA256}
            a: +QUEUED
            a> EXEC
            a: [-ERR {error}, +OK]
            a> ACL USERS
            a: ["default", "v"]
        """)

    def test_the_hint_says_what_is_possible(self, world: World) -> None:
        world.say("multi")
        world.say("acl setuser u >x")
        assert "`memdb passwd` gives its hash" in world.say("exec")


class TestGetuser:
    def test_shows_all_that_a_user_is(self, world: World) -> None:
        acl(world, f"setuser u on #{SHA256} ~a %R~b &c +@read -get (%W~d +set)")
        found = acl(world, "getuser u")
        flags = found.pop("flags")
        assert isinstance(flags, Members)
        assert flags.items == ["on"]
        assert found == {
            "passwords": [SHA256],
            "commands": b"-@all +@read -get",
            "keys": b"~a %R~b",
            "channels": b"&c",
            "selectors": [{"commands": b"-@all +set", "keys": b"%W~d", "channels": b""}],
        }

    def test_of_one_who_is_not_there_it_shows_nothing(self, world: World) -> None:
        assert acl(world, "getuser nobody") is None

    def test_names_and_patterns_are_bytes(self, world: World) -> None:
        world.run(b"acl", b"setuser", b"\xff", b"~\xfe", b"&\xfd", b"+echo|\xfc")
        found = world.run(b"acl", b"getuser", b"\xff")
        assert (found["keys"], found["channels"]) == (b"~\xfe", b"&\xfd")
        assert found["commands"] == b"-@all +echo|\xfc"
        assert acl(world, "users") == [b"default", b"\xff"]


class TestDeluser:
    def test_counts_those_that_there_were(self, world: World) -> None:
        acl(world, "setuser u")
        acl(world, "setuser v")
        assert acl(world, "deluser u nobody v u") == 2
        assert acl(world, "users") == [b"default"]

    def test_the_default_user_stays(self, world: World) -> None:
        acl(world, "setuser u")
        assert refusal(world, b"acl", b"deluser", b"u", b"default") == (
            "ERR The 'default' user cannot be removed"
        )
        assert acl(world, "users") == [b"default", b"u"]


class TestDryrun:
    def test_looks_at_the_whole_request(self, world: World) -> None:
        acl(world, "setuser u +set %W~a")
        assert acl(world, "dryrun u set a 1") is OK
        assert acl(world, "dryrun u SET a 1 GET") == (
            b"This user has no permissions to access the 'a' key"
        )
        assert acl(world, "dryrun u config get x") == (
            b"This user has no permissions to run the 'config|get' command"
        )
        assert world.run(b"get", b"a") is None, "nothing was run"

    def test_nobody_hears_of_it(self, world: World) -> None:
        acl(world, "setuser u")
        acl(world, "dryrun u get a")
        assert acl(world, "log") == []

    def test_a_request_that_does_not_say_its_keys_is_not_allowed(self, world: World) -> None:
        acl(world, "setuser u +@all ~a")
        assert refusal(world, b"acl", b"dryrun", b"u", b"zunion", b"x", b"a") == (
            "ERR value is not an integer or out of range"
        )


class TestGenpass:
    @pytest.mark.parametrize(
        ("bits", "digits"), [("", 64), (" 1", 1), (" 4", 1), (" 5", 2), (" 4096", 1024)]
    )
    def test_gives_so_many_random_bits(self, world: World, bits: str, digits: int) -> None:
        made = acl(world, f"genpass{bits}")
        assert len(made) == digits
        assert set(made) <= set("0123456789abcdef")
        if digits > 2:
            assert acl(world, f"genpass{bits}") != made


class TestLog:
    @pytest.fixture
    def world(self) -> World:
        world = World()
        for number in range(12):
            world.daemon.gate.denials.note("key", "toplevel", b"%d" % number, b"u", "id=7")
        return world

    @pytest.mark.parametrize(
        ("count", "found"), [("", 10), (" 3", 3), (" 0", 0), (" -1", 0), (" 99", 12)]
    )
    def test_shows_the_newest(self, world: World, count: str, found: int) -> None:
        entries = acl(world, f"log{count}")
        assert [entry["object"] for entry in entries] == [
            b"%d" % number for number in range(11, 11 - found, -1)
        ]

    def test_an_entry_says_who_what_and_when(self, world: World) -> None:
        world.daemon.gate.denials.seconds = lambda: 61.2349
        assert acl(world, "log 1") == [
            {
                "count": 1,
                "reason": "key",
                "context": "toplevel",
                "object": b"11",
                "username": b"u",
                "age-seconds": 61.235,
                "client-info": b"id=7",
            }
        ]

    @pytest.mark.parametrize("word", ["reset", "RESET"])
    def test_is_forgotten_on_demand(self, world: World, word: str) -> None:
        assert acl(world, f"log {word}") is OK
        assert acl(world, "log") == []

    def test_its_length_is_a_parameter(self, world: World) -> None:
        world.run(b"config", b"set", b"acllog-max-len", b"2")
        assert len(acl(world, "log 99")) == 2
        assert world.run(b"config", b"get", b"acllog-max-len") == {"acllog-max-len": "2"}


class TestFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "users"
        path.write_text("# ours\nuser default on nopass ~* &* +@all\nuser u on nopass +@all ~u*\n")
        return path

    @pytest.fixture
    def party(self, path: Path) -> Party:
        party = Party()
        party.house = House(auth=(f"users:{path}",))
        return party

    def test_config_shows_which_it_is(self, party: Party, path: Path) -> None:
        assert party.says("a", "CONFIG GET aclfile") == [f'["aclfile", "{path}"]']

    def test_save_writes_the_users(self, party: Party, path: Path) -> None:
        party.talk("""
            a> ACL SETUSER v on nopass %R~v &x
            a: +OK
            a> ACL SAVE
            a: +OK
        """)
        assert path.read_text() == (
            "user default on nopass ~* &* +@all\n"
            "user u on nopass ~u* resetchannels +@all\n"
            "user v on nopass %R~v resetchannels &x -@all\n"
        )

    def test_load_reads_them(self, party: Party, path: Path) -> None:
        party.talk("""
            u> AUTH u x
            u: +OK
            v> ACL SETUSER v on nopass +@all
            v: +OK
            v> AUTH v x
            v: +OK
        """)
        path.write_text("user default on nopass ~* &* +@all\nuser u on nopass +get ~x\n")
        party.talk("""
            a> ACL LOAD
            a: +OK
            v: closed
            a> ACL USERS
            a: ["default", "u"]
            u> GET x
            u: nil2
            u> GET u
            u: -NOPERM this user has no permissions to access one of the keys used as arguments
        """)

    def test_a_file_that_is_wrong_changes_nothing(self, party: Party, path: Path) -> None:
        path.write_text("user default off\nuser u on +nosuch\n")
        party.talk(f"""
            a> ACL LOAD
            a: -ERR {path}, line 2: '+nosuch': Unknown command or category name in ACL
            a> ACL WHOAMI
            a: "default"
            a> ACL USERS
            a: ["default", "u"]
        """)

    def test_one_that_cannot_be_read_or_written_is_told_of(self, party: Party, path: Path) -> None:
        path.unlink()
        path.mkdir()
        (reply,) = party.says("a", "ACL LOAD")
        assert reply.startswith(f"-ERR cannot read the users of {path}: ")
        (reply,) = party.says("a", "ACL SAVE")
        assert reply.startswith(f"-ERR cannot write {path}: ")

    def test_where_there_is_none_that_is_said(self, world: World) -> None:
        for word in b"load", b"save":
            assert refusal(world, b"acl", word) == (
                "ERR there is no users file: it is a setting, --auth users:PATH"
            )

    def test_an_old_hash_is_upgraded_at_the_next_login(self, path: Path) -> None:
        path.write_text(f"# kept\nuser u on #{SHA256} +@all ~*\nuser v on #{SHA256}\n")
        party = Party()
        party.house = House(auth=(f"users:{path}",))
        party.talk("""
            a> AUTH u wrong
            a: -WRONGPASS invalid username-password pair or user is disabled.
        """)
        assert SHA256 in path.read_text().splitlines()[1]
        party.house.passes(1)
        party.talk("""
            a> AUTH u secret
            a: +OK
        """)
        user = party.house.server.gate.users.get(b"u")
        assert user is not None
        (hashed,) = user.hashes
        assert hashed == passwords.make(b"secret", passwords.salt_of([hashed]) or b"")
        assert path.read_text() == f"# kept\nuser u on #{hashed} +@all ~*\nuser v on #{SHA256}\n"
        party.talk("""
            b> AUTH u secret
            b: +OK
            a> ACL LOAD
            a: +OK
            b> AUTH u secret
            b: +OK
        """)


def test_the_text_dialect_answers_with_objects(world: World) -> None:
    conversation(
        world,
        """
        > acl setuser u on nopass ~a +get
        {"result": "OK"}
        > acl getuser u
        {"result": {"flags": ["on", "nopass"], "passwords": [], "commands": "-@all +get", "keys": "~a", "channels": "", "selectors": []}}
        > acl getuser nobody
        {"result": null}
        > acl dryrun u get a
        {"result": true}
        > acl dryrun u get b
        {"result": false, "reason": "This user has no permissions to access the 'b' key"}
        > acl dryrun u ttl
        {"error": "wrong number of arguments for 'ttl' command; usage: ttl <key>"}
        > acl whoami
        {"result": "default"}
        > acl users
        {"result": ["default", "u"]}
        > acl log
        {"result": []}
        > acl deluser u
        {"result": 1}
        > acl setuser u +nosuch
        {"error": "Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL"}
        """,  # noqa: E501
    )
