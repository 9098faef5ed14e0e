"""The command line, and what is said about one that is wrong."""

from __future__ import annotations

import pytest
from twisted.python.usage import UsageError

from memdbd.client.options import MANUAL, Options

WHERE = "the server is named with -c HOST:PORT"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--timeuot", "3"], "there is no option --timeuot; did you mean --timeout?"),
        (["--conect=tcp:a:1"], "there is no option --conect; did you mean --connect?"),
        (["--verbose"], "there is no option --verbose"),
        (["-x"], "there is no option -x"),
        (["-t", "abc"], "--timeout must be a number of seconds, not 'abc'; 0 is no limit"),
        (["-t", "-1"], "--timeout must be a number of seconds, not '-1'; 0 is no limit"),
        (["-t", "inf"], "--timeout must be a number of seconds, not 'inf'; 0 is no limit"),
        (["-t"], "option -t requires argument"),
        (["-p", "7985", "ping"], f"there is no option -p; {WHERE}"),
        (["--port", "7985"], f"there is no option --port; {WHERE}"),
        (["--host=a"], f"there is no option --host; {WHERE}"),
        (["-h", "127.0.0.1", "-p", "7985", "set", "k", "v"], f"{WHERE}; -h alone is for help"),
        (["-h", "127.0.0.1"], f"{WHERE}; -h alone is for help"),
        (["-yh", "get", "a"], f"{WHERE}; -h alone is for help"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        Options().parseOptions(words)
    assert str(raised.value) == complaint


@pytest.mark.parametrize(
    "words", [["-h"], ["--help"], ["--help", "get"], ["-c", "a:1", "-h"], ["-t", "1", "-h"]]
)
def test_help_is_there_for_who_asks_for_it(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        Options().parseOptions(words)
    assert not raised.value.code
    assert "Exit status" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["get", "-h"], ["export", "-h"]])
def test_an_h_behind_the_first_word_is_a_word_of_the_command(words: list[str]) -> None:
    options = Options()
    options.parseOptions(words)
    assert options.words[1] == b"-h"


def test_what_follows_the_options_are_the_words_of_a_command() -> None:
    options = Options()
    options.parseOptions(["-t", "0.5", "set", "k", "-1", "\udcff"])
    assert (options["timeout"], options.words) == (0.5, [b"set", b"k", b"-1", b"\xff"])


@pytest.mark.parametrize(
    "words",
    [
        ["auth", "hunter2"],
        ["auth", "ann", "hunter2"],
        ["-t", "1", "AUTH", "ann", "hunter2"],
        ["hello", "3", "auth", "ann", "hunter2"],
        ["acl", "setuser", "ann", "on", ">hunter2"],
        ["acl", "setuser", "ann", "<hunter2"],
        ["config", "set", "requirepass", "hunter2"],
        ["--password", "hunter2", "ping"],
        ["--password=hunter2"],
        ["--pass", "hunter2"],
        ["-a", "hunter2"],
        ["-ahunter2", "get", "a"],
        ["--passw", "hunter2"],
    ],
)
def test_a_password_is_no_argument_and_is_not_shown_once_more(words: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        Options().parseOptions(words)
    said = str(raised.value)
    assert "hunter2" not in said
    if "--passw" not in words:
        assert "all users of this machine can read the arguments of a process" in said
        assert "--password-file" in said


@pytest.mark.parametrize(
    "words",
    [
        ["get", "auth"],
        ["set", "k", "--password"],
        ["set", "-a", "x"],
        ["auth"],
        ["hello", "3"],
        ["acl", "setuser", "ann", "on", "+@read"],
        ["acl", "list"],
        ["config", "set", "maxmemory", "1"],
        ["--password-file", "auth", "ping"],
    ],
)
def test_other_words_are(words: list[str]) -> None:
    Options().parseOptions(words)


def test_the_manual_fits_a_screen() -> None:
    assert max(map(len, MANUAL.split("\n"))) < 80
