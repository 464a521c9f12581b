"""The robustness suite: one policy on a task and on all its variants, over the same seeds.

A variant is a set of options of the task (`TextEnv.variants`): other words, layouts, positions,
hidden things or opponents. `lmrl evaluate ... --suite robustness` runs it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lmrl.errors import UsageError
from lmrl.scoring.score import Difference, Score, difference
from lmrl.scoring.text import interval, text_table
from lmrl.tasks import make
from lmrl.trajectory import Trajectory

BASE = "base"
"""The task as it is."""


def variants(task: str, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the options of the base task and of each of its variants, the base first.

    Args:
        task: name.
        options: of the base; a variant has them too, with its own put over them.

    Raises:
        UsageError: for an unknown task or option, or a task without variants.
    """
    found = make(task, **options).variants
    if not found:
        raise UsageError(f"task {task} has no variants; 'lmrl tasks TASK' lists those of a task")
    return {
        BASE: dict(options),
        **{name: {**options, **changes} for name, changes in found.items()},
    }


@dataclass(frozen=True)
class Row:
    """What came of one variant.

    Attributes:
        variant: name; `base` is the task as it is.
        options: of the task.
        score: of its episodes; None if it could not be played.
        difference: to the base on the same seeds; None for the base itself.
        note: what went wrong, if anything did.
    """

    variant: str
    options: Mapping[str, Any]
    score: Score | None
    difference: Difference | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "variant": self.variant,
            "options": dict(self.options),
            **(self.score.to_json() if self.score else {}),
            "difference": self.difference.to_json() if self.difference else None,
            "note": self.note,
        }


def rows(
    suite: Mapping[str, Mapping[str, Any]],
    played: Mapping[str, tuple[Score, Sequence[Trajectory]] | str],
    asked: int,
) -> list[Row]:
    """Return the rows of a suite that was played, in its order.

    Args:
        suite: what `variants` returned.
        played: score and episodes of each variant, or why it could not be played.
        asked: episodes wanted of each.
    """
    base = played[BASE]
    assert not isinstance(base, str)
    found = []
    for name, options in suite.items():
        result = played[name]
        if isinstance(result, str):
            found.append(Row(name, options, None, None, result))
            continue
        score, episodes = result
        lost = asked - score.episodes
        note = f"{lost} of {asked} episodes failed" if lost else ""
        to_base = None if name == BASE else difference(episodes, base[1])
        found.append(Row(name, options, score, to_base, note))
    return found


def table(found: Sequence[Row]) -> str:
    """Return rows as a table."""
    interval_name = "95 % interval"
    columns = (
        *("variant", "return", interval_name, "normalised"),
        *("difference", interval_name, ""),
    )
    cells = []
    for row in found:
        score, to_base = ("",) * 3, ("",) * 2
        if row.score:
            mean, normalised = row.score.return_mean, row.score.normalised
            score = (f"{mean:.2f}", interval(row.score.ci95), f"{normalised:.1f}")
        if row.difference:
            to_base = (f"{row.difference.mean:+.2f}", interval(row.difference.ci95))
        cells.append((row.variant, *score, *to_base, row.note))
    return text_table(columns, cells, left=(0, 6))
