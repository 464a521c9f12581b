"""Results of a study: means with intervals, and the gap between person and simulator."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmrl.data.store import load
from lmrl.human.study import SIMULATED, read_study
from lmrl.scoring.intervals import Interval, mean_interval, share_interval
from lmrl.scoring.score import Difference, difference
from lmrl.scoring.text import interval, text_table
from lmrl.trajectory import Trajectory


@dataclass(frozen=True)
class Estimate:
    """A mean over episodes.

    Attributes:
        mean: the mean.
        ci95: 95 % interval over episodes; None for a single one.
        episodes: number of episodes.
    """

    mean: float
    ci95: Interval | None
    episodes: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return the estimate of a mean; None without values."""
    if not values:
        return None
    return Estimate(float(np.mean(values)), mean_interval(values), len(values))


def estimated_share(hits: Sequence[bool]) -> Estimate | None:
    """Return the estimate of a probability; None without trials."""
    if not hits:
        return None
    return Estimate(float(np.mean(hits)), share_interval(sum(hits), len(hits)), len(hits))


@dataclass(frozen=True)
class Result:
    """The result of a policy in a study.

    Attributes:
        policy: name of the policy.
        episodes: number of finished episodes.
        returns: return of an episode.
        success: share of successful episodes; None if the task does not report success.
        rating: rating from 1 to 5, over the rated episodes.
        seconds: seconds that the person took for an answer, averaged within an episode.
        gap: return with the person minus return with the scripted oracle on the same seeds; None
            if the person was the agent.
    """

    policy: str
    episodes: int
    returns: Estimate | None
    success: Estimate | None
    rating: Estimate | None
    seconds: Estimate | None
    gap: Difference | None

    def to_json(self) -> dict[str, Any]:
        """Return values for JSON."""
        return asdict(self)


def summary(folder: Path) -> list[Result]:
    """Return the results of a study, one for each policy.

    Raises:
        DataError: if the folder has no study, or no finished episode.
    """
    study = read_study(folder)
    played = list(load(folder))
    simulated = list(load(folder / SIMULATED)) if (folder / SIMULATED).exists() else []
    return [
        _result(name, *([t for t in part if t.player == name] for part in (played, simulated)))
        for name in study.policies
    ]


def _result(name: str, played: list[Trajectory], simulated: list[Trajectory]) -> Result:
    def known(fact: str) -> list[Any]:
        return [t.info[fact] for t in played if fact in t.info]

    return Result(
        policy=name,
        episodes=len(played),
        returns=estimate([t.total_reward for t in played]),
        success=estimated_share([bool(success) for success in known("success")]),
        rating=estimate([float(rating) for rating in known("rating")]),
        seconds=estimate([float(np.mean(seconds)) for seconds in known("seconds") if seconds]),
        gap=difference(played, simulated),
    )


def table(results: Sequence[Result]) -> str:
    """Return results as a table."""
    columns = ("policy", "episodes", "return", "success", "rating (1-5)", "seconds")
    cells = []
    for result in results:
        name = result.policy if len(result.policy) <= 24 else "..." + result.policy[-21:]
        values = (result.returns, result.success, result.rating, result.seconds, result.gap)
        cells.append((name, str(result.episodes), *map(_cell, values)))
    return text_table((*columns, "human - simulator"), cells)


def _cell(value: Estimate | Difference | None) -> str:
    if value is None:
        return "-"
    return f"{value.mean:.2f} {interval(value.ci95)}"
