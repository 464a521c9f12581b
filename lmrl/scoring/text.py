"""How tables and intervals look as text, once for all commands."""

import io
import sys
from collections.abc import Sequence
from typing import Literal


def interval(ci95: Sequence[float] | None, digits: int = 2) -> str:
    """Return an interval as text; a single value has none.

    Args:
        ci95: lower and upper bound; None if there is no interval.
        digits: digits after the decimal point.
    """
    if ci95 is None:
        return "[one value]"
    low, high = ci95
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def text_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    left: int | Sequence[int] = 1,
    header: bool = True,
) -> str:
    """Return rows as a table: aligned columns, with a bold header on a terminal.

    Args:
        columns: headers.
        rows: cells of each row, one a column; a shorter row has empty cells at its end.
        left: columns that are aligned to the left: their indices, or the number of first ones. The
            others are aligned to the right.
        header: whether the headers are printed.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lefts = range(left) if isinstance(left, int) else left
    table = Table(box=None, show_header=header, pad_edge=False, padding=(0, 2, 0, 0))
    for index, name in enumerate(columns):
        side: Literal["left", "right"] = "left" if index in lefts else "right"
        table.add_column(Text(name), justify=side, no_wrap=True)
    for row in rows:
        # As `Text`, because brackets in a plain string would be markup.
        table.add_row(*(Text(cell) for cell in row))
    file = io.StringIO()
    # Wide enough that nothing is cut: a terminal wraps by itself, and a file has no width.
    Console(file=file, width=10_000, force_terminal=sys.stdout.isatty()).print(table)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())
