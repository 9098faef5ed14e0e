"""Where characters come to stand on the screen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdbd.client.layout import place, visible


@pytest.mark.parametrize(
    ("text", "columns", "row", "column"),
    [
        ("", 10, 0, 0),
        ("> abc", 10, 0, 5),
        ("x" * 10, 10, 1, 0),
        ("x" * 25, 10, 2, 5),
        ("日本", 10, 0, 4),
        ("xx日", 3, 1, 2),  # the wide one does not fit behind two others
        ("e\u0301", 10, 0, 1),
        ("é" * 10, 10, 1, 0),
    ],
)
def test_characters_wrap_as_a_terminal_wraps_them(
    text: str, columns: int, row: int, column: int
) -> None:
    assert place(text, columns) == (row, column)


@given(st.text(alphabet="ab é日本\u0301"), st.integers(min_value=2, max_value=9))
def test_the_column_is_always_on_the_screen(text: str, columns: int) -> None:
    assert 0 <= place(text, columns).column < columns


@given(st.characters(exclude_categories=["Mn", "Me", "Zs"]))
def test_whatever_is_typed_is_shown_printable(char: str) -> None:
    assert visible(char).isprintable()
