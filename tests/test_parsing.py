"""What a value may be: what ``test_config.py``, which goes through all settings, does not show."""

from __future__ import annotations

from typing import Any

import pytest

from memdbd import parsing


@pytest.mark.parametrize("raw", ["persistence.json", "x", "a b.json", "journal", "torn"])
def test_a_filename_is_a_name_without_a_directory(raw: str) -> None:
    assert parsing.filename(raw) == raw


@pytest.mark.parametrize("raw", ["", ".", "..", "a/b", "a\\b", "/", 1, None, b"x"])
def test_a_filename_with_a_directory_is_refused(raw: Any) -> None:
    with pytest.raises(ValueError, match="without a directory"):
        parsing.filename(raw)


@pytest.mark.parametrize(
    "raw",
    ["journal.00000001", "memdbd.lock", "repair-1", "x.torn", "x.tmp", "x.imported", "x.torn.2"],
)
def test_a_filename_that_another_file_of_the_directory_may_have_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match="no other file of the directory"):
        parsing.filename(raw)


@pytest.mark.parametrize("raw", ["", "key.pem", "/etc/memdbd/key.pem"])
def test_a_path_is_any_text_and_may_be_none(raw: str) -> None:
    assert parsing.path(raw) == raw
    with pytest.raises(ValueError, match="must be the path of a file"):
        parsing.path([raw])


@pytest.mark.parametrize("raw", ["", "two words ", "пароль", "\t"])
def test_a_password_is_taken_as_it_is(raw: str) -> None:
    assert parsing.password(raw) == raw


@pytest.mark.parametrize(("raw", "right"), [(5, "must be a text"), ("\udcff", "must be UTF-8")])
def test_a_password_that_is_no_text_is_refused(raw: Any, right: str) -> None:
    with pytest.raises(ValueError) as refused:
        parsing.password(raw)
    assert str(refused.value) == right


def test_a_number_is_what_it_says_in_digits() -> None:
    whole, any_ = parsing.number(0), parsing.number(0.5, 2, whole=False)
    assert (whole("007"), whole(7), any_("1.50"), any_(2)) == (7, 7, 1.5, 2)
    for wrong in ("1.5", 1.5, "-1", -1, True, None, float("nan"), "1_0", "٥"):
        with pytest.raises(ValueError, match="must be a whole number of at least 0"):
            whole(wrong)
    for wrong in (0.4, "2.01", float("inf"), float("nan"), "9" * 400):
        with pytest.raises(ValueError, match=r"must be a number from 0\.5 to 2"):
            any_(wrong)
