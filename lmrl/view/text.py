"""Text for a terminal: untrusted text without control characters, and numbers."""

import math

from rich.cells import cell_len, set_cell_size

from lmrl.trajectory import printable


def lines(text: str) -> list[str]:
    """Return the lines of an untrusted text, without characters that could drive a terminal."""
    return [printable(line) for line in text.removesuffix("\n").split("\n")]


def cell(character: str) -> str:
    """Return a character that fills exactly one cell of the terminal; `?` for any other."""
    return character if character.isprintable() and cell_len(character) == 1 else "?"


def column(text: str, width: int, right: bool = False) -> str:
    """Return an untrusted text with exactly `width` cells, cut with `…` where it is longer.

    Args:
        text: the text.
        width: number of cells.
        right: whether a short text is at the right end.
    """
    # A text of any length is cut first: each character has at least a quarter of a cell or none.
    text = printable(text[: 8 * width])
    if cell_len(text) > width:
        return set_cell_size(set_cell_size(text, max(width - 1, 0)) + "…", width)
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def figure(value: object) -> str:
    """Return a number in few characters; an empty text for what is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return ""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    if 1e-3 <= abs(value) < 1e6:
        return f"{value:.4g}" if abs(value) < 1e3 else f"{value:.1f}"
    return f"{value:.2e}"
