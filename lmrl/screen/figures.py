"""The figures of an update in a line, and sparklines."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

SHOWN = (
    ("return", "rollout/return_mean", "{:.1f}"),
    ("success", "rollout/success", "{:.0%}"),
    ("loss", "train/loss", "{:.3f}"),
    ("kl", "train/approx_kl", "{:.3f}"),
    ("kl to start", "train/kl_to_start", "{:.3f}"),
    ("entropy", "train/entropy", "{:.2f}"),
    ("sampler tok/s", "rollout/tokens_per_s", "{:,.0f}"),
    ("learner tok/s", "train/tokens_per_s", "{:,.0f}"),
    ("stale", "rollout/staleness", "{:.0f}"),
    ("parity", "push/max_abs", "{:.0e}"),
)
"""Figures of an update: label, name of the metric, format."""

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.-=*%#@"


def figures(record: Mapping[str, float]) -> list[str]:
    """Return the figures of an update as texts, those that it has.

    Args:
        record: metrics of the update, by name.
    """
    return [
        f"{label} {form.format(record[name])}"
        for label, name, form in SHOWN
        if record.get(name) is not None and math.isfinite(record[name])
    ]


def sparkline(values: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """Return a curve as a line of characters.

    Args:
        values: points in their order; those that are not finite are left out.
        width: largest number of characters. If there are more points, each character is the mean of
            some of them.
        ascii_only: whether only ASCII characters can be shown.
    """
    points = [value for value in values if math.isfinite(value)]
    if not points:
        return ""
    count = min(width, len(points))
    edges = [round(i * len(points) / count) for i in range(count + 1)]
    # In units of the largest: the sum and the difference of huge numbers are not finite.
    unit = max(map(abs, points)) or 1.0
    means = [math.fsum(v / unit for v in points[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    bars = _ASCII_BARS if ascii_only else _BARS
    if high == low:
        return bars[len(bars) // 2] * count
    return "".join(bars[round((mean - low) / (high - low) * (len(bars) - 1))] for mean in means)
