"""Comparison of finished runs of one task, as `lmrl compare` prints it.

Runs with the same configuration but for the seed are a group. The score of a run is the normalised
score of the mean return of one stored evaluation. A group has the figures over its runs that
Agarwal et al. 2021 (arXiv:2108.13264) propose. Groups are compared on the episodes that they share.
`lmrl.scoring.intervals` computes the intervals.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmrl.data.store import stored_returns, stored_seeds
from lmrl.env import ScoreRange
from lmrl.errors import DataError, UsageError, unknown
from lmrl.runs.names import (
    BEST,
    CONFIG,
    LAST,
    SCORES,
    SUMMARY,
    episodes_file,
    evaluated,
)
from lmrl.scoring.intervals import (
    EPISODES,
    MIN_RUNS,
    Figure,
    RunScores,
    difference_figure,
    iqm_figure,
    mean_figure,
    probability_figure,
)
from lmrl.scoring.score import normalised, slope
from lmrl.scoring.text import interval, text_table
from lmrl.tasks import check_trusted, make

CHOSEN = "_best"
"""Ending of the label of a run's best checkpoint; see `cluster.train`."""

APART = (
    "evaluation.episodes",
    "evaluation.every",
    "evaluation.first_seed",
    "evaluation.random",
    "evaluation.start_episodes",
    "data.path",
    "failures",
    "keep",
    "learner.threads",
    "model.path",
    "placement",
    "mirror",
    "provenance",
    "push",
    "sampler",
    "save_every",
    "seed",
    "simulator",
)
"""Fields in which runs of one group may differ: seeds, paths, placement, and what is kept."""


@dataclass(frozen=True)
class Run:
    """One policy of a finished run.

    Attributes:
        folder: run directory.
        policy: label of the policy in the run's scores.
        seed: seed of the run.
        update: number of updates before the evaluation.
        returns: returns of the evaluation's episodes `[E]`, in reward units.
        seeds: seeds of these episodes `[E]`.
        fields: values of the configuration by dotted name, without the fields in `APART`.
    """

    folder: Path
    policy: str
    seed: int
    update: int
    returns: NDArray[np.float64]
    seeds: NDArray[np.int64]
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds only.

    Attributes:
        name: policy, and the fields in which the group differs from others of this policy.
        runs: run directories.
        episodes: number of episodes of all runs together.
        return_mean: mean over runs of the mean return, in reward units.
        mean, iqm: mean and interquartile mean of the runs' normalised scores.
    """

    name: str
    runs: tuple[str, ...]
    episodes: int
    return_mean: float
    mean: Figure
    iqm: Figure

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        figures = {"mean": self.mean.to_json(), "iqm": self.iqm.to_json()}
        return {**asdict(self), "runs": list(self.runs), **figures}


@dataclass(frozen=True)
class Improvement:
    """A comparison of one group with another.

    Attributes:
        better, worse: names of the two groups.
        probability: probability that a run of `better` scores more than one of `worse`.
        difference: difference of the groups' mean scores, on the episodes that they share.
    """

    better: str
    worse: str
    probability: Figure
    difference: Figure

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "better": self.better,
            "worse": self.worse,
            "probability": self.probability.to_json(),
            "difference": self.difference.to_json(),
        }


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        task: name of the task.
        at: checkpoint that is compared: `best` or `last`.
        groups: groups, in the order of their first runs.
        improvements: comparisons of all ordered pairs of groups.
    """

    task: str
    at: str
    groups: tuple[Group, ...]
    improvements: tuple[Improvement, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "task": self.task,
            "at": self.at,
            "groups": [group.to_json() for group in self.groups],
            "improvements": [found.to_json() for found in self.improvements],
        }


def compare(
    folders: Sequence[Path], policies: Sequence[str] = (), at: str = LAST, load_tasks: bool = False
) -> Comparison:
    """Return the comparison of finished runs.

    Args:
        folders: run directories.
        policies: labels of scores; if empty, the policy that each run learned.
        at: checkpoint to compare: `last`, or `best`, the one with the best score during training.
            That score is on seeds of its own. Where the last one was the best, it is taken.
        load_tasks: whether a task that the runs name as `module:Class` is imported.

    Raises:
        UsageError: for an unknown policy, runs of several tasks, or a run that is given twice.
        DataError: for a folder that is not a finished run.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("a run is given twice; name each run directory once")
    configs = {folder: _config(folder) for folder in folders}
    task, options = _one_task(configs)
    runs = [
        _run(folder, config, policy, at)
        for folder, config in configs.items()
        for policy in policies or [config["algorithm"]["name"]]
    ]
    check_trusted(task, f"{folders[0]}", load_tasks)
    limits = make(task, **options).score_range
    groups = _grouped(runs)
    _check_seeds(groups)
    scores = {name: _scores(part, limits) for name, part in groups.items()}
    return Comparison(
        task,
        at,
        tuple(_group(name, part, scores[name]) for name, part in groups.items()),
        tuple(
            Improvement(
                better,
                worse,
                probability_figure(scores[better], scores[worse]),
                difference_figure(scores[better], scores[worse]),
            )
            for better, worse in permutations(groups, 2)
        ),
    )


# -- reading runs ---------------------------------------------------------------------------------


def _config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a finished run."""
    if not (folder / CONFIG).exists():
        raise DataError(f"{folder} is not a run directory: it has no config.json")
    if not (folder / SUMMARY).exists():
        raise DataError(
            f"{folder} has not ended: it has no summary.json; 'lmrl train --resume {folder}' goes "
            "on with it"
        )
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
    except json.JSONDecodeError as error:
        raise DataError(f"{folder / CONFIG} is not JSON ({error})") from error
    return config


