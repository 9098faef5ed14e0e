"""``twistd memdb``: its flags, its help, and the daemon that it puts together."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import PATIENCE, TWISTD, environment, run
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

from memdbd import __version__
from memdbd.config import ENVIRONMENT, MULTIPLE, SETTINGS, Config, flag_of
from memdbd.tap import Options

# The others are secret, and all can see a flag.
WITH_FLAGS = {name: field for name, field in SETTINGS.items() if not field.metadata["secret"]}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.startswith(ENVIRONMENT):
            monkeypatch.delenv(variable)


def parsed(*flags: str) -> Config:
    options = Options()
    options.parseOptions(list(flags))
    return options.config


class TestFlags:
    def test_none_leave_the_defaults(self) -> None:
        assert parsed() == Config()

    @pytest.mark.parametrize(
        ("flag", "name", "value"),
        [
            ("--host=::1", "server_host", "::1"),
            ("--port=0", "server_port", 0),
            ("--data-dir=/var/lib/memdb", "data_dir", "/var/lib/memdb"),
            ("--storage-file=x.json", "storage_file", "x.json"),
            ("--durability=always", "durability", "always"),
            ("--snapshot-after=1mb", "snapshot_after", 1 << 20),
            ("--strict-tail=true", "strict_tail", True),
            ("--snapshot-interval=0.5", "snapshot_interval", 0.5),
            ("--sweep-interval=1", "sweep_interval", 1.0),
            ("--default-ttl=5", "default_ttl", 5),
            ("--cache-capacity=0", "cache_capacity", 0),
            ("--max-keys=10", "max_keys", 10),
            ("--max-memory=2kb", "max_memory", 2048),
            ("--eviction=allkeys-lru", "eviction", "allkeys-lru"),
            ("--subscriber-buffer=1mb", "subscriber_buffer", 1 << 20),
            ("--log-level=warn", "log_level", "warn"),
            ("--log-format=json", "log_format", "json"),
        ],
    )
    def test_each_sets_its_setting(self, flag: str, name: str, value: object) -> None:
        assert getattr(parsed(flag), name) == value

    def test_there_is_one_for_every_setting(self) -> None:
        flags = {str(row[0]) for row in Options.optParameters} | set(map(flag_of, MULTIPLE))
        assert flags == set(map(flag_of, WITH_FLAGS)) | {"config"}

    def test_listen_may_be_given_several_times(self) -> None:
        config = parsed("--listen", "tcp:1", "--listen", "unix:/tmp/s")
        assert config.endpoints == ("tcp:1", "unix:/tmp/s")

    def test_win_over_the_environment_and_that_over_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "memdbd.toml"
        file.write_text("max_keys = 1\ndefault_ttl = 1\ncache_capacity = 1\n")
        monkeypatch.setenv("MEMDB_MAX_KEYS", "2")
        monkeypatch.setenv("MEMDB_DEFAULT_TTL", "2")
        config = parsed(f"--config={file}", "--max-keys=3")
        assert (config.max_keys, config.default_ttl, config.cache_capacity) == (3, 2, 1)

    @pytest.mark.parametrize(
        ("flag", "says"),
        [
            ("--port=70000", "memdbd: --port must be a whole number from 0 to 65535, not '70000'"),
            ("--port=http", "memdbd: --port must be a whole number from 0 to 65535, not 'http'"),
            ("--eviction=lru", "memdbd: --eviction must be one of noeviction, "),
            ("--max-memory=lots", "memdbd: --max-memory must be a number of bytes, "),
            ("--config=/nowhere.toml", "memdbd: cannot read the configuration /nowhere.toml: "),
        ],
    )
    def test_a_value_that_cannot_be_is_refused_with_what_can(self, flag: str, says: str) -> None:
        with pytest.raises(SystemExit) as refusal:
            parsed(flag)
        assert str(refusal.value).startswith(says)

    @pytest.mark.parametrize(
        ("variable", "value", "says"),
        [
            ("MEMDB_SERVER_PORT", "x", "must be a whole number from 0 to 65535, not 'x'"),
            ("MEMDB_SERVER_PROT", "1", "there is no such setting; did you mean MEMDB_SERVER_PORT?"),
        ],
    )
    def test_so_is_a_variable(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
    ) -> None:
        monkeypatch.setenv(variable, value)
        with pytest.raises(SystemExit) as refusal:
            parsed()
        assert str(refusal.value).startswith(f"memdbd: {variable}")
        assert str(refusal.value).endswith(says)

    @pytest.mark.parametrize(
        ("flags", "says"),
        [
            (["--prot=1"], "option --prot not recognized; did you mean --port?"),
            (["--frob=1"], "option --frob not recognized; see twistd memdb --help"),
            (["extra"], "Wrong number of arguments.; see twistd memdb --help"),
            (["--port"], "option --port requires argument; see twistd memdb --help"),
            *(
                (
                    [*given],
                    "a password is no flag, which all users of the machine can read: "
                    "MEMDB_PASSWORD, or password in the file",
                )
                for given in (("--password", "foo"), ("--password=foo",), ("--requirepass", "foo"))
            ),
        ],
    )
    def test_one_that_does_not_exist_is_refused_in_one_line(
        self, flags: list[str], says: str
    ) -> None:
        with pytest.raises(SystemExit) as refusal:
            parsed(*flags)
        assert str(refusal.value) == f"memdbd: {says}"

    def test_version_is_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            parsed("--version")
        assert capsys.readouterr().out == f"memdbd {__version__}\n"


class TestAuth:
    def test_may_be_given_several_times(self) -> None:
        assert parsed("--auth=users:/u", "--auth", "file:/f").auth == ("users:/u", "file:/f")

    def test_help_lists_the_checkers_of_passwords_and_ours_is_among_them(
        self, tmp_path: Path
    ) -> None:
        shown = run(tmp_path, "--help-auth")
        assert (shown.returncode, shown.stderr) == (0, "")
        listed = re.findall(r"^  (\w+) *\t(.*)$", shown.stdout, re.MULTILINE)
        assert ("users", "path of the file") in listed
        kinds = {kind for kind, _ in listed}
        assert "file" in kinds
        # The one does not look at passwords, and the other has them where all can see them.
        assert not {"anonymous", "memory"} & kinds

    def test_help_of_ours_says_what_is_in_the_file(self, tmp_path: Path) -> None:
        shown = run(tmp_path, "--help-auth-type=users")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "memdb passwd" in shown.stdout

    def test_help_of_one_that_does_not_exist_is_refused(self, tmp_path: Path) -> None:
        shown = run(tmp_path, "--help-auth-type=nonsense")
        assert (shown.returncode, shown.stdout) == (1, "")
        assert shown.stderr.startswith("memdbd: Invalid auth type: nonsense; ")


class TestHelp:
    def test_tells_of_every_setting_what_it_does_and_its_default(self) -> None:
        # Lines are broken at hyphens too.
        shown = re.sub(r"\s+", "", str(Options()))
        for name, field in WITH_FLAGS.items():
            # A flag that may be given several times has only its doc string for a help.
            told = field.metadata["help"].split(" [")[0]
            assert f"--{flag_of(name)}=" in shown
            assert re.sub(r"\s+", "", told) in shown
            if field.default != ():
                assert f"[default:{field.default}]" in shown

    def test_tells_of_the_environment_and_the_exit_status(self) -> None:
        shown = re.sub(r"\s+", " ", str(Options()))
        assert "MEMDB_SNAPSHOT_INTERVAL=10" in shown
        assert "Exit status" in shown
        assert "MEMDB_PASSWORD" in shown


class TestThePlugin:
    def test_is_found_by_twistd(self) -> None:
        listed = subprocess.run(
            [TWISTD, "--help"], env=environment(), capture_output=True, text=True, check=True
        )
        assert re.search(r"^\s+memdb\s+An in-memory key-value database", listed.stdout, re.M)

    def test_is_one(self) -> None:
        makers = {maker.tapname: maker for maker in getPlugins(IServiceMaker)}
        assert getattr(makers["memdb"], "module", None) == "memdbd.tap"

    def test_does_not_install_a_reactor(self) -> None:
        # The choice is twistd's (--reactor), and made after the plugin is loaded.
        code = (
            "import sys, memdbd.tap, twisted.plugins.memdb;"
            "print('twisted.internet.reactor' in sys.modules)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
        assert ran.stdout == "False\n"

    def test_shows_its_help(self, tmp_path: Path) -> None:
        shown = run(tmp_path, "--help")
        assert shown.returncode == 0
        assert "--snapshot-interval=" in shown.stdout


# Each in a process of its own, since makeService changes the reactor, the excepthook and the limit
# of files.

MAKE = """
import json, sys
from twisted.internet import reactor
from memdbd.tap import Options, makeService
options = Options()
options.parseOptions(sys.argv[1:])
root = makeService(options)
root.privilegedStartService()
root.startService()
def stop():
    names = [type(service).__name__ for service in root]
    done = root.stopService()
    done.addCallback(lambda _: print(json.dumps(names)))
    done.addErrback(lambda failure: failure.printTraceback())
    done.addCallback(lambda _: reactor.stop())
