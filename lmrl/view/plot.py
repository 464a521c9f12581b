"""A curve as lines of characters, with its axes."""

import math
from collections.abc import Sequence

from lmrl.view.text import column, figure

_PARTS = " ▁▂▃▄▅▆▇█"
LABEL = 9
"""Cells of the labels at the left."""


def plot(
    x: Sequence[float | None], y: Sequence[float | None], width: int, height: int, log: bool = False
) -> list[str]:
    """Return a curve as an area of characters with the range of its values at the left.

    Args:
        x: updates `[n]`, in order.
        y: values `[n]`; those that are not finite are left out.
        width: cells of a line, labels included.
        height: number of lines, the one with the updates included.
        log: whether the values have a logarithmic axis; those of 0 or less are left out then.
    """
    points = [
        (a, b)
        for a, b in zip(x, y, strict=True)
        if a is not None and b is not None and math.isfinite(b) and (not log or b > 0)
    ]
    columns, rows = width - LABEL - 1, height - 1
    if not points or columns < 1 or rows < 1:
        return []
    across = _shares([a for a, _ in points])
    up = _shares([math.log10(b) if log else b for _, b in points])
    heights: list[list[float]] = [[] for _ in range(columns)]
    for a, b in zip(across, up, strict=True):
        heights[round(a * (columns - 1))].append(b)
    eighths: list[int] = []
    for own in heights:
        if own:
            eighths.append(1 + round(sum(own) / len(own) * (8 * rows - 1)))
        else:  # a column without a point is as high as the one before
            eighths.append(eighths[-1] if eighths else 0)
    low, high = min(b for _, b in points), max(b for _, b in points)
    lines = []
    for row in range(rows):
        floor = 8 * (rows - 1 - row)
        label = figure(high) if row == 0 else figure(low) if row == rows - 1 else ""
        bars = "".join(_PARTS[min(8, max(0, n - floor))] for n in eighths)
        lines.append(f"{column(label, LABEL, right=True)}│{bars}")
    ends = figure(min(a for a, _ in points)), figure(max(a for a, _ in points))
    space = max(1, columns - len(ends[0]) - len(ends[1]))
    lines.append(f"{' ' * LABEL} {ends[0]}{' ' * space}{ends[1]}"[:width])
    return lines


def _shares(values: Sequence[float]) -> list[float]:
    """Return where each value lies between the smallest, 0, and the largest, 1."""
    low, high = min(values), max(values)
    # Halves: the difference of two finite numbers may be too large for one.
    unit = high / 2 - low / 2
    return [(value / 2 - low / 2) / unit if unit else 0.5 for value in values]
