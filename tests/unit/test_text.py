"""Tables and intervals as text."""

import sys

import pytest

from lmrl.scoring.text import interval, text_table


def test_intervals_have_the_digits_asked_for() -> None:
    assert interval((-1.0, 2.345)) == "[-1.00, 2.35]" and interval((0.5, 1), 1) == "[0.5, 1.0]"
    assert interval(None) == "[one value]"


ROWS = [("maze", "-7.05", "[-8.46, -5.64]", "[red]a note"), ("a longer name", "-107.00")]


def test_columns_are_aligned_and_plain_where_there_is_no_terminal() -> None:
    lines = text_table(("task", "return", "interval", ""), ROWS, left=(0, 3)).split("\n")
    assert lines == [
        "task            return        interval",
        "maze             -7.05  [-8.46, -5.64]  [red]a note",
        "a longer name  -107.00",
    ]


def test_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert "x" * 300 in text_table(("name",), [("x" * 300,)])


def test_a_terminal_gets_a_bold_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    first, second = text_table(("task",), [("maze",)]).split("\n")
    assert first.startswith("\x1b[1m") and "task" in first and second == "maze"
