"""The session of the README, typed in a real terminal (tmux) against a real daemon."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from harness import Daemon

from memdbd.passwords import SALT_BYTES, make

from .conftest import ENVIRONMENT, HERE

Run = Callable[..., tuple[int, bytes, bytes]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("tmux") is None and not os.environ.get("CI"),
        reason="tmux is not installed",
    ),
]

SESSION = """\
> subscribe notifications
Subscribed to channel: notifications

> publish notifications "Hello World"
{'result': 'OK'}

Message from 'notifications': Hello World

> set username john_doe
{'result': 'OK'}

> get username
{'result': 'john_doe', 'ttl_remaining': None}

> set_with_ttl temp_token abc123 60
Setting temp_token = abc123 with TTL of 60 seconds
{'result': 'OK', 'ttl_set': 60}

> keys
{'result': ['username', 'temp_token']}

>"""


class Window:
    """A tmux window with ``memdb`` in it."""

    def __init__(self, socket: str, command: list[str], columns: int) -> None:
        self._tmux = ["tmux", "-S", socket, "-f", "/dev/null"]
        # The shell tells afterwards whether the terminal was left as it was.
        line = f"{shlex.join(command)}; echo status $?; stty -a | grep -o '[-]*icanon'; cat"
        size = ["-x", str(columns), "-y", "50"]
        self._run("new-session", "-d", *size, f"env PYTHONPATH={HERE} sh -c {shlex.quote(line)}")

    def types(self, text: str) -> None:
        self._run("send-keys", "-l", text)

    def presses(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def shows(self, text: str) -> None:
        """Wait until the screen is this, but for blanks at the ends of lines."""
        deadline = time.monotonic() + 10
        text = "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))
        while (screen := self.screen()) != text:
            assert time.monotonic() < deadline, f"{screen}\n--- instead of ---\n{text}"
            time.sleep(0.02)

    def screen(self) -> str:
        lines = self._run("capture-pane", "-p").split("\n")
        return "\n".join(line.rstrip() for line in lines).strip("\n")

    def cursor(self) -> tuple[int, int]:
        """Column and row."""
        column, row = self._run("display-message", "-p", "#{cursor_x} #{cursor_y}").split()
        return int(column), int(row)

    def process(self) -> int:
        """The process that the shell in the window waits for."""
        shell = self._run("display-message", "-p", "#{pane_pid}").strip()
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", shell], stdout=-1, check=True)
        return int(children.stdout)

    def scrollback(self) -> str:
        """All that was ever on the screen, and is not erased."""
        return self._run("capture-pane", "-p", "-S", "-")

    def close(self) -> None:
        self._run("kill-server")

    def _run(self, *words: str) -> str:
        return subprocess.run(
            [*self._tmux, *words],
            env={**ENVIRONMENT, "LC_ALL": "C.UTF-8"},
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
        ).stdout


@pytest.fixture
def window(
    daemon: str, memdb: Callable[..., list[str]], run: Run, tmp_path: object
) -> Iterator[Window]:
    run(daemon, "flushall")
    window = Window(f"{tmp_path}/tmux", memdb(daemon), columns=60)
    window.shows(">")
    yield window
    window.close()


def test_the_session_prints_what_the_readme_says(window: Window) -> None:
    shown = ""
    for block in SESSION.split("> ")[1:]:
        window.types(block.split("\n")[0])
        window.presses("Enter")
        shown += "> " + block
        window.shows(shown + ("" if shown.endswith("\n>") else ">"))
    window.shows(SESSION)


def test_a_message_in_the_middle_of_typing_garbles_nothing(
    window: Window, daemon: str, run: Run
) -> None:
    window.types("subscribe notifications")
    window.presses("Enter")
    subscribed = "> subscribe notifications\nSubscribed to channel: notifications\n\n"
    window.shows(subscribed + ">")
    window.types("get username")
    window.presses("Left", "Left", "Left", "Left")
    window.shows(subscribed + "> get username")
    run(daemon, "publish", "notifications", "Hello World")
    told = subscribed + "Message from 'notifications': Hello World\n\n"
    window.shows(told + "> get username")
    assert window.cursor() == (len("> get user"), 5)
    window.types("X")
    window.shows(told + "> get userXname")


def test_an_element_is_not_lost_to_a_command_that_was_given_up(
    window: Window, daemon: str, run: Run
) -> None:
    window.types("blpop queue 0")
    window.presses("Enter")
    window.shows("> blpop queue 0")
    window.presses("C-c")
    given_up = (
        "> blpop queue 0\n^C\n"
        "No longer waiting for the reply: the command may have been c\narried out\n\n"
    )
    window.shows(given_up + ">")
    run(daemon, "rpush", "queue", "a")
    window.types("lpop queue")
    window.presses("Enter")
    window.shows(given_up + "> lpop queue\n{'result': 'a'}\n\n>")


def test_wide_and_wrapped_lines_survive_a_message_too(
    window: Window, daemon: str, run: Run
) -> None:
    window.types("subscribe c")
    window.presses("Enter")
    subscribed = "> subscribe c\nSubscribed to channel: c\n\n"
    window.shows(subscribed + ">")
    # 2 for the prompt, 6 for the words, 12 for six wide characters: 60 columns are full.
    window.types("set k 日本語日本語" + "x" * 40 + "tail")
    row = "> set k 日本語日本語" + "x" * 40
    window.shows(f"{subscribed}{row}\ntail")
    run(daemon, "publish", "c", "m")
    window.shows(f"{subscribed}Message from 'c': m\n\n{row}\ntail")
    window.presses("Home")
    window.types("y")
    wrapped = "> yset k 日本語日本語" + "x" * 39 + "\nxtail"
    window.shows(f"{subscribed}Message from 'c': m\n\n{wrapped}")


def test_history_and_the_keys_of_a_shell(window: Window) -> None:
    window.types("set a 1")
    window.presses("Enter")
    window.shows("> set a 1\n{'result': 'OK'}\n\n>")
    window.types("new")
    window.presses("Up", "C-w")
    window.types("2")
    window.presses("Enter")
    window.shows("> set a 1\n{'result': 'OK'}\n\n> set a 2\n{'result': 'OK'}\n\n>")
    window.types("abc")
    window.presses("C-l")
    window.shows("> abc")
    window.presses("C-c")
    window.shows("> abc^C\n>")


@pytest.mark.parametrize(("keys", "shown"), [("C-d", ">"), ("C-c", ">"), ("exit", "> exit")])
def test_leaving_restores_the_terminal(window: Window, keys: str, shown: str) -> None:
    window.presses(*([keys, "Enter"] if keys == "exit" else [keys]))
    window.shows(f"{shown}\nstatus 0\nicanon")


def test_being_terminated_restores_it_too(window: Window) -> None:
    window.types("half a li")
    window.shows("> half a li")
    os.kill(window.process(), signal.SIGTERM)
    window.shows("> half a li\nstatus 143\nicanon")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A daemon that wants a login; gives its endpoint."""
    directory = tmp_path_factory.mktemp("guarded")
    rule = make(b"hunter2hunter2", b"s" * SALT_BYTES)
    (directory / "users").write_text(
        f"user default off\nuser ann on #{rule} ~* &* +@all\nuser bob on #{rule} +acl|whoami\n"
    )
    with Daemon(directory / "data", f"--auth=users:{directory}/users") as daemon:
        yield f"tcp:127.0.0.1:{daemon.port}"


