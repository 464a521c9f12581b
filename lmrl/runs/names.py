"""Names of the files and folders in a run directory, once.

Only these names are ever deleted or replaced. Other files in the directory are not the run's.
"""

import re
from pathlib import Path
from typing import Literal

from lmrl.files import TEMPORARY

MARKER = ".lmrl-run"
"""Marks a directory as a run's; locked while a process works on it."""

CONFIG = "config.json"
"""The resolved experiment, versions, commit."""

METRICS = "metrics.jsonl"
"""One line an update."""

SCORES = "scores.jsonl"
"""One line an evaluation."""

FAILURES = "failures.jsonl"
"""One line a failed episode: seed, error, trace."""

RECOVERIES = "recoveries.jsonl"
"""One line each time that an actor or the driver serves again: role, number, reason, seconds."""

LOG = "log.txt"
"""Output of libraries and actors, and the traceback of an error that ended the run."""

STATUS = "status.json"
"""While the run goes on: phase, update, remaining time, ledger."""

SUMMARY = "summary.json"
"""After its end: scores, parity, ledger, seconds."""

REPORT = "report.html"
"""The report, if it was written into the run directory."""

TENSORBOARD = "tensorboard"
"""The metrics for TensorBoard."""

TRAJECTORIES = "trajectories"
"""Episodes as Parquet files, in a folder for each `Kind`."""

CHECKPOINTS = "checkpoints"
"""Folders `step-N`, and the links `LAST` and `BEST`."""

LAST, BEST = "last", "best"

STATE = "state.json"
"""In a checkpoint: everything but the weights that a resumed run needs."""

RECORD = "experiment.json"
"""In a checkpoint: the experiment that made it, so that a copy is scored with its settings."""

ADAPTER = "adapter"
"""In a checkpoint of a run with LoRA: the adapters as peft reads them."""

CRITIC = "critic"
"""In a checkpoint: the critic, for runs that take it over."""

START = "start"
"""The start policy, if the run made it; a run directory of its own if it was trained."""

GUIDED = "guided"
"""The value-guided policy that samplers start with, in runs that have one."""

DATA = "data"
"""The data set, if the run made it."""

BEST_ACTIONS = "best_actions"
"""The best of the sampled actions, in runs of best-of-N distillation."""

REPLACED = ".replaced"
"""The run that was here before, until this one has saved a checkpoint."""

MOVING = ".moving"
"""A part of the run that was here before; the rest is in the directory, and nothing of a new
one."""

ABORTED = ".aborted"
"""A run that was to replace this one, and ended before it had saved a checkpoint."""

Kind = Literal["training", "selection", "evaluation"]
"""Purpose of stored episodes."""

KINDS: tuple[Kind, ...] = ("training", "selection", "evaluation")

LEARNER = "learner"
"""Folder beside those of the `Kind`s: per-token quantities of the learner for some of the episodes,
as `learner_file` names them."""

LINES = (METRICS, SCORES, FAILURES)
"""Files that only get longer, and that a resume cuts at its checkpoint."""

UPDATE = re.compile(r"-(\d{5,})(?:-\d+)?$")
"""The update in the name of a file of episodes, without its suffix."""


def step(update: int) -> str:
    """Return the name of the checkpoint after an update."""
    return f"step-{update}"


def checkpoint(folder: Path, name: str) -> Path:
    """Return the path of a checkpoint.

    Args:
        folder: run directory.
        name: `LAST`, `BEST`, or the name from `step`.
    """
    return folder / CHECKPOINTS / name


def episodes_file(folder: Path, kind: Kind, name: str) -> Path:
    """Return the path of a file of episodes.

    Args:
        folder: run directory.
        kind: purpose of the episodes.
        name: name of the file without its suffix; ends with the update.
    """
    return folder / TRAJECTORIES / kind / f"{name}.parquet"


def learner_file(folder: Path, kind: Kind, name: str) -> Path:
    """Return the path of the file with the learner's quantities of some episodes of a file.

    Its columns are `row`, the row of an episode in that file, and a list of numbers for each
    quantity, one for each action token of the episode that the task applied.

    Args:
        folder: run directory.
        kind: purpose of the episodes.
        name: name of their file without its suffix.
    """
    return folder / TRAJECTORIES / LEARNER / f"{kind}-{name}.parquet"


def training_file(update: int, index: int = 0) -> str:
    """Return the name of a file of training episodes, without its suffix.

    Args:
        update: number of the update.
        index: number of the table within the update.
    """
    return f"update-{update:05d}-{index}"


def evaluated(label: str, update: int) -> str:
    """Return the name of a file of evaluation episodes, without its suffix.

    Args:
        label: name of the policy.
        update: updates before the evaluation.
    """
    return f"{label}-{update:05d}"


def _names(pattern: str) -> re.Pattern[str]:
    """Return a pattern of names, temporary ones included."""
    return re.compile(f"(?:{pattern})|{TEMPORARY % pattern}")


OWN = {
    "": re.compile(
        _names(
            r"(?:config|status|summary)\.json|(?:metrics|scores|failures|recoveries)\.jsonl"
            r"|log\.txt|report\.html|start|guided|wandb|trackio"
        ).pattern
        + f"|{TEMPORARY % DATA}|{TEMPORARY % BEST_ACTIONS}"
    ),
    f"{TRAJECTORIES}/training": _names(r"update-\d+-\d+\.parquet"),
    f"{TRAJECTORIES}/selection": _names(r".+-\d+\.parquet"),
    f"{TRAJECTORIES}/evaluation": _names(r".+-\d+\.parquet"),
    f"{TRAJECTORIES}/{LEARNER}": _names(rf"(?:{'|'.join(KINDS)})-.+-\d+\.parquet"),
    TRAJECTORIES: re.compile(r"(?!)"),
    CHECKPOINTS: re.compile(_names(r"step-\d+|last|best").pattern + r"|\.step-\d+\.old"),
    TENSORBOARD: re.compile(r"events\.out\.tfevents\..*"),
    DATA: re.compile(r"part-\d+\.parquet"),
    BEST_ACTIONS: re.compile(r"part-\d+\.parquet"),
}
"""Names that a run writes into each folder of its directory, inner folders first. Everything in
`START`, `GUIDED` and the folders of checkpoints belongs to the run."""