reactor.callWhenRunning(stop)
reactor.run()
"""

# The wall is set back by an hour as soon as the reactor runs. Where its timers go by the wall they
# are not due for that hour, and the alarm ends it.
SET_BACK = """
import signal, sys, time
told, step = time.time, 0
time.time = lambda: told() + step
from twisted.internet import reactor, task
from memdbd.tap import Options, makeService
signal.alarm(20)
options = Options()
options.parseOptions(sys.argv[1:])
makeService(options)
def set_back():
    global step
    step = -3600
def tick():
    if step:
        loop.stop()
        reactor.callLater(0.01, reactor.stop)
loop = task.LoopingCall(tick)
loop.start(0.01, now=False)
reactor.callWhenRunning(set_back)
reactor.run()
"""

LIMIT = """
import resource, sys
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard - 1), hard))
from memdbd.tap import Options, makeService
options = Options()
options.parseOptions(sys.argv[1:])
makeService(options)
print(resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard))
"""


# What still knows the password when the daemon is made, apart from this very script.
PASSWORD = "sesame, open up"
WHO_KNOWS = """
import gc, os, sys
from memdbd.tap import Options, makeService
options = Options()
options.parseOptions(sys.argv[1:])
password = os.environ["MEMDB_PASSWORD"]
root = makeService(options)
told = {password, password.encode()}
for each in gc.get_objects():
    if each is told or each is globals():
        continue
    for other in gc.get_referents(each):
        if isinstance(other, (str, bytes)) and other in told:
            print(type(each).__name__)