class TestSecured:
    """A daemon that wants a login."""

    @pytest.fixture
    def opened(
        self, guarded: str, memdb: Callable[..., list[str]], tmp_path: object
    ) -> Iterator[Callable[..., Window]]:
        windows: list[Window] = []

        def opened(*options: str) -> Window:
            command = memdb(guarded, *options)
            windows.append(Window(f"{tmp_path}/tmux{len(windows)}", command, columns=90))
            return windows[-1]

        yield opened
        for window in windows:
            window.close()

    def test_a_password_is_asked_for_without_echo(self, opened: Callable[..., Window]) -> None:
        window = opened("--user", "ann")
        window.shows("Password of ann:")
        window.types("hunter2hunter2")
        window.presses("Enter")
        window.shows("Password of ann:\nann>")
        window.types("acl whoami")
        window.presses("Enter")
        window.shows("Password of ann:\nann> acl whoami\n{'result': 'ann'}\n\nann>")
        window.presses("C-d")
        window.shows(
            "Password of ann:\nann> acl whoami\n{'result': 'ann'}\n\nann>\nstatus 0\nicanon"
        )
        assert "hunter2" not in window.scrollback()

    def test_a_wrong_one_ends_it(self, opened: Callable[..., Window]) -> None:
        window = opened("--user", "ann")
        window.shows("Password of ann:")
        window.types("wrong")
        window.presses("Enter")
        wait_for(window, "status 1\nicanon")
        assert "the server refuses the login as 'ann'" in window.screen().replace("\n", "")

    def test_a_typed_login_is_nowhere_to_be_seen_afterwards(
        self, opened: Callable[..., Window]
    ) -> None:
        window = opened()
        window.shows(">")
        window.types("auth ann hunter2hunter2")
        window.shows("> auth ann hunter2hunter2")
        window.presses("Enter")
        logged_in = "> auth ann (redacted)\n{'result': 'OK'}\n\n"
        window.shows(f"{logged_in}ann>")
        window.presses("Up", "Up", "Up")
        window.types("acl setuser carl on >hunter2carl")
        window.presses("Enter")
        window.shows(f"{logged_in}ann> acl setuser carl on (redacted)\n{{'result': 'OK'}}\n\nann>")
        window.presses("Up")
        window.types("x")
        window.shows(
            f"{logged_in}ann> acl setuser carl on (redacted)\n{{'result': 'OK'}}\n\nann> x"
        )
        assert "hunter2" not in window.scrollback()

    def test_what_cannot_be_undone_is_asked_about(self, opened: Callable[..., Window]) -> None:
        window = opened("--user", "ann")
        window.shows("Password of ann:")
        window.types("hunter2hunter2")
        window.presses("Enter")
        shown = "Password of ann:\nann> "
        window.shows(shown)
        window.types("set a 1")
        window.presses("Enter")
        shown += "set a 1\n{'result': 'OK'}\n\nann> "
        window.shows(shown)
        question = "flushall deletes all keys of all databases. Go on? (yes/no) "
        for keys, answer, done in [
            (["n", "o", "Enter"], "no", "Nothing was done"),
            (["C-c"], "^C", "Nothing was done"),
            (["y", "e", "s", "Enter"], "yes", "{'result': 'OK'}"),
        ]:
            window.types("flushall")
            window.presses("Enter")
            shown += f"flushall\n{question}"
            window.shows(shown)
            window.presses(*keys)
            shown += f"{answer}\n{done}\n\nann> "
            window.shows(shown)
            window.types("dbsize")
            window.presses("Enter")
            shown += f"dbsize\n{{'result': {int(answer != 'yes')}}}\n\nann> "
            window.shows(shown)


def wait_for(window: Window, end: str) -> None:
    """Wait until the screen ends like this."""
    deadline = time.monotonic() + 10
    while not window.screen().endswith(end):
        assert time.monotonic() < deadline, window.screen()
        time.sleep(0.02)
