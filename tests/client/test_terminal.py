"""The prompt on a screen: what stands there after keys and output, in any mixture."""

from __future__ import annotations

import contextlib
import os
import pty
import termios
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport

from memdbd.client.terminal import Terminal, key_mode


class Desk:
    """A terminal with someone in front of it, who sees the screen and presses keys."""

    def __init__(self, screen: Any) -> None:
        self.screen = screen
        self.transport = StringTransport()
        self.suspended = 0
        self.terminal = Terminal(lambda: self.screen.columns, self._suspend)
        self.terminal.makeConnection(self.transport)
        self.entered: list[str] = []
        self.left: int = 0
        self.interrupted = 0
        self.terminal.on_line = self.entered.append
        self.terminal.on_leave = self._leave
        self.terminal.on_interrupt = self._interrupt

    def types(self, keys: bytes) -> list[str]:
        self.terminal.dataReceived(keys)
        return self.sees()

    def sees(self) -> list[str]:
        self.screen.write(self.transport.value())
        self.transport.clear()
        lines: list[str] = self.screen.lines
        return lines

    def was_left(self) -> bool:
        return self.left == 1

    def _suspend(self) -> None:
        self.suspended += 1

    def _leave(self) -> None:
        self.left += 1

    def _interrupt(self) -> None:
        self.interrupted += 1


@pytest.fixture
def desk(screen: Callable[[int], Any]) -> Desk:
    desk = Desk(screen(10))
    desk.terminal.prompt()
    return desk


def test_what_is_typed_stands_behind_the_prompt(desk: Desk) -> None:
    assert desk.sees() == ["> |"]
    assert desk.types(b"get") == ["> get|"]
    assert desk.types(b"\x1b[D\x1b[Dx") == ["> gx|et"]


def test_a_long_line_wraps_and_is_edited_across_rows(desk: Desk) -> None:
    assert desk.types(b"12345678") == ["> 12345678", "|"]
    assert desk.types(b"9") == ["> 12345678", "9|"]
    assert desk.types(b"\x01x") == ["> x|1234567", "89"]
    assert desk.types(b"\x0b") == ["> x|"]


def test_output_comes_above_what_is_typed(desk: Desk) -> None:
    desk.types(b"123456789abc\x1b[D")
    desk.terminal.say("Message from 'c': m")
    assert desk.sees() == ["Message fr", "om 'c': m", "", "> 12345678", "9ab|c"]


def test_an_entered_line_is_given_and_takes_the_prompt_away(desk: Desk) -> None:
    assert desk.types(b"12345678\x01\r") == ["> 12345678", "|"]
    assert desk.entered == ["12345678"]
    desk.terminal.say("reply")
    desk.terminal.prompt()
    assert desk.sees() == ["> 12345678", "reply", "", "> |"]


def test_keys_wait_until_the_next_prompt(desk: Desk) -> None:
    desk.types(b"a\rb\rc")
    assert desk.entered == ["a"]
    desk.terminal.say("reply")
    desk.terminal.prompt()
    assert desk.entered == ["a", "b"]
    desk.terminal.prompt()
    assert desk.sees() == ["> a", "reply", "", "> b", "> c|"]


def test_lines_that_are_answered_at_once_are_all_entered(desk: Desk) -> None:
    def answer(line: str) -> None:
        desk.entered.append(line)
        desk.terminal.prompt()

    desk.terminal.on_line = answer
    assert desk.types(b"a\rb\r\rc") == ["> a", "> b", "> ", "> c|"]
    assert desk.entered == ["a", "b", ""]


def test_any_number_of_lines_typed_ahead_may_be_answered_at_once(desk: Desk) -> None:
    desk.types(b"a\r" * 2000)
    desk.terminal.on_line = lambda line: desk.terminal.prompt()
    desk.terminal.prompt()
    assert desk.sees()[-1] == "> |"


def test_ctrl_c_clears_a_line_and_leaves_at_an_empty_one(desk: Desk) -> None:
    assert desk.types(b"abc\x1b[D\x03") == ["> abc^C", "> |"]
    assert desk.left == 0
    desk.types(b"\x03")
    assert desk.was_left()


def test_ctrl_c_without_a_prompt_interrupts_and_drops_what_was_typed_ahead(desk: Desk) -> None:
    desk.types(b"a\rtyped ahead\x03")
    assert (desk.interrupted, desk.left) == (1, 0)
    desk.terminal.prompt()
    assert desk.sees()[-1] == "> |"


def test_ctrl_d_leaves_at_an_empty_line_and_deletes_in_another(desk: Desk) -> None:
    assert desk.types(b"abc\x01\x04") == ["> |bc"]
    assert desk.left == 0
    desk.types(b"\x15\x05\x15\x04")
    assert desk.was_left()


def test_ctrl_l_clears_the_screen_but_not_the_line(desk: Desk) -> None:
    desk.terminal.say("old")
    assert desk.types(b"abc\x0c") == ["> abc|"]


def test_ctrl_z_suspends_and_draws_again(desk: Desk) -> None:
    assert desk.types(b"abc\x1a") == ["> abc|"]
    assert desk.suspended == 1


def test_a_tab_is_kept_and_seen(desk: Desk) -> None:
    assert desk.types(b"a\tb") == [r"> a\tb|"]
    desk.types(b"\r")
    assert desk.entered == ["a\tb"]