print("MEMDB_PASSWORD" in os.environ, options.config.password == "")
"""

# How nice the thread of the passwords is, and how nice the others are.
NICENESS = """
import os, threading
from twisted.internet import reactor
from memdbd.tap import _hash_in_thread
in_thread = _hash_in_thread(reactor)
def about():
    nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    return threading.current_thread().name, nice, threading.active_count()
print(about())
def begin():
    in_thread(about).addCallback(print)
    in_thread(about).addCallback(print)
    in_thread(about).addCallback(lambda _: print(about()))
    in_thread(about).addCallback(lambda _: reactor.stop())
reactor.callWhenRunning(begin)
reactor.run()
print(about())
"""


def make(
    directory: Path, *flags: str, script: str = MAKE, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, f"--data-dir={directory / 'data'}", *flags],
        cwd=directory,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


class TestMakeService:
    def test_stacks_the_services_from_the_disk_up_to_the_clients(self, tmp_path: Path) -> None:
        made = make(tmp_path, "--port=0")
        assert (made.returncode, made.stderr) == (0, "")
        assert json.loads(made.stdout) == [
            "Storage",
            "Sweeper",
            "Gravedigger",
            "Listeners",
            "Reloader",
            "SystemdService",
        ]
        assert (tmp_path / "data" / "memdbd.lock").read_text() == ""

    def test_refuses_an_endpoint_that_is_none(self, tmp_path: Path) -> None:
        made = make(tmp_path, "--listen=nonsense")
        assert made.returncode == 1
        assert made.stderr == (
            "memdbd: listen: 'nonsense' cannot be listened on (Unknown endpoint type: 'nonsense'); "
            "right would be, for example, tcp:65432:interface=127.0.0.1 or unix:/run/memdbd.sock\n"
        )
        assert not (tmp_path / "data").exists()

    def test_gives_the_reactor_a_clock_that_does_not_follow_a_wall_that_is_set_back(
        self, tmp_path: Path
    ) -> None:
        made = make(tmp_path, script=SET_BACK)
        assert (made.returncode, made.stderr) == (0, "")

    def test_forgets_the_password_when_it_is_hashed(self, tmp_path: Path) -> None:
        made = make(tmp_path, script=WHO_KNOWS, MEMDB_PASSWORD=PASSWORD)
        assert (made.returncode, made.stderr, made.stdout) == (0, "", "False True\n")

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no niceness")
    def test_hashes_passwords_in_one_thread_that_lets_all_others_go_first(
        self, tmp_path: Path
    ) -> None:
        made = make(tmp_path, script=NICENESS)
        assert (made.returncode, made.stderr) == (0, "")
        main = f"('MainThread', {os.nice(0)}, {{}})"
        hashing = "('PoolThread-passwords-0', 10, 2)"
        assert made.stdout.splitlines() == [
            main.format(1),
            hashing,
            hashing,
            main.format(2),
            main.format(1),
        ]

    def test_raises_the_limit_of_files_to_what_it_may_be(self, tmp_path: Path) -> None:
        made = make(tmp_path, script=LIMIT)
        assert (made.returncode, made.stderr, made.stdout) == (0, "", "True\n")