def _one_task(configs: Mapping[Path, Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return the task of all runs and its options."""
    (first, config), *others = configs.items()
    task, options = config["task"], config["options"]
    for folder, other in others:
        if (other["task"], other["options"]) != (task, options):
            here, there = (
                f"{found['task']} {found['options'] or ''}".strip() for found in (config, other)
            )
            raise UsageError(
                f"{first} is of {here} and {folder} of {there}; compare runs of one task with the "
                "same options"
            )
    return task, options


def _run(folder: Path, config: Mapping[str, Any], policy: str, at: str) -> Run:
    updates = _updates(folder)
    chosen = policy + CHOSEN
    # Without a score of its own the best checkpoint on the way was the last one.
    label = chosen if at == BEST and chosen in updates else policy
    if label not in updates:
        raise unknown(f"policy of {folder}:", policy, updates)
    update = updates[label]
    file = episodes_file(folder, "evaluation", evaluated(label, update))
    returns, seeds = stored_returns(file), stored_seeds(file)
    return Run(folder, policy, config["seed"], update, returns, seeds, dict(_flat(config, "")))


def _updates(folder: Path) -> dict[str, int]:
    """Return the update of the last final score of each label."""
    try:
        with (folder / SCORES).open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(f"{folder} has no readable scores.jsonl ({error})") from error
    found: dict[str, int] = {}
    for row in rows:
        if not row.get("selecting"):  # those chose the best checkpoint, so they do not score it
            found[row["policy"]] = max(row["update"], found.get(row["policy"], 0))
    return found


def _flat(value: Any, name: str) -> list[tuple[str, Any]]:
    if name in APART:
        return []
    if not isinstance(value, dict) or not value:
        return [(name, value)]
    prefix = f"{name}." if name else ""
    return [pair for key, inner in value.items() for pair in _flat(inner, prefix + key)]


# -- groups ---------------------------------------------------------------------------------------


def _grouped(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each group by its name."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        alike = [other for other in runs if other.policy == run.policy]
        groups.setdefault(_name(run, alike), []).append(run)
    return groups


def _name(run: Run, alike: Sequence[Run]) -> str:
    """Return the policy's label and the fields in which runs with this policy differ."""
    # A field that a run does not know is none of its differences: another version wrote it.
    shared = [name for name in run.fields if all(name in other.fields for other in alike)]
    differing = [
        name for name in shared if any(other.fields[name] != run.fields[name] for other in alike)
    ]
    return ", ".join([run.policy, *(f"{name} {run.fields[name]}" for name in differing)])


def _check_seeds(groups: Mapping[str, Sequence[Run]]) -> None:
    for name, runs in groups.items():
        seen: dict[int, Run] = {}
        for run in runs:
            if run.seed in seen:
                raise UsageError(
                    f"{seen[run.seed].folder} and {run.folder} are both {name} with seed "
                    f"{run.seed}: the same run twice; runs of a group need seeds of their own"
                )
            seen[run.seed] = run


def _scores(runs: Sequence[Run], limits: ScoreRange) -> RunScores:
    return RunScores.of(
        [run.returns for run in runs],
        [run.seeds for run in runs],
        partial(normalised, limits=limits),
        partial(slope, limits=limits),
    )


def _group(name: str, runs: Sequence[Run], scores: RunScores) -> Group:
    return Group(
        name,
        tuple(str(run.folder) for run in runs),
        sum(len(run.returns) for run in runs),
        float(np.mean([run.returns.mean() for run in runs])),
        mean_figure(scores),
        iqm_figure(scores),
    )


# -- a table --------------------------------------------------------------------------------------


def table(found: Comparison) -> str:
    """Return a comparison as tables."""
    lines = [
        f"{found.task}, the {found.at} checkpoint of each run; normalised scores, 95 % intervals "
        "over runs and episodes\n"
    ]
    groups = [
        (
            group.name,
            str(len(group.runs)),
            str(group.episodes),
            f"{group.return_mean:.2f}",
            _shown(group.mean, 1),
            _shown(group.iqm, 1),
        )
        for group in found.groups
    ]
    lines.append(text_table(("group", "runs", "episodes", "return", "mean", "IQM"), groups))
    pairs = []
    told = set[frozenset[str]]()
    for pair in sorted(found.improvements, key=lambda pair: -pair.probability.value):
        both = frozenset((pair.better, pair.worse))
        if both in told:
            continue  # the probability of the other order is 1 minus this one
        told.add(both)
        probability, difference = _shown(pair.probability, 2), _shown(pair.difference, 1)
        pairs.append((f"  {pair.better} > {pair.worse}", probability, difference))
    if pairs:
        lines.append(
            "\nprobability that a run of the first scores more than one of the second, and "
            "difference of the means on the same episodes"
        )
        lines.append(text_table(("", "probability", "difference"), pairs))
    few = [group.name for group in found.groups if len(group.runs) < MIN_RUNS]
    if few:
        lines.append(
            f"\nToo few runs for an interval over runs (fewer than {MIN_RUNS}): {'; '.join(few)}. "
            "An interval with a star is over episodes alone: it says nothing of other training "
            "seeds."
        )
    return "\n".join(lines)


def _shown(figure: Figure, digits: int) -> str:
    if figure.ci95 is None:
        return f"{figure.value:.{digits}f} [too few]"
    star = "*" if figure.over == EPISODES else ""
    return f"{figure.value:.{digits}f} {interval(figure.ci95, digits)}{star}"