def test_the_end_of_the_terminal_leaves(desk: Desk) -> None:
    desk.terminal.readConnectionLost()
    assert desk.left == 1


def test_closing_leaves_the_cursor_below(desk: Desk) -> None:
    desk.types(b"12345678\x01")
    closed = desk.terminal.close()
    assert desk.sees() == ["> 12345678", "|"]
    assert desk.transport.disconnecting
    assert not closed.called
    desk.terminal.connectionLost()
    assert closed.called


EVENTS = st.lists(
    st.sampled_from([b"x", b"abcdef", b"\x1b[D", b"\x1b[C", b"\x7f", b"\x01", b"\x05", b"\x17"])
    | st.just("say")
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS, st.integers(min_value=3, max_value=12))
def test_the_screen_always_shows_all_output_and_then_the_line(
    screen: Callable[[int], Any], events: list[bytes | str], columns: int
) -> None:
    desk = Desk(screen(columns))
    desk.terminal.prompt()
    said = 0
    for event in events:
        if isinstance(event, bytes):
            desk.types(event)
        else:
            desk.terminal.say("ok")
            said += 1
    editor = desk.terminal._editor
    before = "> " + editor.text[: editor.cursor]
    shown = screen(columns)
    shown.write(("ok\n\n" * said + "> " + editor.text).encode())
    if len(editor.text) + 2 and not (len(editor.text) + 2) % columns:
        shown.write(b"\n")
    rows = [row.replace("|", "") for row in shown.lines]
    seen = desk.sees()
    assert [row.replace("|", "") for row in seen] == rows
    cursor = "".join(seen[2 * said :]).index("|")
    assert cursor == len(before)


def test_the_terminal_is_restored_whatever_happens() -> None:
    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        with contextlib.suppress(RuntimeError), key_mode(slave):
            assert termios.tcgetattr(slave) != before
            raise RuntimeError
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


class TestQuestions:
    @pytest.fixture
    def answers(self, desk: Desk) -> list[str | None]:
        answers: list[str | None] = []
        desk.terminal.on_line = lambda line: desk.terminal.ask("Sure? ", answers.append)
        desk.types(b"a\r")
        return answers

    def test_it_stands_in_place_of_the_prompt_and_takes_one_line(
        self, desk: Desk, answers: list[str | None]
    ) -> None:
        assert desk.sees() == ["> a", "Sure? |"]
        assert desk.types(b"ye\x7f") == ["> a", "Sure? y|"]
        desk.types(b"\r")
        assert answers == ["y"]
        assert desk.sees() == ["> a", "Sure? y", "|"]
        desk.terminal.prompt()
        assert desk.sees()[-1] == "> |"

    @pytest.mark.parametrize(
        ("keys", "shown"), [(b"\x03", "Sure? ^C"), (b"ye\x03", "Sure? ye^C"), (b"\x04", "Sure? ^C")]
    )
    def test_ctrl_c_and_ctrl_d_are_no_answer(
        self, desk: Desk, answers: list[str | None], keys: bytes, shown: str
    ) -> None:
        assert desk.types(keys) == ["> a", shown, "|"]
        assert answers == [None]
        assert not desk.left

    def test_its_answer_is_not_remembered_and_no_earlier_line_is_one(
        self, desk: Desk, answers: list[str | None]
    ) -> None:
        desk.sees()
        desk.terminal.dataReceived(b"\x1b[A")
        assert b"\a" in desk.transport.value()
        desk.transport.clear()
        desk.types(b"yes\r")
        assert answers == ["yes"]
        desk.terminal.prompt()
        desk.sees()
        assert desk.types(b"\x1b[A")[-1] == "> a|"

    def test_what_comes_meanwhile_stands_above_it(
        self, desk: Desk, answers: list[str | None]
    ) -> None:
        desk.types(b"n")
        desk.terminal.say("Message")
        assert desk.sees() == ["> a", "Message", "", "Sure? n|"]

    def test_an_answer_typed_ahead_counts(self, desk: Desk) -> None:
        answers: list[str | None] = []
        desk.terminal.on_line = lambda line: desk.terminal.ask("Sure? ", answers.append)
        desk.types(b"a\ryes\rb")
        assert answers == ["yes"]
        desk.terminal.prompt()
        assert desk.sees() == ["> a", "Sure? yes", "> b|"]


class TestSecrets:
    @pytest.fixture
    def secretive(self, desk: Desk) -> Desk:
        desk.terminal.veil = lambda text: "auth ..." if text.startswith("auth") else None
        return desk

    def test_a_line_with_one_leaves_the_screen_when_it_is_entered(self, secretive: Desk) -> None:
        assert secretive.types(b"auth hunter2 and more") == ["> auth hun", "ter2 and m", "ore|"]
        assert secretive.types(b"\r") == ["> auth ...", "|"]
        assert secretive.entered == ["auth hunter2 and more"]

    def test_it_is_not_remembered(self, secretive: Desk) -> None:
        for line in b"get a\r", b"auth x\r":
            secretive.types(line)
            secretive.terminal.prompt()
        secretive.sees()
        assert secretive.types(b"\x1b[A")[-1] == "> get a|"
        assert secretive.types(b"\x1b[A\x1b[A")[-1] == "> get a|"
        assert secretive.types(b"\x1b[B\x1b[B")[-1] == "> |"
