"""Keys, and the line that they edit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdbd.client.editor import _ACTIONS, MAX_TYPED, Editor, Keys


def typed(*keys: str) -> Editor:
    """An editor after keys: longer strings that name no key are typed out."""
    editor = Editor()
    press(editor, *keys)
    return editor


def press(editor: Editor, *keys: str) -> None:
    for key in keys:
        if not editor.press(key):
            for char in key:
                assert editor.press(char)


def state(editor: Editor) -> str:
    return editor.text[: editor.cursor] + "|" + editor.text[editor.cursor :]


class TestKeys:
    @pytest.mark.parametrize(
        ("data", "keys"),
        [
            (b"a\xc3\xa9\xe6\x97\xa5", ["a", "é", "日"]),
            (b"\x1b[A\x1bOB\x1b[1~\x1b[F", ["up", "down", "home", "end"]),
            (b"\r\x7f\x03\x04", ["enter", "backspace", "interrupt", "end of input"]),
            (b"\x1b[99;1Xa\x1bq\x00\x1d", ["a"]),
            (b"\x1b\x1b[A", ["up"]),
            (b"\ta", ["\t", "a"]),
            (b"\xffa", ["\ufffd", "a"]),
        ],
    )
    def test_bytes_are_keys_however_they_are_cut(self, data: bytes, keys: list[str]) -> None:
        assert Keys().feed(data) == keys
        one_by_one = Keys()
        assert [key for byte in data for key in one_by_one.feed(bytes([byte]))] == keys

    @given(st.binary())
    def test_no_control_character_comes_through_but_the_tab(self, data: bytes) -> None:
        for key in Keys().feed(data):
            assert len(key) > 1 or key == "\t" or ord(key) >= 32


class TestEditing:
    @pytest.mark.parametrize(
        ("keys", "result"),
        [
            (["abc", "left", "left", "X"], "aX|bc"),
            (["abc", "home", "X", "end", "Y"], "XabcY|"),
            (["abc", "left", "backspace"], "a|c"),
            (["abc", "home", "backspace", "delete"], "|bc"),
            (["abc", "delete", "right"], "abc|"),
            (["get two  words ", "erase word"], "get two  |"),
            (["get two", "word left", "word left", "word left", "X"], "X|get two"),
            (["get two", "home", "word right", "X"], "getX| two"),
            (["get two", "left", "left", "erase left"], "|wo"),
            (["get two", "left", "left", "erase right"], "get t|"),
        ],
    )
    def test_keys_do_what_they_do_in_a_shell(self, keys: list[str], result: str) -> None:
        assert state(typed(*keys)) == result

    def test_taking_the_line_starts_an_empty_one(self) -> None:
        editor = typed("get a")
        assert editor.take() == "get a"
        assert state(editor) == "|"

    def test_older_lines_come_back_and_the_one_being_typed_too(self) -> None:
        editor = typed("first")
        editor.take()
        press(editor, "second")
        editor.take()
        press(editor, "new", "up")
        assert state(editor) == "second|"
        press(editor, "up", "up")
        assert state(editor) == "first|"
        press(editor, "down", "down", "down")
        assert state(editor) == "new|"

    def test_blank_and_repeated_lines_are_not_remembered(self) -> None:
        editor = Editor()
        for line in ("a", "a", "  "):
            press(editor, line)
            editor.take()
        press(editor, "up", "up")
        assert editor.text == "a"

    def test_a_line_has_a_bound(self) -> None:
        editor = Editor()
        editor.text = "x" * MAX_TYPED
        assert not editor.press("y")
        assert len(editor.text) == MAX_TYPED

    @given(st.lists(st.characters() | st.sampled_from(sorted(_ACTIONS))))
    def test_the_cursor_never_leaves_the_text(self, keys: list[str]) -> None:
        editor = Editor()
        for key in keys:
            editor.press(key)
            assert 0 <= editor.cursor <= len(editor.text)
