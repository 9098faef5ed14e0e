"""The settings: defaults < file < environment < flags, and what is refused with which words."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memdbd.config import (
    ENVIRONMENT,
    FORMATS,
    LEVELS,
    MULTIPLE,
    SECRET,
    SETTINGS,
    Config,
    flag_of,
    load,
    source,
)
from memdbd.errors import ConfigError
from memdbd.eviction import POLICIES, Bounds

SAMPLE = Path(__file__).parent.parent / "etc" / "memdbd.toml"

WriteFile = Callable[[str], str]


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    """Writes the configuration file; gives its path."""

    def write(text: str) -> str:
        path = tmp_path / "memdbd.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def refusal(
    flags: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
    path: str | None = None,
) -> str:
    """Why these settings are refused."""
    with pytest.raises(ConfigError) as refused:
        load(flags or {}, environment or {}, path)
    return str(refused.value)


class TestPrecedence:
    def test_without_anything_all_are_the_defaults(self) -> None:
        assert load({}, {"PATH": "/bin", "HOME": "/root"}, None) == Config()

    def test_a_file_wins_over_the_default(self, write_file: WriteFile) -> None:
        path = write_file("server_port = 1\nmax_keys = 5\n")
        assert load({}, {}, path) == Config(server_port=1, max_keys=5)

    def test_the_environment_wins_over_the_file(self, write_file: WriteFile) -> None:
        path = write_file("server_port = 1\nmax_keys = 5\n")
        config = load({}, {"MEMDB_SERVER_PORT": "2"}, path)
        assert config == Config(server_port=2, max_keys=5)

    def test_a_flag_wins_over_all(self, write_file: WriteFile) -> None:
        path = write_file("server_port = 1\nmax_keys = 5\n")
        config = load({"server_port": "3"}, {"MEMDB_SERVER_PORT": "2", "MEMDB_MAX_KEYS": "6"}, path)
        assert config == Config(server_port=3, max_keys=6)

    def test_the_file_may_be_named_in_the_environment_and_a_flag_wins(
        self, write_file: WriteFile, tmp_path: Path
    ) -> None:
        path = write_file("server_port = 1\n")
        other = tmp_path / "other.toml"
        other.write_text("server_port = 2\n")
        environment = {"MEMDB_CONFIG": path}
        assert load({}, environment, None).server_port == 1
        assert load({}, environment, str(other)).server_port == 2

    def test_the_variable_that_chooses_the_core_is_no_setting(self) -> None:
        assert load({}, {"MEMDB_CORE": "python"}, None) == Config()

    def test_variables_of_others_are_not_ours(self) -> None:
        assert load({}, {"MEMDBX": "1", "XMEMDB_MAX_KEYS": "1"}, None) == Config()


# (setting, what is given, what it comes to) from a file, where TOML has its own types
FROM_A_FILE: list[tuple[str, str, Any]] = [
    ("server_host", '"::1"', "::1"),
    ("server_port", "0", 0),
    ("server_port", "65535", 65535),
    ("listen", "[]", ()),
    ("listen", '["tcp:1", "unix:/run/my db"]', ("tcp:1", "unix:/run/my db")),
    ("listen", '"tcp:1"', ("tcp:1",)),
    ("snapshot_interval", "0", 0),
    ("snapshot_interval", "1.5", 1.5),
    ("sweep_interval", "0.001", 0.001),
    ("default_ttl", "1", 1),
    ("max_memory", "1024", 1024),
    ("max_memory", '"512mb"', 512 * 1024 * 1024),
    ("eviction", '"volatile-ttl"', "volatile-ttl"),
    ("enable_debug_command", "true", True),
    ("enable_debug_command", '"false"', False),
    ("log_level", '"debug"', "debug"),
    ("log_format", '"json"', "json"),
]
# The same from a variable or a flag, where all is text
FROM_TEXT: list[tuple[str, str, Any]] = [
    ("server_host", "localhost", "localhost"),
    ("server_port", "8000", 8000),
    ("listen", "tcp:1 tcp:2", ("tcp:1", "tcp:2")),
    ("listen", "", ()),
    ("data_dir", "/var/lib/memdbd", "/var/lib/memdbd"),
    ("storage_file", "data.json", "data.json"),
    ("snapshot_interval", "0.5", 0.5),
    ("snapshot_interval", "60", 60.0),
    ("cache_capacity", "0", 0),
    ("max_keys", "1000000", 1_000_000),
    ("max_memory", "0", 0),
    ("max_memory", "100", 100),
    ("max_memory", "100b", 100),
    ("max_memory", "2kb", 2048),
    ("max_memory", "2 KB", 2048),
    ("max_memory", "512MB", 512 << 20),
    ("max_memory", " 1gb ", 1 << 30),
    ("subscriber_buffer", "8mb", 8 << 20),
    ("eviction", "allkeys-lru", "allkeys-lru"),
    ("enable_debug_command", "true", True),
    ("enable_debug_command", "false", False),
]


class TestValues:
    @pytest.mark.parametrize(("name", "given_", "value"), FROM_A_FILE)
    def test_a_file_gives_them_as_toml(
        self, write_file: WriteFile, name: str, given_: str, value: Any
    ) -> None:
        config = load({}, {}, write_file(f"{name} = {given_}\n"))
        assert config == dataclasses.replace(Config(), **{name: value})

    @pytest.mark.parametrize(("name", "given_", "value"), FROM_TEXT)
    def test_the_environment_gives_them_as_text(self, name: str, given_: str, value: Any) -> None:
        config = load({}, {ENVIRONMENT + name.upper(): given_}, None)
        assert config == dataclasses.replace(Config(), **{name: value})

    @pytest.mark.parametrize(("name", "given_", "value"), FROM_TEXT)
    def test_flags_give_them_as_text(self, name: str, given_: str, value: Any) -> None:
        config = load({name: given_}, {}, None)
        assert config == dataclasses.replace(Config(), **{name: value})

    def test_flags_give_several_listeners_as_a_list(self) -> None:
        assert load({"listen": ["tcp:1", "unix:/my db"]}, {}, None).listen == (
            "tcp:1",
            "unix:/my db",
        )


PORT = "must be a whole number from 0 to 65535"
SECONDS = "must be a number from 0 to 1000000000"
COUNT = "must be a whole number of at least 0"
SIZE = "must be a number of bytes, or one with kb, mb or gb behind it"
TEXT = "must be a text that is not empty"
TEXTS = "must be a list of texts"

BAD_IN_A_FILE: list[tuple[str, str, str]] = [
    ("server_host", "1", TEXT),
    ("server_host", '""', TEXT),
    ("server_port", "-1", PORT),
    ("server_port", "65536", PORT),
    ("server_port", "80.0", PORT),
    ("server_port", "true", PORT),
    ("server_port", '"http"', PORT),
    ("server_port", "[80]", PORT),
    ("server_port", "1979-05-27", PORT),
    ("server_port", "nan", PORT),
    ("listen", "80", TEXTS),
    ("listen", "[80]", TEXTS),
    ("listen", '[""]', TEXTS),
    ("listen", "{tcp = 80}", TEXTS),
    ("snapshot_interval", "-0.1", SECONDS),
    ("snapshot_interval", "nan", SECONDS),
    ("snapshot_interval", "inf", SECONDS),
    ("snapshot_interval", "-inf", SECONDS),
    ("snapshot_interval", "false", SECONDS),
    ("snapshot_interval", '"1 minute"', SECONDS),
    ("sweep_interval", "0", "must be a number from 0.001 to 3600"),
    ("default_ttl", "0", "must be a whole number from 1 to 10000000000"),
    ("cache_capacity", "1.5", COUNT),
    ("max_keys", "-1", COUNT),
    ("max_memory", "-1", SIZE),
    ("max_memory", "1.5", SIZE),
    ("max_memory", "true", SIZE),
    ("eviction", '"lru"', f"must be one of {', '.join(POLICIES)}"),
    ("eviction", "0", f"must be one of {', '.join(POLICIES)}"),
    ("enable_debug_command", "1", "must be true or false"),
    ("enable_debug_command", '"local"', "must be true or false"),
    ("log_level", '"INFO"', f"must be one of {', '.join(LEVELS)}"),
    ("log_format", "[]", f"must be one of {', '.join(FORMATS)}"),
]
BAD_TEXT: list[tuple[str, str, str]] = [
    ("server_host", "", TEXT),
    ("server_port", "", PORT),
    ("server_port", "0x50", PORT),
    ("server_port", "80.0", PORT),
    ("server_port", "65536", PORT),
    ("server_port", "1_000", PORT),
    ("server_port", " 5 ", PORT),
    ("server_port", "+5", PORT),
    ("server_port", "٥", PORT),
    ("snapshot_interval", "nan", SECONDS),
    ("snapshot_interval", "inf", SECONDS),
    ("snapshot_interval", "1e3", SECONDS),
    ("snapshot_interval", "1_0.5", SECONDS),
    ("snapshot_interval", " 5.0", SECONDS),
    ("snapshot_interval", "9" * 400, SECONDS),
    ("snapshot_interval", "60s", SECONDS),
    ("max_keys", "many", COUNT),
    ("max_keys", "9" * 5000, COUNT),
    ("max_memory", "", SIZE),
    ("max_memory", "5m", SIZE),
    ("max_memory", "mb", SIZE),
    ("max_memory", "-1mb", SIZE),
    ("max_memory", "1.5gb", SIZE),
    ("max_memory", "1 k b", SIZE),
    ("max_memory", "1tb", SIZE),
    ("max_memory", "١mb", SIZE),
    ("enable_debug_command", "yes", "must be true or false"),
    ("strict_tail", "on", "must be true or false"),
    ("snapshot_after", "64 m", SIZE),
    ("durability", "sometimes", "must be one of always, everysec, no"),
    ("log_level", "loud", f"must be one of {', '.join(LEVELS)}"),
]


class TestBadValues:
    @pytest.mark.parametrize(("name", "given_", "right"), BAD_IN_A_FILE)
    def test_in_a_file_are_refused_with_file_setting_and_what_would_be_right(
        self, write_file: WriteFile, name: str, given_: str, right: str
    ) -> None:
        path = write_file(f"{name} = {given_}\n")
        raw = tomllib.loads(f"raw = {given_}")["raw"]
        assert refusal(path=path) == f"{path}: {name} {right}, not {raw!r}"

    @pytest.mark.parametrize(("name", "given_", "right"), BAD_TEXT)
    def test_in_the_environment_are_refused_with_the_variable(
        self, name: str, given_: str, right: str
    ) -> None:
        variable = f"MEMDB_{name.upper()}"
        assert refusal(environment={variable: given_}) == f"{variable} {right}, not {given_!r}"

    @pytest.mark.parametrize(("name", "given_", "right"), BAD_TEXT)
    def test_in_a_flag_are_refused_with_the_flag(self, name: str, given_: str, right: str) -> None:
        assert refusal({name: given_}) == f"--{flag_of(name)} {right}, not {given_!r}"

    def test_are_refused_even_where_a_better_one_would_win(self, write_file: WriteFile) -> None:
        path = write_file("server_port = -1\n")
        assert "server_port" in refusal({"server_port": "80"}, {}, path)


class TestUnknownNames:
    def test_in_a_file_the_nearest_is_suggested(self, write_file: WriteFile) -> None:
        path = write_file("server_prot = 80\n")
        assert refusal(path=path) == (
            f"{path}: server_prot: there is no such setting; did you mean server_port?"
        )

    def test_in_the_environment_the_nearest_variable_is_suggested(self) -> None:
        assert refusal(environment={"MEMDB_SERVER_PROT": "80"}) == (
            "MEMDB_SERVER_PROT: there is no such setting; did you mean MEMDB_SERVER_PORT?"
        )

    def test_for_one_that_is_like_none_all_are_listed(self, write_file: WriteFile) -> None:
        path = write_file("xyzzy = 1\n")
        assert refusal(path=path) == (
            f"{path}: xyzzy: there is no such setting; the settings are {', '.join(SETTINGS)}"
        )

    def test_sections_are_none_of_ours(self, write_file: WriteFile) -> None:
        assert "server: there is no such setting" in refusal(
            path=write_file("[server]\nport = 80\n")
        )

    @pytest.mark.parametrize("name", ["server-port", "SERVER_PORT", "port"])
    def test_a_file_has_the_names_as_they_are_documented(
        self, write_file: WriteFile, name: str
    ) -> None:
        assert "there is no such setting" in refusal(path=write_file(f"{name} = 80\n"))


class TestTheFile:
    def test_one_that_is_missing_is_refused(self, tmp_path: Path) -> None:
        path = str(tmp_path / "none.toml")
        assert refusal(path=path) == (
            f"cannot read the configuration {path}: No such file or directory"
        )

    def test_one_that_is_a_directory_is_refused(self, tmp_path: Path) -> None:
        assert "cannot read the configuration" in refusal(path=str(tmp_path))

    @pytest.mark.parametrize(
        "text",
        [
            "server_port = \n",
            "server_port 80\n",
            "a = 1\na = 2\n",
            "max_keys = " + "9" * 5000,
            "listen = " + "[" * 5000,
            "\x00",
        ],
    )
    def test_one_that_is_not_toml_is_refused(self, write_file: WriteFile, text: str) -> None:
        path = write_file(text)
        assert refusal(path=path).startswith(f"{path} is not TOML: ")

    def test_the_line_of_an_error_is_named(self, write_file: WriteFile) -> None:
        assert "line 2" in refusal(path=write_file("max_keys = 1\nserver_port = \n"))

    def test_one_that_is_not_utf8_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "latin1.toml"
        path.write_bytes(b'server_host = "\xff"\n')
        assert refusal(path=str(path)).startswith(f"{path} is not TOML: ")

    def test_a_path_that_cannot_be_one_is_refused(self) -> None:
        refusal(path="a\x00b")

    def test_an_empty_one_changes_nothing(self, write_file: WriteFile) -> None:
        assert load({}, {}, write_file("")) == Config()


class TestSecrets:
    def test_are_not_shown(self, write_file: WriteFile) -> None:
        config = load({}, {"MEMDB_PASSWORD": "sesame"}, None)
        assert config.password == "sesame"
        assert "sesame" not in repr(config)
        assert "sesame" not in repr(source({}, {"MEMDB_PASSWORD": "sesame"}, None))
        assert refusal(path=write_file("password = 5318008\n")).endswith("password must be a text")

    def test_have_no_flag(self) -> None:
        assert SECRET == ["password"]
        assert SETTINGS["password"].metadata["secret"]

    def test_are_left_empty_where_they_are_not_wanted(self) -> None:
        config = Config(password="sesame", max_keys=5)
        assert config.without_secrets() == Config(max_keys=5)

    @pytest.mark.parametrize("text", ['password = "sesame\n', "password = 'sesame' x\n"])
    def test_are_not_in_what_is_said_of_a_file_that_is_not_toml(
        self, write_file: WriteFile, text: str
    ) -> None:
        assert "sesame" not in refusal(path=write_file(text))


class TestTheSource:
    def test_is_read_again_with_the_flags_and_variables_that_were_given(
        self, write_file: WriteFile
    ) -> None:
        path = write_file("max_keys = 1\ndefault_ttl = 1\ncache_capacity = 1\n")
        environment = {"MEMDB_MAX_KEYS": "2", "MEMDB_CONFIG": path}
        found = source({"default_ttl": "2"}, environment, None)
        environment["MEMDB_MAX_KEYS"] = "3"
        assert found.load() == Config(max_keys=2, default_ttl=2, cache_capacity=1)
        write_file("max_keys = 7\nmax_clients = 7\n")
        assert found.load() == Config(max_keys=2, default_ttl=2, max_clients=7)

    def test_finds_the_file_again_from_another_directory(
        self, write_file: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_file("max_keys = 1\n")
        monkeypatch.chdir(tmp_path)
        found = source({}, {}, "memdbd.toml")
        monkeypatch.chdir("/")
        assert found.load() == Config(max_keys=1)

    def test_has_no_variable_of_others(self) -> None:
        assert source({}, {"HOME": "/root", "MEMDB_MAX_KEYS": "1"}, None).environment == {
            "MEMDB_MAX_KEYS": "1"
        }

    def test_forgets_the_secrets_of_variables_and_that_they_win_it_does_not_forget(
        self, write_file: WriteFile
    ) -> None:
        path = write_file('password = "of the file"\nmax_keys = 1\n')
        given_ = source({}, {"MEMDB_PASSWORD": "sesame"}, path)
        assert given_.load() == Config(password="sesame", max_keys=1)
        kept = given_.without_secrets()
        assert "sesame" not in str(kept.environment)
        assert kept.kept == {"password"}
        assert kept.load() == Config(max_keys=1)
        assert kept.without_secrets() == kept

    def test_goes_on_to_read_a_secret_of_the_file(self, write_file: WriteFile) -> None:
        path = write_file('password = "of the file"\n')
        kept = source({}, {}, path).without_secrets()
        assert kept.kept == frozenset()
        assert kept.load() == Config(password="of the file")


class TestTheSample:
    def test_it_has_every_setting_in_order_with_its_default(self) -> None:
        shown = re.findall(r"^(?:# ?)?([a-z_]+) = (.+)$", SAMPLE.read_text("utf-8"), re.MULTILINE)
        values = {name: tomllib.loads(f"value = {text}")["value"] for name, text in shown}
        defaults: dict[str, Any] = {name: field.default for name, field in SETTINGS.items()}
        assert values == defaults | {name: [] for name in MULTIPLE}
        assert [name for name, _ in shown] == list(SETTINGS)

    def test_as_it_is_it_changes_nothing(self) -> None:
        assert load({}, {}, str(SAMPLE)) == Config()


class TestWhatFollowsFromThem:
    @pytest.mark.parametrize("name", SETTINGS)
    def test_each_default_is_a_value_that_the_setting_may_have(self, name: str) -> None:
        field = SETTINGS[name]
        assert field.metadata["parse"](field.default) == field.default
        assert field.metadata["help"]

    def test_host_and_port_have_short_flags_and_the_others_their_names(self) -> None:
        flags = {name: flag_of(name) for name in SETTINGS}
        assert (flags["server_host"], flags["server_port"]) == ("host", "port")
        assert (flags["data_dir"], flags["max_keys"]) == ("data-dir", "max-keys")
        assert len(set(flags.values())) == len(flags)

    def test_by_default_it_listens_on_loopback_only(self) -> None:
        assert Config().endpoints == ("tcp:65432:interface=127.0.0.1:backlog=1024",)

    def test_colons_of_an_address_are_escaped_in_the_endpoint(self) -> None:
        assert Config(server_host="::1", server_port=0).endpoints == (
            r"tcp:0:interface=\:\:1:backlog=1024",
        )

    def test_listen_replaces_host_and_port(self) -> None:
        assert Config(server_port=1, listen=("unix:/run/x",)).endpoints == ("unix:/run/x",)

    def test_the_bounds_are_those_of_the_keyspace(self) -> None:
        assert Config(max_keys=5, max_memory=7, eviction="allkeys-lru").bounds == Bounds(
            5, 7, "allkeys-lru"
        )
        assert not Config().bounds


ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
    | st.sampled_from(["0", "1", "1kb", "info", "json", "tcp:1", "9" * 5000, "1_0", " 1 "]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(list(SETTINGS)) | st.text(max_size=12)


class TestGarbage:
    @settings(max_examples=300, deadline=None)
    @given(st.dictionaries(st.sampled_from(list(SETTINGS)), ANY_VALUE, max_size=3))
    def test_in_flags_is_either_a_config_or_a_config_error(self, flags: dict[str, Any]) -> None:
        with suppress(ConfigError):
            config = load(flags, {}, None)
            # What was accepted once is accepted as it is.
            assert load(dataclasses.asdict(config), {}, None) == config

    @settings(max_examples=200, deadline=None)
    @given(st.dictionaries(NAMES.map(lambda name: ENVIRONMENT + name.upper()), st.text()))
    def test_in_the_environment_is_either_a_config_or_a_config_error(
        self, environment: dict[str, str]
    ) -> None:
        environment.pop(f"{ENVIRONMENT}CONFIG", None)
        with suppress(ConfigError):
            load({}, environment, None)

    @settings(
        max_examples=200,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        st.binary(max_size=40)
        | st.lists(
            st.sampled_from([*SETTINGS, " = ", "\n", '"', "[", "]", "1", "0.5", "inf", "#", "."]),
            max_size=8,
        ).map(lambda pieces: "".join(pieces).encode())
    )
    def test_in_a_file_is_either_a_config_or_a_config_error(
        self, tmp_path: Path, data: bytes
    ) -> None:
        path = tmp_path / "garbage.toml"
        path.write_bytes(data)
        with suppress(ConfigError):
            load({}, {}, str(path))
